//! `spatten bench` as a script meets it.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value as Json;

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("spatten").unwrap();
    command.arg("bench").args(arguments);
    command
}

#[test]
fn json_rows_have_the_documented_fields_and_cases_begin_with_the_presets_name() {
    let done = bench(&["elaborate", "-c", "spatten", "--json"])
        .assert()
        .success()
        .stderr("");
    let rows: Vec<Json> = serde_json::from_slice(&done.get_output().stdout).unwrap();
    assert!(!rows.is_empty());
    for row in rows {
        let mut fields: Vec<&String> = row.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(fields, ["bound", "case", "name", "ratio", "unit", "value"]);
        assert_eq!(
            (&row["name"], &row["unit"]),
            (&"elaborate".into(), &"s".into())
        );
        assert!(
            row["case"].as_str().unwrap().starts_with("spatten "),
            "{row}"
        );
        let [value, bound, ratio] = ["value", "bound", "ratio"].map(|f| row[f].as_f64().unwrap());
        assert!(value > 0.0 && (ratio - value / bound).abs() < 1e-9, "{row}");
        assert!(
            ratio <= 1.0,
            "elaborating spatten misses its target of {bound} s: {row}"
        );
    }
}

#[test]
fn without_a_name_every_benchmark_runs_and_the_table_lists_it() {
    let done = bench(&["-c", "tiny"]).assert().success();
    for benchmark in spatten::perf::BENCHMARKS {
        let text = String::from_utf8_lossy(&done.get_output().stdout).into_owned();
        assert!(
            text.lines().any(|line| line.starts_with(benchmark.name)),
            "{text}"
        );
    }
}

#[test]
fn an_unknown_name_is_refused_with_the_list() {
    let words =
        contains("unknown benchmark \"elaborat\"").and(contains("the benchmarks are elaborate"));
    bench(&["elaborate", "elaborat", "-c", "tiny"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(words);
    bench(&["-c", "nothing"]).assert().code(2).stdout("");
}
