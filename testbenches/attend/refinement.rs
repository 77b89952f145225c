//! `attend` with K in an MSB plane and an LSB plane.

use serde_json::Value;

use super::results::run;
use super::{Folder, SMALL, assert_refused, succeed};

fn layers(folder: &Folder, arguments: &str) -> Vec<Value> {
    let (_, json) = run("tiny", &folder.tensors(), "golden", arguments);
    json["layers"].as_array().unwrap().clone()
}

fn number(layer: &Value, figure: &str) -> f64 {
    let number = layer[figure].as_f64();
    number.unwrap_or_else(|| panic!("{figure} is {}", layer[figure]))
}

#[test]
fn more_rows_refetch_more_bytes_and_err_less() {
    let folder = Folder::with(SMALL.to_bytes());
    for option in ["--threshold", "--noise-limit"] {
        let of = |limit: &str| {
            let layers = layers(&folder, &format!("--key-bits 4+4 {option} {limit}"));
            layers[0].clone()
        };
        let (none, all) = match option {
            "--threshold" => (of("0"), of("1")),
            _ => (of("1e9"), of("0")),
        };
        assert_eq!(none["refetched_rows"], 0, "{option}");
        assert_eq!(number(&none, "effective_key_bits"), 4.0);
        // Six heads of rows that see 5 to 9 of 9 keys: none is alone.
        assert_eq!(all["refetched_rows"], 30, "{option}");
        assert_eq!(number(&all, "effective_key_bits"), 8.0);
        assert!(number(&all, "mean_abs_error") < 0.5 * number(&none, "mean_abs_error"));
        // A beat for each of 6 * (5 + 6 + 7 + 8 + 9) LSB vectors.
        let read = |layer| number(layer, "dram_read_bytes");
        assert_eq!(read(&all) - read(&none), 210.0 * 32.0, "{option}");
        // MSBs of a beat, V of 12 bits in two, queries and outputs of two.
        assert_eq!(read(&none), 210.0 * 3.0 * 32.0 + 30.0 * 64.0);
        assert_eq!(number(&all, "dram_write_bytes"), 30.0 * 64.0);
    }
}

#[test]
fn rows_without_a_rule_share_keys_and_values() {
    let folder = Folder::with(SMALL.to_bytes());
    let layer = &layers(&folder, "--key-bits 8 --value-bits 8")[1];
    // Nine keys of two KV heads, a beat each of K and V.
    assert_eq!(number(layer, "dram_read_bytes"), 36.0 * 32.0 + 30.0 * 64.0);
    assert_eq!(layer["refetched_rows"], Value::Null);
}

#[test]
fn limits_are_of_each_layer_and_the_published_one_is_the_default() {
    let folder = Folder::with(SMALL.to_bytes());
    let rows = |arguments: &str| -> Vec<f64> {
        let layers = layers(&folder, &format!("--key-bits 6+4 {arguments}"));
        layers
            .iter()
            .map(|layer| number(layer, "refetched_rows"))
            .collect()
    };
    assert_eq!(rows("--threshold 1,0"), [30.0, 0.0]);
    assert_eq!(rows("--threshold 0,1"), [0.0, 30.0]);
    assert_eq!(rows("--threshold 0,1 --layer 1"), [30.0]);
    assert_eq!(rows("--noise-limit 1e9,0"), [0.0, 30.0]);
    assert_eq!(rows(""), rows("--threshold 0.1"));
}

#[test]
fn all_rows_refetched_equal_all_bits_at_once() {
    // Exactly: s is Q . K of all bits, or sixteen times that in steps of a sixteenth.
    let folder = Folder::with(SMALL.to_bytes());
    for (planes, one) in [("4+4", "8"), ("6+4", "10"), ("8+4", "12")] {
        for conditioning in ["on", "off"] {
            let of = |arguments: String| {
                let arguments = format!("{arguments} --conditioning {conditioning}");
                run("tiny", &folder.tensors(), "golden", &arguments).0
            };
            let refined = of(format!("--key-bits {planes} --threshold 1"));
            let at_once = of(format!("--key-bits {one}"));
            assert!(refined == at_once, "{planes}, conditioning {conditioning}");
        }
    }
}

#[test]
fn pruned_layers_refetch_of_what_is_left() {
    let folder = Folder::with(SMALL.to_bytes());
    let arguments =
        "--key-bits 8+4 --threshold 1 --token-keep 0.4 --head-keep 0.5 --value-keep 0.5";
    let layer = &layers(&folder, arguments)[1];
    assert!(number(layer, "rows") < 30.0);
    assert!(number(layer, "refetched_rows") <= number(layer, "rows"));
    assert!(number(layer, "dram_write_bytes") == 64.0 * number(layer, "rows"));
}

#[test]
fn text_tells_bytes_and_of_planes_refetched_rows_and_bits() {
    let folder = Folder::with(SMALL.to_bytes());
    let text = succeed(folder.attend("--engine golden --key-bits 8+4 --threshold 0.5"));
    for words in [
        "12, 8+4, 12 bits",
        "refetched",
        "K bits",
        "bytes read",
        "written",
    ] {
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }
    let text = succeed(folder.attend("--engine golden"));
    assert!(
        text.contains("bytes read") && !text.contains("refetched"),
        "{text}"
    );
    let text = succeed(folder.attend("--engine float --key-bits 8+4 --threshold 0.5"));
    assert!(
        !text.contains("bytes") && !text.contains("refetched"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_refetched_is_refused() {
    let folder = Folder::with(SMALL.to_bytes());
    for (arguments, words) in [
        ("--threshold 0.1", ["--threshold 0.1", "8+4"]),
        ("--noise-limit 2 --key-bits 8", ["--noise-limit 2", "8+4"]),
        (
            "--key-bits 8+4 --threshold 1.5",
            ["--threshold 1.5", "between 0 and 1"],
        ),
        (
            "--key-bits 8+4 --threshold -1",
            ["--threshold", "must be a number from 0"],
        ),
        (
            "--key-bits 8+4 --threshold x",
            ["--threshold", "must be a number from 0"],
        ),
        (
            "--key-bits 8+4 --noise-limit nan",
            ["--noise-limit", "must be a number from 0"],
        ),
        (
            "--key-bits 8+4 --threshold 0,0,1",
            ["3 numbers for 2 layers", "--threshold"],
        ),
        (
            "--key-bits 8+4 --threshold 0 --noise-limit 0",
            ["--threshold", "cannot be used with"],
        ),
        (
            "--key-bits 8+4 --set buffers.key_lsb_lines=0",
            ["buffers.key_lsb_lines", "tiny"],
        ),
    ] {
        let command = format!("{arguments} --engine golden");
        let output = folder.attend(&command).output().unwrap();
        assert_refused(&output, 2, &words);
    }
}
