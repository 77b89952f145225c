//! A layer as the words of the memory core's streams: what to fetch, and what each row is.

use std::collections::HashMap;

use super::error::{LayerError, check_fit, check_value_pruning};
use super::streams::{CoreJob, value_id_words};
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
        let heads = operands.queries.len();
        let pipeline = core.pipeline();
        let level = check_fit(pipeline, (head_dim, heads), layer.tokens.len())?;
        check_value_pruning(pipeline, operands)?;
        let lanes = pipeline.softmax_lanes;
        let ruled = operands.rules.iter().filter(|rule| **rule != Rule::None);
        let mut words = LayerWords {
            core,
            layer,
            job,
            level,
            dense: layer.tokens.iter().copied().eq(0..layer.tokens.len()),
            key_fields: core.dispatch.key_fields(),
            value_fields: core.fetch().job_fields(Class::Value),
            row_fields: core.dispatch.row_fields(),
            streams: MemoryStreams {
                job: job.word(heads),
                pin: job.pins(lanes),
                kept_words: job.kept_words(heads, lanes),
                score_words: job.score_words(heads, lanes),
                value_id_words: value_id_words(pipeline, operands, level),
                refined_words: ruled.count() * layer.queries.len(),
                ..MemoryStreams::default()
            },
        };
        for head in 0..heads {
            words.head(head);
        }
        words.list();
        Ok(words.streams)
    }
}

/// The words of a layer in the making.
struct LayerWords<'a> {
    core: &'a MemoryCore,
    layer: &'a FetchedLayer<'a>,
    job: &'a CoreJob,
    /// Of the head dimension.
    level: usize,
    /// The tokens are the first ones, all of them: jobs need no list.
    dense: bool,
    key_fields: Vec<Field>,
    value_fields: Vec<Field>,
    row_fields: Vec<Field>,
    streams: MemoryStreams,
}

impl LayerWords<'_> {
    /// What to fetch for a head, and its rows.
    fn head(&mut self, head: usize) {
        let layer = self.layer;
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
            self.fetch(head, layer.tokens.len());
        }
        for row in 0..layer.queries.len() {
            // A row that sees no key shows an empty line, which there must be.
            let seen = operands.live_keys[row].max(1);
            if streams_rows {
                self.fetch(head, seen);
            }
            let last = row + 1 == layer.queries.len();
            let keys = match streams_rows {
                true => seen,
                false => layer.tokens.len(),
            };
            let mut values = self.row_values(head, row);
            values.extend([
                ("release", i64::from(streams_rows || (last && ends))),
                ("keys", keys as i64),
                ("head_last", i64::from(last)),
                ("job_last", i64::from(last && head + 1 == heads)),
            ]);
            self.streams.row.push(word(&self.row_fields, &values));
        }
    }

    /// Jobs for the first `keys` of the tokens.
    fn fetch(&mut self, head: usize, keys: usize) {
        let layer = self.layer;
        let kv_head = layer.kv_heads[layer.operands.kv_heads[head]];
        let place = |plane: Plane| layer.image.head_place(plane, kv_head);
        let common = |place: HeadPlace| -> Named {
            HashMap::from([
                ("base", place.base as i64),
                ("rotation", place.rotation as i64),
                ("level", self.level as i64),
                ("format", place.format.code() as i64),
                ("keys", keys as i64),
                ("dense", i64::from(self.dense)),
            ])
        };
        let mut key = common(place(Plane::Key));
        if layer.operands.rules[head] != Rule::None {
            let lsb = place(Plane::KeyLsb);
            key.insert("lsb_base", lsb.base as i64);
            key.insert("lsb_rotation", lsb.rotation as i64);
            key.insert("progressive", 1);
        }
        let value = common(place(Plane::Value));
        self.streams.key.push(word(&self.key_fields, &key));
        self.streams.value.push(word(&self.value_fields, &value));
    }

    /// The list of the tokens, for jobs that are not dense, the last of which is done with it.
    fn list(&mut self) {
        let streams = &mut self.streams;
        if self.dense || streams.key.is_empty() {
            return;
        }
        streams.list = self.core.fetch().list_words(self.layer.tokens);
        for (words, fields) in [
            (&mut streams.key, &self.key_fields),
            (&mut streams.value, &self.value_fields),
        ] {
            let index = fields.iter().position(|field| field.name == "list_last");
            if let (Some(word), Some(index)) = (words.last_mut(), index) {
                word[index] = 1;
            }
        }
    }

    /// What the stages need to know of a row.
    fn row_values(&self, head: usize, row: usize) -> Named {
        let (core, layer) = (self.core, self.layer);
        let operands = layer.operands;
        let query = layer.image.head_place(Plane::Query, layer.heads[head]);
        let output = layer.image.head_place(Plane::Output, layer.heads[head]);
        let (scale, step) = (operands.scales[head], self.job.head_scales[head]);
        let live = operands.live_keys[row];
        let mut values = HashMap::from([
            ("query_base", query.base as i64),
            ("output_base", output.base as i64),
            ("rotation", query.rotation as i64),
            ("level", self.level as i64),
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
}
