//! `spatten generate` as a user meets it: what it writes, what it refuses, and what an interrupt leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use spatten::config::Config;
use spatten::handoff::{design, output};
use tempfile::TempDir;

fn generate(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("spatten"));
    command
        .current_dir(directory)
        .arg("generate")
        .args(arguments);
    command
}

/// Runs it; status, standard output and standard error.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let (status, stdout, stderr) = outcome(command);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    stdout
}

/// Every file under a folder with its content.
pub fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|e| panic!("{}: {e}", next.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_path_buf();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn everything_lands_in_rtl_out_under_the_configurations_name() {
    let place = TempDir::new().unwrap();
    let said = succeeds(&mut generate(place.path(), &["-c", "tiny"]));
    let folder = place.path().join("rtl_out/tiny");
    let files = tree(&folder);
    let top = "spatten_tiny_memory_core";
    let others: Vec<_> = files
        .keys()
        .filter(|path| !path.starts_with("rtl"))
        .collect();
    let [list, header, constraints] = ["f", "h", "sdc"].map(|end| format!("{top}.{end}"));
    assert_eq!(
        others,
        [
            "config.toml",
            "manifest.json",
            "memories.json",
            &list,
            &header,
            &constraints
        ]
        .map(Path::new)
    );
    for name in [
        &list,
        &header,
        &constraints,
        "rtl_out/tiny",
        "memories.json",
        "config.toml",
    ] {
        assert!(said.contains(name), "{name} is missing in:\n{said}");
    }
    let verilog = files.keys().filter(|path| path.starts_with("rtl"));
    assert!(
        said.contains(&format!("{} Verilog modules", verilog.count())),
        "{said}"
    );
}

#[test]
fn the_file_list_names_every_module_after_its_children() {
    let design = design::generate(&Config::load("tiny", &[]).unwrap());
    let list = &design.files[Path::new(&format!("{}.f", design.top))];
    let list = String::from_utf8(list.clone()).unwrap();
    let listed: Vec<&str> = list.lines().collect();
    let text = |path: &str| String::from_utf8(design.files[Path::new(path)].clone()).unwrap();
    let module = |path: &str| path["rtl/".len()..].trim_end_matches(".v").to_owned();
    for (index, path) in listed.iter().enumerate() {
        let text = text(path);
        assert!(text.contains(&format!("module {}", module(path))), "{path}");
        for later in &listed[index + 1..] {
            let instance = format!(" {} u_", module(later));
            assert!(
                !text.contains(&instance),
                "{path} uses {later}, listed after it"
            );
        }
    }
    let on_disk = design.files.keys().filter(|path| path.starts_with("rtl"));
    assert_eq!(listed.len(), on_disk.count());
    assert_eq!(module(listed[listed.len() - 1]), design.top);
}

#[test]
fn the_manifest_has_the_hash_of_every_other_file() {
    let design = design::generate(&Config::load("odd", &[]).unwrap());
    let manifest: Json =
        serde_json::from_slice(&design.files[Path::new(output::MANIFEST)]).unwrap();
    let hashes = manifest["sha256"].as_object().unwrap();
    assert_eq!(hashes.len() + 1, design.files.len());
    for (path, hash) in hashes {
        let digest = Sha256::digest(&design.files[Path::new(path)]);
        let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash.as_str(), Some(hexadecimal.as_str()), "{path}");
    }
    assert_eq!(manifest["configuration"], "odd");
    assert_eq!(manifest["top"], "spatten_odd_memory_core");
}

#[test]
fn the_inventory_holds_the_buffers_and_the_rings_of_softmax() {
    let config = Config::load("odd", &[]).unwrap();
    let memories = design::generate(&config).memories;
    let find = |instance: &str| {
        let here = |path: &String| path.contains(instance);
        let mut found = memories
            .iter()
            .filter(|memory| memory.instances.iter().any(here));
        let memory = found
            .next()
            .unwrap_or_else(|| panic!("{instance} has no memory"));
        assert!(found.next().is_none(), "{instance} has several memories");
        (memory.words, memory.bits)
    };
    // Four banks each, which hold the lines rounded up; a column of K or V is 32 elements.
    assert_eq!(find("u_key_ring.u_column5.u_bank3"), (5, 32 * 9));
    assert_eq!(find("u_value_ring.u_column5.u_bank3"), (6, 32 * 10));
    let score = config.formats().score_bits();
    assert_eq!(find("u_score_ring.u_bank3"), (10, 3 * (score + 1) + 1));
    assert_eq!(find("u_exponential_ring.u_bank3"), (17, 3 * (22 + 1) + 1));
    assert_eq!(find("u_weight_ring.u_bank3"), (5, 3 * 16));
}

#[test]
fn the_written_configuration_makes_the_same_output() {
    let place = TempDir::new().unwrap();
    let lanes = ["-c", "tiny", "--set", "softmax.lanes=1", "-o", "first"];
    succeeds(&mut generate(place.path(), &lanes));
    let again = ["-c", "first/config.toml", "-o", "second"];
    succeeds(&mut generate(place.path(), &again));
    assert_eq!(
        tree(&place.path().join("first")),
        tree(&place.path().join("second"))
    );
}

#[test]
fn bytes_do_not_depend_on_the_folder_the_working_directory_or_the_environment() {
    let (here, there) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    succeeds(&mut generate(here.path(), &["-c", "odd", "-o", "out"]));
    let deep = here.path().join("deep/er/out");
    let mut second = generate(there.path(), &["-c", "odd", "-o", deep.to_str().unwrap()]);
    second
        .env_clear()
        .env("LANG", "de_DE.UTF-8")
        .env("TZ", "Asia/Tokyo");
    succeeds(&mut second);
    assert_eq!(tree(&here.path().join("out")), tree(&deep));
}

#[test]
fn json_tells_the_folder_the_top_and_every_file() {
    let place = TempDir::new().unwrap();
    let said = succeeds(&mut generate(
        place.path(),
        &["-c", "tiny", "-o", "out", "--json"],
    ));
    let json: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(json["folder"], "out");
    assert_eq!(json["top"], "spatten_tiny_memory_core");
    let files = json["files"].as_array().unwrap();
    let files: Vec<PathBuf> = files
        .iter()
        .map(|file| file.as_str().unwrap().into())
        .collect();
    let written: Vec<PathBuf> = tree(&place.path().join("out")).into_keys().collect();
    assert_eq!(files, written);
    assert_eq!(
        json["modules"].as_u64().unwrap() as usize + 6,
        written.len()
    );
}

/// Fails with a status and one message that contains all the words, and leaves `place` as it was.
#[track_caller]
fn refuses(place: &Path, target: &str, status: i32, words: &[&str]) {
    let before = tree(place);
    let (code, stdout, stderr) = outcome(&mut generate(place, &["-c", "tiny", "-o", target]));
    assert_eq!((code, stdout.as_str()), (Some(status), ""), "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(tree(place), before);
}

#[test]
fn places_that_cannot_take_the_output_are_refused() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join("file"), "text").unwrap();
    fs::create_dir(place.path().join("mine")).unwrap();
    fs::write(place.path().join("mine/thesis.tex"), "years").unwrap();
    refuses(
        place.path(),
        "file",
        2,
        &["output file", "is a file", "name another folder"],
    );
    refuses(
        place.path(),
        "mine",
        2,
        &["output mine", "no manifest.json", "is left alone"],
    );
    refuses(
        place.path(),
        "/",
        2,
        &["output /", "does not end in a name"],
    );
    refuses(
        place.path(),
        "file/out",
        3,
        &["output file/out", "cannot be written"],
    );
    refuses(
        place.path(),
        "/proc/out",
        3,
        &["output /proc/out", "cannot be written"],
    );
}

#[test]
fn an_invalid_configuration_writes_nothing() {
    let place = TempDir::new().unwrap();
    let mut command = generate(place.path(), &["-c", "tiny", "--set", "softmax.lanes=0"]);
    let (status, stdout, stderr) = outcome(&mut command);
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("softmax.lanes = 0"), "{stderr}");
    assert_eq!(names(place.path()), [""; 0]);
}

/// A run over `out` whose output differs with `channels`.
fn start(place: &Path, channels: usize) -> Child {
    let set = format!("memory.channels={channels}");
    generate(place, &["-c", "spatten", "--set", &set, "-o", "out"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn an_interrupt_leaves_the_old_or_the_new_output_whole_and_nothing_else() {
    const REPETITIONS: usize = 60;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let place = TempDir::new().unwrap();
    let out = place.path().join("out");
    let started = Instant::now();
    assert!(start(place.path(), 32).wait().unwrap().success());
    let whole_run = started.elapsed().max(Duration::from_millis(20));
    let mut old = tree(&out);
    let mut interrupted = 0;
    for repetition in 0..REPETITIONS {
        let channels = 1 << (repetition % 6);
        let mut child = start(place.path(), channels);
        std::thread::sleep(random.random_range(Duration::ZERO..whole_run));
        let signal = format!("kill -INT {}", child.id());
        let _ = Command::new("sh")
            .args(["-c", &signal])
            .stderr(Stdio::null())
            .status();
        let status = child.wait().unwrap();
        let now = tree(&out);
        if now != old {
            let sets = [format!("memory.channels={channels}")];
            let new = design::generate(&Config::load("spatten", &sets).unwrap()).files;
            assert!(
                now == new,
                "repetition {repetition}: the folder is neither old nor new"
            );
        }
        old = now;
        assert_eq!(names(place.path()), ["out"], "repetition {repetition}");
        // Before the handler is set the signal itself ends the process, which shells call 130 as well.
        match (
            status.code(),
            std::os::unix::process::ExitStatusExt::signal(&status),
        ) {
            (Some(0), _) => {}
            (Some(130), _) | (None, Some(2)) => interrupted += 1,
            _ => panic!("repetition {repetition}: {status}"),
        }
    }
    assert!(interrupted > 0, "no run was interrupted");
}
