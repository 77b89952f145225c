//! `spatten synth`: figures of a small block with the library that is always there, and its errors.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

fn synth(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spatten"));
    command.args(["synth", "-c", "tiny"]).args(arguments);
    command
}

/// The message on standard error of a run that must end with this status and print no result.
fn refusal(output: Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_block_gets_cells_area_slack_and_the_names_of_its_slowest_registers() {
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("kept");
    let output = synth(&["--block", "exp2", "--json", "--clock-ns", "5"])
        .arg("--keep")
        .arg(&keep)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let [row] = rows.as_array().unwrap().as_slice() else {
        panic!("{rows}")
    };
    assert_eq!(row["block"], "exp2");
    assert_eq!(row["clock_ns"], 5.0);
    // About 1600 cells of 40 square micrometres, a good part of them in the multiplier below.
    let cells = row["cells"].as_u64().unwrap();
    let area = row["area_um2"].as_f64().unwrap();
    assert!((1000..3000).contains(&cells), "{row}");
    assert!((3e4..12e4).contains(&area), "{row}");
    let slack = row["worst_slack_ns"].as_f64().unwrap();
    assert!((1.0..4.0).contains(&slack), "{row}");
    for end in ["start", "end"] {
        let name = row[end].as_str().unwrap();
        assert!(name.contains("_q[") && !name.ends_with("_ff"), "{row}");
    }
    assert_eq!(row["excluded"], Value::Array(vec![]));
    for file in [
        "spatten_exp2.ys",
        "spatten_exp2.netlist.v",
        "spatten_exp2.timing",
    ] {
        assert!(keep.join(file).is_file(), "{file} was not kept");
    }
}

#[test]
fn an_unknown_block_is_refused_with_the_blocks_there_are() {
    let message = refusal(synth(&["--block", "exp3"]).output().unwrap(), 2);
    for word in ["exp3", "exp2", "query_key", "output_scale"] {
        assert!(message.contains(word), "{word} is not in: {message}");
    }
}

#[test]
fn an_unknown_library_is_refused_with_the_libraries_there_are() {
    let message = refusal(synth(&["--pdk", "tsmc40"]).output().unwrap(), 2);
    assert!(
        message.contains("tsmc40") && message.contains("osu018"),
        "{message}"
    );
}

#[test]
fn a_clock_period_that_is_none_is_refused() {
    for period in ["0", "nan", "inf", "1e-9"] {
        let message = refusal(synth(&["--clock-ns", period]).output().unwrap(), 2);
        assert!(message.contains("--clock-ns"), "{message}");
    }
}

#[test]
fn a_missing_tool_is_an_environment_failure_that_names_it() {
    let empty = tempfile::tempdir().unwrap();
    let output = synth(&["--block", "exp2"])
        .env("PATH", empty.path())
        .output()
        .unwrap();
    let message = refusal(output, 3);
    assert!(
        message.contains("`yosys`") && message.contains("scripts/setup"),
        "{message}"
    );
}

#[test]
fn a_failing_tool_is_reported_with_its_command_and_last_words() {
    let tools = tempfile::tempdir().unwrap();
    let yosys = tools.path().join("yosys");
    fs::write(
        &yosys,
        "#!/bin/sh\necho 'ERROR: no more memory' >&2\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(&yosys, fs::Permissions::from_mode(0o755)).unwrap();
    let output = synth(&["--block", "exp2"])
        .env("PATH", tools.path())
        .output()
        .unwrap();
    let message = refusal(output, 3);
    for words in ["`yosys -q -l spatten_", "ERROR: no more memory"] {
        assert!(message.contains(words), "{words:?} is not in: {message}");
    }
}
