//! The command `spatten verify` as scripts meet it.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, ends_with};

use crate::fake_tools::{failing_verilator, fake_tool, path_with};

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
fn an_interrupt_leaves_the_earlier_trace_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.fst");
    std::fs::write(&file, "earlier").unwrap();
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("spatten"))
        .args(["verify", "-c", "tiny", "--block", "weights", "--cases"])
        .args(["300000", "--trace"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Verilator has opened the waveforms beside the place that they are meant for.
    let start = Instant::now();
    while !holds_waveforms(folder.path()) {
        assert_eq!(child.try_wait().unwrap(), None, "the command has ended");
        assert!(start.elapsed() < Duration::from_secs(120), "no waveforms");
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "earlier");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "files beside the trace");
}

/// Whether a folder in `folder` holds anything.
fn holds_waveforms(folder: &Path) -> bool {
    let folders = std::fs::read_dir(folder).unwrap().flatten();
    folders
        .filter_map(|entry| std::fs::read_dir(entry.path()).ok())
        .any(|mut files| files.next().is_some())
}

/// A folder for the front of PATH whose `verilator` reads the weights' Verilog with a fault in it.
fn faulty_verilator() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    // The carry of a row goes on into the next one.
    let script = r#"for file in spatten_weights*.v; do
    [ ! -e "$file" ] || sed -i 's/line_last_q ? CARRY_START/!line_last_q ? CARRY_START/' "$file"
done
PATH=${PATH#*:}
exec verilator "$@""#;
    fake_tool(folder.path(), "verilator", script);
    folder
}

#[test]
fn a_block_that_differs_from_its_model_has_status_1_and_the_others_still_run() {
    let tools = faulty_verilator();
    let path = path_with(tools.path());
    let faulty = |args: &[&str]| {
        let mut command = verify(&["--block", "exponent", "--block", "weights", "--cases", "50"]);
        // Builds of its own: the faulty one must not be found by anybody else.
        command.args(args).env("PATH", &path);
        command.env("SPATTEN_CACHE", tools.path().join("cache"));
        command.assert().code(1)
    };
    faulty(&[])
        .stdout(contains("exponent             ok"))
        .stdout(contains("weights              FAILED"))
        .stdout(ends_with("1 passed, 1 failed\n"))
        .stderr(contains("1 of 2 testbenches failed"));

    let output = faulty(&["--json"]).get_output().stdout.clone();
    let json: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!((&json["passed"], &json["failed"]), (&1.into(), &1.into()));
    let error = json["blocks"][1]["error"].as_str().unwrap();
    assert!(
        error.contains("seed 1") && error.contains("lane"),
        "{error}"
    );
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
fn a_failing_verilator_has_status_3_and_its_last_lines() {
    let tools = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    verify(&["--block", "weights", "--cases", "5"])
        .env("PATH", failing_verilator(tools.path()))
        .env("SPATTEN_CACHE", cache.path())
        .assert()
        .code(3)
        .stderr(contains("verilator --cc").and(contains("out of ideas")));
}

#[test]
fn a_trace_that_cannot_be_written_has_status_3_and_is_named() {
    verify(&["--block", "weights", "--trace", "/proc/none/weights.fst"])
        .assert()
        .code(3)
        .stderr(contains("/proc/none/weights.fst"));
}
