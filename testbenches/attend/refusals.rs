//! What `attend` refuses: exit status, message, and that nothing is written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use safetensors::Dtype;
use spatten::workload::synthetic::SyntheticAttention;

use super::{Folder, SMALL, assert_refused};
use crate::fake_tools::failing_verilator;
use crate::tensors::TensorFile;

/// Runs `attend` with `--out` in the folder, which must refuse and leave the folder as it was.
#[track_caller]
fn refuses(folder: &Folder, arguments: &str, status: i32, words: &[&str]) {
    let before = folder.files();
    let arguments = match arguments.contains("--out") {
        true => arguments.to_owned(),
        false => format!("{arguments} --out out.safetensors"),
    };
    let output = folder.attend(&arguments).output().unwrap();
    assert_refused(&output, status, words);
    assert_eq!(folder.files(), before, "{arguments}");
}

/// `attend` refuses a file of these bytes with status 2 and a message that names it and holds the words.
#[track_caller]
fn refuses_bytes(bytes: &[u8], words: &[&str]) {
    let folder = Folder::with(bytes);
    refuses(&folder, "", 2, &[&["in.safetensors"], words].concat());
}

#[track_caller]
fn refuses_tensors(spoil: impl Fn(&mut TensorFile), words: &[&str]) {
    let mut file = TensorFile::valid();
    spoil(&mut file);
    refuses_bytes(&file.bytes(), words);
}

#[test]
fn truncated_files_and_other_formats_are_refused() {
    let bytes = SMALL.to_bytes();
    refuses_bytes(b"", &["only 0 bytes"]);
    refuses_bytes(&bytes[..100], &["truncated"]);
    refuses_bytes(&bytes[..bytes.len() - 1], &["truncated"]);
    refuses_bytes(
        b"iteration_id,layer_id,head_id\n",
        &["not a safetensors file"],
    );
}

#[test]
fn header_longer_than_the_file_is_refused() {
    let mut bytes = SMALL.to_bytes();
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refuses_bytes(&bytes, &["announce a header of 18446744073709551615 bytes"]);
}

#[test]
fn wrong_names_types_and_shapes_are_refused() {
    refuses_tensors(
        |file| file.remove("v"),
        &["no tensor `v`", "`ctx`, `k`, `q`"],
    );
    refuses_tensors(
        |file| file.halve("k", Dtype::F16),
        &["`k`", "F16", "must be F32"],
    );
    refuses_tensors(
        |file| file.set("q", &[4, 3, 2]),
        &["`q`", "[4, 3, 2]", "four axes"],
    );
    refuses_tensors(
        |file| file.set("v", &[2, 2, 6, 2]),
        &["`v` has 6 keys", "`k` has 5"],
    );
    refuses_tensors(|file| file.set("k", &[2, 2, 0, 2]), &["`k`", "zero keys"]);
}

#[test]
fn kv_heads_that_do_not_divide_the_heads_are_refused() {
    let spoil = |file: &mut TensorFile| {
        file.set("k", &[2, 3, 5, 2]);
        file.set("v", &[2, 3, 5, 2]);
    };
    refuses_tensors(spoil, &["3 KV heads", "4 heads", "multiple"]);
}

#[test]
fn elements_that_are_not_finite_are_refused() {
    for (value, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
        let spoil = |file: &mut TensorFile| {
            file.set_data("q", &[1, 1, 1, 2], &[0.0, value]);
            file.set("k", &[1, 1, 1, 2]);
            file.set("v", &[1, 1, 1, 2]);
            file.remove("ctx");
        };
        let holds = format!("`q` holds {name} at [layer 0, head 0, query 0, element 1]");
        refuses_tensors(spoil, &[&holds]);
    }
}

#[test]
fn causal_that_is_neither_true_nor_false_is_refused() {
    refuses_tensors(
        |file| file.causal("yes"),
        &["`causal` is `yes`", "--causal true|false"],
    );
    let folder = Folder::with(SMALL.to_bytes());
    refuses(
        &folder,
        "--causal yes",
        2,
        &["--causal", "yes", "true, false"],
    );
}

#[test]
fn causal_queries_without_keys_of_their_own_are_refused() {
    let more_queries = SyntheticAttention {
        queries: 10,
        causal: false,
        ..SMALL
    };
    let folder = Folder::with(more_queries.to_bytes());
    refuses(
        &folder,
        "--causal true",
        2,
        &["10 queries", "9 keys", "--causal false"],
    );
}

#[test]
fn missing_tensor_file_and_folder_in_its_place_are_refused() {
    let folder = Folder::with("");
    fs::remove_file(folder.tensors()).unwrap();
    refuses(&folder, "", 2, &["in.safetensors", "no such file"]);
    fs::create_dir(folder.tensors()).unwrap();
    refuses(&folder, "", 2, &["in.safetensors", "is a folder"]);
}

#[test]
fn keys_beyond_the_buffers_are_refused_with_limit_and_fix() {
    let too_long = SyntheticAttention { keys: 33, ..SMALL };
    let folder = Folder::with(too_long.to_bytes());
    for engine in ["rtl", "golden"] {
        refuses(
            &folder,
            &format!("--engine {engine}"),
            2,
            &[
                "in.safetensors",
                "33 keys",
                "tiny",
                "at most 32",
                "limits.keys_per_row",
            ],
        );
    }
}

#[test]
fn head_dimension_that_the_configuration_lacks_is_refused_with_those_it_has() {
    for head_dim in [16, 48, 128] {
        let other = SyntheticAttention { head_dim, ..SMALL };
        let folder = Folder::with(other.to_bytes());
        for engine in ["rtl", "golden"] {
            let named = format!("head dimension {head_dim}");
            let words = [
                &named,
                "in.safetensors",
                "tiny supports 32, 64",
                "array.head_dims",
            ];
            refuses(&folder, &format!("--engine {engine}"), 2, &words);
        }
    }
}

#[test]
fn layer_out_of_range_is_refused_with_the_range() {
    let folder = Folder::with(SMALL.to_bytes());
    for layer in ["2", "18446744073709551615"] {
        let named = format!("no layer {layer}");
        refuses(
            &folder,
            &format!("--layer {layer}"),
            2,
            &[&named, "in.safetensors", "2 layers", "0 to 1"],
        );
    }
    for layer in ["-1", "first", "18446744073709551616"] {
        refuses(
            &folder,
            &format!("--layer {layer}"),
            2,
            &["--layer", layer, "from 0"],
        );
    }
    let single = Folder::with(SyntheticAttention { layers: 1, ..SMALL }.to_bytes());
    refuses(&single, "--layer 1", 2, &["one layer", "choose 0"]);
}

#[test]
fn output_that_is_the_input_is_refused_by_any_path_or_link() {
    let folder = Folder::with(SMALL.to_bytes());
    symlink("in.safetensors", folder.path("soft")).unwrap();
    fs::hard_link(folder.tensors(), folder.path("hard")).unwrap();
    let absolute = folder.tensors();
    for out in [
        "in.safetensors",
        "./in.safetensors",
        "soft",
        "hard",
        absolute.to_str().unwrap(),
    ] {
        refuses(
            &folder,
            &format!("--engine golden --out {out}"),
            2,
            &[out, "is the input in.safetensors"],
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_refused_before_the_work() {
    let folder = Folder::with(SMALL.to_bytes());
    fs::create_dir(folder.path("sub")).unwrap();
    // No Verilator is needed to find this out.
    for (out, status, words) in [
        ("sub", 2, "is a folder"),
        ("in.safetensors/out", 3, "Not a directory"),
        ("/proc/spatten/out", 3, "cannot be written"),
    ] {
        let output = folder
            .attend(&format!("--out {out}"))
            .env("PATH", "")
            .output()
            .unwrap();
        assert_refused(&output, status, &[out, words]);
    }
    assert_eq!(folder.files().len(), 2);
}

#[test]
fn full_disk_has_status_3() {
    let folder = Folder::with(SMALL.to_bytes());
    refuses(
        &folder,
        "--engine golden --out /dev/full",
        3,
        &["/dev/full", "the disk is full", "No space left"],
    );
}

#[test]
fn options_that_do_not_exist_and_missing_ones_are_bad_usage() {
    let folder = Folder::with(SMALL.to_bytes());
    for (arguments, words) in [
        ("--thresholds 0.1", ["--thresholds", "unexpected argument"]),
        ("--tensor x", ["--tensor", "'--tensors'"]),
        ("--engine rlt", ["rlt", "rtl, golden, float"]),
        ("--conditioning maybe", ["maybe", "on, off"]),
        ("--seed -1", ["-1", "--seed"]),
    ] {
        refuses(&folder, arguments, 2, &words);
    }
    let mut without = assert_cmd::Command::cargo_bin("spatten").unwrap();
    let output = without.args(["attend", "-c", "tiny"]).output().unwrap();
    assert_refused(&output, 2, &["--tensors"]);
}

#[test]
fn stored_widths_that_do_not_exist_are_refused_with_those_that_do() {
    let folder = Folder::with(SMALL.to_bytes());
    for bits in ["7", "0", "-4", "16", "eight", "4294967304"] {
        for name in ["--key-bits", "--value-bits"] {
            let words = [name, bits, "must be 4, 6, 8, 10 or 12"];
            refuses(&folder, &format!("{name} {bits}"), 2, &words);
        }
    }
    for bits in ["5+4", "8+2", "+4", "8+", "8+4+4", "16+4"] {
        let words = ["--key-bits", "one of them and 4 more, as in 8+4"];
        refuses(&folder, &format!("--key-bits={bits}"), 2, &words);
    }
    refuses(
        &folder,
        "--value-bits 8+4",
        2,
        &["--value-bits", "must be 4"],
    );
    for (arguments, words) in [
        (
            "--set arithmetic.key_bits=9 --key-bits 10",
            ["--key-bits 10", "at most 9", "arithmetic.key_bits"],
        ),
        (
            "--set arithmetic.key_bits=9 --key-bits 10+4",
            ["--key-bits 10", "at most 9", "arithmetic.key_bits"],
        ),
        (
            "--set arithmetic.value_bits=8 --value-bits 12",
            ["--value-bits 12", "at most 8", "arithmetic.value_bits"],
        ),
    ] {
        refuses(&folder, arguments, 2, &words);
    }
}

#[test]
fn missing_verilator_has_status_3_and_names_the_script_that_installs_it() {
    let folder = Folder::with(SMALL.to_bytes());
    let before = folder.files();
    let tools = tempfile::tempdir().unwrap();
    let mut command = folder.attend("--out out.safetensors");
    let output = command.env("PATH", tools.path()).output().unwrap();
    assert_refused(
        &output,
        3,
        &["`verilator`", "No such file", "scripts/setup"],
    );
    assert_eq!(folder.files(), before);
}

#[test]
fn failing_verilator_has_status_3_with_its_command_and_last_lines() {
    let folder = Folder::with(SMALL.to_bytes());
    let before = folder.files();
    let tools = tempfile::tempdir().unwrap();
    let path = failing_verilator(tools.path());
    let cache = tempfile::tempdir().unwrap();
    let output = folder
        .attend("--out out.safetensors")
        .env("PATH", path)
        .env("SPATTEN_CACHE", cache.path())
        .output()
        .unwrap();
    let words = [
        "verilator --cc",
        "exit status: 7",
        "\n99\n100\nout of ideas",
    ];
    assert_refused(&output, 3, &words);
    assert_eq!(folder.files(), before);
}

/// What stands in the output file was written whole before the results are printed.
#[test]
fn results_that_cannot_be_printed_have_status_3_and_leave_the_output_whole() {
    let folder = Folder::with(SMALL.to_bytes());
    let arguments = "--engine golden --out printed.safetensors";
    assert!(folder.attend(arguments).output().unwrap().status.success());
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let assembled = folder.attend("--engine golden --out full.safetensors");
    let output = std::process::Command::new(assembled.get_program())
        .args(assembled.get_args())
        .current_dir(assembled.get_current_dir().unwrap_or(Path::new(".")))
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
    let files = folder.files();
    let file = |name: &str| files.iter().find(|(file, _)| file.ends_with(name)).unwrap();
    assert_eq!(file("full.safetensors").1, file("printed.safetensors").1);
}
