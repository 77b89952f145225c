//! The command `spatten verify` as scripts meet it.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, ends_with};

fn verify(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("spatten").unwrap();
    command.args(["verify", "-c", "tiny"]).args(args);
    command
}

#[test]
fn one_line_per_block_then_the_count() {
    verify(&[
        "--block", "weights", "--block", "exponent", "--cases", "50", "--seed", "7",
    ])
    .assert()
    .success()
    .stderr("")
    .stdout(ends_with("2 passed, 0 failed\n"))
    .stdout(predicate::function(|text: &str| {
        let names = text
            .lines()
            .map(|line| line.split_whitespace().next().unwrap());
        names.eq(["seed", "exponent", "weights", "2"])
    }));
}

#[test]
fn json_is_one_object_with_every_block() {
    let output = verify(&["--block", "exponent", "--cases", "50", "--json"])
        .assert()
        .success()
        .get_output()
        .clone();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &0.into()));
    let block = &json["blocks"][0];
    assert_eq!(block["block"], "exponent");
    assert!(block["words"].as_u64().unwrap() >= 50);
}

#[test]
fn a_trace_is_written_for_one_block() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.fst");
    let path = file.to_str().unwrap();
    verify(&["--block", "weights", "--cases", "5", "--trace", path])
        .assert()
        .success();
    assert!(std::fs::metadata(&file).unwrap().len() > 1000);
}

#[test]
fn usage_errors_have_status_2_and_say_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for (args, words) in [
        (
            &["--block", "softmx"][..],
            &["softmx", "did you mean `softmax`", "attention_core"][..],
        ),
        (&["--block", "zzz"], &["zzz", "exponent"]),
        (&["--trace", "all.fst"], &["--block"]),
        (
            &[
                "--block", "softmax", "--block", "weights", "--trace", "two.fst",
            ],
            &["two.fst", "name one"],
        ),
        (&["--block", "softmax", "--trace", folder], &["is a folder"]),
        (&["--cases", "0"], &["--cases"]),
    ] {
        let mut assert = verify(args).assert().code(2).stdout("");
        for word in words {
            assert = assert.stderr(contains(*word));
        }
    }
}

#[test]
fn a_missing_verilator_has_status_3_and_is_named() {
    verify(&["--block", "weights", "--cases", "5"])
        .env("PATH", "")
        .assert()
        .code(3)
        .stderr(contains("verilator").and(contains("scripts/setup")));
}

#[test]
fn a_trace_that_cannot_be_written_has_status_3_and_is_named() {
    verify(&["--block", "weights", "--trace", "/proc/none/weights.fst"])
        .assert()
        .code(3)
        .stderr(contains("/proc/none/weights.fst"));
}
