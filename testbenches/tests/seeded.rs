//! Seeded faults: one change of the emitted Verilog that a testbench must find.

use spatten::cosim::Design;
use spatten::hdl::{Block, elaborate};
use spatten::testbenches::{BenchError, Options, Report};

/// The design of `block`, with `from`, which must stand exactly once in the file of `module`, changed to `to`.
pub fn faulty(block: &dyn Block, module: &str, from: &str, to: &str) -> Design {
    let mut design = Design::from(&elaborate(block));
    // The fault is found within the first cycles, for which optimised code costs more than it saves.
    design.brief = true;
    let mut sources = design.sources.iter_mut();
    let source = sources
        .find(|source| source.file.starts_with(module))
        .unwrap_or_else(|| panic!("no file of {module}"));
    let found = source.text.matches(from).count();
    assert_eq!(found, 1, "{from:?} in {}:\n{}", source.file, source.text);
    source.text = source.text.replace(from, to);
    design
}

/// The testbench must report a mismatch whose message contains all the words.
pub fn caught(outcome: Result<Report, BenchError>, words: &[&str]) {
    match outcome {
        Err(BenchError::Mismatch(message)) => {
            println!("{message}");
            for word in words {
                assert!(message.contains(word), "{word:?} is not in: {message}");
            }
        }
        other => panic!("the fault was not found: {other:?}"),
    }
}

/// A change of one module, and a word of the message that tells it.
pub type Fault = (&'static str, &'static str, &'static str);

/// The testbench `check` of `block` finds each of the faults of `module`.
pub fn all_caught<B: Block>(
    block: &B,
    module: &str,
    faults: &[Fault],
    check: impl Fn(&B, &Design, &Options) -> Result<Report, BenchError>,
) {
    for (from, to, word) in faults {
        println!("{module}: {from} -> {to}");
        let design = faulty(block, &format!("spatten_{module}"), from, to);
        caught(check(block, &design, &options()), &[word]);
    }
}

/// As many words as the testbenches compare of a sound design.
pub fn options() -> Options {
    Options {
        cases: 10_000,
        seed: 1,
        trace: None,
    }
}
