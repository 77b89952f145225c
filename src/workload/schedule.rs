//! How many tokens, heads and values each layer of a job keeps.
//!
//! Ratios are shares of what the whole layer has: the ratio of layer l is the share of tokens (or heads) that take part
//! in it, so the selection after layer l - 1 keeps `ceil(ratio * n)` of the n tokens of the whole sequence, at least
//! those that are pinned. What is pruned never comes back: where a ratio is larger than one before, all that are left
//! stay. All sizes are known beforehand; only which tokens and heads stay is found out on the way.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::golden::row::ValuePruning;

/// Of the layers, the first so many hundredths keep all tokens (paper, section III).
const PERCENT_WITH_ALL_TOKENS: usize = 15;
/// Of the layers, the first so many hundredths keep all heads (paper, section III).
const PERCENT_WITH_ALL_HEADS: usize = 30;
/// Products of a ratio and a count that lie above a whole number by less than this share count as that number: 0.65 of
/// 20 is 13.000000000000002 in float64, and means 13.
const ROUNDING: f64 = 1e-12;

/// What is kept, as a user gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum KeepRatio {
    /// One ratio in (0, 1]. Of tokens and heads that of the last layer, which a schedule reaches; of values that of
    /// every layer.
    Final(f64),
    /// A ratio in (0, 1] for each layer of the model.
    PerLayer(Vec<f64>),
}

/// A text that is no keep ratio.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "must be a ratio above 0 and at most 1, or one for each layer between commas, as in 1,0.8,0.5; {text:?} is none"
)]
pub struct BadRatio {
    /// The part that is no ratio.
    pub text: String,
}

impl FromStr for KeepRatio {
    type Err = BadRatio;

    fn from_str(text: &str) -> Result<KeepRatio, BadRatio> {
        let ratios: Vec<f64> = text.split(',').map(ratio).collect::<Result<_, _>>()?;
        Ok(match ratios[..] {
            [single] => KeepRatio::Final(single),
            _ => KeepRatio::PerLayer(ratios),
        })
    }
}

fn ratio(text: &str) -> Result<f64, BadRatio> {
    let number = text.trim().parse().ok();
    let in_range = number.filter(|&ratio: &f64| ratio > 0.0 && ratio <= 1.0);
    in_range.ok_or_else(|| BadRatio {
        text: text.to_owned(),
    })
}

/// What a ratio is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Tokens, along the cascade.
    Tokens,
    /// Heads, along the cascade.
    Heads,
    /// V vectors, in each row.
    Values,
}

impl fmt::Display for Kept {
    /// The option of `attend`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kept::Tokens => "--token-keep",
            Kept::Heads => "--head-keep",
            Kept::Values => "--value-keep",
        })
    }
}

/// What a job prunes, as a user gives it; by default nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pruning {
    /// Cascade token pruning.
    pub tokens: Option<KeepRatio>,
    /// Cascade head pruning.
    pub heads: Option<KeepRatio>,
    /// Local value pruning.
    pub values: Option<KeepRatio>,
    /// Whether outputs of rows with pruned values are divided by the kept probabilities' sum.
    pub renormalise: bool,
    /// Tokens that are never pruned, beside the newest; in any order, repetitions count once.
    pub pins: Vec<usize>,
}

/// Why a model's layers cannot be pruned so.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PruningError {
    /// Not one ratio per layer.
    #[error(
        "{kept}: {ratios} ratios for {layers} {}; give one for each layer, or a single one",
        plural(*.layers)
    )]
    Length {
        /// What the ratios are of.
        kept: Kept,
        /// Ratios given.
        ratios: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// A first layer that does not take all.
    #[error(
        "{kept}: the first layer's ratio is {ratio}, but nothing is pruned before importance is known; \
         begin with 1, as in 1,{ratio}"
    )]
    First {
        /// What the ratios are of.
        kept: Kept,
        /// The first layer's.
        ratio: f64,
    },
    /// A ratio out of range, which [`KeepRatio`]'s parser refuses.
    #[error("{kept}: the ratio {ratio} is not above 0 and at most 1")]
    Ratio {
        /// What the ratio is of.
        kept: Kept,
        /// The ratio.
        ratio: f64,
    },
    /// A pin that is no token.
    #[error("--pin {pin}: there are {keys} tokens; choose from 0 to {}", .keys - 1)]
    Pin {
        /// The token as given.
        pin: usize,
        /// Tokens of the sequence.
        keys: usize,
    },
}

fn plural(layers: usize) -> &'static str {
    if layers == 1 { "layer" } else { "layers" }
}

/// The sizes of every layer of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Tokens that take part, `[layers]`, never rising.
    pub tokens: Vec<usize>,
    /// Heads that take part, `[layers]`, never rising.
    pub heads: Vec<usize>,
    /// Tokens that always stay, ascending: the pins and the newest.
    pub pinned: Vec<usize>,
    /// Share of V that each row keeps, `[layers]`.
    values: Vec<f64>,
    renormalise: bool,
}

impl Pruning {
    /// The sizes for a model of `layers` layers, `heads` heads and `keys` keys (each at least 1).
    ///
    /// # Errors
    /// [`PruningError`] when ratios or pins do not fit the model.
    pub fn schedule(
        &self,
        layers: usize,
        heads: usize,
        keys: usize,
    ) -> Result<Schedule, PruningError> {
        let mut pinned = self.pins.clone();
        pinned.push(keys - 1);
        pinned.sort_unstable();
        pinned.dedup();
        if let Some(&pin) = pinned.iter().find(|&&pin| pin >= keys) {
            return Err(PruningError::Pin { pin, keys });
        }

        let tokens = cascade(Kept::Tokens, &self.tokens, layers, PERCENT_WITH_ALL_TOKENS)?;
        let heads_kept = cascade(Kept::Heads, &self.heads, layers, PERCENT_WITH_ALL_HEADS)?;
        let values = match &self.values {
            None => vec![1.0; layers],
            Some(KeepRatio::Final(ratio)) => checked(Kept::Values, &vec![*ratio; layers], layers)?,
            Some(KeepRatio::PerLayer(ratios)) => checked(Kept::Values, ratios, layers)?,
        };
        Ok(Schedule {
            tokens: sizes(&tokens, keys, pinned.len()),
            heads: sizes(&heads_kept, heads, 1),
            pinned,
            values,
            renormalise: self.renormalise,
        })
    }
}

impl Schedule {
    /// The value pruning of a row of layer `layer` that sees `live_keys` keys.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn value_pruning(&self, layer: usize, live_keys: usize) -> ValuePruning {
        match share(self.values[layer], live_keys) {
            keep if keep < live_keys => ValuePruning {
                keep,
                renormalise: self.renormalise,
            },
            _ => ValuePruning::NONE,
        }
    }
}

/// The share of tokens or heads that takes part in each layer.
fn cascade(
    kept: Kept,
    ratio: &Option<KeepRatio>,
    layers: usize,
    percent_with_all: usize,
) -> Result<Vec<f64>, PruningError> {
    let ratios = match ratio {
        None => vec![1.0; layers],
        Some(KeepRatio::Final(last)) => interpolate(*last, layers, percent_with_all),
        Some(KeepRatio::PerLayer(ratios)) => ratios.clone(),
    };
    let ratios = checked(kept, &ratios, layers)?;
    match ratios[0] {
        1.0 => Ok(ratios),
        ratio => Err(PruningError::First { kept, ratio }),
    }
}

/// The published schedule: the first layers, at least one, keep all, the later ones fall linearly to `last`. A single
/// layer keeps all.
fn interpolate(last: f64, layers: usize, percent_with_all: usize) -> Vec<f64> {
    let whole = (layers * percent_with_all).div_ceil(100).max(1);
    let falling = (layers - whole) as f64;
    let ratio = |layer: usize| match layer + 1 {
        number if number <= whole => 1.0,
        number => 1.0 - (1.0 - last) * (number - whole) as f64 / falling,
    };
    (0..layers).map(ratio).collect()
}

fn checked(kept: Kept, ratios: &[f64], layers: usize) -> Result<Vec<f64>, PruningError> {
    if ratios.len() != layers {
        return Err(PruningError::Length {
            kept,
            ratios: ratios.len(),
            layers,
        });
    }
    let in_range = |ratio: f64| ratio > 0.0 && ratio <= 1.0;
    match ratios.iter().find(|&&ratio| !in_range(ratio)) {
        Some(&ratio) => Err(PruningError::Ratio { kept, ratio }),
        None => Ok(ratios.to_vec()),
    }
}

/// How many of `all` take part in each layer: never fewer than `least`, never more than before.
fn sizes(ratios: &[f64], all: usize, least: usize) -> Vec<usize> {
    let mut left = all;
    let size = |&ratio: &f64| {
        left = left.min(share(ratio, all).max(least));
        left
    };
    ratios.iter().map(size).collect()
}

/// `ceil(ratio * count)`, at least 1 unless `count` is 0, without what float64 adds to whole products.
fn share(ratio: f64, count: usize) -> usize {
    let product = ratio * count as f64;
    (product * (1.0 - ROUNDING)).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_products_stay_what_they_are() {
        assert_eq!(share(0.65, 20), 13);
        assert_eq!(share(0.07, 100), 7);
        for count in 1..=4096_usize {
            for percent in 1..=100 {
                let expected = (count * percent).div_ceil(100);
                assert_eq!(
                    share(percent as f64 / 100.0, count),
                    expected,
                    "{percent} % of {count}"
                );
            }
        }
        assert_eq!(share(1e-300, 5), 1);
        assert_eq!(share(f64::MIN_POSITIVE / 4.0, 5), 1);
        assert_eq!(share(0.5, 0), 0);
        assert_eq!(share(0.500_000_1, 10), 6);
    }

    fn of(tokens: &str, heads: &str) -> Pruning {
        Pruning {
            tokens: Some(tokens.parse().unwrap()),
            heads: Some(heads.parse().unwrap()),
            ..Pruning::default()
        }
    }

    #[test]
    fn published_schedule_keeps_the_first_layers_whole_and_falls_to_the_last() {
        // 15 % of 12 layers are 2, 30 % are 4.
        let schedule = of("0.5", "0.5").schedule(12, 16, 100).unwrap();
        assert_eq!(
            schedule.tokens,
            [100, 100, 95, 90, 85, 80, 75, 70, 65, 60, 55, 50]
        );
        assert_eq!(
            schedule.heads,
            [16, 16, 16, 16, 15, 14, 13, 12, 11, 10, 9, 8]
        );
        assert_eq!(schedule.pinned, [99]);
    }

    #[test]
    fn few_layers_have_one_whole_layer() {
        let tokens = |layers| of("0.5", "1").schedule(layers, 1, 10).unwrap().tokens;
        assert_eq!(tokens(1), [10]);
        assert_eq!(tokens(2), [10, 5]);
        assert_eq!(tokens(3), [10, 8, 5]);
    }

    #[test]
    fn lists_count_of_the_whole_sequence_and_never_rise() {
        let schedule = of("1,0.5,0.8,0.25", "1,1,0.1,0.01").schedule(4, 12, 20);
        let schedule = schedule.unwrap();
        assert_eq!(schedule.tokens, [20, 10, 10, 5]);
        assert_eq!(schedule.heads, [12, 12, 2, 1]);
    }

    #[test]
    fn pins_and_the_newest_token_count_and_are_never_fewer() {
        let mut pruning = of("1,0.1", "1");
        pruning.heads = None;
        pruning.pins = vec![5, 0, 5, 9];
        let schedule = pruning.schedule(2, 1, 10).unwrap();
        assert_eq!(schedule.pinned, [0, 5, 9]);
        assert_eq!(schedule.tokens, [10, 3]);
        pruning.tokens = Some("1,0.4".parse().unwrap());
        assert_eq!(pruning.schedule(2, 1, 10).unwrap().tokens, [10, 4]);
        pruning.pins = vec![10];
        let error = PruningError::Pin { pin: 10, keys: 10 };
        assert_eq!(pruning.schedule(2, 1, 10), Err(error));
    }

    #[test]
    fn rows_prune_values_only_where_fewer_stay() {
        let pruning = Pruning {
            values: Some("0.4".parse().unwrap()),
            renormalise: true,
            ..Pruning::default()
        };
        let schedule = pruning.schedule(3, 1, 10).unwrap();
        let keep = |live| schedule.value_pruning(2, live).keep;
        assert_eq!([0, 1].map(keep), [usize::MAX; 2]);
        assert_eq!([2, 3, 5, 10].map(keep), [1, 2, 2, 4]);
        assert!(schedule.value_pruning(0, 10).renormalise);
        let lists = Pruning {
            values: Some("0.4,1,0.1".parse().unwrap()),
            ..Pruning::default()
        };
        let schedule = lists.schedule(3, 1, 10).unwrap();
        let keep = |layer| schedule.value_pruning(layer, 10).keep;
        assert_eq!([0, 1, 2].map(keep), [4, usize::MAX, 1]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_option() {
        for text in ["0", "-0.5", "1.01", "nan", "inf", "half", "", "0.5,", "1,2"] {
            assert!(text.parse::<KeepRatio>().is_err(), "{text}");
        }
        let message = |pruning: Pruning, layers| {
            let error = pruning.schedule(layers, 4, 10).unwrap_err();
            error.to_string()
        };
        let short = message(of("1,0.5", "1"), 3);
        assert!(
            short.starts_with("--token-keep: 2 ratios for 3 layers"),
            "{short}"
        );
        let long = message(of("1", "1,0.5"), 1);
        assert!(
            long.starts_with("--head-keep: 2 ratios for 1 layer;"),
            "{long}"
        );
        let first = message(of("0.9,0.5", "1"), 2);
        assert!(first.contains("first layer's ratio is 0.9"), "{first}");
        let library = Pruning {
            values: Some(KeepRatio::Final(f64::NAN)),
            ..Pruning::default()
        };
        assert!(message(library, 2).starts_with("--value-keep: the ratio NaN"));
    }

    proptest! {
        #[test]
        fn sizes_never_rise_and_stay_between_pins_and_all(
            ratios in prop::collection::vec(0.001..=1.0_f64, 0..12),
            keys in 1..200_usize,
            pins in prop::collection::vec(0..200_usize, 0..5),
        ) {
            let ratios: Vec<f64> = [1.0].into_iter().chain(ratios).collect();
            let layers = ratios.len();
            let pruning = Pruning {
                tokens: Some(KeepRatio::PerLayer(ratios.clone())),
                pins: pins.into_iter().filter(|&pin| pin < keys).collect(),
                ..Pruning::default()
            };
            let schedule = pruning.schedule(layers, 1, keys).unwrap();
            prop_assert!(schedule.tokens.is_sorted_by(|a, b| a >= b));
            prop_assert_eq!(schedule.tokens[0], keys);
            for (&size, ratio) in schedule.tokens.iter().zip(ratios) {
                prop_assert!(size >= schedule.pinned.len());
                prop_assert!(size as f64 <= (ratio * keys as f64 + 1.0).max(schedule.pinned.len() as f64));
            }
        }
    }
}
