//! The command line: thin, one file per subcommand.
//!
//! A new subcommand is a file `cli/<name>.rs` with a clap `Args` struct and `run(&args) -> Result<(), Failure>`,
//! and one line each in `Command` and in `run`. The file translates options into a library call and the
//! result into text:
//!
//! * results go to standard output through [`print()`], messages and [`progress`] bars to standard error;
//! * what goes wrong is a [`Failure`], whose class is the exit status;
//! * a command with a configuration flattens [`ConfigArgs`] into its `Args`;
//! * files are written by [`crate::handoff::output`], which the interrupt handler set here knows.

mod attend;
mod bench;
mod check;
mod explain;
mod failure;
mod generate;
mod presets;
pub mod progress;
mod synth;
mod tensors;
mod values;
mod verify;

pub use failure::Failure;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::handoff::output;

/// Generates, checks and runs the SpAtten attention accelerator.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_STATUSES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUSES: &str = "Exit status: 0 done, 1 a check or comparison failed, 2 bad usage, configuration or input,\n\
    3 the environment failed (a tool, the disk), 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    /// List the shipped configurations
    Presets,
    /// Validate a configuration and print every parameter and derived size
    Check(check::Args),
    /// Write the Verilog, file list, constraints, memory inventory and manifest
    Generate(generate::Args),
    /// Measure the design and the generator against bounds and targets
    Bench(bench::Args),
    /// Run the testbenches: the Verilog in Verilator against the golden models
    Verify(verify::Args),
    /// Tell what a parameter means: unit, range, default, trade-off, rules
    Explain(explain::Args),
    /// Compute the attention of a model's own tensors on an engine and measure its errors
    Attend(attend::Args),
    /// Write synthetic attention tensors, or describe those of a file
    Tensors(tensors::Args),
    /// Synthesise blocks with Yosys and time them with OpenSTA: area and worst slack
    Synth(synth::Args),
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Presets => presets::run(),
        Command::Check(args) => check::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Attend(args) => attend::run(args),
        Command::Tensors(args) => tensors::run(args),
        Command::Synth(args) => synth::run(args),
    }
}

/// The options that choose a configuration.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// A preset's name or a TOML file
    #[arg(short, long, value_name = "PRESET|FILE")]
    config: String,
    /// Override a field of the configuration (repeatable), as in --set array.multipliers=64
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    /// The validated configuration.
    ///
    /// # Errors
    /// [`Failure::Input`] with everything that is wrong with it.
    pub fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.config, &self.set)?)
    }
}

/// Runs the command line of this process and returns its exit status.
///
/// Usage errors and `--help` end the process here, as clap does it, with status 2 and 0.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match set_interrupt_handler().and_then(|()| run(&cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to do when standard error is closed as well.
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Interrupted or terminated, the process removes what it was writing and ends with the status that shells expect.
fn set_interrupt_handler() -> Result<(), Failure> {
    const INTERRUPTED: i32 = 130;
    ctrlc::set_handler(|| {
        let _lock = output::clean_up_partial_output();
        std::process::exit(INTERRUPTED);
    })
    .map_err(|error| Failure::Environment(anyhow!("cannot handle interrupts: {error}")))
}

/// Writes a result to standard output. A reader that has gone away, such as `head`, is no failure.
///
/// # Errors
/// [`Failure::Environment`] when standard output cannot be written otherwise.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Environment(
            anyhow!("standard output cannot be written: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Writes a result to standard output as one indented JSON value.
///
/// # Errors
/// As [`print()`].
pub fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}
