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

/// As many words as the testbenches compare of a sound design.
pub fn options() -> Options {
    Options {
        cases: 10_000,
        seed: 1,
        trace: None,
    }
}
