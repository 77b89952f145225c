//! A layer as the words of the memory core's streams: what to fetch, and what each row is.

use std::collections::HashMap;

use super::error::{LayerError, check_fit, check_value_pruning};
use super::streams::CoreJob;
use crate::accelerator::fetch::Class;
use crate::accelerator::memory_core::MemoryCore;
use crate::accelerator::refine::golden::Rule;
use crate::golden::layer::LayerOperands;
use crate::hdl::Field;
use crate::workload::memory_image::{HeadPlace, MemoryImage, Plane};

/// What takes part of a layer whose vectors lie in memory.
#[derive(Clone, Debug)]
pub struct FetchedLayer<'a> {
    /// Where the whole layer lies.
    pub image: &'a MemoryImage,
    /// What takes part of it, compacted.
    pub operands: &'a LayerOperands,
    /// Ids of its keys, ascending.
    pub tokens: &'a [usize],
    /// Ids of its queries' tokens, ascending.
    pub queries: &'a [usize],
    /// Its query heads, by their numbers in the whole layer.
    pub heads: &'a [usize],
    /// Its KV heads, likewise.
    pub kv_heads: &'a [usize],
}

/// The words of a layer, per input channel, in the order in which the memory core takes them.
#[derive(Clone, Debug, Default)]
pub struct MemoryStreams {
    /// Surviving ids, where they are not all of the first ones.
    pub list: Vec<Vec<i64>>,
    /// What to fetch of K.
    pub key: Vec<Vec<i64>>,
    /// What to fetch of V.
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
    /// Words of the positions of kept values.
    pub value_id_words: usize,
    /// Rows with a rule: words that tell whether they were refined.
    pub refined_words: usize,
}

/// Values of a word by field.
type Named = HashMap<&'static str, i64>;

/// The word of a channel.
fn word(fields: &[Field], values: &Named) -> Vec<i64> {
    let value = |field: &Field| values.get(field.name.as_str()).copied().unwrap_or(0);
    fields.iter().map(value).collect()
}

impl MemoryStreams {
    /// The words of a layer and its `job` for `core`.
    ///
    /// # Errors
    /// [`LayerError`] when the layer does not fit the configuration.
    ///
    /// # Panics
    /// When the layer's parts disagree in shape.
    pub fn new(
        core: &MemoryCore,
        layer: &FetchedLayer<'_>,
        job: &CoreJob,
    ) -> Result<Self, LayerError> {
        let operands = layer.operands;
        let head_dim = layer.image.shape().head_dim;
        let (heads, keys) = (operands.queries.len(), layer.tokens.len());
        let pipeline = core.pipeline();
        let level = check_fit(pipeline, (head_dim, heads), keys)?;
        check_value_pruning(pipeline, operands)?;
        let lanes = pipeline.softmax_lanes;
        let lines_of = |count: usize| count.div_ceil(lanes).max(1);
        let ruled = operands.rules.iter().filter(|rule| **rule != Rule::None);
        let mut streams = MemoryStreams {
            job: job.word(heads),
            pin: job.pins(lanes),
            kept_words: [(keys, job.keep_tokens), (heads, job.keep_heads)]
                .map(|(live, keep)| if keep < live { lines_of(keep) } else { 0 }),
            score_words: [keys, heads].map(|live| if job.report { lines_of(live) } else { 0 }),
            refined_words: ruled.count() * layer.queries.len(),
            ..MemoryStreams::default()
        };
        for head in 0..heads {
            streams.head(core, layer, job, (head, level));
        }
        streams.lists(core, layer);
        Ok(streams)
    }

    /// What to fetch for a head, and its rows.
    fn head(
        &mut self,
        core: &MemoryCore,
        layer: &FetchedLayer<'_>,
        job: &CoreJob,
        (head, level): (usize, usize),
    ) {
        let operands = layer.operands;
        let has_rule = |head: usize| operands.rules[head] != Rule::None;
        let shares = |a: usize, b: usize| {
            operands.kv_heads[a] == operands.kv_heads[b] && !has_rule(a) && !has_rule(b)
        };
        let heads = operands.queries.len();
        let streams_rows = has_rule(head);
        let begins = head == 0 || !shares(head - 1, head);
        let ends = head + 1 == heads || !shares(head, head + 1);
        if begins && !streams_rows && !layer.queries.is_empty() {
            self.fetch(core, layer, (head, level), layer.tokens.len());
        }
        for row in 0..layer.queries.len() {
            // A row that sees no key shows an empty line, which there must be.
            let seen = operands.live_keys[row].max(1);
            if streams_rows {
                self.fetch(core, layer, (head, level), seen);
            }
            let last = row + 1 == layer.queries.len();
            let keys = if streams_rows {
                seen
            } else {
                layer.tokens.len()
            };
            let mut values = row_values(core, layer, job, (head, row));
            values.extend([
                ("level", level as i64),
                ("release", i64::from(streams_rows || (last && ends))),
                ("keys", keys as i64),
                ("head_last", i64::from(last)),
                ("job_last", i64::from(last && head + 1 == heads)),
            ]);
            self.row.push(word(&core.dispatch.row_fields(), &values));
            let live = operands.live_keys[row];
            if operands.value_pruning[row].keep < live {
                self.value_id_words += core.pipeline().score_lines(level, live);
            }
        }
    }

    /// Jobs for the first `keys` of the tokens.
    fn fetch(
        &mut self,
        core: &MemoryCore,
        layer: &FetchedLayer<'_>,
        (head, level): (usize, usize),
        keys: usize,
    ) {
        let kv_head = layer.kv_heads[layer.operands.kv_heads[head]];
        let dense = is_dense(layer.tokens);
        let place = |plane: Plane| layer.image.head_place(plane, kv_head);
        let common = |place: HeadPlace| -> Named {
            HashMap::from([
                ("base", place.base as i64),
                ("rotation", place.rotation as i64),
                ("level", level as i64),
                ("format", place.format.code() as i64),
                ("keys", keys as i64),
                ("dense", i64::from(dense)),
            ])
        };
        let mut key = common(place(Plane::Key));
        if layer.operands.rules[head] != Rule::None {
            let lsb = place(Plane::KeyLsb);
            key.insert("lsb_base", lsb.base as i64);
            key.insert("lsb_rotation", lsb.rotation as i64);
            key.insert("progressive", 1);
        }
        self.key.push(word(&core.dispatch.key_fields(), &key));
        let value = common(place(Plane::Value));
        self.value
            .push(word(&core.fetch().job_fields(Class::Value), &value));
    }

    /// The list of the tokens, for jobs that are not dense, the last of which is done with it.
    fn lists(&mut self, core: &MemoryCore, layer: &FetchedLayer<'_>) {
        if is_dense(layer.tokens) || self.key.is_empty() {
            return;
        }
        let lanes = core.fetch().scan_lanes();
        let words = layer.tokens.chunks(lanes);
        let count = words.len();
        self.list = words
            .enumerate()
            .map(|(index, ids)| {
                let mut word: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
                word.resize(lanes, 0);
                word.push(i64::from(index + 1 == count));
                word
            })
            .collect();
        let key_fields = core.dispatch.key_fields();
        let value_fields = core.fetch().job_fields(Class::Value);
        for (words, fields) in [(&mut self.key, key_fields), (&mut self.value, value_fields)] {
            let index = fields.iter().position(|field| field.name == "list_last");
            if let (Some(word), Some(index)) = (words.last_mut(), index) {
                word[index] = 1;
            }
        }
    }
}

/// Whether ids are the first ones, all of them.
fn is_dense(tokens: &[usize]) -> bool {
    tokens.iter().enumerate().all(|(index, &id)| index == id)
}

/// What the stages need to know of a row.
fn row_values(
    core: &MemoryCore,
    layer: &FetchedLayer<'_>,
    job: &CoreJob,
    (head, row): (usize, usize),
) -> Named {
    let operands = layer.operands;
    let query = layer.image.head_place(Plane::Query, layer.heads[head]);
    let output = layer.image.head_place(Plane::Output, layer.heads[head]);
    let (scale, step) = (operands.scales[head], job.head_scales[head]);
    let live = operands.live_keys[row];
    let mut values = HashMap::from([
        ("query_base", query.base as i64),
        ("output_base", output.base as i64),
        ("rotation", query.rotation as i64),
        ("id", layer.queries[row] as i64),
        ("live", live as i64),
        ("mantissa", scale.mantissa),
        ("pre", i64::from(scale.pre)),
        ("post", i64::from(scale.post)),
        ("step_mantissa", step.mantissa),
        ("step_shift", i64::from(step.shift)),
        ("rule", operands.rules[head].code()),
    ]);
    match operands.rules[head] {
        Rule::None => {}
        Rule::Threshold { most } => {
            values.insert("confident_sum", most);
        }
        Rule::Noise { limit, shift } => {
            values.extend([("noise_limit", limit), ("noise_shift", i64::from(shift))]);
        }
    }
    if core.pipeline().value_ranking().is_some() {
        let pruning = operands.value_pruning[row];
        values.insert("values_kept", pruning.keep.min(live) as i64);
        values.insert("renormalise", i64::from(pruning.renormalise));
    }
    values
}
