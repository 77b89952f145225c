//! Golden model of the progressive decision: which rows need the LSBs of their keys.

/// Largest sum of a row's exponentials S, and the largest limit on it: u28.
pub const MAX_SUM: i64 = (1 << 28) - 1;
/// Largest measure of a query's size N, and the largest limit on it: u16.
pub const MAX_NOISE: i64 = (1 << 16) - 1;

/// When a row's first scores do not suffice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// They always do.
    #[default]
    None,
    /// Where no probability is large: the largest is 65535/S, so it lies below a threshold where S exceeds
    /// `most`, floor(65535 / threshold) (paper, section III-D; `docs/decisions.md`).
    Threshold {
        /// u28.
        most: i64,
    },
    /// Where the query is large and the row not confident, N > T and S * (N - T) > 65535 * N with
    /// N = min(65535, sum of q^2 >> `shift`): K's quantization errors move the scores by as much as the query is large.
    Noise {
        /// T, u16.
        limit: i64,
        /// 0 to 31.
        shift: u32,
    },
}

impl Rule {
    /// Code of the hardware's `rule` field.
    pub fn code(self) -> i64 {
        match self {
            Rule::None => 0,
            Rule::Threshold { .. } => 1,
            Rule::Noise { .. } => 2,
        }
    }

    /// The paper's rule: rows whose largest probability lies below `threshold` are refined; all rows of two keys and
    /// more from 1 on, none at 0.
    ///
    /// # Panics
    /// When the threshold is negative or no number.
    pub fn threshold(threshold: f64) -> Rule {
        assert!(threshold >= 0.0, "a threshold of {threshold}");
        let most = (65535.0 / threshold.min(1.0)).floor().min(MAX_SUM as f64);
        Rule::Threshold { most: most as i64 }
    }

    /// Whether a row of this `query`, of whose exponentials S is the `sum`, needs the LSBs. Empty rows (S = 0) do not.
    pub fn refetches(self, query: &[i64], sum: i64) -> bool {
        match self {
            Rule::Noise { shift, .. } => self.exceeds(noise(query, shift), sum),
            _ => self.exceeds(0, sum),
        }
    }

    /// The same where the noise N of the query, which only that rule reads, is known.
    pub fn exceeds(self, noise: i64, sum: i64) -> bool {
        match self {
            Rule::None => false,
            Rule::Threshold { most } => sum > most,
            Rule::Noise { limit, .. } => noise > limit && sum * (noise - limit) > 65535 * noise,
        }
    }
}

/// N: a measure of the query's size.
pub fn noise(query: &[i64], shift: u32) -> i64 {
    let squares: i64 = query.iter().map(|q| q * q).sum();
    (squares >> shift).min(MAX_NOISE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_bounds_the_largest_probability() {
        assert_eq!(Rule::threshold(0.1), Rule::Threshold { most: 655_350 });
        let rule = Rule::threshold(0.1);
        // 65535 / 655350 is 0.1, which is not below 0.1.
        assert!(!rule.refetches(&[1], 655_350));
        assert!(rule.refetches(&[1], 655_351));
    }

    #[test]
    fn the_ends_refine_all_rows_or_none_but_never_an_empty_or_lone_one() {
        let [all, none] = [Rule::threshold(1.0), Rule::threshold(0.0)];
        for rule in [all, none, Rule::None] {
            assert!(!rule.refetches(&[7], 0), "{rule:?}: empty");
            assert!(!rule.refetches(&[7], 65535), "{rule:?}: lone key");
        }
        assert!(all.refetches(&[7], 65536));
        assert!(!none.refetches(&[7], MAX_SUM));
    }

    #[test]
    fn noise_counts_the_query_against_the_sum() {
        let rule = Rule::Noise { limit: 2, shift: 1 };
        // N = (16 + 9) >> 1 = 12: S * 10 > 65535 * 12 from S = 78643 on.
        assert_eq!(noise(&[-4, 3], 1), 12);
        assert!(!rule.refetches(&[-4, 3], 78_642));
        assert!(rule.refetches(&[-4, 3], 78_643));
        // N = 2 is not above the limit.
        assert!(!rule.refetches(&[2, 0], MAX_SUM));
        assert_eq!(noise(&[2047; 128], 0), MAX_NOISE);
        assert!(!rule.refetches(&[2047; 128], 0));
        // A lone key has S = 65535: (N - T) < N.
        assert!(!Rule::Noise { limit: 0, shift: 0 }.refetches(&[9], 65535));
    }
}
