//! `spatten synth`: area and worst slack of every block, by Yosys and OpenSTA.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{ConfigArgs, Failure, print, print_json, progress};
use crate::handoff::design::CLOCK_NS;
use crate::synth::{self, BlockFigures, CellLibrary, Options};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// A stage, processing element or cell, such as query_key (repeatable) [default: all]
    #[arg(long = "block", value_name = "BLOCK")]
    blocks: Vec<String>,
    /// Cell library: osu018, a folder of pdk/ in the shared data, or a folder with a .lib file [default: osu018]
    #[arg(long, value_name = "NAME|DIR")]
    pdk: Option<String>,
    /// Clock period in ns
    #[arg(long, value_name = "T", default_value_t = CLOCK_NS, allow_negative_numbers = true, value_parser = clock_ns)]
    clock_ns: f64,
    /// Keep scripts, netlists, logs and timing reports in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print a JSON array with one object per block
    #[arg(long)]
    json: bool,
}

fn clock_ns(text: &str) -> Result<f64, String> {
    // Beyond these, periods in ps are no useful whole numbers.
    match text.parse() {
        Ok(period) if (0.01..=1e6).contains(&period) => Ok(period),
        _ => Err(format!(
            "must be a period of 0.01 to 1000000 ns, such as {CLOCK_NS}"
        )),
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let options = Options {
        blocks: args.blocks.clone(),
        library: CellLibrary::find(args.pdk.as_deref())?,
        clock_ns: args.clock_ns,
        keep: args.keep.clone(),
    };
    let bar = progress::bar("synthesis", 0);
    let figures = synth::run(&config, &options, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    if args.json {
        print_json(&serde_json::json!(figures))
    } else {
        print(&table(&figures, &options))
    }
}

fn table(figures: &[BlockFigures], options: &Options) -> String {
    let width = figures
        .iter()
        .map(|row| row.module.len())
        .max()
        .unwrap_or(0);
    let mut text = format!(
        "{:width$} {:>9} {:>12} {:>9}  worst path\n",
        "block", "cells", "area um2", "slack ns"
    );
    for row in figures {
        let slack = row
            .worst_slack_ns
            .map_or_else(|| "-".to_owned(), |slack| format!("{slack:.2}"));
        let path = match (&row.start, &row.end) {
            (Some(start), Some(end)) => format!("{start} -> {end}"),
            _ => "none".to_owned(),
        };
        text += &format!(
            "{:width$} {:>9} {:>12.0} {slack:>9}  {path}\n",
            row.module, row.cells, row.area_um2
        );
    }
    text += &format!(
        "\nlibrary {}, clock {} ns, before layout, register to register\n",
        options.library.name, options.clock_ns
    );
    let excluded: BTreeSet<&str> = figures
        .iter()
        .flat_map(|row| row.excluded.iter().map(String::as_str))
        .collect();
    if !excluded.is_empty() {
        let list: Vec<&str> = excluded.into_iter().collect();
        text += &format!("memories excluded: {}\n", list.join(", "));
    }
    text
}
