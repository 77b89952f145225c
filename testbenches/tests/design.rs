//! Whole generated designs as other tools take them: by their file list, and by their constraints.

use std::path::{Path, PathBuf};

use spatten::accelerator::softmax::Weights;
use spatten::accelerator::top::AttentionCore;
use spatten::config::Config;
use spatten::handoff::design::{self, Emitted};
use tempfile::TempDir;

use super::tools;

/// A preset's generated folder and the name of its top module.
fn generated(preset: &str) -> (TempDir, String) {
    let config = Config::load(preset, &[]).unwrap();
    let design = design::generate(&config);
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in &design.files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    (folder, design.top)
}

fn lint(preset: &str) {
    let (folder, top) = generated(preset);
    tools::lint_design(folder.path(), &top);
}

#[test]
fn verilator_lints_the_whole_tiny_design_in_silence() {
    lint("tiny");
}

#[test]
fn verilator_lints_the_whole_odd_design_in_silence() {
    lint("odd");
}

#[test]
fn verilator_lints_the_whole_eighth_design_in_silence() {
    lint("eighth");
}

#[test]
fn verilator_lints_the_whole_spatten_design_in_silence() {
    lint("spatten");
}

fn read_by_yosys_and_icarus(preset: &str) {
    let (folder, top) = generated(preset);
    tools::yosys_design(folder.path(), &top);
    tools::icarus_design(folder.path(), &top);
}

#[test]
fn yosys_and_icarus_read_the_whole_tiny_design() {
    read_by_yosys_and_icarus("tiny");
}

#[test]
fn yosys_and_icarus_read_the_whole_odd_design() {
    read_by_yosys_and_icarus("odd");
}

/// The standard cells that `scripts/setup` installs.
fn cell_library() -> PathBuf {
    let folder = Path::new("/usr/share/qflow/tech/osu018");
    let library = folder.join("osu018_stdcells.lib");
    assert!(
        library.is_file(),
        "{} is missing; scripts/setup installs it",
        library.display()
    );
    library
}

/// A stage of tiny as gates, with the constraints of the whole design; returns what OpenSTA says.
fn time_weights(constraints: &str) -> String {
    let config = Config::load("tiny", &[]).unwrap();
    let core = AttentionCore::new(&config);
    let weights = Weights {
        lanes: core.softmax_lanes,
    };
    let Emitted { top, modules } = design::emit(&weights, &config);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    for (name, text) in &modules {
        write(&format!("{name}.v"), text);
    }
    write("block.sdc", constraints);
    let library = cell_library();
    let (library, top) = (library.display(), &top.name);
    write(
        "map.ys",
        &format!(
            "read_verilog *.v\nsynth -flatten -top {top}\ndfflibmap -liberty {library}\n\
             abc -liberty {library}\nopt_clean\nwrite_verilog -noattr -simple-lhs netlist.v\n"
        ),
    );
    write(
        "time.tcl",
        &format!(
            "read_liberty {library}\nread_verilog netlist.v\nlink_design {top}\nread_sdc block.sdc\n\
             check_setup -verbose\nputs [get_property [get_clocks clk] period]\n\
             report_checks -path_delay max\n"
        ),
    );
    let (mapped, text) = tools::run(folder.path(), "yosys", &["-q", "map.ys"]);
    assert!(mapped, "yosys map.ys:\n{text}");
    let (timed, text) = tools::run(folder.path(), "sta", &["-no_splash", "-exit", "time.tcl"]);
    assert!(timed, "sta time.tcl:\n{text}");
    text
}

/// The first line in which OpenSTA complains.
fn complaint(text: &str) -> Option<&str> {
    let words = ["Warning", "Error", "unconstrained", "no clock"];
    text.lines()
        .find(|line| words.iter().any(|word| line.contains(word)))
}

#[test]
fn opensta_takes_the_constraints_and_finds_clocked_paths() {
    let text = time_weights(&design::constraints("the_top"));
    assert_eq!(complaint(&text), None, "{text}");
    let period = design::CLOCK_NS.to_string();
    for expected in [
        "Startpoint:",
        "Endpoint:",
        "clocked by clk",
        "slack",
        &period,
    ] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
}

#[test]
fn opensta_complains_of_constraints_on_ports_that_do_not_exist() {
    let constraints = design::constraints("the_top").replace("rst_ni", "reset_ni");
    let text = time_weights(&constraints);
    assert!(complaint(&text).is_some(), "{text}");
}
