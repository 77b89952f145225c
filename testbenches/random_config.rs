//! Random configurations that are valid by construction, the ends of every range among them.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use spatten::config::Config;

/// How large a random configuration may be.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Most multipliers per array.
    pub multipliers: usize,
    /// Most keys of a row.
    pub keys_per_row: usize,
}

impl Limits {
    /// Everything that the fields' ranges allow.
    pub const ANY: Limits = Limits {
        multipliers: 1024,
        keys_per_row: 4096,
    };
    /// What Verilator compiles in seconds.
    pub const SMALL: Limits = Limits {
        multipliers: 192,
        keys_per_row: 40,
    };
}

/// A number of the range, often one of its ends.
fn about(random: &mut impl Rng, min: usize, max: usize) -> usize {
    match random.random_range(0..6) {
        0 => min,
        1 => max,
        _ => random.random_range(min..=max),
    }
}

/// Lines of a buffer that must hold `needed`: often exactly as many, seldom many more.
fn lines(random: &mut impl Rng, needed: usize) -> usize {
    let needed = needed.max(2);
    about(random, needed, (2 * needed + 3).min(8192))
}

fn chosen<T: Copy>(random: &mut impl Rng, among: &[T]) -> T {
    *among.choose(random).expect("there is something to choose")
}

/// A valid configuration within the limits.
///
/// # Panics
/// When the rules have changed so that the draw is not valid any more.
pub fn valid(random: &mut impl Rng, limits: Limits) -> Config {
    let subsets: [&[usize]; 7] = [
        &[32],
        &[64],
        &[128],
        &[32, 64],
        &[32, 128],
        &[64, 128],
        &[32, 64, 128],
    ];
    let head_dims = chosen(random, &subsets).to_vec();
    let (smallest, largest) = (head_dims[0], head_dims[head_dims.len() - 1]);
    let mut config = Config {
        name: "random".into(),
        ..Config::default()
    };
    config.array.multipliers = largest * about(random, 1, limits.multipliers / largest);
    config.array.head_dims = head_dims;
    config.arithmetic.query_bits = about(random, 4, 12);
    config.arithmetic.key_bits = about(random, 4, 12);
    config.arithmetic.value_bits = about(random, 4, 12);
    let keys = about(random, 1, limits.keys_per_row);
    config.limits.keys_per_row = keys;
    config.limits.heads = about(random, 6, 20);
    config.softmax.lanes = chosen(random, &fitting_softmax_lanes(&config));
    config.softmax.value_engines = random.random_range(0..=2);
    config.top_k.lanes = 1 << random.random_range(0..6);
    let divisors: Vec<usize> = (1..=32).filter(|&n| smallest.is_multiple_of(n)).collect();
    config.output.lanes = chosen(random, &divisors);
    config.buffers.key_lines = lines(random, config.lines_per_longest_row());
    config.buffers.value_lines = lines(random, config.lines_per_longest_row());
    config.buffers.score_lines = lines(random, config.score_lines_per_longest_row());
    config.buffers.exponential_lines = lines(random, config.score_lines_per_longest_row());
    config.buffers.weight_lines = lines(random, 16);
    config.buffers.held_lines = lines(random, config.score_lines_per_longest_row());
    config.buffers.key_lsb_lines = match config.arithmetic.key_bits {
        4 => 0,
        _ => chosen(random, &[0, 16, 21, 64]),
    };
    config.buffers.query_rows = about(random, 2, 256);
    config.limits.tokens = about(random, keys, 4096);
    config.schedule.rows_in_flight = about(random, 2, 64);
    config.memory.channels = 1 << random.random_range(0..6);
    config.memory.address_bits = about(random, 20, 48);
    config.memory.outstanding_reads = about(random, 2, 64);
    config.memory.silence_log2 = about(random, 10, 24);
    config
        .validate()
        .unwrap_or_else(|error| panic!("the draw is out of step with the rules: {error}"));
    config
}

fn fitting_softmax_lanes(config: &Config) -> Vec<usize> {
    let fits = |lanes: usize, keys: usize| lanes.is_multiple_of(keys) || keys.is_multiple_of(lanes);
    let dims = &config.array.head_dims;
    (1..=16)
        .filter(|&lanes| dims.iter().all(|&d| fits(lanes, config.keys_per_line(d))))
        .collect()
}
