//! What `attend` computes and how it tells it.

use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use spatten::golden::float64::{AbsError, attend_float_head};
use spatten::workload::synthetic::SyntheticAttention;
use spatten::workload::tensors::AttentionTensors;

use super::{Folder, SMALL, attend, succeed};
use crate::shared_data;
use crate::tensors::TensorFile;

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// The bytes of `--out` and the JSON of one engine.
pub(super) fn run(config: &str, tensors: &Path, engine: &str, arguments: &str) -> (Vec<u8>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let arguments = format!(
        "{arguments} --json --engine {engine} --out {}",
        out.display()
    );
    let json = parse(&succeed(attend(config, tensors, &arguments)));
    (fs::read(out).unwrap(), json)
}

/// Both engines' outputs and reports are the same, but for cycles and for the bytes of the memory that RTL does not have.
#[track_caller]
pub(super) fn assert_rtl_equals_golden(config: &str, tensors: &Path, arguments: &str) {
    let (rtl_bytes, mut rtl) = run(config, tensors, "rtl", arguments);
    let (golden_bytes, golden) = run(config, tensors, "golden", arguments);
    assert!(
        rtl_bytes == golden_bytes,
        "{config} {} {arguments}",
        tensors.display()
    );

    let layers = rtl["layers"].as_array_mut().unwrap();
    let mut cycles = 0;
    for layer in layers {
        cycles += layer["cycles"].as_u64().unwrap();
        layer["cycles"] = Value::Null;
    }
    assert_eq!(rtl["cycles"], cycles);
    rtl["cycles"] = Value::Null;
    rtl["engine"] = json!("golden");
    assert_eq!(rtl, golden, "{config} {}", tensors.display());
}

/// Sizes whose last lines are full and partly full, with one and with several query heads per KV head.
fn synthetic_cases() -> [SyntheticAttention; 4] {
    [
        SMALL,
        SyntheticAttention {
            head_dim: 64,
            heads: 3,
            kv_heads: 3,
            queries: 32,
            keys: 32,
            causal: false,
            seed: 2,
            ..SMALL
        },
        SyntheticAttention {
            queries: 31,
            keys: 31,
            seed: 3,
            ..SMALL
        },
        SyntheticAttention {
            layers: 3,
            heads: 3,
            kv_heads: 1,
            queries: 40,
            keys: 1,
            causal: false,
            seed: 4,
            ..SMALL
        },
    ]
}

fn assert_rtl_equals_golden_on_synthetic_tensors(config: &str) {
    for case in synthetic_cases() {
        println!("{case:?}");
        let folder = Folder::with(case.to_bytes());
        assert_rtl_equals_golden(config, &folder.tensors(), "");
    }
}

#[test]
fn rtl_and_golden_give_identical_bytes_on_synthetic_tensors_at_tiny() {
    assert_rtl_equals_golden_on_synthetic_tensors("tiny");
}

#[test]
fn rtl_and_golden_give_identical_bytes_on_synthetic_tensors_at_odd() {
    assert_rtl_equals_golden_on_synthetic_tensors("odd");
}

#[test]
fn rtl_and_golden_give_identical_bytes_on_real_tensors() {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    let is_long = std::env::var_os("SPATTEN_LONG").is_some();
    for file in files {
        for config in ["tiny", "odd", "eighth", "spatten"] {
            let arguments = if is_long { "" } else { "--layer 1" };
            assert_rtl_equals_golden(config, &file, arguments);
        }
    }
}

#[test]
fn real_tensors_err_by_a_fraction_of_a_step_and_match_the_models_own_output() {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    for file in files {
        let tensors = AttentionTensors::read(&file, None).unwrap();
        let (bytes, json) = run("tiny", &file, "golden", "");
        let file_out = SafeTensors::deserialize(&bytes).unwrap();
        let out = floats(file_out.tensor("out").unwrap().data());
        let own = tensors.context().expect("the shared files hold ctx").data();
        let largest = own.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        let mut error = AbsError::default();
        error.extend(out.iter().zip(own).map(|(&a, &b)| (a.into(), b.into())));
        assert!(error.max < 0.005 * f64::from(largest), "{}", error.max);

        let reported = json["layers"].as_array().unwrap().iter();
        let reported = reported.map(|layer| layer["max_abs_error"].as_f64().unwrap());
        let reported = reported.fold(0.0, f64::max);
        assert!((reported - error.max).abs() < 1e-6, "{reported}");
    }
}

pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    chunks
        .iter()
        .map(|&chunk| f32::from_le_bytes(chunk))
        .collect()
}

#[test]
fn output_file_holds_outputs_and_all_ones_flags() {
    let folder = Folder::with(SMALL.to_bytes());
    let (bytes, _) = run("tiny", &folder.tensors(), "golden", "");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "head_importance",
            "kept_heads",
            "kept_tokens",
            "out",
            "token_importance"
        ]
    );
    for (name, dtype, shape) in [
        ("out", Dtype::F32, &[2, 6, 5, 32][..]),
        ("kept_tokens", Dtype::U8, &[2, 9]),
        ("kept_heads", Dtype::U8, &[2, 6]),
    ] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (dtype, shape), "{name}");
        assert!(dtype != Dtype::U8 || tensor.data().iter().all(|&flag| flag == 1));
    }
}

#[test]
fn one_layers_output_is_its_part_of_the_whole() {
    let folder = Folder::with(SMALL.to_bytes());
    let (all, _) = run("tiny", &folder.tensors(), "golden", "");
    let (one, json) = run("tiny", &folder.tensors(), "golden", "--layer 1");
    assert_eq!(json["layers"].as_array().unwrap().len(), 1);
    assert_eq!(json["layers"][0]["layer"], 1);
    let (all, one) = (
        SafeTensors::deserialize(&all).unwrap(),
        SafeTensors::deserialize(&one).unwrap(),
    );
    for name in ["out", "kept_tokens", "kept_heads"] {
        let (whole, part) = (all.tensor(name).unwrap(), one.tensor(name).unwrap());
        assert_eq!(part.shape()[0], 1, "{name}");
        assert_eq!(
            part.data(),
            &whole.data()[whole.data().len() / 2..],
            "{name}"
        );
    }
}

#[test]
fn float_engine_writes_float64_attention_rounded_to_float32() {
    let folder = Folder::with(SMALL.to_bytes());
    let (bytes, json) = run("tiny", &folder.tensors(), "float", "");
    let tensors = AttentionTensors::read(&folder.tensors(), None).unwrap();
    let heads = (0..2).flat_map(|layer| (0..6).map(move |head| (layer, head)));
    let expected: Vec<f32> = heads
        .flat_map(|(layer, head)| attend_float_head(&tensors, layer, head))
        .flatten()
        .map(|value| value as f32)
        .collect();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(floats(file.tensor("out").unwrap().data()), expected);
    let error = json["layers"][0]["max_abs_error"].as_f64().unwrap();
    assert!(error > 0.0 && error < 1e-6, "{error}");
}

#[test]
fn float_engine_takes_what_the_hardware_does_not() {
    let odd_size = SyntheticAttention {
        head_dim: 7,
        keys: 40,
        ..SMALL
    };
    let folder = Folder::with(odd_size.to_bytes());
    succeed(folder.attend("--engine float"));
}

#[test]
fn json_has_the_documented_keys_and_null_for_figures_that_do_not_exist() {
    let folder = Folder::with(SMALL.to_bytes());
    for engine in ["rtl", "golden", "float"] {
        let (_, json) = run("tiny", &folder.tensors(), engine, "");
        assert_eq!(json["engine"], engine);
        assert_eq!(json["config"], "tiny");
        assert_eq!(json["cycles"].is_u64(), engine == "rtl");
        assert_eq!(json.as_object().unwrap().len(), 4);
        for (index, layer) in json["layers"].as_array().unwrap().iter().enumerate() {
            assert_eq!(layer["layer"], index);
            assert_eq!(layer["cycles"].is_u64(), engine == "rtl");
            for figure in ["refetched_rows", "effective_key_bits"] {
                assert_eq!(layer.get(figure), Some(&Value::Null), "{figure}");
            }
            for figure in ["dram_read_bytes", "dram_write_bytes"] {
                let figure = layer.get(figure).unwrap();
                assert_eq!(figure.is_u64(), engine != "float", "{figure}");
            }
            assert_eq!(layer["rows"], 6 * 5);
            assert_eq!(layer["kept_tokens"], json!([0, 1, 2, 3, 4, 5, 6, 7, 8]));
            assert_eq!(layer["kept_heads"], json!([0, 1, 2, 3, 4, 5]));
            let [max, mean] = ["max_abs_error", "mean_abs_error"].map(|key| layer[key].as_f64());
            assert!(mean > Some(0.0) && max > mean, "{max:?} {mean:?}");
            assert_eq!(layer.as_object().unwrap().len(), 11);
        }
    }
}

#[test]
fn text_has_a_line_per_layer_and_the_columns_that_the_engine_has() {
    let folder = Folder::with(SMALL.to_bytes());
    for (engine, has_cycles, has_steps) in [
        ("rtl", true, true),
        ("golden", false, true),
        ("float", false, false),
    ] {
        let text = succeed(folder.attend(&format!("--engine {engine}")));
        for word in [
            "in.safetensors: causal",
            "configuration tiny",
            "6 heads over 2 KV heads",
        ] {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert_eq!(text.contains("cycles"), has_cycles, "{text}");
        assert_eq!(text.contains("LSB"), has_steps, "{text}");
        let header = text
            .lines()
            .position(|line| line.starts_with("layer  rows"));
        let rows: Vec<&str> = text.lines().skip(header.unwrap() + 1).take(2).collect();
        assert!(rows[0].starts_with("    0    30"), "{text}");
        assert!(rows[1].starts_with("    1    30"), "{text}");
    }
}

#[test]
fn causal_and_conditioning_change_the_result() {
    let folder = Folder::with(SMALL.to_bytes());
    let (plain, _) = run("tiny", &folder.tensors(), "golden", "");
    for same in ["--causal true", "--conditioning on"] {
        assert!(
            run("tiny", &folder.tensors(), "golden", same).0 == plain,
            "{same}"
        );
    }
    for other in ["--causal false", "--conditioning off"] {
        assert!(
            run("tiny", &folder.tensors(), "golden", other).0 != plain,
            "{other}"
        );
    }
}

#[test]
fn conditioning_lowers_the_error_where_channels_share_an_offset() {
    // Few bits, so that the error of K stands out.
    let folder = Folder::with(SMALL.to_bytes());
    let error = |conditioning: &str| {
        let arguments = format!("--set arithmetic.key_bits=6 --conditioning {conditioning}");
        let (_, json) = run("tiny", &folder.tensors(), "golden", &arguments);
        json["layers"][0]["mean_abs_error"].as_f64().unwrap()
    };
    let (on, off) = (error("on"), error("off"));
    assert!(on < 0.8 * off, "{on} with conditioning, {off} without");
}

#[test]
fn stored_widths_change_the_result_alike_on_both_engines_and_fewer_bits_err_more() {
    let folder = Folder::with(SMALL.to_bytes());
    let error = |arguments: &str| {
        let (_, json) = run("tiny", &folder.tensors(), "golden", arguments);
        json["layers"][0]["mean_abs_error"].as_f64().unwrap()
    };
    for option in ["--key-bits", "--value-bits"] {
        let errors = [4, 6, 8, 12].map(|bits| error(&format!("{option} {bits}")));
        assert!(errors.is_sorted_by(|a, b| a > b), "{option}: {errors:?}");
        assert_eq!(errors[3], error(""), "{option}");
    }
    assert_rtl_equals_golden("tiny", &folder.tensors(), "--key-bits 6 --value-bits 4");
}

#[test]
fn result_does_not_depend_on_what_memories_hold_at_first() {
    let folder = Folder::with(SMALL.to_bytes());
    let (first, _) = run("tiny", &folder.tensors(), "rtl", "");
    for seed in ["0", "7", "18446744073709551615"] {
        let (other, _) = run("tiny", &folder.tensors(), "rtl", &format!("--seed {seed}"));
        assert!(other == first, "seed {seed}");
    }
}

#[test]
fn earlier_output_is_replaced() {
    let folder = Folder::with(SMALL.to_bytes());
    fs::write(folder.path("out"), "old").unwrap();
    let text = succeed(folder.attend("--engine golden --out out"));
    assert!(text.contains("written to out"), "{text}");
    let bytes = fs::read(folder.path("out")).unwrap();
    assert!(SafeTensors::deserialize(&bytes).is_ok());
    assert_eq!(folder.files().len(), 2);
}

#[test]
fn values_at_the_end_of_float32_stay_finite() {
    let mut file = TensorFile::valid();
    let size = 2 * 3 * 32;
    for name in ["q", "k", "v"] {
        let sign = |i: usize| {
            if i.is_multiple_of(3) {
                f32::MIN
            } else {
                f32::MAX
            }
        };
        let elements: Vec<f32> = (0..size).map(sign).collect();
        file.set_data(name, &[1, 2, 3, 32], &elements);
    }
    file.remove("ctx");
    let folder = Folder::with(file.bytes());
    let (bytes, json) = run("tiny", &folder.tensors(), "golden", "");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(
        floats(file.tensor("out").unwrap().data())
            .iter()
            .all(|x| x.is_finite())
    );
    assert!(json["layers"][0]["max_abs_error"].is_f64());
}
