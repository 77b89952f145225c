//! `attend` with pruned tokens, heads and values: what it computes, tells and refuses.

use std::fs;

use safetensors::SafeTensors;
use serde_json::Value;
use spatten::workload::synthetic::SyntheticAttention;

use super::results::{assert_rtl_equals_golden, floats, run};
use super::{Folder, SMALL, assert_refused, succeed};

/// More layers and tokens than the small model, queries of the newer half of the tokens.
const MODEL: SyntheticAttention = SyntheticAttention {
    layers: 4,
    queries: 10,
    keys: 20,
    ..SMALL
};

const PRUNING: &str = "--token-keep 0.4 --head-keep 0.5 --value-keep 0.5 --pin 3 --renormalise on";

fn ids(list: &Value) -> Vec<usize> {
    let ids = list.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as usize).collect()
}

#[test]
fn json_and_file_tell_the_same_survivors_and_what_is_pruned_is_zero() {
    let folder = Folder::with(MODEL.to_bytes());
    for engine in ["golden", "float"] {
        let (bytes, json) = run("tiny", &folder.tensors(), engine, PRUNING);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |name: &str| file.tensor(name).unwrap();
        let out = floats(tensor("out").data());
        let importance = |name: &str| floats(tensor(name).data());
        let (tokens, heads) = (
            importance("token_importance"),
            importance("head_importance"),
        );
        assert_eq!(tensor("token_importance").shape(), [4, 20]);
        assert_eq!(tensor("head_importance").shape(), [4, 6]);
        for (index, (size, head_count)) in [(20, 6), (16, 6), (12, 5), (8, 3)].iter().enumerate() {
            let layer = &json["layers"][index];
            let kept_tokens = ids(&layer["kept_tokens"]);
            let kept_heads = ids(&layer["kept_heads"]);
            assert_eq!((&kept_tokens.len(), &kept_heads.len()), (size, head_count));
            assert!(kept_tokens.contains(&3) && kept_tokens.contains(&19));
            for token in 0..20 {
                let kept = kept_tokens.contains(&token);
                let place = 20 * index + token;
                assert_eq!(tensor("kept_tokens").data()[place], u8::from(kept));
                assert_eq!(tokens[place] > 0.0, kept, "layer {index}, token {token}");
            }
            let mut rows = 0;
            for head in 0..6 {
                let lives = kept_heads.contains(&head);
                let place = 6 * index + head;
                assert_eq!(tensor("kept_heads").data()[place], u8::from(lives));
                assert_eq!(heads[place] > 0.0, lives, "layer {index}, head {head}");
                for query in 0..10 {
                    let start = (place * 10 + query) * 32;
                    let row = &out[start..start + 32];
                    // Query i is token i + 10.
                    let kept = lives && kept_tokens.contains(&(query + 10));
                    assert_eq!(row.iter().any(|&x| x != 0.0), kept, "layer {index}");
                    rows += usize::from(kept);
                }
            }
            assert_eq!(layer["rows"], rows);
        }
    }
}

#[test]
fn keeping_everything_changes_no_byte() {
    let folder = Folder::with(MODEL.to_bytes());
    for engine in ["golden", "float"] {
        let dense = run("tiny", &folder.tensors(), engine, "");
        for all in [
            "--token-keep 1 --head-keep 1 --value-keep 1 --renormalise on --pin 0,5,5",
            "--token-keep 1,1,1,1 --head-keep 1,1,1,1.0 --value-keep 1,1,1,1",
        ] {
            let kept = run("tiny", &folder.tensors(), engine, all);
            assert!(kept == dense, "{engine} {all}");
        }
    }
}

#[test]
fn a_layer_alone_keeps_all_tokens_and_heads_and_prunes_its_values() {
    let folder = Folder::with(MODEL.to_bytes());
    let alone = |arguments: &str| {
        let arguments = format!("--layer 2 {arguments}");
        run("tiny", &folder.tensors(), "golden", &arguments)
    };
    assert!(alone("--token-keep 0.2 --head-keep 0.2") == alone(""));
    let values = alone("--value-keep 1,1,0.3,1");
    assert!(values.0 != alone("").0);
    assert!(values == alone("--value-keep 0.3"));
}

#[test]
fn values_kept_change_the_outputs_alike_for_equal_counts() {
    let folder = Folder::with(MODEL.to_bytes());
    let bytes = |arguments: &str| run("tiny", &folder.tensors(), "golden", arguments).0;
    let off = bytes("--value-keep 0.5");
    assert!(off == bytes("--value-keep 0.5,0.5,0.5,0.5 --renormalise off"));
    assert!(off != bytes(""));
    assert!(off != bytes("--value-keep 0.5 --renormalise on"));
}

#[test]
fn generation_keeps_its_only_query() {
    let model = SyntheticAttention {
        queries: 1,
        ..MODEL
    };
    let folder = Folder::with(model.to_bytes());
    let arguments = "--token-keep 0.01 --head-keep 0.01";
    let (_, json) = run("tiny", &folder.tensors(), "golden", arguments);
    let last = &json["layers"][3];
    assert_eq!(ids(&last["kept_tokens"]), [19]);
    assert_eq!(ids(&last["kept_heads"]).len(), 1);
    assert_eq!(last["rows"], 1);
}

#[test]
fn text_tells_the_survivors_and_that_values_of_bidirectional_rows_are_beyond_the_paper() {
    let folder = Folder::with(MODEL.to_bytes());
    let text = |arguments: &str| succeed(folder.attend(&format!("--engine golden {arguments}")));
    let dense = text("");
    assert!(!dense.contains("took part"), "{dense}");

    let pruned = text("--token-keep 1,0.5,0.5,0.1 --head-keep 1,1,1,0.1 --pin 0,1,2");
    let lines: Vec<&str> = pruned.lines().collect();
    let start = lines.iter().position(|line| *line == "took part:");
    let lines = &lines[start.unwrap() + 1..];
    assert_eq!(lines[0], "layer 0: 20 tokens 0-19; 6 heads 0-5");
    assert!(lines[1].starts_with("layer 1: 10 tokens 0-"), "{pruned}");
    assert!(
        lines[3].starts_with("layer 3: 4 tokens 0-2,19; 1 head "),
        "{pruned}"
    );

    let note = "The paper prunes values in generation only";
    assert!(!text("--value-keep 0.5").contains(note));
    assert!(text("--value-keep 0.5 --causal false").contains(note));
}

#[track_caller]
fn refuses(folder: &Folder, arguments: &str, words: &[&str]) {
    let before = folder.files();
    let arguments = format!("{arguments} --out out.safetensors");
    let output = folder.attend(&arguments).output().unwrap();
    assert_refused(&output, 2, words);
    assert_eq!(folder.files(), before, "{arguments}");
}

#[test]
fn ratios_lists_and_pins_that_do_not_fit_are_refused() {
    let folder = Folder::with(MODEL.to_bytes());
    for option in ["--token-keep", "--head-keep", "--value-keep"] {
        for ratio in [
            "0",
            "-0.5",
            "1.5",
            "nan",
            "inf",
            "half",
            "1,,1",
            "1,0.5,2,1",
        ] {
            let arguments = format!("--engine golden {option} {ratio}");
            refuses(
                &folder,
                &arguments,
                &[option, ratio, "above 0 and at most 1"],
            );
        }
        let arguments = format!("--engine golden {option} 1,0.5");
        let words = [
            "in.safetensors",
            option,
            "2 ratios for 4 layers",
            "one for each layer",
        ];
        refuses(&folder, &arguments, &words);
    }
    for option in ["--token-keep", "--head-keep"] {
        let arguments = format!("--engine golden {option} 0.9,0.8,0.7,0.6");
        let words = [option, "first layer's ratio is 0.9", "begin with 1"];
        refuses(&folder, &arguments, &words);
    }
    for (pin, words) in [
        ("20", ["--pin 20", "20 tokens", "0 to 19"]),
        ("0,99", ["--pin 99", "20 tokens", "0 to 19"]),
        ("x", ["--pin", "x", "as in 0,5"]),
        ("-1", ["--pin", "-1", "as in 0,5"]),
    ] {
        let arguments = format!("--engine golden --token-keep 0.5 --pin {pin}");
        refuses(&folder, &arguments, &words);
    }
    refuses(&folder, "--renormalise maybe", &["maybe", "on, off"]);
}

#[test]
fn options_that_change_nothing_are_refused() {
    let folder = Folder::with(MODEL.to_bytes());
    for others in ["", "--head-keep 0.5", "--value-keep 0.5"] {
        let words = ["--pin 4", "without --token-keep", "leave --pin out"];
        refuses(&folder, &format!("{others} --pin 4,7"), &words);
    }
    for others in ["", "--head-keep 0.5", "--token-keep 0.5 --pin 4"] {
        let arguments = format!("{others} --renormalise on");
        let words = [
            "--renormalise on",
            "without --value-keep",
            "leave --renormalise out",
        ];
        refuses(&folder, &arguments, &words);
    }
    let dense = run("tiny", &folder.tensors(), "golden", "");
    let off = run("tiny", &folder.tensors(), "golden", "--renormalise off");
    assert!(off == dense);
}

/// Tokens, heads and values pruned together, each by themselves, and so that ids and scores stay over layers.
#[track_caller]
fn assert_rtl_prunes_like_golden(config: &str, model: SyntheticAttention) {
    println!("{model:?}");
    let folder = Folder::with(model.to_bytes());
    for arguments in [
        PRUNING,
        "--token-keep 1,0.7,0.7,0.2 --head-keep 1,1,0.4,0.4 --value-keep 1,0.3,1,0.6 --pin 0,1",
        "--token-keep 0.3",
        "--head-keep 0.3",
        "--value-keep 0.4",
    ] {
        assert_rtl_equals_golden(config, &folder.tensors(), arguments);
    }
}

#[test]
fn rtl_and_golden_prune_alike_on_synthetic_tensors_at_tiny() {
    assert_rtl_prunes_like_golden("tiny", MODEL);
    // All keys, all heads, and one row per head.
    let full = SyntheticAttention {
        heads: 16,
        kv_heads: 4,
        queries: 32,
        keys: 32,
        causal: false,
        seed: 2,
        ..MODEL
    };
    assert_rtl_prunes_like_golden("tiny", full);
    let generation = SyntheticAttention {
        queries: 1,
        keys: 31,
        seed: 3,
        ..MODEL
    };
    assert_rtl_prunes_like_golden("tiny", generation);
}

#[test]
fn rtl_and_golden_prune_alike_on_synthetic_tensors_at_odd() {
    assert_rtl_prunes_like_golden("odd", MODEL);
}

#[test]
fn rtl_and_golden_prune_alike_on_real_tensors_at_the_published_size() {
    let Some(files) = crate::shared_data::tensor_files() else {
        return;
    };
    for file in files {
        assert_rtl_equals_golden("spatten", &file, PRUNING);
    }
}

#[test]
fn shared_files_keep_their_pins_and_print_every_layer() {
    let Some(files) = crate::shared_data::tensor_files() else {
        return;
    };
    for file in files {
        let folder = Folder::with(fs::read(file).unwrap());
        let text = succeed(folder.attend(&format!("--engine golden {PRUNING}")));
        let told = text
            .lines()
            .filter(|line| line.starts_with("layer "))
            .count();
        let (_, json) = run("tiny", &folder.tensors(), "golden", PRUNING);
        let layers = json["layers"].as_array().unwrap();
        // The table's heading begins alike.
        assert_eq!(told, layers.len() + 1, "{text}");
        for layer in layers {
            assert!(ids(&layer["kept_tokens"]).contains(&3));
            let error = layer["mean_abs_error"].as_f64().unwrap();
            assert!(error > 0.0 && error < 0.002, "{error}");
        }
    }
}
