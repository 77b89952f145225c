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
use crate::workload::refinement::{Limits, Measure, Refinement};
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
    /// Store K in so many bits: 4, 6, 8, 10 or 12, or as in 8+4 with 4 more that rows fetch if they need them
    /// [default: arithmetic.key_bits]
    #[arg(long, value_name = "N[+4]", allow_negative_numbers = true, value_parser = key_bits)]
    key_bits: Option<KeyBits>,
    /// Store V in so many bits: 4, 6, 8, 10 or 12 [default: arithmetic.value_bits]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = stored_bits)]
    value_bits: Option<usize>,
    /// Rows whose largest probability lies below X fetch K's 4 more bits; one number, or one for each layer
    /// [default with --key-bits N+4: 0.1]
    #[arg(long, value_name = "X[,...]", allow_negative_numbers = true)]
    threshold: Option<Limits>,
    /// Instead of --threshold: rows whose scores err by more without K's 4 more bits fetch them
    #[arg(
        long,
        value_name = "X[,...]",
        allow_negative_numbers = true,
        conflicts_with = "threshold"
    )]
    noise_limit: Option<Limits>,
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

Progressive quantization (--key-bits N+4): a row is first computed on K's N bits; where it is not confident, 4 more
bits are fetched and it is computed again, exactly as if K had had N + 4 bits from the start.
  --threshold X    rows whose largest probability lies below X (0 to 1) are: at 0 none, at 1 all but lone keys'
  --noise-limit X  rows are in which (1 - largest probability) times the mean square error of the logits, natural
                   logarithms of probabilities up to a constant, exceeds X without the 4 bits: at 0 all but lone keys'

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

JSON holds for each layer the max/mean error, the kept tokens and heads, refetched_rows of its rows, effective_key_bits
(bits of K that a score was made of, in the mean) and the bytes read from and written to memory; figures that the engine does not have, such
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

/// What K is stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct KeyBits {
    /// Of K, or of its MSB plane.
    bits: usize,
    has_lsb_plane: bool,
}

fn key_bits(text: &str) -> Result<KeyBits, &'static str> {
    let (bits, has_lsb_plane) = match text.strip_suffix("+4") {
        Some(bits) => (bits, true),
        None => (text, false),
    };
    let bits = stored_bits(bits)
        .map_err(|_| "must be 4, 6, 8, 10 or 12, or one of them and 4 more, as in 8+4")?;
    Ok(KeyBits {
        bits,
        has_lsb_plane,
    })
}

fn stored_bits(text: &str) -> Result<usize, &'static str> {
    let bits = text.parse().ok();
    bits.filter(|bits| STORED_BITS.contains(bits))
        .ok_or("must be 4, 6, 8, 10 or 12")
}

/// The widths that Q, K and V are quantized to: those of the hardware, or what the options store.
fn formats(args: &Args, config: &Config) -> Result<Formats, Failure> {
    let hardware = config.formats();
    for (name, bits, most) in [
        ("key", args.key_bits.map(|key| key.bits), hardware.key_bits),
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
        key_bits: args.key_bits.map_or(hardware.key_bits, |key| key.bits),
        value_bits: args.value_bits.unwrap_or(hardware.value_bits),
        ..hardware
    })
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.load()?;
    let formats = formats(args, &config)?;
    let pruning = pruning(args)?;
    let refinement = refinement(args)?;
    let tensors = AttentionTensors::read(&args.tensors, args.causal)?;
    let condition = args.conditioning == Switch::On;
    let mut job = Job::new(&tensors, args.layer, formats, condition)
        .map_err(|error| about_tensors(args, error))?
        .pruned(&pruning)
        .map_err(|error| about_tensors(args, error))?;
    let has_lsb_plane = refinement.is_some();
    if let Some(refinement) = refinement {
        job = job
            .refined(refinement)
            .map_err(|error| about_tensors(args, error))?;
    }
    args.engine
        .check(&config, &tensors, has_lsb_plane)
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

/// Which rows fetch LSBs: none without an LSB plane.
fn refinement(args: &Args) -> Result<Option<Refinement>, Failure> {
    let options = [
        (Measure::Threshold, &args.threshold),
        (Measure::Noise, &args.noise_limit),
    ];
    let mut given = options
        .into_iter()
        .filter_map(|(measure, limits)| Some((measure, limits.clone()?)));
    let has_lsb_plane = args.key_bits.is_some_and(|key| key.has_lsb_plane);
    match given.next() {
        Some((measure, Limits(limits))) if !has_lsb_plane => Err(Failure::Input(anyhow!(
            "{measure} {}: K has no more bits to fetch; give --key-bits 4+4, 6+4, 8+4, 10+4 or 12+4, or leave {measure} out",
            limits[0]
        ))),
        Some((measure, limits)) => Ok(Some(Refinement { measure, limits })),
        None => Ok(has_lsb_plane.then(Refinement::published)),
    }
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
                "dram_read_bytes": layer.traffic.map(|moved| moved.read),
                "dram_write_bytes": layer.traffic.map(|moved| moved.written),
                "rows": layer.rows,
                "refetched_rows": layer.refetched_rows,
                "effective_key_bits": layer.effective_key_bits,
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
    let key_bits = match args.key_bits {
        Some(key) if key.has_lsb_plane => format!("{}+4", key.bits),
        _ => formats.key_bits.to_string(),
    };
    format!(
        "{sizes}; Q, K, V in {}, {}, {} bits, conditioning {}",
        formats.query_bits,
        key_bits,
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
    let columns: [(&str, Figure); 12] = [
        ("layer", |layer| Some(layer.layer.to_string())),
        ("rows", |layer| Some(layer.rows.to_string())),
        ("cycles", |layer| {
            layer.cycles.map(|cycles| cycles.to_string())
        }),
        ("refetched", |layer| Some(layer.refetched_rows?.to_string())),
        ("K bits", |layer| {
            Some(format!("{:.2}", layer.effective_key_bits?))
        }),
        ("bytes read", |layer| Some(layer.traffic?.read.to_string())),
        ("written", |layer| Some(layer.traffic?.written.to_string())),
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
    if layer.refetched_rows.is_some() {
        text += "refetched: rows that took K's 4 more bits; K bits: of a score, in the mean over rows and their keys\n";
    }
    if layer.traffic.is_some() {
        text += "bytes: in whole beats of 32; K and V once per KV head, or once per row where rows refetch\n";
    }
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
