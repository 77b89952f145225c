//! `spatten generate`: writes a configuration's Verilog and hand-off files.

use super::{ConfigArgs, Failure, print, print_json};
use crate::config::Config;
use crate::handoff::design::{self, Design};
use crate::handoff::output;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder to write, replaced as a whole; folders above it are made [default: rtl_out/<name>]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let default = Path::new("rtl_out").join(&config.name);
    let folder = args.output.as_deref().unwrap_or(&default);
    let design = design::generate(&config);
    output::write_folder(folder, &design.files)?;
    if args.json {
        print_json(&summary_json(&config, &design, folder))
    } else {
        print(&summary(&config, &design, folder))
    }
}

/// What was written, one line per kind of file.
fn summary(config: &Config, design: &Design, folder: &Path) -> String {
    let memories: usize = design.memories.iter().map(|m| m.instances.len()).sum();
    let bits: usize = design.memories.iter().map(|m| m.total_bits()).sum();
    let (top, modules, kinds) = (&design.top, design.modules, design.memories.len());
    let rows = [
        (
            "rtl/".into(),
            format!("{modules} Verilog modules, one file each; top {top}"),
        ),
        (format!("{top}.f"), "file list, children first".into()),
        (
            format!("{top}.sdc"),
            format!("constraints: clock of {} ns", design::CLOCK_NS),
        ),
        (
            format!("{}.h", design.top),
            "C header of the memory image".into(),
        ),
        (
            design::MEMORIES.into(),
            format!("inventory: {memories} memories of {kinds} kinds, {bits} bits"),
        ),
        (
            design::CONFIGURATION.into(),
            format!("configuration {}", config.hash()),
        ),
        (output::MANIFEST.into(), "SHA-256 of every file".into()),
    ];
    let width = rows.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    let mut text = format!("{} from {}\n", folder.display(), config.name);
    for (path, what) in rows {
        writeln!(text, "  {path:width$}  {what}").expect("a string takes any text");
    }
    text
}

/// The same as one JSON object: `folder`, `configuration`, `top`, `modules`, `memories` (as in the inventory) and
/// `files` (paths in the folder).
fn summary_json(config: &Config, design: &Design, folder: &Path) -> serde_json::Value {
    json!({
        "folder": folder,
        "configuration": config.name,
        "configuration_hash": config.hash(),
        "top": design.top,
        "modules": design.modules,
        "memories": design.memories,
        "files": design.files.keys().collect::<Vec<_>>(),
    })
}
