//! `spatten generate`: writes a configuration's Verilog and hand-off files.

use super::{ConfigArgs, Failure, print};
use crate::handoff::{design, output};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder to write, replaced as a whole [default: rtl_out/<name>]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let default = Path::new("rtl_out").join(&config.name);
    let folder = args.output.as_deref().unwrap_or(&default);
    let files = design::files(&config);
    output::write_folder(folder, &files)?;
    let verilog = files
        .keys()
        .filter(|path| path.extension().is_some_and(|e| e == "v"));
    print(&format!(
        "{}: {} Verilog modules and {} other files\n",
        folder.display(),
        verilog.clone().count(),
        files.len() - verilog.count()
    ))
}
