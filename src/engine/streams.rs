//! A layer as the words of the attention core's streams.

use super::error::{LayerError, check_fit, check_one_plane, check_value_pruning};
use crate::accelerator::attention_pipeline::AttentionPipeline;
use crate::accelerator::importance::ScoreSet;
use crate::accelerator::importance::golden::HeadScale;
use crate::accelerator::shape::ArrayShape;
use crate::accelerator::softmax::ValueIds;
use crate::accelerator::top::AttentionCore;
use crate::cosim::Field;
use crate::golden::layer::LayerOperands;
use crate::numerics::{HEAD_SCALE_MANTISSA_BITS, KEY_LSB_BITS, RESCALE_FRACTION_BITS, value_bits};

/// What a layer does to the core's importance: it is a job of context 0.
#[derive(Clone, Debug)]
pub struct CoreJob {
    /// Whether the scores start from zero.
    pub zero: bool,
    /// Whether the scores leave after the rows.
    pub report: bool,
    /// Which of the live tokens always stay.
    pub pinned: Vec<bool>,
    /// Tokens that stay, pinned ones among them; no selection takes place when no fewer than are live.
    pub keep_tokens: usize,
    /// Heads that stay, likewise.
    pub keep_heads: usize,
    /// The heads' steps of V, `[live heads]`.
    pub head_scales: Vec<HeadScale>,
}

impl CoreJob {
    /// A layer by itself: importance starts from zero, nothing is pruned, nothing reported.
    pub fn dense(layer: &LayerOperands) -> Self {
        let heads = layer.queries.len();
        let tokens = layer.keys[0].len();
        let one = HeadScale {
            mantissa: 1 << (HEAD_SCALE_MANTISSA_BITS - 1),
            shift: HEAD_SCALE_MANTISSA_BITS as u32 - 1,
        };
        CoreJob {
            zero: true,
            report: false,
            pinned: vec![false; tokens],
            keep_tokens: tokens,
            keep_heads: heads,
            head_scales: vec![one; heads],
        }
    }

    /// The word of the `job` channel, in the order of its fields.
    pub(super) fn word(&self, heads: usize) -> Vec<i64> {
        let tokens = self.pinned.len();
        let pins = self.pinned.iter().filter(|&&pinned| pinned).count();
        let flags = [0, i64::from(self.zero), 1, i64::from(self.report)];
        let kinds = [
            (tokens, self.keep_tokens, pins),
            (heads, self.keep_heads, 0),
        ];
        let of_kind = kinds.into_iter().flat_map(|(live, keep, pins)| {
            let keep_ranked = keep.min(live).saturating_sub(pins);
            [
                live as i64,
                i64::from(keep < live),
                keep_ranked as i64,
                (live - pins) as i64,
            ]
        });
        // Nothing comes from home or goes there.
        let home = [0, 1 << RESCALE_FRACTION_BITS, 0];
        flags.into_iter().chain(of_kind).chain(home).collect()
    }

    /// Words of the survivors' ids in lines of so many lanes: of tokens, of `heads` heads. A selection that keeps nothing
    /// still says so.
    pub(super) fn kept_words(&self, heads: usize, lanes: usize) -> [usize; 2] {
        let kinds = [
            (self.pinned.len(), self.keep_tokens),
            (heads, self.keep_heads),
        ];
        kinds.map(|(live, keep)| {
            if keep < live {
                lines_of(keep, lanes)
            } else {
                0
            }
        })
    }

    /// Words of the scores, likewise.
    pub(super) fn score_words(&self, heads: usize, lanes: usize) -> [usize; 2] {
        [self.pinned.len(), heads].map(|live| {
            if self.report {
                lines_of(live, lanes)
            } else {
                0
            }
        })
    }

    /// Words of the `pin` channel: one flag per token, in score lines.
    pub(super) fn pins(&self, lanes: usize) -> Vec<Vec<i64>> {
        if !self.zero {
            return Vec::new();
        }
        let line = |flags: &[bool]| {
            let mut line: Vec<i64> = flags.iter().map(|&flag| i64::from(flag)).collect();
            line.resize(lanes, 0);
            line
        };
        self.pinned.chunks(lanes).map(line).collect()
    }
}

/// Lines of so many lanes that hold `count` elements, at least one.
fn lines_of(count: usize, lanes: usize) -> usize {
    count.div_ceil(lanes).max(1)
}

/// The words of a layer, per input channel, in the order in which the core takes them.
pub struct LayerStreams {
    /// K lines, KV head after KV head.
    pub key: Vec<Vec<i64>>,
    /// V lines, KV head after KV head.
    pub value: Vec<Vec<i64>>,
    /// Row descriptors: all queries of head 0, of head 1, ...
    pub row: Vec<Vec<i64>>,
    /// The job's word.
    pub job: Vec<i64>,
    /// Pinned flags of a job that starts from zero.
    pub pin: Vec<Vec<i64>>,
    /// Words of the survivors' ids: of tokens, of heads.
    pub kept_words: [usize; 2],
    /// Words of the scores: of tokens, of heads.
    pub score_words: [usize; 2],
    /// Output words per row.
    pub words_per_row: usize,
    /// Words of the positions of kept values: one per score line of every row that prunes.
    pub value_id_words: usize,
    /// LSB lines of the rows that the core refines, row after row, where it has an LSB plane.
    pub lsb: Vec<Vec<i64>>,
    /// Words of `refetch`: one per row with a rule.
    pub refetch_words: usize,
}

/// Fields of the core's input channels `key`, `value` and `row` and of its output channels, for a bench.
pub struct CoreFields {
    /// `key` channel.
    pub key: Vec<Field>,
    /// `value` channel.
    pub value: Vec<Field>,
    /// `row` channel.
    pub row: Vec<Field>,
    /// `job` channel.
    pub job: Vec<Field>,
    /// `pin` channel.
    pub pin: Vec<Field>,
    /// `out` channel.
    pub out: Vec<Field>,
    /// `kept_token` and `kept_head` channels.
    pub kept: [Vec<Field>; 2],
    /// `token_score` and `head_score` channels.
    pub scores: [Vec<Field>; 2],
    /// `value_id` channel, where values are pruned.
    pub value_id: Option<Vec<Field>>,
    /// `lsb` and `refetch` channels, where there is an LSB plane.
    pub lsb: Option<[Vec<Field>; 2]>,
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
        let importance = core.importance();
        let sets = [importance.token_scores().set, importance.head_scores().set];
        CoreFields {
            key: vec![Field::signed("data", formats.key_bits).lanes(multipliers)],
            value: vec![Field::signed("data", formats.value_bits).lanes(multipliers)],
            row,
            job: core
                .importance()
                .job_fields()
                .iter()
                .map(Field::from)
                .collect(),
            pin: vec![Field::unsigned("data", 1).lanes(core.softmax_lanes)],
            kept: sets.clone().map(|set| kept_fields(&set)),
            scores: sets.map(|set| score_fields(&set)),
            out: vec![
                Field::signed("data", formats.output_bits()).lanes(core.output_lanes),
                Field::unsigned("last", 1),
            ],
            value_id: core
                .softmax()
                .use_pass()
                .value_ids()
                .map(|ids| value_id_fields(&ids)),
            lsb: core.refines().then(|| {
                [
                    vec![Field::unsigned("data", KEY_LSB_BITS).lanes(multipliers)],
                    vec![Field::unsigned("data", 1)],
                ]
            }),
        }
    }
}

/// Fields of a channel of survivors, of the elements of a score set.
pub fn kept_fields(set: &ScoreSet) -> Vec<Field> {
    vec![
        Field::unsigned("id", set.id_bits()).lanes(set.lanes),
        Field::unsigned("count", value_bits(set.lanes)),
        Field::unsigned("last", 1),
    ]
}

/// Fields of a channel of kept values' positions.
pub fn value_id_fields(ids: &ValueIds) -> Vec<Field> {
    vec![
        Field::unsigned("data", ids.id_bits()).lanes(ids.lanes),
        Field::unsigned("count", value_bits(ids.lanes)),
        Field::unsigned("last", 1),
    ]
}

/// Fields of a channel of scores, of the elements of a score set.
pub fn score_fields(set: &ScoreSet) -> Vec<Field> {
    vec![
        Field::unsigned("data", set.score_bits).lanes(set.lanes),
        Field::unsigned("payload", set.payload_bits()).lanes(set.lanes),
        Field::unsigned("live", 1).lanes(set.lanes),
        Field::unsigned("last", 1),
    ]
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
    /// The words of `layer` and its `job` for `core`.
    ///
    /// # Errors
    /// [`LayerError`] when the layer does not fit the configuration.
    ///
    /// # Panics
    /// When the layer's tensors disagree in shape.
    pub fn new(
        core: &AttentionCore,
        layer: &LayerOperands,
        job: &CoreJob,
    ) -> Result<Self, LayerError> {
        let shape = &core.shape;
        let head_dim = layer.keys[0][0].len();
        let keys = layer.keys[0].len();
        let heads = layer.queries.len();
        let level = check_fit(core, (head_dim, heads), keys)?;
        check_value_pruning(core, layer)?;
        check_one_plane(layer.key_lsbs.is_some())?;
        let key_lines = |head: &Vec<Vec<i64>>| lines(shape, head);
        Ok(LayerStreams {
            key: layer.keys.iter().flat_map(key_lines).collect(),
            value: layer.values.iter().flat_map(key_lines).collect(),
            row: row_words(core, layer, level, &job.head_scales),
            job: job.word(heads),
            pin: job.pins(core.softmax_lanes),
            kept_words: job.kept_words(heads, core.softmax_lanes),
            score_words: job.score_words(heads, core.softmax_lanes),
            words_per_row: head_dim / core.output_lanes,
            value_id_words: value_id_words(core, layer, level),
            lsb: Vec::new(),
            refetch_words: 0,
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

/// Words of the positions of kept values: one per score line of every row that prunes.
pub(super) fn value_id_words(
    core: &AttentionPipeline,
    layer: &LayerOperands,
    level: usize,
) -> usize {
    let rows = layer.value_pruning.iter().zip(&layer.live_keys);
    let pruned = rows.filter(|(pruning, live)| pruning.keep < **live);
    let lines: usize = pruned.map(|(_, &live)| core.score_lines(level, live)).sum();
    lines * layer.queries.len()
}

fn row_words(
    core: &AttentionCore,
    layer: &LayerOperands,
    level: usize,
    steps: &[HeadScale],
) -> Vec<Vec<i64>> {
    let heads = layer.queries.len();
    let keys = layer.keys[0].len();
    let mut words = Vec::new();
    for (head, (queries, step)) in layer.queries.iter().zip(steps).enumerate() {
        let last_of_group = head + 1 == heads || layer.kv_heads[head + 1] != layer.kv_heads[head];
        let scale = layer.scales[head];
        for (row, query) in queries.iter().enumerate() {
            let head_last = row + 1 == queries.len();
            let release = last_of_group && head_last;
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
                i64::from(head_last),
                i64::from(head_last && head + 1 == heads),
                step.mantissa,
                i64::from(step.shift),
            ]);
            if core.value_ranking().is_some() {
                let pruning = layer.value_pruning[row];
                // All of them where no fewer than the live keys stay.
                let kept = pruning.keep.min(layer.live_keys[row]);
                word.extend([kept as i64, i64::from(pruning.renormalise)]);
            }
            if core.refines() {
                word.extend([0; 4]);
            }
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accelerator::refine::golden::Rule;
    use crate::accelerator::softmax::golden::Scale;
    use crate::config::Config;
    use crate::golden::row::ValuePruning;

    /// One head of one query with four keys of zeros.
    fn layer(keep: usize) -> LayerOperands {
        let vectors = |count: usize| vec![vec![vec![0; 32]; count]];
        LayerOperands {
            queries: vectors(1),
            keys: vectors(4),
            key_lsbs: None,
            rules: vec![Rule::None],
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

    fn streams(engines: usize, keep: usize) -> Result<LayerStreams, LayerError> {
        let layer = layer(keep);
        LayerStreams::new(&core(engines), &layer, &CoreJob::dense(&layer))
    }

    #[test]
    fn values_are_pruned_only_by_hardware_that_can() {
        let refused = streams(0, 3).err().unwrap();
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
        let words = streams(0, 4).unwrap();
        assert_eq!(words.value_id_words, 0);
    }

    #[test]
    fn a_row_carries_its_kept_values_and_gives_a_word_of_positions_per_line() {
        let pruned = streams(1, 3).unwrap();
        assert_eq!(pruned.row[0][pruned.row[0].len() - 6..], [3, 1, 0, 0, 0, 0]);
        // Four keys in lines of two lanes.
        assert_eq!(pruned.value_id_words, 2);
        let whole = streams(1, usize::MAX).unwrap();
        assert_eq!(whole.row[0][whole.row[0].len() - 6..], [4, 1, 0, 0, 0, 0]);
        assert_eq!(whole.value_id_words, 0);
    }
}
