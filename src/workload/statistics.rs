//! What the rows of attention are like: how sharp, how local, how much on the first key.

use crate::golden::float64::{float_factor, probabilities};
use crate::golden::head::live_keys;
use crate::golden::layer::kv_head;

use super::tensors::AttentionTensors;

/// Fewest live keys of a row that counts: shorter rows say little.
pub const FEWEST_KEYS: usize = 8;
/// Keys to either side of a query's own that count as its neighbours.
const NEIGHBOURS: usize = 1;

/// Means over the rows of a layer's heads that see at least [`FEWEST_KEYS`] keys; zeros when there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowStatistics {
    /// Such rows.
    pub rows: usize,
    /// Entropy of the probabilities over that of a flat row: 0 when one key takes all, 1 when all take the same.
    pub entropy: f64,
    /// Largest probability.
    pub largest: f64,
    /// Probability of the first key.
    pub first: f64,
    /// Probability of the query's own key and those beside it.
    pub neighbours: f64,
}

impl RowStatistics {
    /// Of one layer, in float64.
    ///
    /// # Panics
    /// When there is no such layer.
    pub fn of_layer(tensors: &AttentionTensors, layer: usize) -> RowStatistics {
        let (heads, kv_heads) = (tensors.head_count(), tensors.kv_head_count());
        let parts = (0..heads).map(|head| {
            let queries = tensors.queries().head(layer, head);
            let keys = tensors.keys().head(layer, kv_head(head, heads, kv_heads));
            RowStatistics::of_head(tensors, &queries, &keys)
        });
        RowStatistics::mean(parts)
    }

    fn of_head(tensors: &AttentionTensors, queries: &[Vec<f64>], keys: &[Vec<f64>]) -> Self {
        let live = live_keys(queries.len(), keys.len(), tensors.causal());
        let rows = queries.iter().zip(live).enumerate();
        let long = rows.filter(|(_, (_, live))| *live >= FEWEST_KEYS);
        RowStatistics::mean(long.map(|(index, (query, live))| {
            let own = (index + keys.len()).saturating_sub(queries.len());
            let row = probabilities(query, &keys[..live], float_factor(tensors));
            RowStatistics::of_row(&row, own.min(live - 1))
        }))
    }

    /// Of one row of probabilities; `own` is the key of the query's own token.
    fn of_row(row: &[f64], own: usize) -> RowStatistics {
        let entropy = |&p: &f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
        let neighbours = own.saturating_sub(NEIGHBOURS)..(own + NEIGHBOURS + 1).min(row.len());
        RowStatistics {
            rows: 1,
            entropy: row.iter().map(entropy).sum::<f64>() / (row.len() as f64).log2(),
            largest: row.iter().copied().fold(0.0, f64::max),
            first: row[0],
            neighbours: row[neighbours].iter().sum(),
        }
    }

    /// Of all rows of some parts together.
    pub fn mean(parts: impl IntoIterator<Item = RowStatistics>) -> RowStatistics {
        let mut total = RowStatistics::default();
        for part in parts {
            let rows = part.rows as f64;
            total.rows += part.rows;
            total.entropy += rows * part.entropy;
            total.largest += rows * part.largest;
            total.first += rows * part.first;
            total.neighbours += rows * part.neighbours;
        }
        let rows = total.rows.max(1) as f64;
        RowStatistics {
            entropy: total.entropy / rows,
            largest: total.largest / rows,
            first: total.first / rows,
            neighbours: total.neighbours / rows,
            ..total
        }
    }
}
