//! Builds: their cache, and what can go wrong with tools, folders and port lists.

use std::path::{Path, PathBuf};

use spatten::cosim::{CosimError, Design, Direction, Tracing, Verilator};
use spatten::tools::ToolError;

use super::counter;

/// A folder of builds that holds nothing but Verilator's compiled library.
fn fresh_cache() -> (tempfile::TempDir, Verilator) {
    let shared = Verilator::default();
    shared.build(&counter(), Tracing::Off).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&shared.cache).unwrap() {
        let entry = entry.unwrap();
        let is_runtime = entry.file_name().to_string_lossy().starts_with("runtime-");
        if is_runtime && entry.path().is_dir() {
            std::os::unix::fs::symlink(entry.path(), folder.path().join(entry.file_name()))
                .unwrap();
        }
    }
    let verilator = Verilator {
        cache: folder.path().to_owned(),
        ..Verilator::default()
    };
    (folder, verilator)
}

#[test]
fn a_syntax_error_reports_the_command_and_its_last_lines() {
    let mut broken = counter();
    broken.sources[0].text.push_str("module ;\n");
    let (cache, verilator) = fresh_cache();
    let error = verilator.build(&broken, Tracing::Off).unwrap_err();
    let CosimError::Tool(ToolError::Failed {
        command, output, ..
    }) = &error
    else {
        panic!("{error}")
    };
    assert!(command.starts_with("verilator --cc"), "{command}");
    assert!(
        output.contains("counter.v:15") && output.contains("syntax error"),
        "{output}"
    );
    assert!(
        !holds_a_build(cache.path()),
        "nothing half-made stays behind"
    );
}

#[test]
fn a_lint_warning_fails_the_build() {
    let mut sloppy = counter();
    sloppy.sources[0].text = sloppy.sources[0]
        .text
        .replace("count_q + 12'd1", "count_q + 13'd1");
    let error = Verilator::default()
        .build(&sloppy, Tracing::Off)
        .unwrap_err();
    assert!(error.to_string().contains("%Warning-WIDTH"), "{error}");
}

#[test]
fn a_missing_tool_is_named() {
    let nowhere = PathBuf::from("/nonexistent/verilator");
    let verilator = Verilator {
        program: nowhere.clone(),
        ..Verilator::default()
    };
    let error = verilator.build(&counter(), Tracing::Off).unwrap_err();
    assert!(
        matches!(&error, CosimError::Tool(ToolError::Missing { tool, .. }) if *tool == nowhere),
        "{error}"
    );
    let nowhere = PathBuf::from("/nonexistent/g++");
    let verilator = Verilator {
        compiler: nowhere.clone(),
        ..Verilator::default()
    };
    let error = verilator.build(&counter(), Tracing::Off).unwrap_err();
    assert!(
        matches!(&error, CosimError::Tool(ToolError::Missing { tool, .. }) if *tool == nowhere),
        "{error}"
    );
}

#[test]
fn an_unwritable_cache_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let verilator = Verilator {
        cache: file.path().join("below_a_file"),
        ..Verilator::default()
    };
    let error = verilator.build(&counter(), Tracing::Off).unwrap_err();
    assert!(matches!(error, CosimError::Cache { .. }), "{error}");
    assert!(error.to_string().contains("SPATTEN_CACHE"), "{error}");
}

#[test]
fn a_damaged_build_is_an_error() {
    let (_cache, verilator) = fresh_cache();
    let build = verilator.build(&counter(), Tracing::Off).unwrap();
    std::fs::write(build.library(), "no shared object").unwrap();
    let error = verilator
        .build(&counter(), Tracing::Off)
        .unwrap()
        .start(1)
        .unwrap_err();
    assert!(matches!(error, CosimError::Load { .. }), "{error}");
}

#[test]
fn a_port_list_that_contradicts_the_verilog_is_refused() {
    let build = |change: fn(&mut Design)| {
        let mut design = counter();
        change(&mut design);
        Verilator::default()
            .build(&design, Tracing::Off)
            .unwrap_err()
            .to_string()
    };
    let error = build(|design| design.ports[3].width = 13);
    assert!(
        error.contains("`count_o` is Out of 13 bits") && error.contains("[11,0]"),
        "{error}"
    );
    let error = build(|design| design.ports[2].direction = Direction::Out);
    assert!(error.contains("`count_i` is Out of 1 bits"), "{error}");
    let error = build(|design| design.ports[2].name = "other_i".into());
    assert!(error.contains("no port `other_i`"), "{error}");
    let error = build(|design| design.ports.truncate(3));
    assert!(
        error.contains("`count_o` is not in the port list"),
        "{error}"
    );
    let error = build(|design| drop(design.ports.remove(0)));
    assert!(error.contains("needs clk_i"), "{error}");
    let error = build(|design| design.sources[0].file = "../counter.v".into());
    assert!(error.contains("../counter.v"), "{error}");
}

#[test]
fn a_second_build_comes_from_the_cache_and_a_changed_one_does_not() {
    let (_cache, verilator) = fresh_cache();
    let first = verilator.build(&counter(), Tracing::Off).unwrap();
    let made = std::fs::metadata(first.library())
        .unwrap()
        .modified()
        .unwrap();
    let second = verilator.build(&counter(), Tracing::Off).unwrap();
    assert!(!first.was_cached() && second.was_cached());
    assert_eq!(first.library(), second.library());
    assert_eq!(
        std::fs::metadata(second.library())
            .unwrap()
            .modified()
            .unwrap(),
        made
    );
    let mut changed = counter();
    changed.sources[0].text = changed.sources[0].text.replace("12'd1", "12'd2");
    let third = verilator.build(&changed, Tracing::Off).unwrap();
    assert!(!third.was_cached());
    assert_ne!(third.library(), first.library());
}

#[test]
fn threads_that_want_one_design_build_it_once() {
    let (_cache, verilator) = fresh_cache();
    let built: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let build = verilator.build(&counter(), Tracing::Off).unwrap();
                    build.start(1).unwrap().reset(1).unwrap();
                    !build.was_cached()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(built.iter().filter(|&&built| built).count(), 1, "{built:?}");
}

/// Whether a folder of builds holds a finished one or the scratch folder of one.
fn holds_a_build(cache: &Path) -> bool {
    std::fs::read_dir(cache).unwrap().any(|entry| {
        let name = entry.unwrap().file_name();
        let name = name.to_string_lossy();
        name.ends_with(".so") || name.starts_with(".building")
    })
}
