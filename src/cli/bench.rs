//! `spatten bench`: measures a configuration against bounds and targets.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::{ConfigArgs, Failure, print, print_json, progress, values};
use crate::engine::EngineError;
use crate::perf::{self, BENCHMARKS, Inputs, UnknownBenchmark};
use crate::workload::tensors::AttentionTensors;

#[derive(clap::Args, Debug)]
#[command(after_help = benchmarks())]
pub(super) struct Args {
    /// Benchmarks to run; all of them without a name
    name: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Tensors for accuracy, as attend takes them [default: real-like rows of a seed]
    #[arg(long, value_name = "FILE")]
    tensors: Option<PathBuf>,
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
        let nearest = values::nearest(&error.name, perf::names());
        let hint = nearest.map_or(String::new(), |name| format!("; did you mean {name}?"));
        Failure::Input(anyhow!("{error}{hint}"))
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let benchmarks = perf::select(&args.name)?;
    let config = args.config.load()?;
    let tensors = match &args.tensors {
        Some(file)
            if benchmarks
                .iter()
                .all(|benchmark| benchmark.name != "accuracy") =>
        {
            return Err(Failure::Input(anyhow!(
                "--tensors {}: only accuracy takes tensors; name it, or leave out --tensors",
                file.display()
            )));
        }
        Some(file) => Some(AttentionTensors::read(file, None)?),
        None => None,
    };
    let inputs = Inputs {
        config: &config,
        tensors: tensors.as_ref(),
    };
    let mut rows = Vec::new();
    for benchmark in benchmarks {
        let _spinner = progress::spinner(benchmark.name);
        let measured = (benchmark.run)(&inputs).map_err(|error| about_tensors(args, error))?;
        rows.extend(measured);
    }
    if args.json {
        print_json(&json!(rows))
    } else {
        print(&perf::table(&rows))
    }
}

/// Names the file when its tensors are what does not fit.
fn about_tensors(args: &Args, error: EngineError) -> Failure {
    match (&args.tensors, error) {
        (Some(file), EngineError::Layer(error)) => {
            Failure::Input(anyhow!("tensor file {}: {error}", file.display()))
        }
        (_, error) => error.into(),
    }
}
