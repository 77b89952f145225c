//! `spatten check`: validates a configuration and prints its parameters and derived sizes.

use super::{ConfigArgs, Failure, print, print_json};
use crate::config;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    if args.json {
        print_json(&config::summary_json(&config))
    } else {
        print(&config::summary(&config))
    }
}
