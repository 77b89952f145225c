//! The emitted Verilog as other tools read it: Verilator's lint, Yosys and Icarus accept every block of the catalogue
//! without a word.

use std::collections::{BTreeMap, BTreeSet};

use spatten::accelerator::top::AttentionCore;
use spatten::catalogue;
use spatten::config::Config;
use spatten::hdl::{elaborate, verilog};

use super::tools::silent;

/// The blocks of a preset: files by name, and the modules to be read as tops.
struct Emitted {
    folder: tempfile::TempDir,
    files: Vec<String>,
    tops: Vec<String>,
}

fn emit(preset: &str) -> Emitted {
    let config = Config::load(preset, &[]).unwrap();
    let mut texts = BTreeMap::new();
    let mut tops = Vec::new();
    for block in catalogue::blocks(&config) {
        let top = elaborate(&*block);
        for module in top.hierarchy() {
            let text = verilog(&module, "Emitted for a test.");
            let earlier = texts.insert(format!("{}.v", module.name), text.clone());
            assert!(
                earlier.is_none_or(|earlier| earlier == text),
                "two texts are called {}",
                module.name
            );
        }
        tops.push(top.name.clone());
    }
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in &texts {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    Emitted {
        folder,
        files: texts.into_keys().collect(),
        tops,
    }
}

/// Verilator takes one top at a time and finds the modules below it by their file names.
fn lint(preset: &str) {
    let emitted = emit(preset);
    for top in &emitted.tops {
        let file = format!("{top}.v");
        let arguments = [
            "--lint-only",
            "-Wall",
            "--top-module",
            top,
            "-y",
            ".",
            &file,
        ];
        silent(emitted.folder.path(), "verilator", &arguments);
    }
}

fn read_by_yosys(preset: &str) {
    let emitted = emit(preset);
    let mut script = format!("read_verilog {}\n", emitted.files.join(" "));
    script += "hierarchy -check\nproc\ncheck -assert\n";
    std::fs::write(emitted.folder.path().join("read.ys"), script).unwrap();
    silent(
        emitted.folder.path(),
        "yosys",
        &["-q", "-e", ".", "read.ys"],
    );
}

fn read_by_icarus(preset: &str) {
    let emitted = emit(preset);
    let mut arguments = vec!["-g2005", "-Wall", "-o", "all.vvp"];
    arguments.extend(emitted.files.iter().map(String::as_str));
    silent(emitted.folder.path(), "iverilog", &arguments);
}

#[test]
fn verilator_lints_every_block_of_tiny_in_silence() {
    lint("tiny");
}

#[test]
fn verilator_lints_every_block_of_odd_in_silence() {
    lint("odd");
}

#[test]
fn yosys_reads_every_block_of_tiny() {
    read_by_yosys("tiny");
}

#[test]
fn yosys_reads_every_block_of_odd() {
    read_by_yosys("odd");
}

#[test]
fn icarus_reads_every_block_of_tiny() {
    read_by_icarus("tiny");
}

#[test]
fn icarus_reads_every_block_of_odd() {
    read_by_icarus("odd");
}

/// Widths of the signed comparisons in the C++ that Verilator makes of a preset's core.
fn widths_of_signed_comparisons(preset: &str) -> BTreeSet<usize> {
    let config = Config::load(preset, &[]).unwrap();
    let core = elaborate(&AttentionCore::new(&config));
    let folder = tempfile::tempdir().unwrap();
    for module in core.hierarchy() {
        let file = folder.path().join(format!("{}.v", module.name));
        std::fs::write(file, verilog(&module, "Emitted for a test.")).unwrap();
    }
    let top = format!("{}.v", core.name);
    let arguments = ["--cc", "-O3", "--Mdir", "model", "-y", ".", &top];
    silent(folder.path(), "verilator", &arguments);
    let mut widths = BTreeSet::new();
    for file in std::fs::read_dir(folder.path().join("model")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for call in ["VL_GTS_", "VL_GTES_", "VL_LTS_", "VL_LTES_"] {
            for rest in text.split(call).skip(1) {
                let arguments = rest.split_once('(').expect("a call").1;
                let width = arguments.split_once(',').expect("the width comes first").0;
                widths.insert(width.parse().expect("a number"));
            }
        }
    }
    widths
}

/// With zeros above both of its words, Verilator 5.006 may compare fewer bits than there are and take the highest of
/// them for the sign; the random modules are built without the optimisation that leads there (`hdl_property`), designs
/// with it.
#[test]
fn verilator_compares_signed_words_at_their_full_width() {
    for preset in ["tiny", "odd", "eighth"] {
        let config = Config::load(preset, &[]).unwrap();
        let formats = AttentionCore::new(&config).formats;
        // Only dot products and final scores are compared: for the maximum.
        let compared = BTreeSet::from([formats.dot_bits(), formats.score_bits()]);
        let widths = widths_of_signed_comparisons(preset);
        assert_eq!(widths, compared, "{preset}");
    }
}
