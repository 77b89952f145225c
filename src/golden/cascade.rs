//! Cascade token and head pruning: what takes part in a layer, the importance that it gathers there, and what is left
//! of it for the next layer (`docs/decisions.md`, section 9).

use crate::accelerator::importance::golden::{
    HeadScale, accumulate_head, accumulate_tokens, magnitude,
};
use crate::accelerator::top_k::golden::{Part, TooManyPins, select};
use crate::golden::row::RowTrace;

/// The tokens and heads that take part in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Token ids (positions of keys), ascending.
    pub tokens: Vec<usize>,
    /// Query heads, ascending.
    pub heads: Vec<usize>,
}

impl Live {
    /// All of `keys` tokens and `heads` heads.
    pub fn all(keys: usize, heads: usize) -> Live {
        Live {
            tokens: (0..keys).collect(),
            heads: (0..heads).collect(),
        }
    }

    /// The KV heads that a live head reads, ascending; `kv_heads` are those of all query heads.
    pub fn kv_heads(&self, kv_heads: &[usize]) -> Vec<usize> {
        let mut used = gather(kv_heads, &self.heads);
        used.dedup();
        used
    }

    /// The queries that take part, ascending, of a layer with `queries` queries over `keys` keys: those whose token
    /// lives. The queries are the newest of the keys, so query i is token i + keys - queries; queries beyond the number
    /// of keys, the first ones, are no key's and always take part.
    pub fn queries(&self, queries: usize, keys: usize) -> Vec<usize> {
        let lives = |&query: &usize| match (query + keys).checked_sub(queries) {
            Some(token) => self.tokens.binary_search(&token).is_ok(),
            None => true,
        };
        (0..queries).filter(lives).collect()
    }
}

/// What a layer does to the importance scores, beside adding to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CascadeStep {
    /// Whether the scores are zeroed first: at the first layer of a job.
    pub first: bool,
    /// How many tokens of the live ones stay after the layer: at least those pinned, at most what the hardware holds; no
    /// selection takes place when all do.
    pub keep_tokens: usize,
    /// How many heads of the live ones stay after the layer.
    pub keep_heads: usize,
    /// Token ids that stay whatever their scores, ascending; each is live and counts toward `keep_tokens`.
    pub pinned: Vec<usize>,
    /// The heads' steps of V for their scores, `[live heads]`.
    pub head_scales: Vec<HeadScale>,
}

impl CascadeStep {
    /// Whether anything is pruned after the layer in which `live` takes part.
    pub fn selects(&self, live: &Live) -> bool {
        self.keep_tokens < live.tokens.len() || self.keep_heads < live.heads.len()
    }

    /// Checks that no more tokens are pinned than may stay.
    ///
    /// # Errors
    /// [`TooManyPins`] otherwise.
    pub fn check_pins(&self) -> Result<(), TooManyPins> {
        let (pinned, k) = (self.pinned.len(), self.keep_tokens);
        match pinned > k {
            true => Err(TooManyPins { pinned, k }),
            false => Ok(()),
        }
    }

    /// How the live tokens take part in the selection.
    pub fn token_parts(&self, live: &Live) -> Vec<Part> {
        let part = |token| match self.pinned.contains(token) {
            true => Part::Pinned,
            false => Part::Ranked,
        };
        live.tokens.iter().map(part).collect()
    }
}

/// What a layer leaves to the next one; `S` is the type of a score.
#[derive(Clone, Debug, PartialEq)]
pub struct CascadeResult<S = i64> {
    /// Importance of each token that took part, `[live tokens]`, before the selection.
    pub token_scores: Vec<S>,
    /// Importance of each head that took part, `[live heads]`, before the selection.
    pub head_scores: Vec<S>,
    /// What takes part in the next layer.
    pub next: Live,
}

/// The importance scores of a job, in live order: what the accelerator holds from layer to layer. `S` is the type of a
/// score.
#[derive(Clone, Debug, Default)]
pub struct Cascade<S = i64> {
    /// Of integers: u36, in steps of 2^-16 of a probability.
    pub tokens: Vec<S>,
    /// Of integers: u40, in the unit of the head scales.
    pub heads: Vec<S>,
}

impl<S: Clone + Default> Cascade<S> {
    /// Begins a layer in which `live` takes part: zeroes the scores at the first one of a job.
    ///
    /// # Panics
    /// When another number of tokens or heads was left by the layer before.
    pub fn begin(&mut self, live: &Live, first: bool) {
        if first {
            self.tokens = vec![S::default(); live.tokens.len()];
            self.heads = vec![S::default(); live.heads.len()];
        }
        assert_eq!(
            (self.tokens.len(), self.heads.len()),
            (live.tokens.len(), live.heads.len()),
            "scores and live tokens and heads differ in number"
        );
    }

    /// Ends a layer: keeps the scores of the tokens and heads at these positions among the live ones.
    ///
    /// # Panics
    /// When a position lies beyond the live ones.
    pub fn keep(&mut self, live: &Live, tokens: &[usize], heads: &[usize]) -> CascadeResult<S> {
        let next = Live {
            tokens: gather(&live.tokens, tokens),
            heads: gather(&live.heads, heads),
        };
        let left = Cascade {
            tokens: gather(&self.tokens, tokens),
            heads: gather(&self.heads, heads),
        };
        let scores = std::mem::replace(self, left);
        CascadeResult {
            token_scores: scores.tokens,
            head_scores: scores.heads,
            next,
        }
    }
}

impl Cascade {
    /// Adds what the rows of the head at `position` among the live ones give to its and the tokens' scores.
    ///
    /// # Panics
    /// When there is no such head, or a row has more keys than there are live tokens.
    pub fn add_head(&mut self, position: usize, rows: &[RowTrace], scale: HeadScale) {
        for row in rows {
            accumulate_tokens(&mut self.tokens, &row.probabilities);
        }
        let magnitude = magnitude(rows.iter().flat_map(|row| &row.outputs));
        let score = &mut self.heads[position];
        *score = accumulate_head(*score, magnitude, scale);
    }

    /// Ends a layer: selects tokens and heads by their scores, ties to the lowest index, and keeps the scores of those
    /// that stay.
    ///
    /// # Errors
    /// [`TooManyPins`] when more tokens are pinned than may stay.
    ///
    /// # Panics
    /// When `live` is not what the layer began with.
    pub fn select(
        &mut self,
        live: &Live,
        step: &CascadeStep,
    ) -> Result<CascadeResult, TooManyPins> {
        let tokens = kept(&self.tokens, &step.token_parts(live), step.keep_tokens)?;
        let ranked = vec![Part::Ranked; live.heads.len()];
        let heads = kept(&self.heads, &ranked, step.keep_heads)?;
        Ok(self.keep(live, &tokens, &heads))
    }
}

/// Positions of those that stay, ascending.
fn kept(scores: &[i64], parts: &[Part], keep: usize) -> Result<Vec<usize>, TooManyPins> {
    let keys: Vec<u64> = scores.iter().map(|&score| score as u64).collect();
    let stays = select(&keys, parts, keep)?;
    Ok((0..stays.len()).filter(|&i| stays[i]).collect())
}

/// The elements at these positions.
///
/// # Panics
/// When a position lies beyond the end.
pub fn gather<T: Clone>(elements: &[T], positions: &[usize]) -> Vec<T> {
    let element = |&position: &usize| elements[position].clone();
    positions.iter().map(element).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_the_newest_tokens_and_those_before_all_keys_always_live() {
        let live = Live {
            tokens: vec![0, 3, 4, 7],
            heads: vec![0],
        };
        assert_eq!(live.queries(8, 8), [0, 3, 4, 7]);
        assert_eq!(live.queries(4, 8), [0, 3]);
        assert_eq!(live.queries(1, 8), [0]);
        // Queries 0 and 1 are older than the oldest key.
        assert_eq!(live.queries(10, 8), [0, 1, 2, 5, 6, 9]);
    }

    fn step(keep_tokens: usize, keep_heads: usize, pinned: &[usize]) -> CascadeStep {
        CascadeStep {
            first: false,
            keep_tokens,
            keep_heads,
            pinned: pinned.to_vec(),
            head_scales: Vec::new(),
        }
    }

    #[test]
    fn selection_keeps_pins_and_the_first_of_equals_with_their_scores() {
        let mut cascade = Cascade {
            tokens: vec![5, 9, 5, 1, 0],
            heads: vec![7, 8, 7],
        };
        let live = Live {
            tokens: vec![0, 2, 4, 6, 9],
            heads: vec![1, 3, 5],
        };
        let result = cascade.select(&live, &step(3, 2, &[9])).unwrap();
        assert_eq!(result.token_scores, [5, 9, 5, 1, 0]);
        assert_eq!(result.head_scores, [7, 8, 7]);
        let next = Live {
            tokens: vec![0, 2, 9],
            heads: vec![1, 3],
        };
        assert_eq!(result.next, next);
        assert_eq!(cascade.tokens, [5, 9, 0]);
        assert_eq!(cascade.heads, [7, 8]);
        cascade.begin(&next, false);
        assert_eq!(cascade.tokens, [5, 9, 0]);
        cascade.begin(&next, true);
        assert_eq!(cascade.tokens, [0, 0, 0]);
    }

    #[test]
    fn more_pins_than_tokens_that_may_stay_are_refused() {
        let live = Live::all(4, 1);
        let mut cascade = Cascade::default();
        cascade.begin(&live, true);
        let error = TooManyPins { pinned: 3, k: 2 };
        assert_eq!(cascade.select(&live, &step(2, 1, &[0, 1, 3])), Err(error));
    }

    #[test]
    #[should_panic(expected = "differ in number")]
    fn scores_of_another_layer_are_not_taken() {
        let mut cascade = Cascade::<i64>::default();
        cascade.begin(&Live::all(4, 2), true);
        cascade.begin(&Live::all(3, 2), false);
    }
}
