//! `spatten bench`: measures a configuration against bounds and targets.

use super::{ConfigArgs, Failure, print, print_json, progress};
use crate::perf::{self, BENCHMARKS, UnknownBenchmark};
use serde_json::json;

#[derive(clap::Args, Debug)]
#[command(after_help = benchmarks())]
pub(super) struct Args {
    /// Benchmarks to run; all of them without a name
    name: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// The list of benchmarks under the help text.
fn benchmarks() -> String {
    let lines = BENCHMARKS
        .iter()
        .map(|benchmark| format!("\n  {:<12} {}", benchmark.name, benchmark.summary));
    format!("Benchmarks:{}", lines.collect::<String>())
}

impl From<UnknownBenchmark> for Failure {
    fn from(error: UnknownBenchmark) -> Failure {
        Failure::Input(error.into())
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let benchmarks = perf::select(&args.name)?;
    let config = args.config.load()?;
    let mut rows = Vec::new();
    for benchmark in benchmarks {
        let _spinner = progress::spinner(benchmark.name);
        rows.extend((benchmark.run)(&config)?);
    }
    if args.json {
        print_json(&json!(rows))
    } else {
        print(&perf::table(&rows))
    }
}
