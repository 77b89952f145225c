//! Shell scripts in the place of the tools that commands call.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Puts a shell script in the place of a tool.
pub fn fake_tool(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// PATH with `folder` before its other folders.
pub fn path_with(folder: &Path) -> OsString {
    let mut path = folder.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    path
}

/// A PATH on which Verilator tells its version and fails at all else, after a hundred lines.
pub fn failing_verilator(tools: &Path) -> OsString {
    // A compiler whose outputs are empty files; only Verilator's own work fails.
    fake_tool(
        tools,
        "g++",
        "for output; do :; done; [ \"$1\" = --version ] || : > \"$output\"",
    );
    fake_tool(
        tools,
        "verilator",
        "case $1 in --version) echo 5.0 ;; --getenv) echo /nowhere ;; \
         *) seq 100; echo 'out of ideas' >&2; exit 7 ;; esac",
    );
    path_with(tools)
}
