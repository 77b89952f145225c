//! `spatten attend`: attention of the user's own tensors on an engine.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{ArgAction, ValueEnum};
use serde_json::json;

use super::{ConfigArgs, Failure, print, print_json, progress, values};
use crate::config::Config;
use crate::engine::job::{Job, JobResult, LayerReport};
use crate::engine::{Engine, EngineKind};
use crate::golden::float64::AbsError;
use crate::handoff::output;
use crate::numerics::{Formats, STORED_BITS};
use crate::workload::schedule::{KeepRatio, Pruning};
use crate::workload::tensors::AttentionTensors;

#[derive(clap::Args, Debug)]
#[command(after_help = RESULTS)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Safetensors file: float32 q [layers, heads, queries, d], k and v [layers, kv_heads, keys, d]; metadata causal
    #[arg(long, value_name = "FILE")]
    tensors: PathBuf,
    /// Attend this layer only, counted from 0 [default: all layers]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = layer_number)]
    layer: Option<usize>,
    /// What computes the attention
    #[arg(long, value_enum, default_value_t = EngineKind::Rtl)]
    engine: EngineKind,
    /// Write the attention to this safetensors file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Whether a query sees only the keys up to its own, instead of what the file's metadata says
    #[arg(long, action = ArgAction::Set)]
    causal: Option<bool>,
    /// Subtract K's channel means and balance K's channels before quantizing, which changes no exact result
    #[arg(long, value_enum, default_value_t = Switch::On)]
    conditioning: Switch,
    /// Store K in so many bits: 4, 6, 8, 10 or 12 [default: arithmetic.key_bits]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = stored_bits)]
    key_bits: Option<usize>,
    /// Store V in so many bits: 4, 6, 8, 10 or 12 [default: arithmetic.value_bits]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = stored_bits)]
    value_bits: Option<usize>,
    /// Share of tokens that the cascade keeps: that of the last layer, or a list, one for each layer [default: 1]
    #[arg(long, value_name = "RATIO[,...]", allow_negative_numbers = true)]
    token_keep: Option<KeepRatio>,
    /// Share of heads that the cascade keeps: that of the last layer, or a list, one for each layer [default: 1]
    #[arg(long, value_name = "RATIO[,...]", allow_negative_numbers = true)]
    head_keep: Option<KeepRatio>,
    /// Share of its live keys whose V each row takes, those of its largest probabilities; or a list [default: 1]
    #[arg(long, value_name = "RATIO[,...]", allow_negative_numbers = true)]
    value_keep: Option<KeepRatio>,
    /// Divide the outputs of rows with pruned values by the sum of the kept probabilities; on needs --value-keep
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    renormalise: Switch,
    /// Tokens that --token-keep never prunes, as in 0,5; the newest one always stays
    #[arg(
        long,
        value_name = "TOKEN[,...]",
        value_delimiter = ',',
        allow_negative_numbers = true,
        value_parser = token_number
    )]
    pin: Vec<usize>,
    /// Seed of what the RTL's registers and memories hold before they are written; results do not depend on it
    #[arg(
        long,
        value_name = "S",
        default_value_t = 1,
        allow_negative_numbers = true,
        value_parser = values::seed
    )]
    seed: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

const RESULTS: &str = "\
Without the --*-keep options the attention is dense: every head, token and value takes part.

Cascade: a token's importance is the sum of the probabilities that it received, a head's that of its outputs'
magnitudes, over all layers so far. After each layer those of the largest importance stay for the next. A single
ratio is that of the last layer: the first 15 % of the layers keep all tokens and the first 30 % all heads, at least
one layer, and the later ones fall to it linearly. In a list the first ratio is 1, for nothing is known before the
first layer. Of n tokens a layer keeps ratio * n rounded up, never fewer than the pinned and the newest; a ratio
larger than one before keeps all that are left. Query i is token i + keys - queries; a pruned token's row and a pruned
head are not computed.
With --layer all tokens and heads take part, and only values are pruned; lists still have a ratio for each layer.
A file's later layers are those of the dense model: they do not follow what was pruned before them.

Errors are absolute, over all heads and rows of a layer that took part:
  max/mean error  the outputs, as float32, against float64 attention of the file's float tensors on the same kept
                  tokens, in their units; this is the error of quantization and arithmetic together
  max/mean LSB    the outputs against float64 attention of the same quantized integers, in steps of V;
                  this is the error of the arithmetic alone
  max from ctx    the outputs against the model's own, when the file holds them as ctx; without pruning a large one
                  means that the file's attention is not softmax(q k^T / sqrt(d)) v, or that causal is wrong
Float64 prunes values by its own probabilities: where two are nearly alike it may take another V, which shows as error.

FILE of --out holds out [layers, heads, queries, d] float32, in the tensors' units, zero where pruned; the importance
after each layer, token_importance [layers, keys] in sums of probabilities and head_importance [layers, heads] in sums
of the tensors' units, float32, zero for what did not take part; and the flags kept_tokens [layers, keys] and
kept_heads [layers, heads] uint8: took part in this layer. With --layer it has that layer only. The engines rtl and
golden write identical bytes. It is whole before results are printed.

JSON holds the max/mean error and the kept tokens and heads of each layer; figures that the engine does not have, such
as cycles of golden, are null.";

fn token_number(text: &str) -> Result<usize, &'static str> {
    text.trim()
        .parse()
        .map_err(|_| "must be token numbers from 0 between commas, as in 0,5")
}

fn layer_number(text: &str) -> Result<usize, &'static str> {
    text.parse()
        .map_err(|_| "must be a whole number from 0, the number of the first layer")
}

fn stored_bits(text: &str) -> Result<usize, String> {
    if text.contains('+') {
        return Err(
            "there is no LSB plane yet: it comes with the memory system; choose 4, 6, 8, 10 or 12"
                .to_owned(),
        );
    }
    let bits = text.parse().ok();
    bits.filter(|bits| STORED_BITS.contains(bits))
        .ok_or("must be 4, 6, 8, 10 or 12".to_owned())
}

/// The widths that Q, K and V are quantized to: those of the hardware, or what the options store.
fn formats(args: &Args, config: &Config) -> Result<Formats, Failure> {
    let hardware = config.formats();
    for (name, bits, most) in [
        ("key", args.key_bits, hardware.key_bits),
        ("value", args.value_bits, hardware.value_bits),
    ] {
        if let Some(bits) = bits.filter(|&bits| bits > most) {
            return Err(Failure::Input(anyhow!(
                "--{name}-bits {bits}: the hardware of configuration {} takes at most {most}; choose fewer, \
                 another configuration, or set arithmetic.{name}_bits",
                config.name
            )));
        }
    }
    Ok(Formats {
        key_bits: args.key_bits.unwrap_or(hardware.key_bits),
        value_bits: args.value_bits.unwrap_or(hardware.value_bits),
        ..hardware
    })
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let formats = formats(args, &config)?;
    let pruning = pruning(args)?;
    let tensors = AttentionTensors::read(&args.tensors, args.causal)?;
    let condition = args.conditioning == Switch::On;
    let job = Job::new(&tensors, args.layer, formats, condition)
        .map_err(|error| about_tensors(args, error))?
        .pruned(&pruning)
        .map_err(|error| about_tensors(args, error))?;
    args.engine
        .check(&config, &tensors)
        .map_err(|error| about_tensors(args, error))?;
    if let Some(out) = &args.out {
        output::check_file(out, &args.tensors)?;
    }

    let mut engine = start(args, &config)?;
    let bar = progress::bar("attending rows", job.row_count() as u64);
    let result = job.run(engine.as_mut(), |rows| bar.inc(rows as u64))?;
    bar.finish_and_clear();

    if let Some(out) = &args.out {
        result.output.write(out)?;
    }
    if args.json {
        print_json(&json(args, &config, &result))
    } else {
        print(&text(args, &config, (&tensors, &formats), &result))
    }
}

/// What is pruned. An option that would change nothing is refused: whoever gives it expects that something is.
fn pruning(args: &Args) -> Result<Pruning, Failure> {
    if let (Some(pin), None) = (args.pin.first(), &args.token_keep) {
        return Err(Failure::Input(anyhow!(
            "--pin {pin}: without --token-keep no token is pruned; give its ratio, above 0 and at most 1, or leave \
             --pin out"
        )));
    }
    if args.renormalise == Switch::On && args.value_keep.is_none() {
        return Err(Failure::Input(anyhow!(
            "--renormalise on: without --value-keep no value is pruned; give its ratio, above 0 and at most 1, or \
             leave --renormalise out"
        )));
    }
    Ok(Pruning {
        tokens: args.token_keep.clone(),
        heads: args.head_keep.clone(),
        values: args.value_keep.clone(),
        renormalise: args.renormalise == Switch::On,
        pins: args.pin.clone(),
    })
}

fn about_tensors(args: &Args, error: impl std::fmt::Display) -> Failure {
    Failure::Input(anyhow!("tensor file {}: {error}", args.tensors.display()))
}

fn start(args: &Args, config: &Config) -> Result<Box<dyn Engine>, Failure> {
    let _spinner = (args.engine == EngineKind::Rtl)
        .then(|| progress::spinner("building the simulation with Verilator"));
    Ok(args.engine.start(config, args.seed)?)
}

fn json(args: &Args, config: &Config, result: &JobResult) -> serde_json::Value {
    let layers: Vec<_> = result
        .layers
        .iter()
        .map(|layer| {
            json!({
                "layer": layer.layer,
                "cycles": layer.cycles,
                "dram_read_bytes": null,
                "dram_write_bytes": null,
                "rows": layer.rows,
                "refetched_rows": null,
                "kept_tokens": layer.kept_tokens,
                "kept_heads": layer.kept_heads,
                "max_abs_error": layer.error.max,
                "mean_abs_error": layer.error.mean(),
            })
        })
        .collect();
    json!({
        "engine": args.engine.to_string(),
        "config": config.name,
        "cycles": result.cycles(),
        "layers": layers,
    })
}

fn text(
    args: &Args,
    config: &Config,
    (tensors, formats): (&AttentionTensors, &Formats),
    result: &JobResult,
) -> String {
    let mut text = format!(
        "{}: {} attention on {}, configuration {}\n{}\n\n{}{}",
        args.tensors.display(),
        tensors.direction(),
        args.engine,
        config.name,
        shape(args, tensors, formats),
        table(&result.layers),
        legend(&result.layers[0]),
    );
    if let (Some(cycles), true) = (result.cycles(), result.layers.len() > 1) {
        let _ = writeln!(text, "{cycles} cycles in all layers");
    }
    if args.token_keep.is_some() || args.head_keep.is_some() {
        text += &kept(&result.layers);
    }
    if args.value_keep.is_some() && !tensors.causal() {
        text += "\nThe paper prunes values in generation only; these tensors are bidirectional.\n";
    }
    if let Some(out) = &args.out {
        let _ = writeln!(text, "written to {}", out.display());
    }
    text
}

/// The tensors' sizes and what they were quantized to.
fn shape(args: &Args, tensors: &AttentionTensors, formats: &Formats) -> String {
    let sizes = tensors.sizes();
    if !args.engine.is_hardware() {
        return sizes;
    }
    format!(
        "{sizes}; Q, K, V in {}, {}, {} bits, conditioning {}",
        formats.query_bits,
        formats.key_bits,
        formats.value_bits,
        match args.conditioning {
            Switch::On => "on",
            Switch::Off => "off",
        },
    )
}

/// One line per layer; columns that the engine or the file does not have are left out.
fn table(layers: &[LayerReport]) -> String {
    type Figure = fn(&LayerReport) -> Option<String>;
    let columns: [(&str, Figure); 8] = [
        ("layer", |layer| Some(layer.layer.to_string())),
        ("rows", |layer| Some(layer.rows.to_string())),
        ("cycles", |layer| {
            layer.cycles.map(|cycles| cycles.to_string())
        }),
        ("max error", |layer| Some(scientific(layer.error.max))),
        ("mean error", |layer| Some(scientific(layer.error.mean()))),
        ("max LSB", |layer| {
            layer.arithmetic_error.map(|e| format!("{:.4}", e.max))
        }),
        ("mean LSB", |layer| {
            layer.arithmetic_error.map(|e| format!("{:.4}", e.mean()))
        }),
        ("max from ctx", |layer| {
            layer.context_error.map(|e: AbsError| scientific(e.max))
        }),
    ];

    let mut lines = vec![String::new(); 1 + layers.len()];
    for (title, figure) in columns {
        let Some(figures) = layers.iter().map(figure).collect::<Option<Vec<_>>>() else {
            continue;
        };
        let column: Vec<&str> = [title]
            .into_iter()
            .chain(figures.iter().map(String::as_str))
            .collect();
        let width = column.iter().map(|cell| cell.len()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(column) {
            let gap = if line.is_empty() { "" } else { "  " };
            let _ = write!(line, "{gap}{cell:>width$}");
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The tokens and heads that took part in each layer, a line per layer.
fn kept(layers: &[LayerReport]) -> String {
    let mut text = "\ntook part:\n".to_owned();
    for layer in layers {
        let of = |ids: &[usize], what| {
            let plural = if ids.len() == 1 { "" } else { "s" };
            format!("{} {what}{plural} {}", ids.len(), id_ranges(ids))
        };
        let tokens = of(&layer.kept_tokens, "token");
        let heads = of(&layer.kept_heads, "head");
        let _ = writeln!(text, "layer {}: {tokens}; {heads}", layer.layer);
    }
    text
}

/// Ascending ids as ranges, as in `0-3,5,9-12`; of long lists the first ranges and the last one.
fn id_ranges(ids: &[usize]) -> String {
    const MOST: usize = 16;
    let runs = ids.chunk_by(|a, b| a + 1 == *b);
    let mut ranges: Vec<String> = runs
        .map(|run| match run {
            [single] => single.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    if ranges.len() > MOST {
        let last = ranges.len() - 1;
        ranges.splice(MOST - 2..last, ["...".to_owned()]);
    }
    ranges.join(",")
}

/// What the columns of the table mean.
fn legend(layer: &LayerReport) -> String {
    let mut text =
        "\nerror: against float64 attention of the file's tensors, in their units\n".to_owned();
    if layer.arithmetic_error.is_some() {
        text += "LSB: against float64 attention of the same integers, in steps of V\n";
    }
    if layer.context_error.is_some() {
        text += "ctx: the model's own output in the file\n";
    }
    text
}

fn scientific(error: f64) -> String {
    format!("{error:.2e}")
}

#[cfg(test)]
mod tests {
    use super::id_ranges;

    #[test]
    fn ids_are_told_as_ranges_and_long_lists_abbreviated() {
        assert_eq!(id_ranges(&[0, 1, 2, 3, 5, 9, 10, 12]), "0-3,5,9-10,12");
        assert_eq!(id_ranges(&[7]), "7");
        let even: Vec<usize> = (0..16).map(|i| 2 * i).collect();
        let all = "0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30";
        assert_eq!(id_ranges(&even), all);
        let even: Vec<usize> = (0..100).map(|i| 2 * i).collect();
        let some = "0,2,4,6,8,10,12,14,16,18,20,22,24,26,...,198";
        assert_eq!(id_ranges(&even), some);
    }
}
