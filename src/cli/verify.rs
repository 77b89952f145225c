//! `spatten verify`: runs the testbenches of a configuration's blocks in Verilator.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::{ConfigArgs, Failure, print, print_json, progress, values};
use crate::handoff::output::PendingFile;
use crate::testbenches::{self, BenchError, Options, Report, Testbench};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Verify this block only (repeatable) [default: all]
    #[arg(long, value_name = "NAME")]
    block: Vec<String>,
    /// Random words or rows per design, after the corner cases
    #[arg(long, value_name = "N", default_value_t = 1000, allow_negative_numbers = true,
          value_parser = values::whole_number(1..=u32::MAX.into()))]
    cases: u64,
    /// Seed of data and stalls; a failure repeats with its seed
    #[arg(long, value_name = "S", default_value_t = 1, allow_negative_numbers = true, value_parser = values::seed)]
    seed: u64,
    /// Write the waveforms (FST) of the one block named by --block
    #[arg(long, value_name = "FILE", requires = "block")]
    trace: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let chosen = choose(&args.block)?;
    let trace = trace_file(args, &chosen)?;
    let options = Options {
        cases: args.cases as usize,
        seed: args.seed,
        trace: trace.as_ref().map(PendingFile::path),
    };
    if !args.json {
        print(&format!("seed {}\n", args.seed))?;
    }

    let bar = progress::bar("verify", chosen.len() as u64);
    let mut outcomes = Vec::new();
    for testbench in &chosen {
        bar.set_message(testbench.name);
        let outcome = match (testbench.run)(&config, &options) {
            Ok(report) => Ok(report),
            Err(BenchError::Mismatch(message)) => Err(message),
            Err(BenchError::Cosim(error)) => return Err(Failure::Environment(error.into())),
        };
        if !args.json {
            let line = line(testbench.name, &outcome);
            bar.suspend(|| print(&line))?;
        }
        outcomes.push((testbench.name, outcome));
        bar.inc(1);
    }
    bar.finish_and_clear();
    // Of a failed block too: that is when waveforms are looked at.
    trace.map_or(Ok(()), PendingFile::finish)?;

    let failed = outcomes.iter().filter(|(_, outcome)| outcome.is_err());
    let failed = failed.count();
    let passed = outcomes.len() - failed;
    if args.json {
        let blocks: Vec<_> = outcomes.iter().map(|(name, o)| object(name, o)).collect();
        print_json(&json!({
            "config": config.name,
            "seed": args.seed,
            "cases": args.cases,
            "passed": passed,
            "failed": failed,
            "blocks": blocks,
        }))?;
    } else {
        print(&format!("{passed} passed, {failed} failed\n"))?;
    }
    if failed > 0 {
        let count = outcomes.len();
        return Err(Failure::Check(anyhow!(
            "{failed} of {count} testbenches failed"
        )));
    }
    Ok(())
}

/// The testbenches of the named blocks, in dataflow order; all of them without a name.
fn choose(names: &[String]) -> Result<Vec<Testbench>, Failure> {
    let all = testbenches::all();
    if let Some(unknown) = names
        .iter()
        .find(|name| all.iter().all(|bench| bench.name != **name))
    {
        return Err(unknown_block(unknown, &all));
    }
    let wanted = |bench: &Testbench| names.is_empty() || names.iter().any(|n| n == bench.name);
    Ok(all.into_iter().filter(wanted).collect())
}

fn unknown_block(name: &str, all: &[Testbench]) -> Failure {
    let nearest = values::nearest(name, all.iter().map(|bench| bench.name));
    let hint = nearest.map_or(String::new(), |bench| format!("did you mean `{bench}`? "));
    let names: Vec<_> = all.iter().map(|bench| bench.name).collect();
    Failure::Input(anyhow!(
        "--block {name}: no such testbench; {hint}there are {}",
        names.join(", ")
    ))
}

/// The waveforms' file, if any are wanted, not in its place yet.
fn trace_file(args: &Args, chosen: &[Testbench]) -> Result<Option<PendingFile>, Failure> {
    match &args.trace {
        Some(file) if chosen.len() > 1 => Err(Failure::Input(anyhow!(
            "--trace {}: holds one block's waveforms, but --block names {}; name one",
            file.display(),
            chosen.len()
        ))),
        Some(file) => Ok(Some(PendingFile::new(file)?)),
        None => Ok(None),
    }
}

fn line(name: &str, outcome: &Result<Report, String>) -> String {
    match outcome {
        Ok(report) => format!(
            "{name:<20} ok      {:>9} words {:>9} cycles  {}\n",
            report.words,
            report.cycles,
            report.notes.join("; ")
        ),
        Err(message) => format!("{name:<20} FAILED  {message}\n"),
    }
}

fn object(name: &str, outcome: &Result<Report, String>) -> serde_json::Value {
    let report = outcome.as_ref().ok();
    json!({
        "block": name,
        "passed": outcome.is_ok(),
        "words": report.map(|report| report.words),
        "cycles": report.map(|report| report.cycles),
        "notes": report.map(|report| &report.notes),
        "error": outcome.as_ref().err(),
    })
}
