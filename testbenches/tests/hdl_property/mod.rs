//! The evaluator, Verilator and Icarus compute the same from random modules.

mod engines;
mod generator;

use engines::{Case, evaluate, first_difference, icarus, verilator, write_files};
use generator::RandomModule;
use spatten::hdl::elaborate;
use std::process::Command;

const STIMULI: usize = 200;

fn case(seed: u64, expressions: usize) -> Case {
    let block = RandomModule {
        seed,
        expressions,
        clocked: !seed.is_multiple_of(3),
    };
    Case::new(elaborate(&block), STIMULI, seed)
}

/// Seeds of this run: a few always, many with `SPATTEN_LONG`.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var_os("SPATTEN_LONG") {
        Some(_) => 1..41,
        None => 1..4,
    }
}

#[test]
fn evaluator_verilator_and_icarus_agree_on_random_modules() {
    for chunk in seeds().collect::<Vec<_>>().chunks(3) {
        let cases: Vec<_> = chunk.iter().map(|&seed| case(seed, 220)).collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let from_icarus = icarus(&cases, folder.path());
        let from_verilator = verilator(&cases, folder.path());
        for (index, case) in cases.iter().enumerate() {
            let expected = evaluate(case);
            for (engine, trace) in [("Icarus", &from_icarus), ("Verilator", &from_verilator)] {
                if let Some(difference) = first_difference(case, &expected, &trace[index]) {
                    let kept = folder.keep();
                    panic!(
                        "seed {}: evaluator and {engine} disagree: {difference}; files in {}",
                        chunk[index],
                        kept.display()
                    );
                }
            }
        }
    }
}

#[test]
fn random_modules_are_silent_under_verilator_lint() {
    for seed in seeds() {
        let case = case(seed, 220);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut files = write_files(std::slice::from_ref(&case), folder.path());
        files.retain(|file| file != "bench.v");
        let lint = Command::new("verilator")
            .args(["--lint-only", "-Wall", "--top-module", &case.module.name])
            // Random constants are compared with what they bound: not a fault of the text.
            .args(["-Wno-CMPCONST", "-Wno-UNSIGNED"])
            .args(&files)
            .current_dir(folder.path())
            .output()
            .expect("verilator runs");
        let messages = String::from_utf8_lossy(&lint.stderr);
        assert!(
            lint.status.success() && messages.is_empty(),
            "seed {seed}: {messages}"
        );
    }
}
