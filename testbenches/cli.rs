//! The command line as scripts meet it: exit status, standard output and the one message on standard error.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

fn spatten() -> Command {
    Command::cargo_bin("spatten").unwrap()
}

/// More time than any refusal takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails with status 2, nothing on standard output and a message that contains all the words.
fn refuses(args: &[&str], words: &[&str]) {
    let output = spatten()
        .timeout(PATIENCE)
        .args(args)
        .assert()
        .code(2)
        .stdout("")
        .get_output()
        .clone();
    let message = String::from_utf8(output.stderr).unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

/// A folder with one configuration file of the given content.
struct ConfigFile {
    _folder: TempDir,
    path: PathBuf,
}

impl ConfigFile {
    fn new(content: impl AsRef<[u8]>) -> ConfigFile {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("mine.toml");
        fs::write(&path, content).unwrap();
        ConfigFile {
            _folder: folder,
            path,
        }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// `check` refuses a file of this content with status 2 and a message that names the file and contains the words.
fn refuses_file(content: impl AsRef<[u8]>, words: &[&str]) {
    let file = ConfigFile::new(content);
    refuses(
        &["check", "-c", file.path()],
        &[&[file.path()], words].concat(),
    );
}

#[test]
fn presets_lists_every_preset_on_its_line() {
    let output = spatten()
        .arg("presets")
        .assert()
        .success()
        .stderr("")
        .get_output()
        .clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["tiny", "odd", "eighth", "spatten"]);
}

#[test]
fn check_prints_every_parameter_and_derived_sizes() {
    let check = spatten()
        .args(["check", "-c", "tiny", "--set", "memory.channels=4"])
        .assert()
        .success()
        .stderr("");
    let text = String::from_utf8(check.get_output().stdout.clone()).unwrap();
    for field in spatten::config::fields::FIELDS {
        assert!(text.contains(field.key), "{}", field.key);
    }
    check.stdout(contains("peak memory bandwidth").and(contains("128")));
}

#[test]
fn check_json_is_one_object_with_the_parameters_as_in_toml() {
    let output = spatten()
        .args(["check", "-c", "odd", "--json"])
        .assert()
        .success()
        .get_output()
        .clone();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["name"], "odd");
    assert_eq!(json["hash"].as_str().unwrap().len(), 12);
    assert_eq!(
        json["parameters"]["array"]["head_dims"],
        serde_json::json!([32, 64])
    );
    let sizes = json["derived"].as_array().unwrap();
    let capacity = sizes
        .iter()
        .find(|size| size["name"] == "K buffer capacity, d = 64")
        .unwrap();
    assert_eq!(capacity["value"], 57);
    assert_eq!(capacity["unit"], "keys");
}

#[test]
fn a_file_is_read_and_a_slash_or_toml_ending_beats_a_preset() {
    let file = ConfigFile::new("name = \"other\"");
    let folder = file.path.parent().unwrap();
    fs::copy(&file.path, folder.join("tiny.toml")).unwrap();
    fs::copy(&file.path, folder.join("tiny")).unwrap();
    for (source, name) in [
        ("tiny", "tiny is valid"),
        ("tiny.toml", "other is valid"),
        ("./tiny", "other is valid"),
    ] {
        let mut check = spatten();
        check.current_dir(folder).args(["check", "-c", source]);
        check.assert().success().stdout(contains(name));
    }
}

#[test]
fn explain_tells_unit_range_default_trade_off_and_rules() {
    let explain = spatten()
        .args(["explain", "softmax.lanes"])
        .assert()
        .success()
        .stderr("");
    for word in [
        "scores per cycle",
        "1 to 16",
        "default    8",
        "trade-off",
        "rule",
    ] {
        assert!(
            contains(word).eval(&String::from_utf8_lossy(&explain.get_output().stdout)),
            "{word}"
        );
    }
    spatten()
        .args(["explain", "buffers"])
        .assert()
        .success()
        .stdout(contains("buffers.key_lines").and(contains("buffers.score_lines")));
    let all = spatten().arg("explain").assert().success();
    let lines = String::from_utf8_lossy(&all.get_output().stdout)
        .lines()
        .count();
    assert_eq!(lines, spatten::config::fields::FIELDS.len());
}

#[test]
fn explain_suggests_the_nearest_parameter() {
    refuses(
        &["explain", "array.multiplers"],
        &["array.multiplers", "did you mean array.multipliers?"],
    );
    refuses(&["explain", "zzz"], &["zzz", "the keys are name, "]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
    refuses_file(
        "name = \"mine\"\n[array]\n\nmultiplers = 64\n",
        &[
            "array.multiplers",
            "line 4",
            "did you mean array.multipliers?",
        ],
    );
    refuses_file(
        "name = \"mine\"\n[arrays]\nmultipliers = 64\n",
        &["arrays", "line 2", "unknown key", "arithmetic, array, "],
    );
    refuses_file(
        "name = \"mine\"\nmultipliers = 64\n",
        &["multipliers", "line 2", "did you mean array.multipliers?"],
    );
}

#[test]
fn a_wrong_type_is_refused_with_the_type_that_is_needed() {
    let must_be = "must be a whole number";
    refuses_file(
        "name = \"mine\"\n[array]\nmultipliers = \"64\"\n",
        &["array.multipliers", "\"64\"", "line 3", must_be],
    );
    refuses_file(
        "name = \"mine\"\n[array]\nmultipliers = 64.0\n",
        &["array.multipliers", "64.0", must_be],
    );
    refuses_file(
        "name = \"mine\"\n[array]\nmultipliers = { }\n",
        &["array.multipliers", must_be],
    );
    refuses_file(
        "name = \"mine\"\n[array]\nhead_dims = 64\n",
        &["array.head_dims", "must be a list of whole numbers"],
    );
    refuses_file(
        "name = \"mine\"\n[array]\nhead_dims = [64, \"x\"]\n",
        &["must be a list of whole numbers"],
    );
    refuses_file("name = 5\n", &["name = 5", "must be a string"]);
    refuses_file(
        "name = \"mine\"\narray = 5\n",
        &["array = 5", "line 2", "is a table", "array.multipliers"],
    );
    refuses_file(
        "name = \"mine\"\n[[array]]\nmultipliers = 64\n",
        &["is a table"],
    );
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    refuses_file(
        "name = \"mine\"\n[array]\nmultipliers = 2048\n",
        &["array.multipliers = 2048", "line 3", "32 to 1024"],
    );
    refuses_file(
        "name = \"mine\"\n[softmax]\nlanes = -1\n",
        &["softmax.lanes = -1", "1 to 16"],
    );
    refuses_file(
        "name = \"mine\"\n[softmax]\nlanes = 99999999999999999999\n",
        &["99999999999999999999", "1 to 16"],
    );
    refuses_file(
        "name = \"mine\"\n[array]\nhead_dims = [48]\n",
        &["48 is not supported", "32, 64 and 128", "powers of two"],
    );
    refuses_file(
        "name = \"../up\"\n",
        &["name = \"../up\"", "a lower-case letter"],
    );
}

#[test]
fn inconsistent_fields_are_refused_with_what_would_fit() {
    let tiny = ["check", "-c", "tiny", "--set"];
    refuses(
        &[&tiny[..], &["array.multipliers=96"]].concat(),
        &["array.multipliers = 96", "multiple of", "64 and 128"],
    );
    refuses(
        &[&tiny[..], &["softmax.lanes=3"]].concat(),
        &["softmax.lanes = 3", "one of 1, 2, 4"],
    );
    refuses(
        &[&tiny[..], &["output.lanes=12"]].concat(),
        &["output.lanes = 12", "one of 1, 2, 4, 8, 16 and 32"],
    );
    refuses(
        &[&tiny[..], &["limits.keys_per_row=40"]].concat(),
        &["buffers.key_lines = 32", "line ", "at least 40"],
    );
    refuses(
        &[&tiny[..], &["buffers.score_lines=3"]].concat(),
        &["buffers.score_lines = 3", "at least 16"],
    );
}

#[test]
fn all_errors_are_reported_at_once() {
    let file = "name = \"Mine\"\nspeed = 9\n[array]\nmultipliers = 96\n[softmax]\nlanes = \"x\"\n[output]\nlanes = 3\n";
    let words = [
        "6 errors",
        "name = \"Mine\"",
        "speed",
        "array.multipliers = 96",
        "softmax.lanes = \"x\"",
        "output.lanes = 3",
        "memory.channels = 0 (--set)",
    ];
    let file = ConfigFile::new(file);
    refuses(
        &["check", "-c", file.path(), "--set", "memory.channels=0"],
        &words,
    );
}

#[test]
fn an_empty_file_is_refused() {
    refuses_file("", &["is empty"]);
    refuses_file("# nothing but a comment\n\n", &["is empty"]);
}

#[test]
fn text_that_is_no_toml_is_refused_with_line_and_column() {
    refuses_file("name = \"mine\"\nwhat is this\n", &["line 2, column "]);
    refuses_file(
        "name = \"mine\"\nname = \"again\"\n",
        &["line 2", "duplicate key"],
    );
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_str().unwrap();
    refuses(&["check", "-c", path], &[path, "is a folder"]);
    let missing = folder.path().join("none.toml");
    refuses(
        &["check", "-c", missing.to_str().unwrap()],
        &["none.toml", "No such file"],
    );
    refuses_file(vec![b'#'; (1 << 20) + 1], &["larger than 1048576 bytes"]);
}

#[test]
fn devices_and_pipes_in_the_place_of_a_configuration_are_refused_by_every_command() {
    let folder = TempDir::new().unwrap();
    let pipe = folder.path().join("pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let pipe = pipe.to_str().unwrap();
    for place in ["/dev/zero", pipe, socket.to_str().unwrap()] {
        refuses(&["check", "-c", place], &[place, "is not a regular file"]);
    }
    for command in [
        &["generate"][..],
        &["verify"],
        &["bench"],
        &["synth"],
        &["attend", "--tensors", "none"],
    ] {
        // Nobody ever writes into the pipe, so a command that opens it waits until it is killed.
        let mut spatten = spatten();
        spatten.current_dir(folder.path()).timeout(PATIENCE);
        let refused = spatten.args(command).args(["-c", pipe]).assert().code(2);
        refused
            .stdout("")
            .stderr(contains(pipe).and(contains("is not a regular file")));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_file_that_is_not_utf8_is_refused() {
    refuses_file(b"name = \"\xff\xfe\"\n", &["not UTF-8 at byte 8"]);
    refuses_file(b"name = \"a\0b\"\n", &["line 1"]);
}

#[test]
fn overrides_of_unknown_keys_tables_and_without_a_value_are_refused() {
    let tiny = ["check", "-c", "tiny", "--set"];
    refuses(
        &[&tiny[..], &["array.multiplers=64"]].concat(),
        &[
            "array.multiplers",
            "--set",
            "did you mean array.multipliers?",
        ],
    );
    refuses(
        &[&tiny[..], &["speed=9"]].concat(),
        &["speed", "the keys are name, arithmetic.query_bits, "],
    );
    refuses(
        &[&tiny[..], &["array=64"]].concat(),
        &[
            "array = 64",
            "is a table",
            "array.multipliers, array.head_dims",
        ],
    );
    refuses(
        &[&tiny[..], &["array.multipliers"]].concat(),
        &["--set array.multipliers", "key=value"],
    );
    refuses(
        &[&tiny[..], &["array.multipliers=many"]].concat(),
        &[
            "array.multipliers = many",
            "--set",
            "must be a whole number",
        ],
    );
    refuses(
        &[&tiny[..], &["array.multipliers="]].concat(),
        &["array.multipliers = ", "must be a whole number"],
    );
}

#[test]
fn an_unknown_preset_is_refused_with_the_nearest_and_the_list() {
    refuses(
        &["check", "-c", "spaten"],
        &[
            "\"spaten\"",
            "did you mean spatten?",
            "tiny, odd, eighth, spatten",
        ],
    );
    refuses(
        &["check", "-c", ""],
        &["\"\"", "tiny, odd, eighth, spatten"],
    );
}

#[test]
fn bad_usage_has_status_2() {
    refuses(&["check"], &["--config"]);
    refuses(&["check", "-c", "tiny", "--jsn"], &["--jsn", "--json"]);
    refuses(&["frobnicate"], &["frobnicate"]);
    refuses(&[], &["Usage"]);
}

#[test]
fn a_standard_output_that_cannot_be_written_has_status_3() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut presets = std::process::Command::new(assert_cmd::cargo::cargo_bin!("spatten"));
    let output = presets
        .arg("presets")
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output cannot be written"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for args in [
        &["presets"][..],
        &["check", "-c", "tiny", "--json"],
        &["explain"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("spatten"));
        let mut child = command
            .args(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut message = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut message)
            .unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), message.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}
