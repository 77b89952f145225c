use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use super::*;

fn set(manifest: &str, others: &[(&str, &str)]) -> FileSet {
    let mut files: FileSet = others
        .iter()
        .map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()))
        .collect();
    files.insert(PathBuf::from(MANIFEST), manifest.into());
    files
}

/// Every file under a folder with its content.
fn tree(folder: &Path) -> FileSet {
    let mut files = FileSet::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
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

#[test]
fn a_folder_is_replaced_as_a_whole_and_nothing_stays_aside() {
    let root = TempDir::new().unwrap();
    let target = root.path().join("deep/er/out");
    let first = set("1", &[("rtl/a.v", "a"), ("gone.v", "g")]);
    let second = set("2", &[("rtl/b.v", "b")]);
    write_folder(&target, &first).unwrap();
    assert_eq!(tree(root.path().join("deep/er").as_path()).len(), 3);
    assert_eq!(tree(&target), first);
    write_folder(&target, &second).unwrap();
    assert_eq!(tree(&target), second);
    assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn an_output_folder_has_the_permissions_of_a_plain_one() {
    let root = TempDir::new().unwrap();
    let (plain, target) = (root.path().join("plain"), root.path().join("out"));
    fs::create_dir(&plain).unwrap();
    write_folder(&target, &set("", &[])).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&target), mode(&plain));
}

#[test]
fn a_failure_in_mid_write_leaves_the_old_folder_and_nothing_else() {
    let root = TempDir::new().unwrap();
    let target = root.path().join("out");
    let old = set("old", &[("a", "a")]);
    write_folder(&target, &old).unwrap();
    // `x` cannot be a file and a folder, so the third file fails after two have been written.
    let broken = set("new", &[("x", "file"), ("x/y", "needs a folder")]);
    let error = write_folder(&target, &broken).unwrap_err();
    assert!(!error.is_bad_input(), "{error}");
    assert_eq!(tree(&target), old);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn an_empty_folder_is_filled_and_a_foreign_one_is_left_alone() {
    let root = TempDir::new().unwrap();
    write_folder(root.path().join("made").as_path(), &set("", &[])).unwrap();
    let empty = root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    write_folder(&empty, &set("", &[])).unwrap();
    let foreign = root.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "years").unwrap();
    let error = write_folder(&foreign, &set("", &[])).unwrap_err();
    assert!(matches!(error, OutputError::NotOurs(_)) && error.is_bad_input());
    assert_eq!(fs::read(foreign.join("thesis.tex")).unwrap(), b"years");
}

#[test]
fn a_file_in_a_folders_place_and_a_folder_in_a_files_place_are_refused() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "text").unwrap();
    let error = write_folder(&file, &set("", &[])).unwrap_err();
    assert!(matches!(error, OutputError::NotAFolder(_)) && error.is_bad_input());
    let error = write_file(root.path(), b"").unwrap_err();
    assert!(matches!(error, OutputError::NotAFile(_)) && error.is_bad_input());
    assert_eq!(fs::read(&file).unwrap(), b"text");
}

#[test]
fn the_next_write_removes_what_killed_runs_left_and_nothing_else() {
    let root = TempDir::new().unwrap();
    let path = |name: &str| root.path().join(name);
    let kept = [
        ".out.partial-Live00",
        ".out.partial-mine",
        ".out.partial-Old123.old",
        ".other.partial-Abc123",
    ];
    for name in kept.iter().chain(&[".out.partial-Abc123"]) {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("file"), "text").unwrap();
    }
    let alive = File::open(path(kept[0])).unwrap();
    FileExt::lock(&alive).unwrap();
    write_folder(&path("out"), &set("", &[])).unwrap();
    assert!(!path(".out.partial-Abc123").exists());
    for name in kept {
        assert!(path(name).join("file").exists(), "{name}");
    }
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), kept.len() + 1);
}

#[test]
fn a_place_that_cannot_exist_is_an_error_of_the_environment() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "text").unwrap();
    for target in [file.join("below/out"), PathBuf::from("/proc/spatten/out")] {
        for error in [
            write_folder(&target, &set("", &[])),
            write_file(&target, b""),
        ] {
            let error = error.unwrap_err();
            assert!(matches!(error, OutputError::NotWritable { .. }), "{error}");
            assert!(
                error.to_string().contains(&target.display().to_string()),
                "{error}"
            );
        }
    }
}

#[test]
fn a_check_refuses_the_input_by_any_path_and_takes_other_places() {
    let root = TempDir::new().unwrap();
    let (input, other) = (root.path().join("in"), root.path().join("other"));
    let (soft, hard) = (root.path().join("soft"), root.path().join("hard"));
    fs::write(&input, "text").unwrap();
    fs::write(&other, "text").unwrap();
    symlink("in", &soft).unwrap();
    fs::hard_link(&input, &hard).unwrap();
    let detour = root
        .path()
        .join("../")
        .join(root.path().file_name().unwrap());
    for same in [&input, &soft, &hard, &detour.join("in")] {
        let error = check_file(same, &input).unwrap_err();
        assert!(matches!(error, OutputError::IsInput { .. }) && error.is_bad_input());
    }
    for fine in [&other, &root.path().join("new"), Path::new("/dev/null")] {
        check_file(fine, &input).unwrap();
    }
    check_file(&other, &root.path().join("missing")).unwrap();
    assert_eq!(fs::read(&other).unwrap(), b"text");
}

#[test]
fn a_check_finds_what_cannot_be_written_and_changes_nothing() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "text").unwrap();
    let check = |target: &Path| check_file(target, Path::new("/dev/null"));
    assert!(matches!(check(root.path()), Err(OutputError::NotAFile(_))));
    for target in [file.join("below/out"), PathBuf::from("/proc/spatten/out")] {
        let error = check(&target).unwrap_err();
        assert!(matches!(error, OutputError::NotWritable { .. }), "{error}");
    }
    check(&root.path().join("new/folders/out")).unwrap();
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_path_without_a_name_is_refused() {
    for path in ["/", ""] {
        let error = write_folder(Path::new(path), &set("", &[])).unwrap_err();
        assert!(matches!(error, OutputError::NoName(_)) && error.is_bad_input());
    }
}

#[test]
fn a_file_is_replaced_whole_and_links_are_followed() {
    let root = TempDir::new().unwrap();
    let (file, link) = (root.path().join("new/file"), root.path().join("link"));
    write_file(&file, b"one").unwrap();
    symlink(&file, &link).unwrap();
    write_file(&link, b"two").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::read_dir(root.path().join("new")).unwrap().count(), 1);
}

#[test]
fn a_device_is_written_and_not_replaced_and_a_full_one_says_so() {
    write_file(Path::new("/dev/null"), b"text").unwrap();
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
    let error = write_file(Path::new("/dev/full"), b"text").unwrap_err();
    assert!(matches!(error, OutputError::DiskFull { .. }) && !error.is_bad_input());
    assert!(
        fs::metadata("/dev/full")
            .unwrap()
            .file_type()
            .is_char_device()
    );
}

#[test]
fn both_ways_of_swapping_folders_exchange_them() {
    let root = TempDir::new().unwrap();
    let (a, b) = (root.path().join("a"), root.path().join("b"));
    for (path, name) in [(&a, "was_a"), (&b, "was_b")] {
        fs::create_dir(path).unwrap();
        fs::write(path.join(name), "").unwrap();
    }
    swap_in_two_steps(&a, &b).unwrap();
    assert!(a.join("was_b").exists() && b.join("was_a").exists());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
    exchange(&a, &b).unwrap();
    assert!(a.join("was_a").exists() && b.join("was_b").exists());
}

#[test]
fn a_failed_swap_puts_the_old_folder_back() {
    let root = TempDir::new().unwrap();
    let old = root.path().join("old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("file"), "").unwrap();
    swap_in_two_steps(&root.path().join("missing"), &old).unwrap_err();
    assert!(old.join("file").exists());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
#[should_panic(expected = "leads out of the output folder")]
fn a_path_that_leads_out_of_the_folder_is_a_mistake_in_the_program() {
    let _ = write_folder(Path::new("out"), &set("", &[("../evil", "")]));
}

/// Set in the child that [`an_interrupt_or_kill_leaves_the_old_or_the_new_output_whole`] starts of itself.
const CHILD_ROOT: &str = "SPATTEN_OUTPUT_TEST_ROOT";
const FILES: usize = 24;
const FILE_BYTES: usize = 32 * 1024;

/// Many files that all tell the generation they belong to.
fn generation(number: u8) -> FileSet {
    let mut files: FileSet = (0..FILES)
        .map(|k| {
            (
                PathBuf::from(format!("rtl/{k}.v")),
                vec![number; FILE_BYTES],
            )
        })
        .collect();
    files.insert(PathBuf::from(MANIFEST), vec![number; FILE_BYTES]);
    files
}

/// Replaces a folder and a file without end, as a process with the command line's interrupt handler.
fn write_until_interrupted(root: &Path) -> ! {
    ctrlc::set_handler(|| {
        let _lock = clean_up_partial_output();
        std::process::exit(130);
    })
    .unwrap();
    let mut number: u8 = 0;
    loop {
        write_folder(&root.join("out"), &generation(number)).unwrap();
        write_file(&root.join("file"), &vec![number; FILE_BYTES]).unwrap();
        number = number.wrapping_add(1);
    }
}

/// Starts the child, waits for its first output, then signals it after a random while.
fn signalled_child(root: &Path, signal: &str, random: &mut impl RngExt) -> ExitStatus {
    let this =
        "handoff::output::tests::an_interrupt_or_kill_leaves_the_old_or_the_new_output_whole";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this])
        .env(CHILD_ROOT, root)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !root.join("file").exists() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the child writes nothing"
        );
        sleep(Duration::from_millis(1));
    }
    sleep(Duration::from_micros(random.random_range(0..40_000)));
    let kill = format!("kill -{signal} {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
    child.wait().unwrap()
}

#[test]
fn an_interrupt_or_kill_leaves_the_old_or_the_new_output_whole() {
    if let Some(root) = std::env::var_os(CHILD_ROOT) {
        write_until_interrupted(Path::new(&root));
    }
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    for signal in ["INT", "TERM", "KILL"].repeat(12) {
        let root = TempDir::new().unwrap();
        let status = signalled_child(root.path(), signal, &mut random);
        let files = tree(&root.path().join("out"));
        let number = files[Path::new(MANIFEST)][0];
        assert!(
            files == generation(number),
            "{signal}: the folder mixes generations"
        );
        let file = fs::read(root.path().join("file")).unwrap();
        assert!(
            file == vec![file[0]; FILE_BYTES],
            "{signal}: the file is not whole"
        );
        if signal == "KILL" {
            // What it left aside goes with the next output.
            write_folder(&root.path().join("out"), &generation(0)).unwrap();
            write_file(&root.path().join("file"), b"").unwrap();
        } else {
            assert_eq!(status.code(), Some(130), "{signal}");
        }
        let entries = fs::read_dir(root.path()).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{signal} left {names:?}");
    }
}
