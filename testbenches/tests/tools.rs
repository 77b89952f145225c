//! The tools that read the emitted Verilog, run so that any word of theirs is a failure.

use std::path::Path;
use std::process::Command;

/// Runs a tool in a folder; what it says and whether it succeeded.
pub fn run(folder: &Path, program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}; scripts/setup installs it"));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

/// Runs a tool that must succeed and print nothing.
pub fn silent(folder: &Path, program: &str, arguments: &[&str]) {
    let (success, text) = run(folder, program, arguments);
    assert!(
        success && text.trim().is_empty(),
        "{program} {} ({}):\n{text}",
        arguments.join(" "),
        if success { "succeeded" } else { "failed" }
    );
}

/// Verilator's lint of a generated design, by its file list.
pub fn lint_design(folder: &Path, top: &str) {
    let list = format!("{top}.f");
    let arguments = ["--lint-only", "-Wall", "--top-module", top, "-f", &list];
    silent(folder, "verilator", &arguments);
}

/// The Verilog files of a generated design, by its file list.
fn listed(folder: &Path, top: &str) -> Vec<String> {
    let list = std::fs::read_to_string(folder.join(format!("{top}.f"))).unwrap();
    list.lines().map(str::to_owned).collect()
}

/// Yosys reads a generated design and finds its hierarchy whole, its nets driven once and free of loops.
pub fn yosys_design(folder: &Path, top: &str) {
    let files = listed(folder, top).join(" ");
    let script =
        format!("read_verilog {files}\nhierarchy -check -top {top}\nproc\ncheck -assert\n");
    std::fs::write(folder.join("read.ys"), script).unwrap();
    silent(folder, "yosys", &["-q", "-e", ".", "read.ys"]);
}

/// Icarus compiles a generated design as Verilog-2005.
pub fn icarus_design(folder: &Path, top: &str) {
    let files = listed(folder, top);
    let mut arguments = vec!["-g2005", "-Wall", "-s", top, "-o", "design.vvp"];
    arguments.extend(files.iter().map(String::as_str));
    silent(folder, "iverilog", &arguments);
}
