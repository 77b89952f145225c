//! The cascade of the golden engine: against a plain one that masks instead of compacting and sorts instead of
//! selecting, and against float64 importance of the same integers.

use std::cmp::Reverse;

use proptest::prelude::*;
use spatten::accelerator::importance::golden::{accumulate_head, magnitude};
use spatten::config::Config;
use spatten::engine::golden::GoldenEngine;
use spatten::engine::job::{Job, JobResult};
use spatten::engine::{Engine, EngineError, EngineKind, Layer, SelectionError};
use spatten::golden::cascade::{CascadeStep, Live, gather};
use spatten::golden::float64::integer_rows;
use spatten::golden::head::attend_head;
use spatten::golden::probability_error_bound;
use spatten::golden::row::{ValuePruning, attend_row};
use spatten::numerics::Formats;
use spatten::workload::quantizer::{QuantizedLayer, reference_value_step};
use spatten::workload::schedule::{KeepRatio, Pruning};
use spatten::workload::synthetic::{RowKind, SyntheticAttention};
use spatten::workload::tensors::AttentionTensors;

use crate::shared_data;

const SMALL: SyntheticAttention = SyntheticAttention {
    layers: 3,
    heads: 6,
    kv_heads: 2,
    queries: 12,
    keys: 20,
    head_dim: 32,
    causal: true,
    rows: Some(RowKind::RealLike),
    seed: 1,
};

fn tiny() -> Config {
    Config::load("tiny", &[]).unwrap()
}

fn golden(tensors: &AttentionTensors, pruning: &Pruning) -> JobResult {
    let config = tiny();
    let job = Job::new(tensors, None, config.formats(), true).unwrap();
    let job = job.pruned(pruning).unwrap();
    job.run(&mut GoldenEngine::new(&config), |_| {}).unwrap()
}

/// What a random job prunes, in percent.
#[derive(Clone, Debug)]
struct Percent {
    tokens: Vec<usize>,
    heads: Vec<usize>,
    values: usize,
    renormalise: bool,
    pins: Vec<usize>,
}

impl Percent {
    fn pruning(&self) -> Pruning {
        let ratio = |percent: usize| percent as f64 / 100.0;
        let list = |later: &[usize]| {
            let ratios = std::iter::once(1.0).chain(later.iter().map(|&percent| ratio(percent)));
            Some(match later {
                [] => KeepRatio::Final(1.0),
                _ => KeepRatio::PerLayer(ratios.collect()),
            })
        };
        Pruning {
            tokens: list(&self.tokens),
            heads: list(&self.heads),
            values: Some(KeepRatio::Final(ratio(self.values))),
            renormalise: self.renormalise,
            pins: self.pins.clone(),
        }
    }
}

/// Everything by id and whole: what is pruned is masked, never moved.
struct Plain {
    lives: Vec<bool>,
    token_scores: Vec<i64>,
    head_lives: Vec<bool>,
    head_scores: Vec<i64>,
}

impl Plain {
    /// One layer's outputs, `[heads][queries][d]`.
    fn attend(
        &mut self,
        model: &SyntheticAttention,
        formats: &Formats,
        layer: &QuantizedLayer,
        reference: f64,
        percent: &Percent,
    ) -> Vec<Vec<Vec<i64>>> {
        let operands = &layer.operands;
        let mut outputs = vec![vec![vec![0; model.head_dim]; model.queries]; model.heads];
        for (head, rows) in outputs.iter_mut().enumerate() {
            if !self.head_lives[head] {
                continue;
            }
            let kv_head = head / (model.heads / model.kv_heads);
            for (query, outputs) in rows.iter_mut().enumerate() {
                let token = (query + model.keys).checked_sub(model.queries);
                if token.is_some_and(|token| !self.lives[token]) {
                    continue;
                }
                let sees = |key| !model.causal || key <= token.unwrap();
                let mask: Vec<bool> = (0..model.keys)
                    .map(|key| self.lives[key] && sees(key))
                    .collect();
                let live = mask.iter().filter(|&&lives| lives).count();
                let row = attend_row(
                    formats,
                    &operands.queries[head][query],
                    &operands.keys[kv_head],
                    &operands.values[kv_head],
                    &mask,
                    operands.scales[head],
                    ValuePruning {
                        keep: (live * percent.values).div_ceil(100),
                        renormalise: percent.renormalise,
                    },
                );
                for (score, p) in self.token_scores.iter_mut().zip(&row.probabilities) {
                    *score += p;
                }
                *outputs = row.outputs;
            }
            let scale = layer.head_scale(head, reference);
            let magnitude = magnitude(rows.iter().flatten());
            self.head_scores[head] = accumulate_head(self.head_scores[head], magnitude, scale);
        }
        outputs
    }

    fn select(&mut self, token_percent: usize, head_percent: usize, pins: &[usize]) {
        let keys = self.lives.len();
        let mut pinned = vec![false; keys];
        for &pin in pins.iter().chain([&(keys - 1)]) {
            pinned[pin] = true;
        }
        let pins = pinned.iter().filter(|&&pinned| pinned).count();
        let k = (keys * token_percent).div_ceil(100).max(pins);
        let mut tokens: Vec<usize> = (0..keys).filter(|&token| self.lives[token]).collect();
        tokens.sort_by_key(|&token| (!pinned[token], Reverse(self.token_scores[token]), token));
        for &token in tokens.iter().skip(k) {
            self.lives[token] = false;
        }

        let heads = self.head_lives.len();
        let k = (heads * head_percent).div_ceil(100);
        let mut live: Vec<usize> = (0..heads).filter(|&head| self.head_lives[head]).collect();
        live.sort_by_key(|&head| (Reverse(self.head_scores[head]), head));
        for &head in live.iter().skip(k) {
            self.head_lives[head] = false;
        }
    }
}

fn ids(flags: &[bool]) -> Vec<usize> {
    (0..flags.len()).filter(|&i| flags[i]).collect()
}

fn models() -> impl Strategy<Value = SyntheticAttention> {
    let kinds = prop_oneof![
        Just(None),
        Just(Some(RowKind::RealLike)),
        Just(Some(RowKind::Flat))
    ];
    let sizes = (1..5_usize, 1..4_usize, 1..4_usize, 1..33_usize);
    (sizes, 1..40_usize, any::<bool>(), kinds, any::<u64>()).prop_map(
        |((layers, kv_heads, group, keys), queries, causal, rows, seed)| SyntheticAttention {
            layers,
            heads: kv_heads * group,
            kv_heads,
            queries: if causal { queries.min(keys) } else { queries },
            keys,
            head_dim: 32,
            causal,
            rows,
            seed,
        },
    )
}

fn jobs() -> impl Strategy<Value = (SyntheticAttention, Percent)> {
    models().prop_flat_map(|model| {
        let ratios = || prop::collection::vec(1..=100_usize, model.layers - 1);
        let pins = prop::collection::vec(0..model.keys, 0..3);
        let percent = (ratios(), ratios(), 1..=100_usize, any::<bool>(), pins).prop_map(
            |(tokens, heads, values, renormalise, pins)| Percent {
                tokens,
                heads,
                values,
                renormalise,
                pins,
            },
        );
        (Just(model), percent)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn golden_cascade_equals_a_plain_one_that_masks_and_sorts((model, percent) in jobs()) {
        let tensors = model.tensors();
        let formats = tiny().formats();
        let result = golden(&tensors, &percent.pruning());

        let reference = reference_value_step(&tensors, 0..model.layers, formats.value_bits);
        let mut plain = Plain {
            lives: vec![true; model.keys],
            token_scores: vec![0; model.keys],
            head_lives: vec![true; model.heads],
            head_scores: vec![0; model.heads],
        };
        let elements = model.heads * model.queries * model.head_dim;
        for index in 0..model.layers {
            if index > 0 {
                plain.select(percent.tokens[index - 1], percent.heads[index - 1], &percent.pins);
            }
            let layer = QuantizedLayer::new(&tensors, index, &formats, true);
            let report = &result.layers[index];
            prop_assert_eq!(&report.kept_tokens, &ids(&plain.lives), "layer {}", index);
            prop_assert_eq!(&report.kept_heads, &ids(&plain.head_lives), "layer {}", index);

            let outputs = plain.attend(&model, &formats, &layer, reference, &percent);
            let expected = outputs.iter().enumerate().flat_map(|(head, rows)| {
                let step = layer.output_step(head);
                rows.iter().flatten().map(move |&code| (code as f64 * step) as f32)
            });
            let start = index * elements;
            let out = &result.output.out.data()[start..start + elements];
            prop_assert!(out.iter().copied().eq(expected), "layer {}", index);

            let importance = |scores: &[i64], lives: &[bool], unit: f64| -> Vec<f32> {
                let score = |(&score, &lives): (&i64, &bool)| match lives {
                    true => (score as f64 * unit) as f32,
                    false => 0.0,
                };
                scores.iter().zip(lives).map(score).collect()
            };
            let tokens = importance(&plain.token_scores, &plain.lives, 1.0 / 65536.0);
            let heads = importance(&plain.head_scores, &plain.head_lives, reference / 16.0);
            prop_assert_eq!(&result.output.token_importance.as_ref().unwrap()[index], &tokens);
            prop_assert_eq!(&result.output.head_importance.as_ref().unwrap()[index], &heads);
            prop_assert_eq!(&result.output.kept_tokens.as_ref().unwrap()[index], &plain.lives);
            prop_assert_eq!(&result.output.kept_heads.as_ref().unwrap()[index], &plain.head_lives);
        }
    }
}

/// A score in float64 and the most by which the accelerator's may differ from it.
#[derive(Clone, Copy, Default)]
struct Score {
    exact: f64,
    error: f64,
}

/// Selections of one job, and those that differ from float64's.
#[derive(Default)]
struct Selections {
    all: usize,
    different: usize,
}

impl Selections {
    /// Fails unless the accelerator kept what float64 would, or swapped only scores nearer than their errors.
    fn compare(&mut self, scores: &[Score], live: &[usize], kept: &[usize], pinned: &[usize]) {
        let dropped = live.iter().filter(|id| !kept.contains(id));
        let mut different = false;
        for &dropped in dropped {
            for &kept in kept.iter().filter(|id| !pinned.contains(id)) {
                let (lost, won) = (scores[dropped], scores[kept]);
                let lead = lost.exact - won.exact;
                let margin = lost.error + won.error;
                assert!(
                    lead <= margin,
                    "{dropped} was pruned and {kept} kept, though it leads by {lead}, more than {margin}"
                );
                different |= lead > 0.0;
            }
        }
        self.all += 1;
        self.different += usize::from(different);
    }

    fn add(&mut self, other: &Selections) {
        self.all += other.all;
        self.different += other.different;
    }
}

/// Largest relative error of a head's importance: that of a sum of many outputs, each off by a few hundredths of a step.
const HEAD_ERROR: f64 = 1e-3;

/// Compares every selection of tokens and of heads with float64 importance of the same integers, gathered along the
/// golden engine's own survivors. A token's score errs by at most the sum of [`probability_error_bound`] over the rows
/// that see it, about 14 steps of 2^-16 per row at most.
fn compare_with_float64(tensors: &AttentionTensors, pruning: &Pruning) -> Selections {
    let formats = tiny().formats();
    let result = golden(tensors, pruning);
    let importance = result.output.token_importance.as_ref().unwrap();
    let head_importance = result.output.head_importance.as_ref().unwrap();
    let pins = [pruning.pins.as_slice(), &[tensors.key_count() - 1]].concat();

    let mut tokens = vec![Score::default(); tensors.key_count()];
    let mut heads = vec![Score::default(); tensors.head_count()];
    let mut selections = Selections::default();
    for (index, report) in result.layers.iter().enumerate() {
        let live = Live {
            tokens: report.kept_tokens.clone(),
            heads: report.kept_heads.clone(),
        };
        let layer = QuantizedLayer::new(tensors, index, &formats, true);
        let operands = layer.operands.gather(&live);
        for (position, &head) in live.heads.iter().enumerate() {
            for row in integer_rows(&operands.head(position), layer.factors[head]) {
                let seen = row.probabilities.len();
                for (&token, &probability) in live.tokens.iter().zip(&row.probabilities) {
                    tokens[token].exact += probability;
                    tokens[token].error += probability_error_bound(probability, seen);
                }
                let step = layer.output_step(head) * 16.0;
                let magnitude: f64 = row.outputs.iter().map(|x| x.abs()).sum();
                heads[head].exact += magnitude * step;
                heads[head].error += magnitude * step * HEAD_ERROR;
            }
        }

        let is_near = |score: Score, actual: f32| {
            // Importance is told in float32.
            (f64::from(actual) - score.exact).abs() <= score.error + 1e-6 * score.exact
        };
        for &token in &live.tokens {
            assert!(
                is_near(tokens[token], importance[index][token]),
                "token {token}"
            );
        }
        for &head in &live.heads {
            assert!(
                is_near(heads[head], head_importance[index][head]),
                "head {head}"
            );
        }
        if let Some(next) = result.layers.get(index + 1) {
            selections.compare(&tokens, &live.tokens, &next.kept_tokens, &pins);
            selections.compare(&heads, &live.heads, &next.kept_heads, &[]);
        }
    }
    selections
}

/// Final ratios from one that prunes hardly anything to one that prunes most.
fn final_ratios() -> impl Iterator<Item = Pruning> {
    (1..10).map(|tenth| Pruning {
        tokens: Some(KeepRatio::Final(f64::from(tenth) / 10.0)),
        heads: Some(KeepRatio::Final(f64::from(tenth) / 10.0)),
        ..Pruning::default()
    })
}

#[test]
fn survivors_are_those_of_float64_importance_on_synthetic_tensors() {
    let mut selections = Selections::default();
    for rows in [
        Some(RowKind::RealLike),
        Some(RowKind::FirstTokenHeavy),
        None,
    ] {
        for causal in [false, true] {
            let model = SyntheticAttention {
                rows,
                causal,
                ..SMALL
            };
            for pruning in final_ratios() {
                selections.add(&compare_with_float64(&model.tensors(), &pruning));
            }
        }
    }
    assert_eq!(selections.all, 6 * 9 * 4);
    println!("{} of {} differ", selections.different, selections.all);
    assert_eq!(selections.different, 0);
}

#[test]
fn survivors_are_those_of_float64_importance_on_real_tensors() {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    for file in files {
        let tensors = AttentionTensors::read(&file, None).unwrap();
        let mut selections = Selections::default();
        for pruning in final_ratios() {
            selections.add(&compare_with_float64(&tensors, &pruning));
        }
        let (all, different) = (selections.all, selections.different);
        println!("{}: {different} of {all} differ", file.display());
        assert_eq!(different, 0, "{} of {all}", file.display());
    }
}

#[test]
fn every_probability_stays_within_its_bound() {
    let formats = Config::load("spatten", &[]).unwrap().formats();
    let mut nearest = 0.0_f64;
    for (keys, rows) in [
        (2, RowKind::RealLike),
        (24, RowKind::RealLike),
        (24, RowKind::Peaked),
        (1024, RowKind::RealLike),
        (4096, RowKind::Flat),
    ] {
        let model = SyntheticAttention {
            layers: 1,
            queries: keys.min(24),
            keys,
            rows: Some(rows),
            ..SMALL
        };
        let layer = QuantizedLayer::new(&model.tensors(), 0, &formats, true);
        for (head, &factor) in layer.factors.iter().enumerate() {
            let operands = layer.operands.head(head);
            let exact = integer_rows(&operands, factor);
            for (row, exact) in attend_head(&formats, &operands).iter().zip(exact) {
                let live = exact.probabilities.len();
                for (&p, &exact) in row.probabilities.iter().zip(&exact.probabilities) {
                    let error = (p as f64 / 65536.0 - exact).abs();
                    let bound = probability_error_bound(exact, live);
                    assert!(error <= bound, "{keys} keys: {p}, exactly {exact}");
                    nearest = nearest.max(error / bound);
                }
            }
        }
    }
    println!("largest error: {nearest:.2} of its bound");
    assert!(nearest > 0.3, "the bound is far from any error: {nearest}");
}

#[test]
fn float_engine_selects_by_its_own_importance_and_mostly_alike() {
    let config = tiny();
    let pruning = Pruning {
        tokens: Some(KeepRatio::Final(0.4)),
        heads: Some(KeepRatio::Final(0.5)),
        values: Some(KeepRatio::Final(0.5)),
        pins: vec![1],
        ..Pruning::default()
    };
    let tensors = SMALL.tensors();
    let float = Job::new(&tensors, None, config.formats(), true).unwrap();
    let float = float.pruned(&pruning).unwrap();
    let mut engine = EngineKind::Float.start(&config, 1).unwrap();
    let float = float.run(engine.as_mut(), |_| {}).unwrap();
    let golden = golden(&tensors, &pruning);
    for (float, golden) in float.layers.iter().zip(&golden.layers) {
        assert_eq!(float.kept_tokens.len(), golden.kept_tokens.len());
        assert_eq!(float.kept_tokens, golden.kept_tokens);
        assert_eq!(float.kept_heads, golden.kept_heads);
        // Its own reference, but for the rounding to float32.
        assert!(float.error.max < 1e-6, "{:?}", float.error);
    }
    let importances = [&float, &golden].map(|result| {
        let output = &result.output;
        let tokens = output.token_importance.as_ref().unwrap().concat();
        let heads = output.head_importance.as_ref().unwrap().concat();
        (tokens, heads)
    });
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 0.01 * a);
    assert!(near(&importances[0].0, &importances[1].0));
    assert!(near(&importances[0].1, &importances[1].1));
}

#[test]
fn gathering_everything_changes_nothing() {
    let formats = tiny().formats();
    let operands = QuantizedLayer::new(&SMALL.tensors(), 0, &formats, true).operands;
    let all = operands.gather(&Live::all(SMALL.keys, SMALL.heads));
    assert_eq!(format!("{all:?}"), format!("{operands:?}"));
}

#[test]
fn gathered_operands_are_those_of_the_living_in_order() {
    let model = SyntheticAttention {
        kv_heads: 3,
        queries: 8,
        ..SMALL
    };
    let formats = tiny().formats();
    let whole = QuantizedLayer::new(&model.tensors(), 0, &formats, true).operands;
    // Query 0 is token 12. Of the KV heads 0, 0, 1, 1, 2, 2 those of heads 1, 4 and 5 are used.
    let live = Live {
        tokens: vec![0, 3, 12, 15, 16, 19],
        heads: vec![1, 4, 5],
    };
    let gathered = whole.gather(&live);
    assert_eq!(gathered.kv_heads, [0, 1, 1]);
    assert_eq!(gathered.scales, [1, 4, 5].map(|head| whole.scales[head]));
    assert_eq!(gathered.live_keys, [3, 4, 5, 6]);
    assert_eq!(gathered.value_pruning.len(), 4);
    let queries = [0, 3, 4, 7];
    assert_eq!(gathered.queries[1], gather(&whole.queries[4], &queries));
    assert_eq!(gathered.keys.len(), 2);
    assert_eq!(gathered.keys[1], gather(&whole.keys[2], &live.tokens));
    assert_eq!(gathered.values[0], gather(&whole.values[0], &live.tokens));
}

/// One layer of the small model with a selection of `keep` tokens after it.
fn attend_and_keep(kind: EngineKind, keep: usize, pinned: &[usize]) -> Result<Live, EngineError> {
    let config = tiny();
    let tensors = SMALL.tensors();
    let quantized = QuantizedLayer::new(&tensors, 0, &config.formats(), true);
    let live = Live::all(SMALL.keys, SMALL.heads);
    let reference = reference_value_step(&tensors, 0..1, config.formats().value_bits);
    let scale = |&head: &usize| quantized.head_scale(head, reference);
    let step = CascadeStep {
        first: true,
        keep_tokens: keep,
        keep_heads: SMALL.heads,
        pinned: pinned.to_vec(),
        head_scales: live.heads.iter().map(scale).collect(),
    };
    let layer = Layer {
        tensors: &tensors,
        index: 0,
        quantized: &quantized,
        formats: &config.formats(),
        operands: &quantized.operands,
        live: &live,
        step: &step,
    };
    let mut engine: Box<dyn Engine> = kind.start(&config, 1)?;
    let result = engine.attend(&layer, &mut |_| {})?;
    use spatten::engine::Importance::{Codes, Values};
    Ok(
        match result.cascade.expect("these engines gather importance") {
            Codes(result) => result.next,
            Values(result) => result.next,
        },
    )
}

#[test]
fn more_pins_than_tokens_to_keep_and_more_than_the_hardware_holds_are_refused() {
    for kind in [EngineKind::Golden, EngineKind::Float] {
        assert_eq!(
            attend_and_keep(kind, 3, &[2, 9, 19]).unwrap().tokens,
            [2, 9, 19]
        );
        let error = attend_and_keep(kind, 2, &[2, 9, 19]).unwrap_err();
        let message = error.to_string();
        assert!(
            matches!(error, EngineError::Selection(SelectionError::Pins(_))),
            "{message}"
        );
        assert!(
            message.contains("3 elements are pinned, but only 2"),
            "{message}"
        );
    }
    let error = attend_and_keep(EngineKind::Golden, 33, &[19]).unwrap_err();
    let message = error.to_string();
    for word in ["33 tokens to keep", "at most 32", "limits.keys_per_row"] {
        assert!(message.contains(word), "{message}");
    }
    let all = attend_and_keep(EngineKind::Golden, 32, &[19]).unwrap();
    assert_eq!(all, Live::all(SMALL.keys, SMALL.heads));
}

#[test]
fn heads_rank_by_outputs_in_the_tensors_units_and_not_by_codes() {
    // All heads attend alike, but their V differ in size from head to head by a factor of ten; codes do not.
    let model = SyntheticAttention {
        kv_heads: 6,
        rows: Some(RowKind::Flat),
        causal: false,
        ..SMALL
    };
    let mut file = crate::tensors::TensorFile::valid();
    let tensors = model.tensors();
    let shape = |tensor: &spatten::workload::tensors::Tensor| tensor.shape().to_vec();
    file.remove("ctx");
    file.causal("false");
    file.set_data("q", &shape(tensors.queries()), tensors.queries().data());
    file.set_data("k", &shape(tensors.keys()), tensors.keys().data());
    let sizes = [0.01, 10.0, 0.1, 100.0, 1.0, 0.001_f32];
    let of_head = SMALL.keys * SMALL.head_dim;
    let elements = tensors.values().data().iter().enumerate();
    let values: Vec<f32> = elements.map(|(i, v)| v * sizes[i / of_head % 6]).collect();
    file.set_data("v", &shape(tensors.values()), &values);
    let tensors = AttentionTensors::from_bytes(&file.bytes(), None).unwrap();

    let pruning = Pruning {
        heads: Some("1,0.5,0.3".parse().unwrap()),
        ..Pruning::default()
    };
    let result = golden(&tensors, &pruning);
    let kept: Vec<_> = result
        .layers
        .iter()
        .map(|layer| &layer.kept_heads)
        .collect();
    assert_eq!(kept, [&vec![0, 1, 2, 3, 4, 5], &vec![1, 3, 4], &vec![1, 3]]);
}
