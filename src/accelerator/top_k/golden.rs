//! Golden model of the top-k selection: quick-select for the threshold, one pass in input order for the filter.

/// What is needed to filter the keys in input order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// The k-th largest key.
    pub kth: u64,
    /// How many keys equal to it stay: the first ones.
    pub keep_equal: usize,
}

/// How one element takes part in a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It does not: it is never kept.
    Dead,
    /// It stays if its key is large enough.
    Ranked,
    /// It always stays.
    Pinned,
}

/// A selection that keeps fewer elements than are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pinned} elements are pinned, but only {k} may stay")]
pub struct TooManyPins {
    /// Pinned elements.
    pub pinned: usize,
    /// Elements that may stay.
    pub k: usize,
}

/// The threshold of the `k` largest keys; `None` when there is nothing to select: `k` is zero or at least their number.
pub fn threshold(keys: &[u64], k: usize) -> Option<Threshold> {
    if k == 0 || k >= keys.len() {
        return None;
    }
    let mut live = keys.to_vec();
    let mut target = k;
    loop {
        let pivot = live[0];
        let right: Vec<u64> = live.iter().copied().filter(|&key| key > pivot).collect();
        let left: Vec<u64> = live.iter().copied().filter(|&key| key < pivot).collect();
        let equal = live.len() - left.len() - right.len();
        if right.len() >= target {
            live = right;
        } else if right.len() + equal >= target {
            return Some(Threshold {
                kth: pivot,
                keep_equal: target - right.len(),
            });
        } else {
            target -= right.len() + equal;
            live = left;
        }
    }
}

/// Which elements stay: the pinned ones and the largest of the ranked ones, `k` in all or every live one.
///
/// # Errors
/// [`TooManyPins`] when more than `k` elements are pinned.
///
/// # Panics
/// When there is not one part per key.
pub fn select(keys: &[u64], parts: &[Part], k: usize) -> Result<Vec<bool>, TooManyPins> {
    assert_eq!(keys.len(), parts.len(), "one part per key");
    let pinned = parts.iter().filter(|&&part| part == Part::Pinned).count();
    if pinned > k {
        return Err(TooManyPins { pinned, k });
    }
    let elements = || keys.iter().copied().zip(parts.iter().copied());
    let ranked = elements().filter(|&(_, part)| part == Part::Ranked);
    let ranked: Vec<u64> = ranked.map(|(key, _)| key).collect();
    let wanted = k - pinned;
    let threshold = threshold(&ranked, wanted);
    let mut equals_left = threshold.map_or(0, |threshold| threshold.keep_equal);
    let stays = |(key, part): (u64, Part)| match part {
        Part::Dead => false,
        Part::Pinned => true,
        Part::Ranked => match threshold {
            // Nothing was selected: all stay, or none.
            None => wanted > 0,
            Some(Threshold { kth, .. }) => {
                let equal = key == kth && equals_left > 0;
                equals_left -= usize::from(equal);
                key > kth || equal
            }
        },
    };
    Ok(elements().map(stays).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(keys: &[u64], k: usize) -> Vec<u64> {
        let flags = select(keys, &vec![Part::Ranked; keys.len()], k).unwrap();
        let kept = keys.iter().zip(flags).filter(|(_, keep)| *keep);
        kept.map(|(key, _)| *key).collect()
    }

    /// The same by sorting: largest first, pinned ones before all, equals by index.
    fn by_sorting(keys: &[u64], parts: &[Part], k: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..keys.len())
            .filter(|&i| parts[i] != Part::Dead)
            .collect();
        order.sort_by_key(|&i| (parts[i] != Part::Pinned, std::cmp::Reverse(keys[i]), i));
        let mut flags = vec![false; keys.len()];
        for &i in order.iter().take(k) {
            flags[i] = true;
        }
        flags
    }

    #[test]
    fn the_talks_example_keeps_7_6_9_5() {
        let keys = [7, 2, 6, 4, 9, 1, 3, 5];
        let threshold = threshold(&keys, 4).unwrap();
        assert_eq!((threshold.kth, threshold.keep_equal), (5, 1));
        assert_eq!(kept(&keys, 4), [7, 6, 9, 5]);
    }

    #[test]
    fn the_papers_example_keeps_both_equals() {
        let keys = [6, 1, 5, 12, 6];
        let threshold = threshold(&keys, 3).unwrap();
        assert_eq!((threshold.kth, threshold.keep_equal), (6, 2));
        assert_eq!(kept(&keys, 3), [6, 12, 6]);
    }

    #[test]
    fn ties_break_to_the_lowest_index() {
        let parts = [Part::Ranked; 5];
        let flags = select(&[3; 5], &parts, 2).unwrap();
        assert_eq!(flags, [true, true, false, false, false]);
    }

    #[test]
    fn more_pins_than_places_are_refused() {
        let parts = [Part::Pinned, Part::Ranked, Part::Pinned];
        let error = TooManyPins { pinned: 2, k: 1 };
        assert_eq!(select(&[1, 2, 3], &parts, 1), Err(error));
        assert_eq!(select(&[1, 2, 3], &parts, 2), Ok(vec![true, false, true]));
    }

    #[test]
    fn an_empty_input_and_dead_elements_keep_nothing() {
        assert_eq!(select(&[], &[], 3), Ok(vec![]));
        assert_eq!(select(&[9, 8], &[Part::Dead; 2], 2), Ok(vec![false; 2]));
    }

    fn elements() -> impl Strategy<Value = Vec<(u64, Part)>> {
        // Few values, so that ties are common, or any.
        let key = prop_oneof![0..4u64, any::<u64>()];
        let part = prop_oneof![
            6 => Just(Part::Ranked),
            1 => Just(Part::Pinned),
            1 => Just(Part::Dead),
        ];
        prop::collection::vec((key, part), 0..80)
    }

    proptest! {
        #[test]
        fn selection_equals_a_plain_sort(elements in elements()) {
            let (keys, parts): (Vec<_>, Vec<_>) = elements.into_iter().unzip();
            let pinned = parts.iter().filter(|&&part| part == Part::Pinned).count();
            for k in pinned..=keys.len() + 1 {
                let selected = select(&keys, &parts, k).unwrap();
                prop_assert_eq!(selected, by_sorting(&keys, &parts, k), "k {}", k);
            }
        }
    }
}
