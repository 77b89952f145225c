//! An interrupt leaves no output, whatever the command is doing.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use spatten::workload::synthetic::SyntheticAttention;

use super::{Folder, SMALL, succeed};
use crate::fake_tools::{fake_tool, path_with};

/// Half a minute of work for the golden model at `spatten`.
const LONG_FOR_GOLDEN: SyntheticAttention = SyntheticAttention {
    layers: 1,
    heads: 32,
    kv_heads: 1,
    queries: 1000,
    keys: 1024,
    head_dim: 128,
    causal: false,
    rows: None,
    seed: 1,
};

/// Ten seconds of simulation and more at `tiny`.
const LONG_FOR_RTL: SyntheticAttention = SyntheticAttention {
    layers: 60,
    heads: 10,
    queries: 60,
    keys: 32,
    head_dim: 32,
    ..LONG_FOR_GOLDEN
};

/// Starts `attend`; `path` comes before the other folders of PATH.
fn start(folder: &Folder, config: &str, engine: &str, path: &Path) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("spatten"));
    command
        .args(["attend", "-c", config, "--tensors"])
        .arg(folder.tensors())
        .args(["--engine", engine, "--out"])
        .arg(folder.path("out.safetensors"))
        .env("PATH", path_with(path))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until `condition` holds for the running child.
#[track_caller]
fn wait_until(child: &mut Child, condition: impl Fn(&Child) -> bool) {
    let start = Instant::now();
    while !condition(child) {
        assert!(child.try_wait().unwrap().is_none(), "the command has ended");
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "nothing happens"
        );
        sleep(Duration::from_millis(10));
    }
}

/// Interrupts the child, which must end with status 130 and leave the folder as it was.
#[track_caller]
fn interrupt(child: Child, folder: &Folder, name: &str) {
    let before = folder.files();
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{name}: {output:?}");
    assert!(output.stdout.is_empty(), "{name}");
    assert_eq!(folder.files(), before, "{name}");
    assert!(!folder.path("out.safetensors").exists(), "{name}");
}

#[test]
fn interrupt_of_the_golden_engine_leaves_no_output() {
    let folder = Folder::with(LONG_FOR_GOLDEN.to_bytes());
    let mut child = start(&folder, "spatten", "golden", Path::new("/"));
    let tensors = fs::metadata(folder.tensors()).unwrap().len();
    // It has read the file, so it computes.
    wait_until(&mut child, |child| {
        let usage = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
        let read = usage.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.is_some_and(|read| read.parse::<u64>().unwrap() >= tensors)
    });
    sleep(Duration::from_millis(300));
    interrupt(child, &folder, "golden");
}

#[test]
fn interrupt_of_the_simulation_leaves_no_output() {
    // Builds the simulation, so that the long run finds it.
    let small = Folder::with(SMALL.to_bytes());
    succeed(small.attend("--layer 0"));

    let folder = Folder::with(LONG_FOR_RTL.to_bytes());
    let mut child = start(&folder, "tiny", "rtl", Path::new("/"));
    wait_until(&mut child, |child| {
        let maps = fs::read_to_string(format!("/proc/{}/maps", child.id()));
        maps.is_ok_and(|maps| maps.contains("memory_core"))
    });
    sleep(Duration::from_millis(300));
    interrupt(child, &folder, "rtl");
}

#[test]
fn interrupt_of_the_build_leaves_no_output() {
    let folder = Folder::with(SMALL.to_bytes());
    let tools = tempfile::tempdir().unwrap();
    // Waits until this test ends.
    fake_tool(
        tools.path(),
        "verilator",
        "touch \"$0.started\"; while [ -e \"$0\" ]; do sleep 0.1; done",
    );
    let mut child = start(&folder, "tiny", "rtl", tools.path());
    wait_until(&mut child, |_| {
        tools.path().join("verilator.started").exists()
    });
    interrupt(child, &folder, "verilator");
}
