//! Testbench of one lane of the exponential unit.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::harness::start;
use super::streams::design;
use super::{BenchError, Options, Report};
use crate::accelerator::softmax::Exponent;
use crate::accelerator::softmax::golden::{Scale, exponentials};
use crate::config::Config;
use crate::cosim::Design;
use crate::numerics::{
    EXPONENT_FRACTION_BITS, Formats, SCALE_MANTISSA_BITS, SCALE_SHIFT_BITS, log2_exact,
};

/// One key: its score and what its row brings along.
#[derive(Clone, Copy, Debug)]
struct Key {
    score: i64,
    live: bool,
    maximum: i64,
    scale: Scale,
}

impl Key {
    fn golden(&self) -> i64 {
        exponentials(&[self.score], &[self.live], Some(self.maximum), self.scale)[0]
    }
}

/// Runs on the configuration's formats and on the narrowest ones.
///
/// # Errors
/// [`BenchError`] when the block differs from its golden model or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let lane = |formats| Exponent { formats };
    let used = lane(config.formats());
    let mut report = check(&used, &design(&used), options)?;
    let narrow = lane(narrowest());
    let corner = check(&narrow, &design(&narrow), &options.untraced())?;
    report.add(corner.without_notes());
    Ok(report)
}

/// The narrowest formats of any configuration.
pub(super) fn narrowest() -> Formats {
    Formats {
        query_bits: 4,
        key_bits: 4,
        value_bits: 4,
        max_head_dim: 32,
    }
}

/// One key per cycle; each exponential must come exactly [`Exponent::latency`] cycles after its score.
///
/// # Errors
/// As [`run`]; the message names the word.
pub fn check(block: &Exponent, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let mut random = options.random(0);
    let mut keys = corners(block.formats.score_bits());
    keys.extend((0..options.cases).map(|_| random_key(&mut random, block.formats.score_bits())));

    let mut simulator = start(design, options)?;
    let [score, live, maximum] = ["score_i", "live_i", "maximum_i"].map(|n| simulator.port(n));
    let [mantissa, pre, post] = ["mantissa_i", "pre_i", "post_i"].map(|n| simulator.port(n));
    let [e, live_out] = ["e_o", "live_o"].map(|n| simulator.port(n));
    simulator.reset(2)?;
    let start = simulator.cycle();
    for cycle in 0..keys.len() + block.latency() {
        let since = |delay: usize| cycle.checked_sub(delay).and_then(|word| keys.get(word));
        if let Some(key) = since(0) {
            simulator.set_signed(score, key.score);
            simulator.set(live, u64::from(key.live));
            simulator.set_signed(maximum, key.maximum);
            simulator.set(pre, u64::from(key.scale.pre));
        }
        if let Some(key) = since(Exponent::MANTISSA_AT) {
            simulator.set(mantissa, key.scale.mantissa as u64);
        }
        if let Some(key) = since(block.post_at()) {
            simulator.set(post, u64::from(key.scale.post));
        }
        simulator.settle()?;
        if let Some(key) = since(block.latency()) {
            let expected = (key.golden(), key.live);
            let got = (simulator.get(e) as i64, simulator.get(live_out) == 1);
            if expected != got {
                return Err(BenchError::Mismatch(format!(
                    "{} (seed {}): ports `e_o` and `live_o`, cycle {}, word {}: expected {expected:?}, got {got:?} for {key:?}",
                    design.top,
                    options.seed,
                    simulator.cycle(),
                    cycle - block.latency(),
                )));
            }
        }
        simulator.tick()?;
    }
    Ok(Report {
        words: keys.len() as u64,
        cycles: simulator.cycle() - start,
        notes: vec![format!(
            "score to exponential: {} cycles; interval: 1 cycle",
            block.latency()
        )],
        ..Report::default()
    })
}

/// The scale of a total right shift of the product, from 0 to 63, as [`Scale::from_factor`] splits it.
pub(super) fn scale_of_shift(shift: u32, mantissa: i64) -> Scale {
    let fraction = shift + EXPONENT_FRACTION_BITS as u32;
    let factor = mantissa as f64 * (-f64::from(fraction)).exp2();
    Scale::from_factor(factor).expect("a finite factor")
}

/// Every split of the shift with extreme mantissas, and the ends of the shift registers, each with the distances at
/// which something changes.
fn corners(score_bits: usize) -> Vec<Key> {
    let mantissas = [
        1 << (SCALE_MANTISSA_BITS - 1),
        (1 << SCALE_MANTISSA_BITS) - 1,
    ];
    let longest = (1 << SCALE_SHIFT_BITS) - 1;
    let mut scales = Vec::new();
    for mantissa in mantissas {
        scales.extend((0..=longest).map(|shift| scale_of_shift(shift, mantissa)));
        for (pre, post) in [(0, longest), (longest, 0), (longest, longest)] {
            scales.push(Scale {
                mantissa,
                pre,
                post,
            });
        }
    }
    let top = (1 << (score_bits - 1)) - 1;
    let mut keys = Vec::new();
    for scale in scales {
        let step = (1.0 / scale.factor()).clamp(1.0, top as f64) as i64;
        let beyond = (step as f64 * 32.0).min(2.0 * top as f64) as i64;
        for distance in [0, 1, step / 2, step, beyond, top, 2 * top + 1] {
            // Both ends of the range of scores.
            for maximum in [top, -top - 1 + distance] {
                let score = maximum - distance;
                for live in [true, false] {
                    keys.push(Key {
                        score,
                        live,
                        maximum,
                        scale,
                    });
                }
            }
        }
    }
    keys
}

/// A key whose distance and scale mostly meet where exponentials are neither 1 nor 0.
fn random_key(random: &mut ChaCha8Rng, score_bits: usize) -> Key {
    let bound = 1_i64 << (score_bits - 1);
    let maximum = random.random_range(-bound..bound);
    let reach = 1_i64 << random.random_range(0..score_bits);
    let score = random.random_range((maximum - reach).max(-bound)..=maximum);
    let scale = match random.random_range(0..4) {
        0 => Scale {
            mantissa: random.random_range(1 << (SCALE_MANTISSA_BITS - 1)..1 << SCALE_MANTISSA_BITS),
            pre: random.random_range(0..1 << SCALE_SHIFT_BITS),
            post: random.random_range(0..1 << SCALE_SHIFT_BITS),
        },
        _ => random_scale(random, reach),
    };
    let live = random.random_bool(0.9);
    // A dead key may lie above the maximum.
    let score = if live {
        score
    } else {
        random.random_range(-bound..bound)
    };
    Key {
        score,
        live,
        maximum,
        scale,
    }
}

/// A scale that brings distances up to `reach`, a power of two, to exponents up to some 32.
pub(super) fn random_scale(random: &mut ChaCha8Rng, reach: i64) -> Scale {
    let octaves = random.random_range(-2.0..5.0) - log2_exact(reach as usize) as f64;
    Scale::from_factor(f64::exp2(octaves)).expect("a finite factor")
}
