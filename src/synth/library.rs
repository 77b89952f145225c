//! Cell libraries by name or folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::SynthError;

/// The default library, OSU 0.18 um, as Debian's qflow-tech-osu018 installs it.
const OSU018: (&str, &str) = ("osu018", "/usr/share/qflow/tech/osu018/osu018_stdcells.lib");

/// A standard cell library.
#[derive(Clone, Debug)]
pub struct CellLibrary {
    /// Short name: `osu018`, or the folder's.
    pub name: String,
    /// Its Liberty file.
    pub liberty: PathBuf,
}

impl CellLibrary {
    /// The library called `pdk`: `osu018`, also without a name; a folder of `pdk/` in the shared data
    /// (`SPATTEN_SHARED`, else `../shared`); or any folder with a Liberty file.
    ///
    /// # Errors
    /// [`SynthError::UnknownLibrary`] and [`SynthError::LibertyFiles`] when the name or folder does not lead to one
    /// Liberty file, [`SynthError::LibraryMissing`] when the default library is not installed.
    pub fn find(pdk: Option<&str>) -> Result<CellLibrary, SynthError> {
        let name = pdk.unwrap_or(OSU018.0);
        if name == OSU018.0 {
            return Self::installed(Path::new(OSU018.1));
        }
        let shared = std::env::var_os("SPATTEN_SHARED")
            .map_or_else(|| Path::new("../shared").into(), PathBuf::from)
            .join("pdk");
        let folder = [PathBuf::from(name), shared.join(name)]
            .into_iter()
            .find(|folder| folder.is_dir())
            .ok_or_else(|| SynthError::UnknownLibrary {
                name: name.to_owned(),
                known: known(&shared),
            })?;
        Self::in_folder(&folder)
    }

    fn installed(liberty: &Path) -> Result<CellLibrary, SynthError> {
        match fs::metadata(liberty) {
            Ok(_) => Ok(CellLibrary {
                name: OSU018.0.to_owned(),
                liberty: liberty.to_owned(),
            }),
            Err(source) => Err(SynthError::LibraryMissing {
                path: liberty.to_owned(),
                source,
            }),
        }
    }

    /// The one Liberty file of a folder, or the one of the standard cells at the typical corner.
    fn in_folder(folder: &Path) -> Result<CellLibrary, SynthError> {
        let entries = fs::read_dir(folder).map_err(|source| SynthError::folder(folder, source))?;
        // Reading a pipe or a device might never end.
        let mut files: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|file| file.ends_with(".lib"))
            .collect();
        if files.len() > 1 {
            files.retain(|file| {
                file.split_once("stdcell")
                    .is_some_and(|(_, corner)| corner.contains("typ"))
            });
        }
        let [file] = files.as_slice() else {
            return Err(SynthError::LibertyFiles {
                path: folder.to_owned(),
                count: files.len(),
            });
        };
        let name = folder
            .canonicalize()
            .unwrap_or_else(|_| folder.to_owned())
            .file_name()
            .map_or_else(|| file.clone(), |name| name.to_string_lossy().into_owned());
        Ok(CellLibrary {
            name,
            liberty: folder.join(file),
        })
    }
}

/// Names that lead to a library.
fn known(shared: &Path) -> String {
    let mut names = vec![OSU018.0.to_owned()];
    for entry in fs::read_dir(shared).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    names.join(", ")
}

/// The cell that is taken to drive a block's inputs while gates are sized: the first plain buffer of a Liberty file.
pub(super) fn input_driver(liberty: &str) -> Option<&str> {
    liberty
        .lines()
        .filter_map(|line| {
            let (_, name) = line.trim_start().strip_prefix("cell")?.split_once('(')?;
            Some(name.split(')').next()?.trim().trim_matches('"'))
        })
        .find(|name| {
            let name = name.to_ascii_lowercase();
            let buffer = name.rsplit("__").next().unwrap_or(&name);
            let buffer = buffer.rsplit_once('_').map_or(buffer, |(stem, _)| stem);
            buffer.starts_with("buf") || buffer.ends_with("_buf")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_several_libraries_gives_the_typical_standard_cells() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["ram_typ.lib", "x_stdcell_slow.lib", "x_stdcell_typ.lib"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let library = CellLibrary::find(folder.path().to_str()).unwrap();
        assert!(
            library.liberty.ends_with("x_stdcell_typ.lib"),
            "{library:?}"
        );
    }

    #[test]
    fn a_folder_without_a_library_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = CellLibrary::find(folder.path().to_str()).unwrap_err();
        assert!(
            matches!(error, SynthError::LibertyFiles { count: 0, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_folder_or_socket_called_like_a_library_is_none() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a.lib")).unwrap();
        let socket = folder.path().join("b.lib");
        let _held = std::os::unix::net::UnixListener::bind(socket).unwrap();
        let error = CellLibrary::find(folder.path().to_str()).unwrap_err();
        assert!(
            matches!(error, SynthError::LibertyFiles { count: 0, .. }),
            "{error}"
        );
    }

    #[test]
    fn a_missing_default_library_is_named_with_its_package() {
        let error = CellLibrary::installed(Path::new("/nowhere/osu018.lib")).unwrap_err();
        assert!(!error.is_bad_input());
        assert!(error.to_string().contains("qflow-tech-osu018"), "{error}");
    }

    #[test]
    fn inputs_are_driven_by_a_plain_buffer() {
        let osu =
            "cell (AND2X1) {\ncell (CLKBUF1) {\ncell (TBUFX1) {\ncell (BUFX2) {\ncell (BUFX4) {\n";
        assert_eq!(input_driver(osu), Some("BUFX2"));
        let ihp = "  cell (sg13g2_and2_1) {\n  cell (sg13g2_buf_1) {\n  cell (sg13g2_ebufn_2) {\n";
        assert_eq!(input_driver(ihp), Some("sg13g2_buf_1"));
        assert_eq!(input_driver("library (none) {\n"), None);
    }
}
