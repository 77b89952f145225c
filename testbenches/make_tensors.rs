//! `spatten tensors`: what it writes and tells, and what it refuses.

use std::path::Path;

use assert_cmd::Command;
use predicates::str::contains;
use serde_json::Value as Json;
use spatten::workload::statistics::RowStatistics;
use spatten::workload::synthetic::{RowKind, SyntheticAttention};
use spatten::workload::tensors::AttentionTensors;

fn tensors(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::cargo_bin("spatten").unwrap();
    command.arg("tensors").args(arguments.split_whitespace());
    command.current_dir(folder);
    command
}

#[test]
fn file_holds_what_the_options_say() {
    let folder = tempfile::tempdir().unwrap();
    let model = SyntheticAttention {
        layers: 2,
        heads: 6,
        kv_heads: 3,
        queries: 4,
        keys: 9,
        head_dim: 32,
        causal: true,
        rows: Some(RowKind::RealLike),
        seed: 7,
    };
    let sizes = "--layers 2 --heads 6 --kv-heads 3 --queries 4 --keys 9 --head-dim 32 --causal true --seed 7";
    for (rows, kind) in [
        ("", Some(RowKind::RealLike)),
        ("--rows real-like", Some(RowKind::RealLike)),
        ("--rows mixed", None),
        ("--rows peaked", Some(RowKind::Peaked)),
        ("--rows flat", Some(RowKind::Flat)),
        ("--rows first-token-heavy", Some(RowKind::FirstTokenHeavy)),
    ] {
        tensors(folder.path(), &format!("make -o made {sizes} {rows}"))
            .assert()
            .success()
            .stderr("")
            .stdout("written to made\n");
        let made = std::fs::read(folder.path().join("made")).unwrap();
        let expected = SyntheticAttention {
            rows: kind,
            ..model
        };
        assert!(made == expected.to_bytes(), "{rows}");
    }
}

#[test]
fn sizes_left_out_follow_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    tensors(
        folder.path(),
        "make -o made --keys 5 --heads 2 --head-dim 3",
    )
    .assert()
    .success();
    let made = AttentionTensors::read(&folder.path().join("made"), None).unwrap();
    assert_eq!(made.queries().shape(), [1, 2, 5, 3]);
    assert_eq!(made.keys().shape(), [1, 2, 5, 3]);
    assert!(!made.causal());
}

#[test]
fn description_tells_each_layer_and_all() {
    let folder = tempfile::tempdir().unwrap();
    let make = "make -o made --layers 2 --keys 16 --head-dim 32 --rows mixed";
    tensors(folder.path(), make).assert().success();
    let made = AttentionTensors::read(&folder.path().join("made"), None).unwrap();

    let text = tensors(folder.path(), "describe --tensors made")
        .assert()
        .success();
    let text = String::from_utf8_lossy(&text.get_output().stdout).into_owned();
    for start in [
        "made: bidirectional attention, 2 layers of 12 heads",
        "    0    192",
        "    1    192",
        "  all    384",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(start)),
            "{start:?} in {text}"
        );
    }

    let json = tensors(folder.path(), "describe --tensors made --json")
        .assert()
        .success();
    let json: Json = serde_json::from_slice(&json.get_output().stdout).unwrap();
    let layer = RowStatistics::of_layer(&made, 1);
    assert_eq!(json["layers"][1]["entropy"], layer.entropy);
    assert_eq!(json["layers"][1]["neighbours"], layer.neighbours);
    assert_eq!(json["all"]["rows"], 384);
}

#[test]
fn mistakes_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (
            "make -o made --kv-heads 5",
            &["--kv-heads 5", "12 heads"][..],
        ),
        (
            "make -o made --causal true --queries 129",
            &["--queries 129", "128 keys"],
        ),
        ("make -o made --keys 0", &["--keys", "from 1 to"]),
        ("make -o made --layers -2", &["--layers", "-2", "from 1 to"]),
        (
            "make -o made --keys 100000000",
            &["--keys 100000000", "134217728 elements"],
        ),
        (
            "make -o made --queries 100000000",
            &["--queries 100000000", "134217728 elements"],
        ),
        (
            "make -o made --heads 134217728 --keys 134217728",
            &["134217728 elements"],
        ),
        ("make -o made --rows real", &["real-like", "mixed"]),
        ("make -o made --seed -1", &["--seed", "from 0 to"]),
        ("make", &["--out"]),
        ("make -o .", &["is a folder"]),
        ("describe --tensors made", &["made", "no such file"]),
        ("describe", &["--tensors"]),
        ("mak", &["'make'"]),
    ] {
        let mut assert = tensors(folder.path(), arguments)
            .assert()
            .code(2)
            .stdout("");
        for word in words {
            assert = assert.stderr(contains(*word));
        }
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "{arguments}"
        );
    }
}
