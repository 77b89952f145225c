//! Output that is whole or absent: files are written aside and take their place by a rename.
//!
//! Until the rename, whatever stood there before is untouched; an error or an interrupt in between leaves no
//! trace. The aside copy lies in the target's own folder, so that the rename stays within one file system. This
//! guards against errors, interrupts and kills, not against a power cut: nothing waits for the disk.
//!
//! A killed process leaves its aside copy; the next write to the same place removes it.
//!
//! Every step that changes the file system holds one lock. [`clean_up_partial_output`], called by the interrupt
//! handler, takes the same lock and keeps it until the process ends, so it never meets a half-done step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fs4::{FileExt, TryLockError};
use thiserror::Error;

/// The file that marks a folder as an output of ours, which may be replaced.
pub const MANIFEST: &str = "manifest.json";

/// Letters and digits that end the name of a folder written aside.
const RANDOM_LETTERS: usize = 6;

/// Files of an output folder: path inside the folder to content.
pub type FileSet = BTreeMap<PathBuf, Vec<u8>>;

/// Why an output could not be written. The previous output, if any, is intact.
#[derive(Debug, Error)]
pub enum OutputError {
    /// A folder was to be written where a file stands.
    #[error("output {path}: is a file, not a folder; name another folder or remove the file", path = .0.display())]
    NotAFolder(PathBuf),
    /// A file was to be written where a folder stands.
    #[error("output {path}: is a folder, not a file; name a file", path = .0.display())]
    NotAFile(PathBuf),
    /// The folder holds files, but no manifest: it is not ours to replace.
    #[error("output {path}: holds files but no {MANIFEST}, so it is not an earlier output and is left alone; name another folder or empty this one", path = .0.display())]
    NotOurs(PathBuf),
    /// The output would replace the file that it is made from.
    #[error("output {path}: is the input {input} itself, which it would replace; name another file", path = .path.display(), input = .input.display())]
    IsInput {
        /// The output.
        path: PathBuf,
        /// The input, as the user named it.
        input: PathBuf,
    },
    /// The path ends in nothing that can be created, such as `/` or `..`.
    #[error("output {path}: does not end in a name; name a folder or file to create", path = .0.display())]
    NoName(PathBuf),
    /// No space is left.
    #[error("output {path}: the disk is full ({source}); free some space or name a place on another disk", path = .path.display())]
    DiskFull {
        /// The output.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The place cannot be written for another reason.
    #[error("output {path}: cannot be written ({source}); name a place that can", path = .path.display())]
    NotWritable {
        /// The output.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OutputError {
    /// True when the named place is at fault, false when the environment is.
    pub fn is_bad_input(&self) -> bool {
        !matches!(
            self,
            OutputError::DiskFull { .. } | OutputError::NotWritable { .. }
        )
    }

    fn from_io(path: &Path, source: io::Error) -> OutputError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => OutputError::DiskFull { path, source },
            _ => OutputError::NotWritable { path, source },
        }
    }
}

/// Writes a folder of files as a whole, replacing an earlier output.
///
/// # Errors
/// [`OutputError`]; the folder is then as it was before.
///
/// # Panics
/// When `files` lacks [`MANIFEST`] or has a path that is absolute or leads out of the folder.
pub fn write_folder(target: &Path, files: &FileSet) -> Result<(), OutputError> {
    assert!(
        files.contains_key(Path::new(MANIFEST)),
        "an output folder needs a {MANIFEST}"
    );
    for path in files.keys() {
        let inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        assert!(inside, "{} leads out of the output folder", path.display());
    }
    let failed = |error: io::Error| OutputError::from_io(target, error);
    let place = Place::find(target)?;
    check_replaceable(target, &place.path)?;
    let aside = Aside::folder(&place).map_err(failed)?;
    for (path, content) in files {
        aside.write(path, content).map_err(failed)?;
    }
    aside.replace_folder(&place.path).map_err(failed)
}

/// Writes one file as a whole, replacing an earlier one.
///
/// Something that exists and is neither file nor folder, such as `/dev/null` or a pipe, is written in place.
///
/// # Errors
/// [`OutputError`]; the file is then as it was before.
pub fn write_file(target: &Path, content: &[u8]) -> Result<(), OutputError> {
    let failed = |error: io::Error| OutputError::from_io(target, error);
    match fs::metadata(target) {
        Ok(existing) if existing.is_dir() => {
            return Err(OutputError::NotAFile(target.to_path_buf()));
        }
        Ok(existing) if !existing.is_file() => return fs::write(target, content).map_err(failed),
        _ => {}
    }
    let place = Place::find(target)?;
    let aside = Aside::folder(&place).map_err(failed)?;
    aside.write(&place.name, content).map_err(failed)?;
    aside.replace_file(&place).map_err(failed)
}

/// A file that another program writes piece by piece: aside until [`PendingFile::finish`] puts it in its place. Dropped
/// before that, it leaves no trace.
///
/// Something that exists and is neither file nor folder, such as `/dev/null`, is written in place.
pub struct PendingFile {
    target: PathBuf,
    aside: Option<(Aside, Place)>,
}

impl PendingFile {
    /// Prepares the place and changes nothing that stands there.
    ///
    /// # Errors
    /// [`OutputError`] when [`write_file`] would refuse it.
    pub fn new(target: &Path) -> Result<PendingFile, OutputError> {
        let failed = |error: io::Error| OutputError::from_io(target, error);
        let aside = match fs::metadata(target) {
            Ok(existing) if existing.is_dir() => {
                return Err(OutputError::NotAFile(target.to_path_buf()));
            }
            Ok(existing) if !existing.is_file() => None,
            _ => {
                let place = Place::find(target)?;
                Some((Aside::folder(&place).map_err(failed)?, place))
            }
        };
        let target = target.to_path_buf();
        Ok(PendingFile { target, aside })
    }

    /// Where to write.
    pub fn path(&self) -> PathBuf {
        match &self.aside {
            Some((aside, place)) => aside.path.join(&place.name),
            None => self.target.clone(),
        }
    }

    /// Puts the written file in its place; without one, whatever stood there stays.
    ///
    /// # Errors
    /// [`OutputError`]; the place is then as it was before.
    pub fn finish(self) -> Result<(), OutputError> {
        let is_written = self.path().exists();
        match self.aside {
            Some((aside, place)) if is_written => aside
                .replace_file(&place)
                .map_err(|error| OutputError::from_io(&self.target, error)),
            _ => Ok(()),
        }
    }
}

/// Refuses what [`write_file`] would refuse, so that it is known before the work that makes the content: a target
/// that is a folder or cannot be written, or that is the file `input`, by whatever path or link. Changes nothing.
///
/// # Errors
/// [`OutputError`] of the first objection.
pub fn check_file(target: &Path, input: &Path) -> Result<(), OutputError> {
    if is_same_file(target, input) {
        return Err(OutputError::IsInput {
            path: target.to_path_buf(),
            input: input.to_path_buf(),
        });
    }
    match fs::metadata(target) {
        Ok(existing) if existing.is_dir() => {
            return Err(OutputError::NotAFile(target.to_path_buf()));
        }
        Ok(existing) if !existing.is_file() => return Ok(()),
        _ => {}
    }
    let place = Place::locate(target)?;
    // Folders that are missing would be made in the nearest one that is there.
    let folder = place.parent.ancestors().find(|folder| folder.exists());
    // The trial file never has a name.
    tempfile::tempfile_in(folder.unwrap_or(&place.parent))
        .map(drop)
        .map_err(|error| OutputError::from_io(target, error))
}

/// Whether both paths lead to one existing file, through symbolic or hard links too.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}

/// Removes whatever is written aside and stops all further output; for the interrupt handler, which must end the
/// process next while holding what this returns.
pub fn clean_up_partial_output() -> OutputLock {
    let mut lock = lock();
    while let Some(path) = lock.pop_first() {
        remove_folder(&path);
    }
    OutputLock { _guard: lock }
}

/// While this lives, no output changes.
#[must_use = "end the process while holding it"]
pub struct OutputLock {
    _guard: MutexGuard<'static, BTreeSet<PathBuf>>,
}

/// Folders written aside that have not been removed yet.
static ASIDE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn lock() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    // The set is whole after every step, so a panic elsewhere does not spoil it.
    ASIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an output goes, with symbolic links followed.
struct Place {
    path: PathBuf,
    parent: PathBuf,
    name: PathBuf,
}

impl Place {
    /// Finds the place and creates its parent folders.
    fn find(target: &Path) -> Result<Place, OutputError> {
        let place = Place::locate(target)?;
        fs::create_dir_all(&place.parent).map_err(|error| OutputError::from_io(target, error))?;
        Ok(place)
    }

    /// Finds the place and changes nothing.
    fn locate(target: &Path) -> Result<Place, OutputError> {
        let failed = |error: io::Error| OutputError::from_io(target, error);
        if target.as_os_str().is_empty() {
            return Err(OutputError::NoName(target.to_path_buf()));
        }
        // Links are followed, so that what they point to is replaced and not the link.
        let path = if target.symlink_metadata().is_ok() {
            target.canonicalize().map_err(failed)?
        } else {
            std::path::absolute(target).map_err(failed)?
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(OutputError::NoName(target.to_path_buf()));
        };
        let (parent, name) = (parent.to_path_buf(), PathBuf::from(name));
        Ok(Place { path, parent, name })
    }
}

fn check_replaceable(target: &Path, path: &Path) -> Result<(), OutputError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OutputError::from_io(target, error)),
        Ok(existing) if !existing.is_dir() => {
            return Err(OutputError::NotAFolder(target.to_path_buf()));
        }
        Ok(_) => {}
    }
    let mut entries = fs::read_dir(path).map_err(|error| OutputError::from_io(target, error))?;
    if path.join(MANIFEST).is_file() || entries.next().is_none() {
        Ok(())
    } else {
        Err(OutputError::NotOurs(target.to_path_buf()))
    }
}

/// A folder beside the target that holds what is being written; removed when dropped.
struct Aside {
    path: PathBuf,
    /// Held while the process lives, so that no other takes the folder for a killed one's.
    _lock: File,
}

impl Aside {
    fn folder(place: &Place) -> io::Result<Aside> {
        let mut lock = lock();
        let prefix = format!(".{}.partial-", place.name.display());
        remove_abandoned(&place.parent, &prefix);
        loop {
            // The folder becomes the output, so it takes the permissions that the user's umask leaves.
            let permissions = Permissions::from_mode(0o777);
            let folder = tempfile::Builder::new()
                .prefix(&prefix)
                .rand_bytes(RANDOM_LETTERS)
                .permissions(permissions)
                .tempdir_in(&place.parent)?;
            // Until the folder is locked another process may find it, take it for abandoned and remove it.
            let folder_lock = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let locked = FileExt::try_lock(&folder_lock);
            if matches!(locked, Err(TryLockError::WouldBlock)) || !folder.path().exists() {
                continue;
            }
            let path = folder.keep();
            lock.insert(path.clone());
            return Ok(Aside {
                path,
                _lock: folder_lock,
            });
        }
    }

    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let _lock = lock();
        let path = self.path.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, content)
    }

    /// Puts the folder in the target's place.
    fn replace_folder(self, target: &Path) -> io::Result<()> {
        let _lock = lock();
        if !target.exists() {
            return fs::rename(&self.path, target);
        }
        // Dropping `self` then removes what the exchange left aside, the previous output.
        exchange(&self.path, target).or_else(|_| swap_in_two_steps(&self.path, target))
    }

    /// Puts the one file of the folder in the target's place.
    fn replace_file(self, place: &Place) -> io::Result<()> {
        let _lock = lock();
        fs::rename(self.path.join(&place.name), &place.path)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let mut lock = lock();
        remove_folder(&self.path);
        lock.remove(&self.path);
    }
}

/// Removes what killed processes left aside: folders of our making that nobody holds locked. What cannot be locked
/// or removed stays; it is in nobody's way.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let is_ours = |name: &str| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            rest.len() == RANDOM_LETTERS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_ours)
            && let Ok(folder) = File::open(entry.path())
            && FileExt::try_lock(&folder).is_ok()
        {
            remove_folder(&entry.path());
        }
    }
}

/// Exchanges two folders in one step, so that even a kill leaves one of them whole in each place.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Exchanges two folders where the file system cannot do it in one step; a failure puts the old one back.
fn swap_in_two_steps(new: &Path, old: &Path) -> io::Result<()> {
    let mut parked = new.as_os_str().to_owned();
    parked.push(".old");
    let parked = PathBuf::from(parked);
    fs::rename(old, &parked)?;
    if let Err(error) = fs::rename(new, old) {
        fs::rename(&parked, old)?;
        return Err(error);
    }
    fs::rename(&parked, new)
}

/// Removes what is left of an aside folder. What cannot be removed stays: the output itself is in order.
fn remove_folder(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

#[cfg(test)]
mod tests;
