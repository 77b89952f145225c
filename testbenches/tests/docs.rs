//! What the documentation points to is there.

use std::fs;
use std::path::{Path, PathBuf};

/// Rust and Markdown files of the package's own folders.
fn texts() -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|e| e.to_str()) {
                _ if path.is_dir() => collect(&path, files),
                Some("rs" | "md") => files.push(path),
                _ => {}
            }
        }
    }
    let mut files = vec![root().join("README.md")];
    for folder in ["src", "testbenches", "docs"] {
        collect(&root().join(folder), &mut files);
    }
    let texts = files.into_iter().map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        (file, text)
    });
    texts.collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_section_of_the_decisions_that_is_referred_to_exists() {
    let decisions = fs::read_to_string(root().join("docs/decisions.md")).unwrap();
    let reference = "`docs/decisions.md`, section ";
    let mut found = 0;
    for (file, text) in texts() {
        // A comment may be broken within the reference.
        let words: Vec<_> = text
            .split_whitespace()
            .filter(|word| !["//!", "///", "//"].contains(word))
            .collect();
        for rest in words.join(" ").split(reference).skip(1) {
            let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
            // This file's own text names no section.
            if number.is_empty() {
                continue;
            }
            let heading = format!("\n## {number}. ");
            assert!(decisions.contains(&heading), "{}: {number}", file.display());
            found += 1;
        }
    }
    assert!(found > 5, "only {found} references");
}

#[test]
fn every_place_in_the_readmes_table_of_the_tree_exists() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme.split_once("| where | what |\n|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let places: Vec<_> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|place| place.trim().trim_matches('`'))
        .collect();
    assert!(places.len() > 10, "{places:?}");
    for place in places {
        assert!(root().join(place).exists(), "{place}");
    }
}
