//! The committed output of the tiny preset is what the generator makes now.

use std::path::Path;

use spatten::config::Config;
use spatten::handoff::design;

use crate::generate::tree;

/// How to make the committed output anew.
const REFRESH: &str = "cargo run --release -- generate -c tiny";

/// The first line in which two texts differ, counted from 1.
fn first_difference(committed: &[u8], generated: &[u8]) -> String {
    let [committed, generated] = [committed, generated].map(String::from_utf8_lossy);
    let (mut old, mut new) = (committed.lines(), generated.lines());
    for number in 1.. {
        let (old, new) = (old.next(), new.next());
        if old != new || old.is_none() {
            let shown = |line: Option<&str>| line.unwrap_or("(end of file)").to_owned();
            return format!(
                "line {number}\n  committed: {}\n  generated: {}",
                shown(old),
                shown(new)
            );
        }
    }
    unreachable!("the loop ends with the shorter text")
}

#[test]
fn the_committed_output_of_tiny_is_what_the_generator_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rtl_out/tiny");
    let committed = tree(&folder);
    let generated = design::generate(&Config::load("tiny", &[]).unwrap()).files;
    let mut differences = Vec::new();
    for (path, new) in &generated {
        match committed.get(path) {
            None => differences.push(format!("{}: not committed", path.display())),
            Some(old) if old != new => {
                differences.push(format!(
                    "{}: {}",
                    path.display(),
                    first_difference(old, new)
                ));
            }
            Some(_) => {}
        }
    }
    let extra = committed
        .keys()
        .filter(|path| !generated.contains_key(*path));
    differences.extend(extra.map(|path| format!("{}: not generated any more", path.display())));
    assert!(
        differences.is_empty(),
        "rtl_out/tiny is out of date; `{REFRESH}` refreshes it, read the diff before committing:\n{}",
        differences.join("\n")
    );
}

#[test]
fn a_difference_is_told_with_its_line() {
    let told = first_difference(b"a\nb\nc\n", b"a\nx\nc\n");
    assert_eq!(told, "line 2\n  committed: b\n  generated: x");
    let told = first_difference(b"a\n", b"a\nmore\n");
    assert_eq!(
        told,
        "line 2\n  committed: (end of file)\n  generated: more"
    );
}
