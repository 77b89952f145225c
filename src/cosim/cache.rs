//! A folder of finished builds, shared by threads and processes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fs4::FileExt;

use super::CosimError;

/// Where builds go unless the caller says otherwise: `SPATTEN_CACHE`; under Cargo the package's
/// `target/cosim-cache`; else `spatten` in the user's cache folder.
pub(super) fn default_folder() -> PathBuf {
    folder_by(|name| std::env::var_os(name))
}

fn folder_by(environment: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let folder = |name| {
        environment(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(named) = folder("SPATTEN_CACHE") {
        return named;
    }
    if let Some(package) = folder("CARGO_MANIFEST_DIR") {
        return package.join("target/cosim-cache");
    }
    folder("XDG_CACHE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("spatten")
}

/// Makes the error for a file or folder of the cache.
pub(super) fn fault(path: &Path) -> impl FnOnce(std::io::Error) -> CosimError {
    let path = path.to_owned();
    move |source| CosimError::Cache { path, source }
}

/// Returns `folder/name` and whether it was there, making it by `build` when it is not.
///
/// `build` gets an empty scratch folder and returns the file or folder in it that becomes the entry. Entries
/// appear whole, by renaming, and a lock keeps a second thread or process from building the same entry meanwhile.
///
/// # Errors
/// [`CosimError::Cache`] when the folder is not writable, and whatever `build` reports.
pub(super) fn entry(
    folder: &Path,
    name: &str,
    build: impl FnOnce(&Path) -> Result<PathBuf, CosimError>,
) -> Result<(PathBuf, bool), CosimError> {
    // Tools run in folders of their own.
    let folder = &std::path::absolute(folder).map_err(fault(folder))?;
    let target = folder.join(name);
    if target.exists() {
        return Ok((target, true));
    }
    fs::create_dir_all(folder).map_err(fault(folder))?;
    let lock_path = folder.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(fault(&lock_path))?;
    FileExt::lock(&lock).map_err(fault(&lock_path))?;
    if target.exists() {
        return Ok((target, true));
    }
    // With the lock held, a scratch folder of this name is one that an interrupted build left behind.
    let scratch = folder.join(format!(".building-{name}"));
    remove(&scratch)
        .and_then(|()| fs::create_dir(&scratch))
        .map_err(fault(&scratch))?;
    let outcome =
        build(&scratch).and_then(|built| fs::rename(built, &target).map_err(fault(&target)));
    remove(&scratch).map_err(fault(&scratch))?;
    outcome.map(|()| (target, false))
}

fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_named_one_then_the_packages_then_the_users() {
        let mut environment = vec![
            ("SPATTEN_CACHE", "/named"),
            ("CARGO_MANIFEST_DIR", "/package"),
            ("XDG_CACHE_HOME", "/xdg"),
            ("HOME", "/home/me"),
        ];
        for expected in [
            "/named",
            "/package/target/cosim-cache",
            "/xdg/spatten",
            "/home/me/.cache/spatten",
        ] {
            let lookup = |name: &str| {
                let entry = environment.iter().find(|(known, _)| *known == name);
                entry.map(|(_, value)| value.into())
            };
            assert_eq!(folder_by(lookup), Path::new(expected));
            environment.remove(0);
        }
        let unset = folder_by(|_| Some(OsString::new()));
        assert_eq!(unset, std::env::temp_dir().join("spatten"));
    }

    #[test]
    fn what_an_interrupted_build_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".building-entry");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("old"), "").unwrap();
        let (path, found) = entry(folder.path(), "entry", |scratch| {
            assert!(!scratch.join("old").exists());
            fs::write(scratch.join("new"), "made").unwrap();
            Ok(scratch.join("new"))
        })
        .unwrap();
        assert_eq!((fs::read(path).unwrap(), found), (b"made".to_vec(), false));
        assert!(!left.exists());
    }
}
