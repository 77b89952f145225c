//! Which rows of a job take the LSB plane of their keys, as a user says it, and what the hardware compares for that.

use std::f64::consts::LOG2_E;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::quantizer::QuantizedLayer;
use crate::accelerator::refine::golden::{MAX_NOISE, Rule};
use crate::numerics::KEY_LSB_BITS;

/// Variance of an element of the LSB plane, uniform in 0 to 15. Its mean adds the same to all scores of a row.
const LSB_VARIANCE: f64 = ((1 << (2 * KEY_LSB_BITS)) - 1) as f64 / 12.0;

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The largest probability: rows where it lies below a threshold are refetched (paper, section III-D).
    Threshold,
    /// The noise of the scores: rows where the mean square error of the logits without LSBs, times 1 - largest
    /// probability, lies above a limit are refetched.
    Noise,
}

impl fmt::Display for Measure {
    /// The option of `attend`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Threshold => "--threshold",
            Measure::Noise => "--noise-limit",
        })
    }
}

impl Measure {
    /// What is compared with the limit of a row with this query and first sum of exponentials S, in a head with this
    /// factor per unit of s. Lone keys give a probability of 1 and no noise, empty rows likewise.
    pub fn of_row(self, query: &[i64], factor: f64, sum: i64) -> f64 {
        let largest_probability = 65535.0 / sum.max(65535) as f64;
        match self {
            Measure::Threshold => largest_probability,
            Measure::Noise => {
                let squares: i64 = query.iter().map(|q| q * q).sum();
                (1.0 - largest_probability) * squares as f64 * mean_square_per_square(factor)
            }
        }
    }
}

/// Numbers for all layers, or one for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits(pub Vec<f64>);

/// A text that holds no limits.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "must be a number from 0, or one for each layer between commas, as in 0.1,0.2,0.2; {text:?} is none"
)]
pub struct BadLimit {
    /// The part that is none.
    pub text: String,
}

impl FromStr for Limits {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Limits, BadLimit> {
        let limit = |text: &str| {
            let number = text.trim().parse().ok();
            let is_limit = |limit: &f64| limit.is_finite() && *limit >= 0.0;
            number.filter(is_limit).ok_or_else(|| BadLimit {
                text: text.to_owned(),
            })
        };
        text.split(',')
            .map(limit)
            .collect::<Result<_, _>>()
            .map(Limits)
    }
}

/// Which rows of a job take the LSB plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Refinement {
    /// What decides.
    pub measure: Measure,
    /// Where.
    pub limits: Limits,
}

/// Why a model's layers cannot be refined so.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum RefinementError {
    /// Not one limit per layer.
    #[error(
        "{measure}: {limits} numbers for {layers} layers; give one for each layer, or a single one"
    )]
    Length {
        /// The option.
        measure: Measure,
        /// Numbers given.
        limits: usize,
        /// Layers of the model.
        layers: usize,
    },
    /// A number out of range.
    #[error("{measure} {limit}: {allowed}")]
    Range {
        /// The option.
        measure: Measure,
        /// As given.
        limit: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl Refinement {
    /// The paper's rule with its threshold.
    pub fn published() -> Refinement {
        Refinement {
            measure: Measure::Threshold,
            limits: Limits(vec![0.1]),
        }
    }

    /// Checks that there is a number in range for each of `layers` layers.
    ///
    /// # Errors
    /// [`RefinementError`] otherwise.
    pub fn check(&self, layers: usize) -> Result<(), RefinementError> {
        let (measure, Limits(limits)) = (self.measure, &self.limits);
        if limits.len() != 1 && limits.len() != layers {
            return Err(RefinementError::Length {
                measure,
                limits: limits.len(),
                layers,
            });
        }
        let (most, allowed) = match measure {
            Measure::Threshold => (1.0, "probabilities lie between 0 and 1"),
            Measure::Noise => (f64::MAX, "a mean square error is a number from 0"),
        };
        match limits.iter().find(|&limit| !(0.0..=most).contains(limit)) {
            Some(&limit) => Err(RefinementError::Range {
                measure,
                limit,
                allowed,
            }),
            None => Ok(()),
        }
    }

    /// The rules of the heads of layer `layer`, `[heads]`.
    ///
    /// # Panics
    /// When there is no number for the layer.
    pub fn rules(&self, layer: usize, quantized: &QuantizedLayer) -> Vec<Rule> {
        let Limits(limits) = &self.limits;
        let limit = if limits.len() == 1 {
            limits[0]
        } else {
            limits[layer]
        };
        let heads = quantized.operands.queries.iter().zip(&quantized.factors);
        let rule = |(queries, &factor): (&Vec<Vec<i64>>, &f64)| match self.measure {
            Measure::Threshold => Rule::threshold(limit),
            Measure::Noise => noise_rule(limit, queries, factor),
        };
        heads.map(rule).collect()
    }
}

/// The mean square error of a query's logits without LSBs, per sum(q^2), in a head with this factor per unit of s.
fn mean_square_per_square(factor: f64) -> f64 {
    LSB_VARIANCE * (factor / LOG2_E).powi(2)
}

/// The registers of the noise rule. The shift is the least with which the head's largest query fits N.
fn noise_rule(limit: f64, queries: &[Vec<i64>], factor: f64) -> Rule {
    let squares = |query: &Vec<i64>| -> i64 { query.iter().map(|q| q * q).sum() };
    let most = queries.iter().map(squares).max().unwrap_or(0);
    let shift = (0..32).find(|shift| most >> shift <= MAX_NOISE);
    let shift = shift.expect("sums of squares have less than 48 bits");
    let per_square = mean_square_per_square(factor);
    // Without an error (a factor of 0) no limit is passed, except one of 0, where 0 / 0 is cast to 0.
    let registers = (limit / per_square / f64::from(1 << shift)).round();
    Rule::Noise {
        limit: registers.min(MAX_NOISE as f64) as i64,
        shift,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Limits {
        text.parse().unwrap()
    }

    #[test]
    fn limits_are_one_or_one_per_layer() {
        assert_eq!(limits("0.1"), Limits(vec![0.1]));
        assert_eq!(limits("0, 1,1e-3"), Limits(vec![0.0, 1.0, 1e-3]));
        for text in ["", "x", "-0.1", "nan", "inf", "0.1,,0.2"] {
            assert!(text.parse::<Limits>().is_err(), "{text}");
        }
        let message = |measure, text: &str, layers| {
            let limits = limits(text);
            let checked = Refinement { measure, limits }.check(layers);
            checked
                .err()
                .map_or(String::new(), |error| error.to_string())
        };
        assert_eq!(message(Measure::Threshold, "0.1", 6), "");
        assert_eq!(message(Measure::Threshold, "0,1", 2), "");
        let short = message(Measure::Noise, "1,2", 3);
        assert!(
            short.starts_with("--noise-limit: 2 numbers for 3 layers"),
            "{short}"
        );
        let large = message(Measure::Threshold, "1.5", 3);
        assert!(
            large.starts_with("--threshold 1.5: probabilities"),
            "{large}"
        );
        assert_eq!(message(Measure::Noise, "1.5", 3), "");
    }

    #[test]
    fn noise_counts_in_mean_squares_of_the_logits() {
        // A query of 2^20 squares fits N in five shifts.
        let queries = [vec![1024, 0], vec![512, 512]];
        let per_square = 255.0 / 12.0 * (0.001 / LOG2_E).powi(2);
        let limit = per_square * 6400.0;
        let rule = noise_rule(limit, &queries, 0.001);
        assert_eq!(
            rule,
            Rule::Noise {
                limit: 200,
                shift: 5
            }
        );
        // All rows, and none.
        let all = noise_rule(0.0, &queries, 0.001);
        assert_eq!(all, Rule::Noise { limit: 0, shift: 5 });
        let none = noise_rule(1e9, &queries, 0.001);
        assert_eq!(
            none,
            Rule::Noise {
                limit: 65535,
                shift: 5
            }
        );
        // Without queries and without a scale.
        let empty = noise_rule(1.0, &[], 0.0);
        assert_eq!(
            empty,
            Rule::Noise {
                limit: 65535,
                shift: 0
            }
        );
    }
}
