//! A layer as the words of the attention core's streams.

use super::error::{LayerError, check_fit, check_value_pruning};
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::top::AttentionCore;
use crate::cosim::Field;
use crate::golden::layer::LayerOperands;
use crate::numerics::value_bits;

/// The words of a layer, per input channel, in the order in which the core takes them.
pub struct LayerStreams {
    /// K lines, KV head after KV head.
    pub key: Vec<Vec<i64>>,
    /// V lines, KV head after KV head.
    pub value: Vec<Vec<i64>>,
    /// Row descriptors: all queries of head 0, of head 1, ...
    pub row: Vec<Vec<i64>>,
    /// Output words per row.
    pub words_per_row: usize,
    /// Words of the positions of kept values: one per score line of every row that prunes.
    pub value_id_words: usize,
}

/// Fields of the core's input channels `key`, `value` and `row` and of its output channels, for a bench.
pub struct CoreFields {
    /// `key` channel.
    pub key: Vec<Field>,
    /// `value` channel.
    pub value: Vec<Field>,
    /// `row` channel.
    pub row: Vec<Field>,
    /// `out` channel.
    pub out: Vec<Field>,
    /// `value_id` channel, where values are pruned.
    pub value_id: Option<Vec<Field>>,
}

impl CoreFields {
    /// The channels of `core`.
    pub fn new(core: &AttentionCore) -> Self {
        let formats = core.formats;
        let multipliers = core.shape.multipliers;
        let row = core
            .row_fields()
            .into_iter()
            .map(|field| match field.name.as_str() {
                "query" => Field::signed("query", formats.query_bits).lanes(core.shape.max_dim()),
                name => Field::unsigned(name, field.ty.width),
            })
            .collect();
        CoreFields {
            key: vec![Field::signed("data", formats.key_bits).lanes(multipliers)],
            value: vec![Field::signed("data", formats.value_bits).lanes(multipliers)],
            row,
            out: vec![
                Field::signed("data", formats.output_bits()).lanes(core.output_lanes),
                Field::unsigned("last", 1),
            ],
            value_id: core.softmax().use_pass().value_ids().map(|ids| {
                vec![
                    Field::unsigned("data", ids.id_bits()).lanes(ids.lanes),
                    Field::unsigned("count", value_bits(ids.lanes)),
                    Field::unsigned("last", 1),
                ]
            }),
        }
    }
}

/// Vectors side by side in lines of the array: lane i is element i % d of vector i / d; the last line is filled
/// up with zeros.
pub fn lines(shape: &ArrayShape, vectors: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let head_dim = vectors.first().map_or(shape.max_dim(), Vec::len);
    vectors
        .chunks(shape.multipliers / head_dim)
        .map(|chunk| {
            let mut line = chunk.concat();
            line.resize(shape.multipliers, 0);
            line
        })
        .collect()
}

impl LayerStreams {
    /// The words of `layer` for `core`.
    ///
    /// # Errors
    /// [`LayerError`] when the layer does not fit the configuration.
    ///
    /// # Panics
    /// When the layer's tensors disagree in shape.
    pub fn new(core: &AttentionCore, layer: &LayerOperands) -> Result<Self, LayerError> {
        let shape = &core.shape;
        let head_dim = layer.keys[0][0].len();
        let keys = layer.keys[0].len();
        let level = check_fit(core, head_dim, keys)?;
        check_value_pruning(core, layer)?;
        let key_lines = |head: &Vec<Vec<i64>>| lines(shape, head);
        Ok(LayerStreams {
            key: layer.keys.iter().flat_map(key_lines).collect(),
            value: layer.values.iter().flat_map(key_lines).collect(),
            row: row_words(core, layer, level),
            words_per_row: head_dim / core.output_lanes,
            value_id_words: value_id_words(core, layer, level),
        })
    }

    /// Output words of a row with the given outputs, `lanes` per word.
    pub fn output_words(lanes: usize, outputs: &[i64]) -> Vec<Vec<i64>> {
        let words = outputs.chunks(lanes);
        let count = words.len();
        words
            .enumerate()
            .map(|(index, lanes)| {
                let mut word = lanes.to_vec();
                word.push(i64::from(index + 1 == count));
                word
            })
            .collect()
    }
}

/// Score lines of a row with so many live keys, which comes in whole K lines.
pub fn score_lines(core: &AttentionCore, level: usize, live: usize) -> usize {
    let per_line = core.shape.vectors_per_line(level);
    let scores = live.div_ceil(per_line).max(1) * per_line;
    scores.div_ceil(core.softmax_lanes)
}

fn value_id_words(core: &AttentionCore, layer: &LayerOperands, level: usize) -> usize {
    let rows = layer.value_pruning.iter().zip(&layer.live_keys);
    let pruned = rows.filter(|(pruning, live)| pruning.keep < **live);
    let lines: usize = pruned
        .map(|(_, &live)| score_lines(core, level, live))
        .sum();
    lines * layer.queries.len()
}

fn row_words(core: &AttentionCore, layer: &LayerOperands, level: usize) -> Vec<Vec<i64>> {
    let heads = layer.queries.len();
    let keys = layer.keys[0].len();
    let mut words = Vec::new();
    for head in 0..heads {
        let last_of_group = head + 1 == heads || layer.kv_heads[head + 1] != layer.kv_heads[head];
        let scale = layer.scales[head];
        let queries = &layer.queries[head];
        for (row, query) in queries.iter().enumerate() {
            let release = last_of_group && row + 1 == queries.len();
            let mut word = query.clone();
            word.resize(core.shape.max_dim(), 0);
            word.extend([
                level as i64,
                layer.live_keys[row] as i64,
                i64::from(release),
                keys as i64,
                scale.mantissa,
                i64::from(scale.pre),
                i64::from(scale.post),
            ]);
            if core.value_ranking().is_some() {
                let pruning = layer.value_pruning[row];
                // All of them where no fewer than the live keys stay.
                let kept = pruning.keep.min(layer.live_keys[row]);
                word.extend([kept as i64, i64::from(pruning.renormalise)]);
            }
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accelerator::softmax::golden::Scale;
    use crate::config::Config;
    use crate::golden::row::ValuePruning;

    /// One head of one query with four keys of zeros.
    fn layer(keep: usize) -> LayerOperands {
        let vectors = |count: usize| vec![vec![vec![0; 32]; count]];
        LayerOperands {
            queries: vectors(1),
            keys: vectors(4),
            values: vectors(4),
            kv_heads: vec![0],
            scales: vec![Scale::from_factor(0.0).unwrap()],
            live_keys: vec![4],
            value_pruning: vec![ValuePruning {
                keep,
                renormalise: true,
            }],
        }
    }

    fn core(engines: usize) -> AttentionCore {
        let set = format!("softmax.value_engines={engines}");
        AttentionCore::new(&Config::load("tiny", &[set]).unwrap())
    }

    #[test]
    fn values_are_pruned_only_by_hardware_that_can() {
        let refused = LayerStreams::new(&core(0), &layer(3)).err().unwrap();
        let message = refused.to_string();
        for words in [
            "query 0",
            "3 of its 4 keys",
            "tiny",
            "softmax.value_engines is 0",
        ] {
            assert!(message.contains(words), "{words:?} is not in: {message}");
        }
        // Keeping all of them is no pruning.
        let words = LayerStreams::new(&core(0), &layer(4)).unwrap();
        assert_eq!(words.value_id_words, 0);
    }

    #[test]
    fn a_row_carries_its_kept_values_and_gives_a_word_of_positions_per_line() {
        let pruned = LayerStreams::new(&core(1), &layer(3)).unwrap();
        assert_eq!(pruned.row[0][pruned.row[0].len() - 2..], [3, 1]);
        // Four keys in lines of two lanes.
        assert_eq!(pruned.value_id_words, 2);
        let whole = LayerStreams::new(&core(1), &layer(usize::MAX)).unwrap();
        assert_eq!(whole.row[0][whole.row[0].len() - 2..], [4, 1]);
        assert_eq!(whole.value_id_words, 0);
    }
}
