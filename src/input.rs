//! Files that the user names for reading.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Why a path leads to no readable file.
pub(crate) enum NotOpened {
    /// It names a folder.
    Folder,
    /// It names a device, pipe or socket.
    NotRegular,
    /// The system refuses.
    Io(io::Error),
}

/// Opens a regular file: a device or pipe may never end, and opening a pipe may wait for a writer for ever.
pub(crate) fn open(path: &Path) -> Result<File, NotOpened> {
    let metadata = fs::metadata(path).map_err(NotOpened::Io)?;
    if metadata.is_dir() {
        return Err(NotOpened::Folder);
    }
    if !metadata.is_file() {
        return Err(NotOpened::NotRegular);
    }
    File::open(path).map_err(NotOpened::Io)
}
