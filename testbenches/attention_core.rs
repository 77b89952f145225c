//! Testbench of the attention core: whole layers, head after head.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::importance::{Element, kept_words, score_words};
use super::progressive_layers::BenchLayer;
use super::softmax_rows::value_ids;
use super::streams::{ROUNDS, Streams, Traffic, design};
use super::{BenchError, Options, Report};
use crate::accelerator::importance::ScoreSet;
use crate::accelerator::importance::golden::HeadScale;
use crate::accelerator::refine::golden::Rule;
use crate::accelerator::softmax::golden::Scale;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::{Design, Place};
use crate::engine::streams::{CoreFields, CoreJob, LayerStreams};
use crate::golden::cascade::{Cascade, CascadeStep, Live};
use crate::golden::head::live_keys;
use crate::golden::layer::{LayerOperands, equal_groups};
use crate::golden::row::{RowTrace, ValuePruning};

/// Most query rows of a random head.
const MOST_QUERIES: usize = 12;

/// Runs on the configuration's core.
///
/// # Errors
/// [`BenchError`] when the core differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let core = AttentionCore::new(config);
    check(&core, &design(&core), options)
}

/// At least `options.cases` query rows in random layers of all head dimensions, grouped queries, causal and random
/// live keys, values pruned row by row where the core can, one layer after the other without a pause, in rounds of random
/// stalls, each interrupted once by a reset; then the cycles per row at full speed.
///
/// # Errors
/// As [`run`]; the message names layer, head, token and output element, and the golden trace of that row.
pub fn check(
    core: &AttentionCore,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut bench = LayerBench::start(core, design, options)?;
    let layers = corners(core, &mut random).into_iter();
    let layers = layers.flat_map(|layer| with_rules(core, layer, &mut random));
    let layers = layers.collect();
    bench.run_at_full_speed(layers)?;
    for _ in 0..ROUNDS {
        let mut layers = Vec::new();
        let mut rows = 0;
        while rows < options.cases.div_ceil(ROUNDS) {
            let layer = random_layer(core, &mut random);
            rows += layer.queries.len() * layer.live_keys.len();
            layers.extend(with_rules(core, layer, &mut random).pop());
        }
        bench.run_with_stalls(layers)?;
    }
    let mut notes = Vec::new();
    for &head_dim in &core.shape.head_dims {
        let layer = Layer {
            head_dim,
            heads: 4,
            kv_heads: 4,
            queries: core.keys_per_row,
            keys: core.keys_per_row,
            reach: 1.0,
        };
        notes.push(utilisation(&mut bench, layer, None, &mut random)?);
        if core.value_ranking().is_some() {
            let two_in_five = ValuePruning {
                keep: core.keys_per_row * 2 / 5,
                renormalise: true,
            };
            notes.push(utilisation(
                &mut bench,
                layer,
                Some(two_in_five),
                &mut random,
            )?);
        }
    }
    Ok(Report {
        notes,
        ..bench.report()
    })
}

/// An attention core on a bench that takes whole layers, from wherever they come, and holds it against the golden
/// model. A mismatch names the layer by its place in the list, the head, the token (query) and the output element.
pub struct LayerBench {
    core: AttentionCore,
    streams: Streams,
}

impl LayerBench {
    /// Starts a design of `core`.
    ///
    /// # Errors
    /// [`BenchError::Cosim`] when the design cannot be built.
    pub fn start(
        core: &AttentionCore,
        design: &Design,
        options: &Options,
    ) -> Result<LayerBench, BenchError> {
        let fields = CoreFields::new(core);
        let mut sources = vec![
            ("key", fields.key),
            ("value", fields.value),
            ("row", fields.row),
            ("job", fields.job),
            ("pin", fields.pin),
        ];
        let [kept_token, kept_head] = fields.kept;
        let [token_score, head_score] = fields.scores;
        let mut sinks = vec![
            ("out", fields.out),
            ("kept_token", kept_token),
            ("kept_head", kept_head),
            ("token_score", token_score),
            ("head_score", head_score),
        ];
        sinks.extend(fields.value_id.map(|of| ("value_id", of)));
        if let Some([lsb, refetch]) = fields.lsb {
            sources.push(("lsb", lsb));
            sinks.push(("refetch", refetch));
        }
        Ok(LayerBench {
            core: core.clone(),
            streams: Streams::start(design, options, &sources, &sinks)?,
        })
    }

    /// One layer after the other, without a pause or stall.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`]: the first difference, broken rule or stuck stream.
    ///
    /// # Panics
    /// When a layer does not fit the core.
    pub fn at_full_speed(&mut self, layers: Vec<LayerOperands>) -> Result<(), BenchError> {
        self.run_at_full_speed(layers.into_iter().map(BenchLayer::from).collect())
    }

    /// The same with random stalls on every stream, or long ones on a single stream, first up to a reset in mid-stream.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    ///
    /// # Panics
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn with_stalls(&mut self, layers: Vec<LayerOperands>) -> Result<(), BenchError> {
        self.run_with_stalls(layers.into_iter().map(BenchLayer::from).collect())
    }

    /// As [`at_full_speed`](Self::at_full_speed), of layers that may be progressive.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    ///
    /// # Panics
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn run_at_full_speed(&mut self, layers: Vec<BenchLayer>) -> Result<(), BenchError> {
        self.streams.at_full_speed(traffic(&self.core, layers))
    }

    /// As [`with_stalls`](Self::with_stalls), of layers that may be progressive.
    ///
    /// # Errors
    /// As [`at_full_speed`](Self::at_full_speed).
    ///
    /// # Panics
    /// As [`at_full_speed`](Self::at_full_speed).
    pub fn run_with_stalls(&mut self, layers: Vec<BenchLayer>) -> Result<(), BenchError> {
        self.streams.with_stalls(traffic(&self.core, layers))
    }

    /// What was compared so far.
    pub fn report(&mut self) -> Report {
        Report {
            words: self.streams.words(),
            cycles: self.streams.cycles(),
            ..Report::default()
        }
    }
}

/// Cycles per row of a dense layer against its K lines and its score lines: the larger number is the least that a row
/// can take.
fn utilisation(
    bench: &mut LayerBench,
    layer: Layer,
    pruning: Option<ValuePruning>,
    random: &mut ChaCha8Rng,
) -> Result<String, BenchError> {
    let core = &bench.core.clone();
    let words_per_row = layer.head_dim / core.output_lanes;
    let rows = (layer.heads * layer.queries) as f64;
    let level = core
        .shape
        .level_of(layer.head_dim)
        .expect("a supported dimension");
    let lines = layer.keys.div_ceil(core.shape.vectors_per_line(level));
    let score_lines = layer.keys.div_ceil(core.softmax_lanes);
    let mut operands = layer.operands(core, random, vec![layer.keys; layer.queries]);
    operands
        .value_pruning
        .fill(pruning.unwrap_or(ValuePruning::NONE));
    bench.at_full_speed(vec![operands])?;
    let taken = bench.streams.taken_at(0);
    let (first, last) = (taken[words_per_row - 1], taken[taken.len() - 1]);
    let cycles = (last - first) as f64 / (rows - 1.0);
    Ok(format!(
        "d {}, {} keys{}: {cycles:.2} cycles per row of {lines} K and {score_lines} score lines, utilisation {:.3}; \
         first output after {} cycles",
        layer.head_dim,
        layer.keys,
        pruning.map_or(String::new(), |p| format!(", {} values kept", p.keep)),
        lines as f64 / cycles,
        taken[0] - bench.streams.sent_at(2)[0],
    ))
}

/// What layer `index` of some layers does to importance, which starts from zero: selections of every strength, scores of
/// two layers in three. The newest token is pinned, of every fourth layer the first too.
fn job_of(layer: &LayerOperands, index: usize) -> CoreJob {
    let dense = CoreJob::dense(layer);
    let (tokens, heads) = (dense.keep_tokens, dense.keep_heads);
    let pinned: Vec<bool> = (0..tokens)
        .map(|token| token + 1 == tokens || (token == 0 && index.is_multiple_of(4)))
        .collect();
    let pins = pinned.iter().filter(|&&pinned| pinned).count();
    let step = |head| HeadScale {
        mantissa: 40_000 + head as i64,
        shift: 15 + head as u32 % 3,
    };
    CoreJob {
        report: !index.is_multiple_of(3),
        keep_tokens: (tokens * (index % 4 + 1)).div_ceil(4).max(pins),
        keep_heads: (heads * (index % 3 + 1)).div_ceil(3),
        head_scales: (0..heads).map(step).collect(),
        pinned,
        ..dense
    }
}

/// The words of a layer's importance, in the order of the sinks: ids of tokens and heads that stay, scores of both.
fn importance_words(
    core: &AttentionCore,
    job: &CoreJob,
    heads: &[Vec<RowTrace>],
) -> [Vec<Vec<i64>>; 4] {
    let live = Live::all(job.pinned.len(), heads.len());
    let pinned = live.tokens.iter().filter(|&&token| job.pinned[token]);
    let step = CascadeStep {
        first: true,
        keep_tokens: job.keep_tokens,
        keep_heads: job.keep_heads,
        pinned: pinned.copied().collect(),
        head_scales: job.head_scales.clone(),
    };
    let mut cascade = Cascade::default();
    cascade.begin(&live, true);
    for (head, rows) in heads.iter().enumerate() {
        cascade.add_head(head, rows, job.head_scales[head]);
    }
    let result = cascade
        .select(&live, &step)
        .expect("no more pins than stay");

    let lanes = core.softmax_lanes;
    let kept = |ids: &[usize], of: usize| match ids.len() < of {
        true => kept_words(lanes, ids),
        false => Vec::new(),
    };
    let scores = |set: &ScoreSet, scores: &[i64], pinned: &dyn Fn(usize) -> bool| {
        let element = |(id, &score): (usize, &i64)| Element {
            id,
            pinned: pinned(id),
            score,
        };
        let elements: Vec<_> = scores.iter().enumerate().map(element).collect();
        match job.report {
            true => score_words(set, &elements),
            false => Vec::new(),
        }
    };
    let importance = core.importance();
    let [tokens, head] = [importance.token_scores().set, importance.head_scores().set];
    [
        kept(&result.next.tokens, live.tokens.len()),
        kept(&result.next.heads, live.heads.len()),
        scores(&tokens, &result.token_scores, &|id| job.pinned[id]),
        scores(&head, &result.head_scores, &|_| false),
    ]
}

/// The words of some layers, one after the other.
fn traffic(core: &AttentionCore, layers: Vec<BenchLayer>) -> Traffic {
    let mut sent = vec![Vec::new(); 6];
    let mut importance = vec![Vec::new(); 4];
    let mut importance_places = vec![Vec::new(); 4];
    let mut expected = Vec::new();
    let mut places = Vec::new();
    let mut ids = Vec::new();
    let mut id_places = Vec::new();
    let mut refetches = Vec::new();
    let mut refetch_places = Vec::new();
    for (index, bench_layer) in layers.iter().enumerate() {
        let layer = &bench_layer.operands;
        let job = job_of(layer, index);
        let mut words = LayerStreams::new(core, layer, &job).expect("a layer made for this core");
        bench_layer.complete(core, &mut words);
        let channels = [
            words.key,
            words.value,
            words.row,
            vec![words.job],
            words.pin,
            words.lsb,
        ];
        for (channel, words) in sent.iter_mut().zip(channels) {
            channel.extend(words);
        }
        let mut heads = Vec::new();
        let head_dim = layer.queries[0][0].len();
        let level = core.shape.level_of(head_dim).expect("it fits");
        for head in 0..layer.queries.len() {
            let mut rows = Vec::new();
            for token in 0..layer.live_keys.len() {
                let (row, refetch) = bench_layer.row(&core.formats, head, token);
                refetch_places.extend(refetch.map(|_| (index, head, token)));
                refetches.extend(refetch.map(|refetch| vec![i64::from(refetch)]));
                let words = LayerStreams::output_words(core.output_lanes, &row.outputs);
                places.extend((0..words.len()).map(|word| (index, head, token, word)));
                expected.extend(words);
                let live = layer.live_keys[token];
                if layer.value_pruning[token].keep < live {
                    let mut kept = row.kept[..live].to_vec();
                    kept.resize(core.score_lines(level, live) * core.softmax_lanes, false);
                    let words = value_ids(&kept, core.softmax_lanes);
                    id_places.extend((0..words.len()).map(|line| (index, head, token, line)));
                    ids.extend(words);
                }
                rows.push(row);
            }
            heads.push(rows);
        }
        for (sink, words) in importance_words(core, &job, &heads).into_iter().enumerate() {
            importance_places[sink].extend((0..words.len()).map(|line| (index, line)));
            importance[sink].extend(words);
        }
    }
    let (layers, lanes, formats) = (Arc::new(layers), core.output_lanes, core.formats);
    let explain = move |place: &Place| {
        let (index, head, token, word) = places[place.word];
        let (layer, element) = (&layers[index], word * lanes + place.lane);
        let (trace, refetch) = layer.row(&formats, head, token);
        let layer = &layer.operands;
        let refined = match refetch {
            None => "",
            Some(true) => ", refined",
            Some(false) => ", confident",
        };
        format!(
            "layer {index}, head {head}, token {token}, element {element} of {}; golden row: {} of {} keys live{refined}, \
             maximum {:?}, S {}, r {}, k {}, accumulator {:?}",
            layer.queries[head][token].len(),
            layer.live_keys[token],
            layer.keys[0].len(),
            trace.maximum,
            trace.sum,
            trace.reciprocal.mantissa,
            trace.reciprocal.exponent,
            trace.accumulators.get(element),
        )
    };
    let mut traffic = Traffic {
        sent,
        expected: vec![expected],
        explain: vec![Box::new(explain)],
    };
    traffic.expected.extend(importance);
    let names = ["kept tokens", "kept heads", "token scores", "head scores"];
    for (places, name) in importance_places.into_iter().zip(names) {
        traffic.explain.push(Box::new(move |place| {
            let (index, line) = places[place.word];
            format!("layer {index}, line {line} of its {name}")
        }));
    }
    if core.value_ranking().is_some() {
        traffic.expected.push(ids);
        traffic.explain.push(Box::new(move |place| {
            let (index, head, token, line) = id_places[place.word];
            format!("layer {index}, head {head}, token {token}, line {line}")
        }));
    }
    if core.refines() {
        traffic.expected.push(refetches);
        traffic.explain.push(Box::new(move |place| {
            let (index, head, token) = refetch_places[place.word];
            format!("layer {index}, head {head}, token {token}")
        }));
    } else {
        traffic.sent.pop();
    }
    traffic
}

/// What makes a random layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub(super) head_dim: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// How many octaves a score at the standard deviation lies below one at zero.
    pub(super) reach: f64,
}

impl Layer {
    pub(super) fn operands(
        &self,
        core: &AttentionCore,
        random: &mut ChaCha8Rng,
        live_keys: Vec<usize>,
    ) -> LayerOperands {
        let formats = core.formats;
        // Largest codes; the most negative one is never produced.
        let [query, key, value] = [formats.query_bits, formats.key_bits, formats.value_bits]
            .map(|bits| (1_i64 << (bits - 1)) - 1);
        let mut tensor = |count: usize, rows: usize, largest: i64| -> Vec<Vec<Vec<i64>>> {
            let extreme = random.random_bool(0.1);
            let mut element = || match extreme {
                true if random.random_bool(0.5) => -largest,
                true => largest,
                false => random.random_range(-largest..=largest),
            };
            let mut vector = || (0..self.head_dim).map(|_| element()).collect();
            let mut matrix = || (0..rows).map(|_| vector()).collect();
            (0..count).map(|_| matrix()).collect()
        };
        let deviation = (query * key * 16) as f64 / 3.0 * (self.head_dim as f64).sqrt();
        LayerOperands {
            queries: tensor(self.heads, self.queries, query),
            keys: tensor(self.kv_heads, self.keys, key),
            key_lsbs: None,
            rules: vec![Rule::None; self.heads],
            values: tensor(self.kv_heads, self.keys, value),
            scales: (0..self.heads)
                .map(|head| Scale::from_factor(self.reach * (head + 1) as f64 / deviation))
                .collect::<Result<_, _>>()
                .expect("finite factors"),
            kv_heads: equal_groups(self.heads, self.kv_heads),
            value_pruning: vec![ValuePruning::NONE; live_keys.len()],
            live_keys,
        }
    }
}

/// Per head dimension: the longest rows, a single key, rows without live keys, grouped queries, and heads of one row each,
/// which stream through the buffers as in generation.
fn corners(core: &AttentionCore, random: &mut ChaCha8Rng) -> Vec<LayerOperands> {
    let mut layers = Vec::new();
    for &head_dim in &core.shape.head_dims {
        let longest = core.keys_per_row;
        for (heads, kv_heads, queries, keys, live) in [
            (1, 1, 1, 1, vec![1]),
            (6, 6, 1, longest, vec![longest]),
            (2, 2, 3, longest, vec![longest, 0, longest]),
            (4, 2, 2, longest, vec![0, 1]),
            (3, 1, longest, longest, live_keys(longest, longest, true)),
        ] {
            let layer = Layer {
                head_dim,
                heads,
                kv_heads,
                queries,
                keys,
                reach: 2.0,
            };
            let layer = layer.operands(core, random, live);
            layers.push(with_pruning(core, layer, random));
        }
    }
    layers
}

pub(super) fn random_layer(core: &AttentionCore, random: &mut ChaCha8Rng) -> LayerOperands {
    let dims = &core.shape.head_dims;
    let keys = random.random_range(1..=core.keys_per_row);
    let (heads, kv_heads) = [(1, 1), (2, 2), (4, 2), (3, 1)][random.random_range(0..4)];
    let causal = random.random_bool(0.5);
    let most = if causal {
        keys.min(MOST_QUERIES)
    } else {
        MOST_QUERIES
    };
    let layer = Layer {
        head_dim: dims[random.random_range(0..dims.len())],
        heads,
        kv_heads,
        queries: random.random_range(1..=most),
        keys,
        reach: random.random_range(0.0..8.0),
    };
    let live = if causal {
        live_keys(layer.queries, keys, true)
    } else {
        (0..layer.queries)
            .map(|_| random.random_range(0..=keys))
            .collect()
    };
    let layer = layer.operands(core, random, live);
    with_pruning(core, layer, random)
}

/// The layer with values pruned where the core can: all, half, any number, or none of a row's values stay.
fn with_pruning(
    core: &AttentionCore,
    mut layer: LayerOperands,
    random: &mut ChaCha8Rng,
) -> LayerOperands {
    if core.value_ranking().is_none() {
        return layer;
    }
    for (pruning, &live) in layer.value_pruning.iter_mut().zip(&layer.live_keys) {
        let keep = match random.random_range(0..4) {
            0 => usize::MAX,
            1 => live / 2,
            _ => random.random_range(0..=live),
        };
        *pruning = ValuePruning {
            keep,
            renormalise: random.random_bool(0.5),
        };
    }
    layer
}

/// The layer as it is and, where the core can, with rules: all, half, some or none of the rows with one are refined, beside
/// rows without one or not.
fn with_rules(
    core: &AttentionCore,
    layer: LayerOperands,
    random: &mut ChaCha8Rng,
) -> Vec<BenchLayer> {
    let mut layers = vec![BenchLayer::from(layer.clone())];
    if core.refines() {
        let rate = [1.0, 0.5, random.random_range(0.0..=1.0), 0.0][random.random_range(0..4)];
        let resident = [0.0, 0.3][random.random_range(0..2)];
        let shares = (rate, resident);
        layers.push(BenchLayer::with_rules(layer, &core.formats, shares, random));
    }
    layers
}
