//! The cycle model of the fetcher at the published size: the fractions of the channels' peak that its README states.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use spatten::accelerator::fetch::Placement;
use spatten::accelerator::fetch::model::{FetchModel, List};
use spatten::cosim::memory::{AxiSlave, BEAT_BYTES, Hbm2Timing, MemoryTiming, SlaveOptions};

const CHANNELS: usize = 16;
const HEADS: usize = 12;
const KEYS: usize = 1024;
/// Beats of each run: twenty refreshes.
const BEATS: usize = CHANNELS * 80_000;

/// Bytes between planes, a power of two: K and V of a head lie in different banks.
const APART: u64 = 1 << 18;

/// Which tokens of a layer survive.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Dense,
    Random(f64),
    Every16th,
    Count(usize),
}

const KINDS: [Kind; 5] = [
    Kind::Dense,
    Kind::Random(0.5),
    Kind::Random(0.3),
    Kind::Random(0.1),
    Kind::Every16th,
];

fn survivors(kind: Kind, random: &mut ChaCha8Rng) -> Vec<usize> {
    match kind {
        Kind::Dense => (0..KEYS).collect(),
        Kind::Every16th => (0..KEYS).step_by(16).collect(),
        Kind::Random(share) => (0..KEYS).filter(|_| random.random_bool(share)).collect(),
        Kind::Count(count) => {
            let mut ids: Vec<usize> = (0..KEYS).collect();
            ids.shuffle(random);
            ids.truncate(count);
            ids.sort_unstable();
            ids
        }
    }
}

/// K and V of head after head and layer after layer, all of a layer with the same survivors; planes
/// begin `spacing` bytes apart.
fn lists(kind: Kind, beats: usize, spacing: u64) -> Vec<List> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let stride = (beats as u64 * BEAT_BYTES).next_power_of_two();
    let placement = Placement::new(CHANNELS);
    let rows = placement.rows(KEYS) as u64;
    let mut lists = Vec::new();
    let (mut plane, mut vectors) = (0, 0);
    while vectors * beats < BEATS {
        let ids = survivors(kind, &mut random);
        for head in 0..HEADS {
            for values in [false, true] {
                let base = (2 * plane + u64::from(values)) * spacing;
                let place = |&id: &usize| {
                    let row = head as u64 * rows + placement.row(id) as u64;
                    let rotation = match values {
                        true => placement.value_rotation(head),
                        false => placement.rotation(head),
                    };
                    (placement.channel(id, rotation), base + row * stride)
                };
                let vectors = ids.iter().map(place).collect();
                lists.push(List {
                    ring: usize::from(values),
                    vectors,
                    beats,
                });
            }
        }
        plane += 1;
        vectors += 2 * HEADS * ids.len();
    }
    lists
}

/// Bytes per cycle as a share of 512.
fn share_at(
    model: &FetchModel,
    kind: Kind,
    beats: usize,
    timing: &MemoryTiming,
    spacing: u64,
) -> f64 {
    let memory = |seed| AxiSlave::new(SlaveOptions::new(timing.clone(), seed));
    let mut memories: Vec<AxiSlave> = (0..CHANNELS as u64).map(memory).collect();
    let outcome = model.run(&mut memories, &lists(kind, beats, spacing));
    outcome.bytes as f64 / (outcome.cycles * CHANNELS as u64 * BEAT_BYTES) as f64
}

/// The same with planes that do not share banks.
fn share(model: &FetchModel, kind: Kind, beats: usize, timing: &MemoryTiming) -> f64 {
    share_at(model, kind, beats, timing, APART)
}

fn fixed() -> MemoryTiming {
    MemoryTiming::Fixed(80)
}

fn hbm2() -> MemoryTiming {
    MemoryTiming::Hbm2(Hbm2Timing::default())
}

/// Shares of the lists of [`KINDS`], printed.
fn shares(what: &str, model: &FetchModel, beats: usize, timing: &MemoryTiming) -> Vec<f64> {
    let shares = KINDS.iter().map(|&kind| share(model, kind, beats, timing));
    let shares: Vec<f64> = shares.collect();
    println!("{what}, {beats} beats, {timing:?}: {shares:.3?}");
    shares
}

fn reaches(shares: &[f64], targets: [f64; 5]) {
    let reached = shares
        .iter()
        .zip(targets)
        .all(|(share, target)| *share >= target);
    assert!(reached, "{shares:.3?} of {targets:?}");
}

#[test]
fn eight_bit_vectors_reach_the_targets_with_both_timings() {
    let model = FetchModel::default();
    reaches(
        &shares("default", &model, 2, &fixed()),
        [0.98, 0.95, 0.95, 0.94, 0.97],
    );
    reaches(
        &shares("default", &model, 2, &hbm2()),
        [0.91, 0.89, 0.89, 0.87, 0.90],
    );
}

#[test]
fn planes_that_share_banks_cost_bandwidth() {
    // Twelve heads of 64 vectors of 64 bytes: plane behind plane.
    let spacing = 12 * 64 * 64;
    let close = share_at(&FetchModel::default(), Kind::Dense, 2, &hbm2(), spacing);
    println!("plane behind plane: {close:.3}");
    assert!(close < 0.89, "{close:.3}");
}

#[test]
fn one_fill_per_column_and_cycle_is_too_few_for_random_survivors() {
    let model = FetchModel {
        column_fills: 1,
        ..FetchModel::default()
    };
    let shares = shares("one fill per column", &model, 2, &fixed());
    assert!(shares[0] > 0.98 && shares[2] < 0.80, "{shares:.3?}");
}

#[test]
fn twelve_bit_vectors_need_one_fill_per_column() {
    for column_fills in [1, 2] {
        let model = FetchModel {
            column_fills,
            ..FetchModel::default()
        };
        let what = format!("{column_fills} fills per column");
        reaches(
            &shares(&what, &model, 3, &fixed()),
            [0.98, 0.94, 0.94, 0.94, 0.98],
        );
        reaches(
            &shares(&what, &model, 3, &hbm2()),
            [0.91, 0.89, 0.88, 0.85, 0.87],
        );
    }
}

#[test]
fn halving_reads_or_lines_costs_a_fifth_and_more() {
    let reads = FetchModel {
        outstanding: 32,
        ..FetchModel::default()
    };
    let lines = FetchModel {
        lines: 32,
        ..FetchModel::default()
    };
    let writes = FetchModel {
        queue_writes: 1,
        ..FetchModel::default()
    };
    for (what, model) in [
        ("32 reads", reads),
        ("32 lines", lines),
        ("1 queue write", writes),
    ] {
        let shares = shares(what, &model, 2, &fixed());
        assert!(shares[2] < 0.80, "{what}: {shares:.3?}");
    }
}

#[test]
fn short_lists_keep_the_channels_busy() {
    for (count, fixed_share, hbm2_share) in [(20, 0.85, 0.55), (64, 0.93, 0.85), (300, 0.95, 0.89)]
    {
        let model = FetchModel::default();
        let kind = Kind::Count(count);
        let [fixed, hbm2] = [fixed(), hbm2()].map(|timing| share(&model, kind, 2, &timing));
        println!("{count} survivors: {fixed:.3} and {hbm2:.3}");
        assert!(
            fixed > fixed_share && hbm2 > hbm2_share,
            "{count}: {fixed:.3}, {hbm2:.3}"
        );
    }
}
