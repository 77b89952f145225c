//! `spatten tensors`: files of attention tensors, written from a seed and described.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::{ArgAction, Subcommand, ValueEnum};
use serde_json::json;

use super::{Failure, print, print_json, values};
use crate::handoff::output;
use crate::workload::statistics::{FEWEST_KEYS, RowStatistics};
use crate::workload::synthetic::{RowKind, SyntheticAttention};
use crate::workload::tensors::AttentionTensors;

/// Most elements of one tensor of a file: 512 MB.
const MOST_ELEMENTS: u64 = 1 << 27;

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write synthetic attention tensors of any size, for attend
    Make(Make),
    /// Tell how sharp and how local the attention of a tensor file is
    Describe(Describe),
}

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Equal options give equal bytes on every machine. K and V have --kv-heads heads, each shared by as many query heads.
With --rows mixed the heads take turns: peaked, flat, first-token-heavy.")]
struct Make {
    /// The safetensors file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Layers
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = size())]
    layers: u64,
    /// Query heads
    #[arg(long, value_name = "N", default_value_t = 12, allow_negative_numbers = true, value_parser = size())]
    heads: u64,
    /// KV heads, which divide the heads [default: as many as heads]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = size())]
    kv_heads: Option<u64>,
    /// Queries per head; the last one is the newest key's [default: as many as keys]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = size())]
    queries: Option<u64>,
    /// Keys per head
    #[arg(long, value_name = "N", default_value_t = 128, allow_negative_numbers = true, value_parser = size())]
    keys: u64,
    /// Elements of a query, key or value: d
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true, value_parser = size())]
    head_dim: u64,
    /// Whether a query sees only the keys up to its own
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    causal: bool,
    /// How the probabilities of a row lie
    #[arg(long, value_enum, default_value_t = Rows::RealLike)]
    rows: Rows,
    /// Seed of all elements
    #[arg(
        long,
        value_name = "S",
        default_value_t = 1,
        allow_negative_numbers = true,
        value_parser = values::seed
    )]
    seed: u64,
}

#[derive(clap::Args, Debug)]
struct Describe {
    /// The safetensors file, as attend takes it
    #[arg(long, value_name = "FILE")]
    tensors: PathBuf,
    /// Whether a query sees only the keys up to its own, instead of what the file's metadata says
    #[arg(long, action = ArgAction::Set)]
    causal: Option<bool>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn size() -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    values::whole_number(1..=MOST_ELEMENTS)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rows {
    /// The heads take turns: peaked, flat, first-token-heavy
    Mixed,
    /// One key, different from query to query, takes nearly all
    Peaked,
    /// All keys get about the same
    Flat,
    /// The first key takes much, as it does in real decoders
    FirstTokenHeavy,
    /// Heads differ as in trained models: sharp or broad, seeking matches, neighbours or the first key
    RealLike,
}

impl Rows {
    fn kind(self) -> Option<RowKind> {
        match self {
            Rows::Mixed => None,
            Rows::Peaked => Some(RowKind::Peaked),
            Rows::Flat => Some(RowKind::Flat),
            Rows::FirstTokenHeavy => Some(RowKind::FirstTokenHeavy),
            Rows::RealLike => Some(RowKind::RealLike),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Make(args) => make(args),
        Command::Describe(args) => describe(args),
    }
}

fn make(args: &Make) -> Result<(), Failure> {
    let model = args.model()?;
    output::write_file(&args.out, &model.to_bytes())?;
    print(&format!("written to {}\n", args.out.display()))
}

impl Make {
    fn model(&self) -> Result<SyntheticAttention, Failure> {
        let kv_heads = self.kv_heads.unwrap_or(self.heads);
        let queries = self.queries.unwrap_or(self.keys);
        let refused = |message: String| Err(Failure::Input(anyhow!(message)));
        if !self.heads.is_multiple_of(kv_heads) {
            return refused(format!(
                "--kv-heads {kv_heads}: must divide the {} heads; choose one of their divisors, or set --heads",
                self.heads
            ));
        }
        if self.causal && queries > self.keys {
            return refused(format!(
                "--queries {queries}: causal attention has at most as many queries as its {} keys; \
                 choose fewer, set --keys, or leave out --causal true",
                self.keys
            ));
        }
        let elements = |heads, rows| {
            [heads, rows, self.head_dim]
                .into_iter()
                .try_fold(self.layers, u64::checked_mul)
        };
        for (rows, name, count) in [
            (self.keys, "keys", elements(kv_heads, self.keys)),
            (queries, "queries", elements(self.heads, queries)),
        ] {
            if count.is_none_or(|count| count > MOST_ELEMENTS) {
                return refused(format!(
                    "--{name} {rows}: a tensor would have more than {MOST_ELEMENTS} elements \
                     (layers x heads x {name} x d); choose fewer {name}, heads or layers"
                ));
            }
        }
        Ok(SyntheticAttention {
            layers: self.layers as usize,
            heads: self.heads as usize,
            kv_heads: kv_heads as usize,
            queries: queries as usize,
            keys: self.keys as usize,
            head_dim: self.head_dim as usize,
            causal: self.causal,
            rows: self.rows.kind(),
            seed: self.seed,
        })
    }
}

fn describe(args: &Describe) -> Result<(), Failure> {
    let tensors = AttentionTensors::read(&args.tensors, args.causal)?;
    let layers: Vec<RowStatistics> = (0..tensors.layer_count())
        .map(|layer| RowStatistics::of_layer(&tensors, layer))
        .collect();
    let all = RowStatistics::mean(layers.iter().copied());
    if args.json {
        let object = |statistics: &RowStatistics| {
            json!({
                "rows": statistics.rows,
                "entropy": statistics.entropy,
                "largest": statistics.largest,
                "first": statistics.first,
                "neighbours": statistics.neighbours,
            })
        };
        let layers: Vec<_> = layers.iter().map(object).collect();
        return print_json(&json!({ "all": object(&all), "layers": layers }));
    }
    let mut text = format!(
        "{}: {} attention, {} layers of {}\n\nlayer   rows  entropy  largest  first  neighbours\n",
        args.tensors.display(),
        tensors.direction(),
        tensors.layer_count(),
        tensors.sizes(),
    );
    let names = (0..layers.len()).map(|layer| layer.to_string());
    for (name, statistics) in names
        .chain(["all".to_owned()])
        .zip(layers.iter().chain([&all]))
    {
        let RowStatistics {
            rows,
            entropy,
            largest,
            first,
            neighbours,
        } = statistics;
        let _ = writeln!(
            text,
            "{name:>5}  {rows:>5}  {entropy:>7.3}  {largest:>7.3}  {first:>5.3}  {neighbours:>10.3}"
        );
    }
    let _ = write!(
        text,
        "\nMeans over the rows of at least {FEWEST_KEYS} live keys, of the probabilities in float64:\n\
         entropy over that of a flat row, the largest, the first key's, and that of the query's own key and the keys beside it\n"
    );
    print(&text)
}
