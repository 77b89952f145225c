//! Cycles of the top-k block alone, at 16 lanes, against the bound of its input rate and upstream's latency model; cycles
//! and area against a merge sorter.

use rand::{Rng, RngExt};

use super::merge_sorter::{self, Cycles};
use super::{Benchmark, Inputs, Row};
use crate::accelerator::top_k::TopK;
use crate::accelerator::top_k::golden::Part;
use crate::config::Config;
use crate::engine::EngineError;
use crate::golden::head::attend_head;
use crate::testbenches::selections::{Kind, Selection};
use crate::testbenches::{Options, top_k::Timed};
use crate::workload::quantizer::QuantizedLayer;
use crate::workload::synthetic::{RowKind, SyntheticAttention};

/// Keys of a selection, with the mean latency that the project set itself.
const KEYS: [(usize, f64); 3] = [(1024, 70.0), (256, 30.0), (64, 24.0)];
/// Shares of the keys that stay.
const KEEP: [f64; 6] = [0.1, 0.25, 0.37, 0.5, 0.65, 0.9];
/// Selections of each kind of keys.
const SELECTIONS: usize = 200;
/// Selections that follow each other.
const BACK_TO_BACK: usize = 40;
/// 99th percentile at 1024 keys.
const TARGET_P99: f64 = 300.0;
/// Occupancy over the cycles of the input.
const TARGET_OCCUPANCY: f64 = 1.15;
const SEED: u64 = 1;
/// Lanes of the sweep.
const LANES: [usize; 6] = [1, 2, 4, 8, 16, 32];

pub(super) const TOP_K: Benchmark = Benchmark {
    name: "top_k",
    summary: "cycles of the top-k block alone: from a selection's last line to the first element that stays, and per \
              selection back to back; the bound of the latter is one line per cycle; area beside a merge sorter's",
    run: top_k,
};

fn top_k(inputs: &Inputs<'_>) -> Result<Vec<Row>, EngineError> {
    let own = TopK::new(inputs.config);
    let measured = Measured::of(&own)?;
    let mut rows = measured.rows();
    rows.extend(measured.beside_sorter(&own));
    rows.extend(merge_sorter::areas(&own)?);
    for lanes in LANES.into_iter().filter(|&lanes| lanes != own.engine.lanes) {
        let mut block = own.clone();
        block.engine.lanes = lanes;
        rows.extend(Measured::of(&block)?.sweep_rows());
    }
    Ok(rows)
}

/// What one block measures at each length.
struct Measured {
    lanes: usize,
    lengths: Vec<Length>,
}

struct Length {
    keys: usize,
    latencies: Vec<f64>,
    /// By upstream's model, on the same keys.
    upstream: Vec<f64>,
    occupancy: f64,
    worst: f64,
    bound: f64,
    input_cycles: f64,
    /// Cycles after the last line until an odd-even merge sorter of as many keys gives its first line.
    sorter: f64,
}

impl Measured {
    fn of(block: &TopK) -> Result<Measured, EngineError> {
        let options = Options {
            cases: 0,
            seed: SEED,
            trace: None,
        };
        let mut timed = Timed::start(block, &options)?;
        let most = block.engine.max_keys;
        let mut lengths: Vec<usize> = KEYS.iter().map(|(keys, _)| *keys).collect();
        lengths.retain(|&keys| keys <= most);
        if lengths.is_empty() {
            lengths.push(most);
        }
        let lengths = lengths
            .into_iter()
            .map(|keys| Length::measure(block, &mut timed, keys, &options))
            .collect::<Result<_, _>>()?;
        Ok(Measured {
            lanes: block.engine.lanes,
            lengths,
        })
    }

    /// All rows of the configuration's own lanes.
    fn rows(&self) -> Vec<Row> {
        let lengths = self.lengths.iter();
        lengths.flat_map(|length| length.rows(self.lanes)).collect()
    }

    /// What the sweep tells of other lanes.
    fn sweep_rows(&self) -> Vec<Row> {
        let of = |row: Row| Row {
            case: format!("{} lanes={}", row.case, self.lanes),
            ..row
        };
        let lengths = self.lengths.iter();
        lengths
            .flat_map(|length| [length.mean(), length.occupancy()].map(of))
            .collect()
    }

    /// Throughput beside that of a merge sorter.
    fn beside_sorter(&self, block: &TopK) -> Vec<Row> {
        let lengths = self.lengths.iter();
        lengths
            .flat_map(|length| merge_sorter::throughput(block, &length.cycles()))
            .collect()
    }
}

impl Length {
    fn measure(
        block: &TopK,
        timed: &mut Timed,
        keys: usize,
        options: &Options,
    ) -> Result<Length, EngineError> {
        let mut random = options.random(keys as u64);
        let width = block.engine.width;
        let mut selections = Vec::new();
        for kind in [Kind::Uniform, Kind::Ties] {
            for _ in 0..SELECTIONS {
                let k = wanted(keys, &mut random);
                selections.push(Selection::of(kind, keys, k, width, &mut random));
            }
        }
        for exponentials in attention_rows(keys) {
            let k = wanted(keys, &mut random);
            selections.push(Selection {
                parts: vec![Part::Ranked; keys],
                keys: exponentials,
                k,
            });
        }
        let mut latencies = Vec::new();
        let mut upstream = Vec::new();
        for selection in &selections {
            latencies.push(timed.latency(selection)? as f64);
            upstream.push(upstream_latency(&selection.keys, selection.k, &mut random) as f64);
        }
        let mut worst = 0;
        for kind in Kind::ALL {
            let selection = Selection::of(kind, keys, keys / 2, width, &mut random);
            worst = worst.max(timed.latency(&selection)?);
        }
        let stride = selections.len() / BACK_TO_BACK;
        let mixed: Vec<_> = selections.iter().step_by(stride).cloned().collect();
        Ok(Length {
            keys,
            latencies,
            upstream,
            occupancy: timed.occupancy(&mixed)?,
            worst: worst as f64,
            bound: block.most_cycles(keys) as f64,
            sorter: merge_sorter::sorter(block, keys).latency() as f64,
            input_cycles: keys.div_ceil(block.engine.inputs) as f64,
        })
    }

    fn row(&self, case: &str, value: f64) -> Row {
        let case = format!("{case} n={}", self.keys);
        Row::of(TOP_K.name, case, value, "cycles")
    }

    fn mean(&self) -> Row {
        self.row("mean", mean(&self.latencies))
    }

    fn occupancy(&self) -> Row {
        self.row("occupancy", self.occupancy)
            .bound(self.input_cycles)
    }

    /// The rows of a block of so many lanes.
    fn rows(&self, lanes: usize) -> [Row; 7] {
        // The targets are those of the published lanes.
        let target = KEYS.iter().find(|(keys, _)| *keys == self.keys);
        let mean = match target.filter(|_| lanes == 16) {
            Some((_, target)) => self.mean().target(*target),
            None => self.mean(),
        };
        let p99 = self.row("p99", percentile(&self.latencies, 0.99));
        let p99 = match self.keys {
            1024 => p99.target(TARGET_P99),
            _ => p99,
        };
        [
            mean,
            p99,
            self.occupancy()
                .target(TARGET_OCCUPANCY * self.input_cycles),
            self.row("worst", self.worst).bound(self.bound),
            self.row("merge sorter", self.sorter),
            self.row("upstream mean", self::mean(&self.upstream)),
            self.row("upstream p99", percentile(&self.upstream, 0.99)),
        ]
    }

    fn cycles(&self) -> Cycles {
        Cycles {
            keys: self.keys,
            median: percentile(&self.latencies, 0.5),
            occupancy: self.occupancy,
            input: self.input_cycles,
        }
    }
}

fn wanted(keys: usize, random: &mut impl Rng) -> usize {
    let share = KEEP[random.random_range(0..KEEP.len())];
    ((share * keys as f64) as usize).max(1)
}

/// Exponentials of real-like rows over so many keys, as the local value selection ranks them.
fn attention_rows(keys: usize) -> Vec<Vec<u64>> {
    let model = SyntheticAttention {
        layers: 1,
        heads: 10,
        kv_heads: 10,
        queries: 20,
        keys,
        head_dim: 32,
        causal: false,
        rows: Some(RowKind::RealLike),
        seed: SEED,
    };
    let formats = Config::default().formats();
    let layer = QuantizedLayer::new(&model.tensors(), 0, &formats, true).operands;
    let heads = (0..model.heads).flat_map(|head| attend_head(&formats, &layer.head(head)));
    let bits = |row: Vec<i64>| row.into_iter().map(|e| e as u64).collect();
    heads.map(|row| bits(row.exponentials)).collect()
}

/// Upstream's model of its engine (`docs/decisions.md`, section 4): quick-select with random pivots at 16 lanes, each pass
/// ceil(n / 16) + 3 cycles, over the keys left.
fn upstream_latency(keys: &[u64], k: usize, random: &mut impl Rng) -> usize {
    let (mut left, mut rank, mut cycles) = (keys.to_vec(), k, 0);
    loop {
        cycles += left.len().div_ceil(16) + 3;
        let pivot = left[random.random_range(0..left.len())];
        let above: Vec<u64> = left.iter().copied().filter(|&key| key > pivot).collect();
        let below: Vec<u64> = left.iter().copied().filter(|&key| key < pivot).collect();
        let equal = left.len() - above.len() - below.len();
        if rank <= above.len() {
            left = above;
        } else if rank <= above.len() + equal {
            return cycles;
        } else {
            rank -= above.len() + equal;
            left = below;
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}
