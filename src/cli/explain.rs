//! `spatten explain`: what a parameter means.

use super::{Failure, print};
use crate::config;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A parameter such as array.multipliers, or a table such as array; all parameters in brief without it
    field: Option<String>,
    /// Print the table of all parameters in Markdown, as it stands in the README
    #[arg(long, conflicts_with = "field")]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.field {
        Some(field) => print(&config::explain(field)?),
        None if args.markdown => print(&config::parameter_table()),
        None => print(&config::overview()),
    }
}
