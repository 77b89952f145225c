//! Progressive quantization in the golden model: K in an MSB plane and an LSB plane that a rule asks for, against committed
//! vectors of the executable definition, exact sums, and float64.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use spatten::accelerator::query_key::golden::split_key;
use spatten::accelerator::refine::golden::{MAX_SUM, Rule};
use spatten::accelerator::softmax::golden::Scale;
use spatten::golden::cascade::Live;
use spatten::golden::float64::{AbsError, attend_float_head, refined_rows};
use spatten::golden::head::attend_head;
use spatten::golden::row::{RowKeys, RowTrace, ValuePruning, attend_row};
use spatten::numerics::{Formats, STORED_BITS, fits_signed};
use spatten::workload::quantizer::QuantizedLayer;
use spatten::workload::synthetic::{RowKind, SyntheticAttention};
use spatten::workload::tensors::AttentionTensors;

use crate::shared_data;

/// With K's MSB plane in so many bits.
fn formats(key_bits: usize) -> Formats {
    Formats {
        query_bits: 12,
        key_bits,
        value_bits: 12,
        max_head_dim: 128,
    }
}

#[derive(Deserialize)]
struct Vectors {
    progressive: Vec<HeadVectors>,
}

#[derive(Deserialize)]
struct HeadVectors {
    key_bits: usize,
    rule: String,
    limit: i64,
    shift: u32,
    factor: f64,
    queries: Vec<Vec<i64>>,
    keys: Vec<Vec<i64>>,
    values: Vec<Vec<i64>>,
    rows: Vec<RowVectors>,
}

#[derive(Deserialize)]
struct RowVectors {
    live: String,
    first_scores: Vec<i64>,
    first_sum: i64,
    refetched: bool,
    scores: Vec<i64>,
    exponentials: Vec<i64>,
    sum: i64,
    probabilities: Vec<i64>,
    outputs: Vec<i64>,
}

fn vectors() -> Vec<HeadVectors> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testbenches/data/numerics_vectors.json"
    );
    let text = std::fs::read_to_string(path).expect("the vector file is committed");
    let vectors: Vectors = serde_json::from_str(&text).expect("the file has these vectors");
    vectors.progressive
}

/// Both planes of a K.
#[derive(Clone, Debug)]
struct Planes {
    msb: Vec<Vec<i64>>,
    lsb: Vec<Vec<i64>>,
}

impl Planes {
    fn new(keys: &[Vec<i64>]) -> Planes {
        let split = |key: &Vec<i64>| key.iter().map(|&element| split_key(element)).unzip();
        let (msb, lsb) = keys.iter().map(split).unzip();
        Planes { msb, lsb }
    }

    fn with(&self, rule: Rule) -> RowKeys<'_> {
        RowKeys {
            msb: &self.msb,
            lsb: Some(&self.lsb),
            rule,
        }
    }
}

#[test]
fn whole_rows_of_all_settings_equal_the_vectors() {
    let cases = vectors();
    let settings: Vec<_> = cases.iter().map(|case| case.key_bits).collect();
    assert_eq!(settings, [4, 4, 6, 6, 8, 8, 10, 10, 12, 12]);
    for case in cases {
        let rule = match case.rule.as_str() {
            "threshold" => Rule::Threshold { most: case.limit },
            _ => Rule::Noise {
                limit: case.limit,
                shift: case.shift,
            },
        };
        let refetched = case.rows.iter().filter(|row| row.refetched).count();
        assert!(refetched > 0 && refetched < case.rows.len());
        let planes = Planes::new(&case.keys);
        // The most negative code of the MSB plane occurs.
        assert_eq!(planes.msb[0][0], -1 << (case.key_bits - 1));
        for (index, (query, row)) in case.queries.iter().zip(&case.rows).enumerate() {
            let live: Vec<bool> = row.live.chars().map(|bit| bit == '1').collect();
            let scale = Scale::from_factor(case.factor).unwrap();
            let trace = attend_row(
                &formats(case.key_bits),
                query,
                planes.with(rule),
                &case.values,
                &live,
                scale,
                ValuePruning::NONE,
            );
            let place = format!("{} bits, {rule:?}, row {index}", case.key_bits);
            let first = trace.first.expect("a row with a rule");
            assert_eq!(first.scores, row.first_scores, "{place}: first scores");
            assert_eq!(first.sum, row.first_sum, "{place}: first sum");
            assert_eq!(trace.refetched, row.refetched, "{place}: decision");
            assert_eq!(trace.scores, row.scores, "{place}: scores");
            assert_eq!(trace.exponentials, row.exponentials, "{place}: e");
            assert_eq!(trace.sum, row.sum, "{place}: sum");
            assert_eq!(trace.probabilities, row.probabilities, "{place}: p");
            assert_eq!(trace.outputs, row.outputs, "{place}: outputs");
        }
    }
}

/// A row of random operands, with `live` keys of `keys`.
struct Row {
    query: Vec<i64>,
    keys: Vec<Vec<i64>>,
    values: Vec<Vec<i64>>,
    live: Vec<bool>,
    scale: Scale,
}

impl Row {
    fn random(random: &mut ChaCha8Rng, key_bits: usize, keys: usize, live: usize) -> Row {
        let mut vector = |bits: usize| -> Vec<i64> {
            let most = (1 << (bits - 1)) - 1;
            (0..16).map(|_| random.random_range(-most..=most)).collect()
        };
        let query = vector(12);
        let all = (0..keys).map(|_| vector(key_bits + 4)).collect();
        let values = (0..keys).map(|_| vector(12)).collect();
        let flatness = random.random_range(8.0..20.0);
        Row {
            query,
            keys: all,
            values,
            live: (0..keys).map(|key| key < live).collect(),
            scale: Scale::from_factor(f64::exp2(-flatness - key_bits as f64)).unwrap(),
        }
    }

    fn attend<'a>(&'a self, key_bits: usize, keys: RowKeys<'a>) -> RowTrace {
        attend_row(
            &formats(key_bits),
            &self.query,
            keys,
            &self.values,
            &self.live,
            self.scale,
            ValuePruning::NONE,
        )
    }
}

/// A refetched row is the row of all of K's bits, any other that of the MSB plane.
#[test]
fn rows_are_those_of_one_plane_or_of_all_bits() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for key_bits in STORED_BITS {
        for (keys, live) in [(1, 1), (1, 0), (9, 0), (9, 1), (9, 9), (40, 23), (300, 300)] {
            let row = Row::random(&mut random, key_bits, keys, live);
            let planes = Planes::new(&row.keys);
            let plain = row.attend(key_bits, (&planes.msb).into());
            let always = row.attend(key_bits, planes.with(Rule::Threshold { most: 0 }));
            for rule in rules(&plain, &row.query) {
                let trace = row.attend(key_bits, planes.with(rule));
                let first = trace.first.clone().expect("a row with a rule");
                assert_eq!((&first.scores, first.sum), (&plain.scores, plain.sum));
                assert_eq!(trace.refetched, rule.refetches(&row.query, plain.sum));
                let expected = if trace.refetched { &always } else { &plain };
                assert_eq!(trace.outputs, expected.outputs, "{key_bits} bits, {rule:?}");
                assert_eq!(trace.probabilities, expected.probabilities);
                if trace.refetched {
                    assert!(live > 0, "an empty row is refetched");
                    for (score, key) in trace.scores.iter().zip(&row.keys) {
                        let exact: i64 = row.query.iter().zip(key).map(|(q, k)| q * k).sum();
                        assert_eq!(*score, exact);
                    }
                }
            }
            assert_eq!(always.refetched, live > 0);
        }
    }
}

/// Rules that refetch everything, nothing, and at the very decision of this row.
fn rules(row: &RowTrace, query: &[i64]) -> Vec<Rule> {
    let noise: i64 = query.iter().map(|q| q * q).sum::<i64>() >> 8;
    vec![
        Rule::threshold(0.0),
        Rule::threshold(1.0),
        Rule::Threshold { most: row.sum },
        Rule::Threshold {
            most: (row.sum - 1).max(0),
        },
        Rule::Threshold { most: MAX_SUM },
        Rule::Noise { limit: 0, shift: 8 },
        Rule::Noise {
            limit: noise,
            shift: 8,
        },
        Rule::Noise {
            limit: noise / 2,
            shift: 8,
        },
    ]
}

#[test]
fn lone_keys_are_never_refetched_by_rules_from_a_threshold() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for key_bits in STORED_BITS {
        let row = Row::random(&mut random, key_bits, 5, 1);
        let planes = Planes::new(&row.keys);
        for rule in [Rule::threshold(1.0), Rule::Noise { limit: 0, shift: 0 }] {
            assert!(!row.attend(key_bits, planes.with(rule)).refetched);
        }
    }
}

/// s30, s23 and s34 hold what 12 + 4 bits can give at d 128: the golden model checks every score.
#[test]
fn largest_codes_stay_within_their_formats() {
    let formats = formats(12);
    assert_eq!(
        (
            formats.dot_bits(),
            formats.lsb_dot_bits(),
            formats.score_bits()
        ),
        (30, 23, 34)
    );
    let keys = vec![vec![-32767; 128], vec![32767; 128], vec![-32768; 128]];
    let planes = Planes::new(&keys);
    assert_eq!((planes.msb[0][0], planes.lsb[0][0]), (-2048, 1));
    for query in [2047, -2047] {
        let row = Row {
            query: vec![query; 128],
            keys: keys.clone(),
            values: vec![vec![2047; 128]; 3],
            live: vec![true; 3],
            scale: Scale::from_factor(2f64.powi(-34)).unwrap(),
        };
        let trace = row.attend(12, planes.with(Rule::threshold(1.0)));
        assert!(trace.refetched);
        assert_eq!(trace.scores[0], -32767 * 128 * query);
        assert!(trace.scores.iter().all(|&score| fits_signed(score, 34)));
        let distance = trace.maximum.unwrap() - trace.scores.iter().min().unwrap();
        assert!(distance < 1 << 34);
    }
}

fn small_model() -> AttentionTensors {
    let model = SyntheticAttention {
        layers: 1,
        heads: 4,
        kv_heads: 2,
        queries: 24,
        keys: 60,
        head_dim: 32,
        causal: true,
        rows: Some(RowKind::RealLike),
        seed: 7,
    };
    model.tensors()
}

#[test]
fn planes_are_those_of_one_quantization_and_gathered_with_their_keys() {
    let tensors = small_model();
    for key_bits in [4, 6, 8] {
        let wide = QuantizedLayer::new(&tensors, 0, &formats(key_bits + 4), true);
        let rules = vec![Rule::threshold(0.3); 4];
        let mut split = QuantizedLayer::with_lsb_plane(&tensors, 0, &formats(key_bits), true);
        assert_eq!(split.operands.rules, [Rule::None; 4]);
        split.operands.rules = rules;
        let lsbs = split.operands.key_lsbs.as_ref().unwrap();
        let msbs = &split.operands.keys;
        for ((keys, msb), lsb) in wide.operands.keys.iter().zip(msbs).zip(lsbs) {
            let planes = Planes::new(keys);
            assert_eq!((msb, lsb), (&planes.msb, &planes.lsb));
        }
        // s of a K without an LSB plane is sixteen times larger.
        for (split, wide) in split.factors.iter().zip(&wide.factors) {
            assert_eq!(*split, 16.0 * wide);
        }
        let live = Live {
            tokens: vec![3, 40, 59],
            heads: vec![2],
        };
        let gathered = split.operands.gather(&live);
        let gathered_lsbs = gathered.key_lsbs.as_ref().unwrap();
        assert_eq!(gathered_lsbs.len(), 1);
        assert_eq!(gathered_lsbs[0][1], lsbs[1][40]);
        assert_eq!(gathered.rules.len(), 1);
    }
}

/// The share of refetched rows and the error against the tensors' floats, and that against float64 of the same integers.
fn errors(tensors: &AttentionTensors, key_bits: usize, rule: Rule) -> (f64, AbsError, AbsError) {
    let formats = formats(key_bits);
    let (mut refetched, mut rows) = (0, 0);
    let (mut of_floats, mut of_integers) = (AbsError::default(), AbsError::default());
    for layer in 0..tensors.layer_count() {
        let heads = tensors.head_count();
        let mut quantized = QuantizedLayer::with_lsb_plane(tensors, layer, &formats, true);
        quantized.operands.rules = vec![rule; heads];
        for head in 0..heads {
            let operands = quantized.operands.head(head);
            let traces = attend_head(&formats, &operands);
            let flags: Vec<bool> = traces.iter().map(|row| row.refetched).collect();
            refetched += flags.iter().filter(|&&flag| flag).count();
            rows += flags.len();
            let outputs = || traces.iter().flat_map(|row| &row.outputs);
            let exact = refined_rows(&operands, quantized.factors[head], &flags);
            let exact = exact.into_iter().flat_map(|row| row.outputs);
            of_integers.extend(outputs().map(|&out| out as f64 / 16.0).zip(exact));
            let step = quantized.output_step(head);
            let exact = attend_float_head(tensors, layer, head);
            of_floats.extend(
                outputs()
                    .map(|&out| out as f64 * step)
                    .zip(exact.into_iter().flatten()),
            );
        }
    }
    (refetched as f64 / rows as f64, of_floats, of_integers)
}

#[test]
fn refetching_more_rows_errs_less_and_the_arithmetic_stays_exact() {
    let tensors = small_model();
    for key_bits in [4, 6, 8] {
        let mut last = (0.0, f64::INFINITY);
        for threshold in [0.0, 0.2, 0.5, 1.0] {
            let (share, floats, integers) = errors(&tensors, key_bits, Rule::threshold(threshold));
            assert!(integers.max <= 0.6, "{key_bits} bits: {integers:?}");
            assert!(share >= last.0, "{threshold}: share {share}");
            assert!(floats.mean() <= 1.02 * last.1, "{threshold}: {floats:?}");
            last = (share, floats.mean());
        }
        let (none, coarse, _) = errors(&tensors, key_bits, Rule::threshold(0.0));
        assert_eq!(none, 0.0);
        // Rows of one key are never refetched, and there are some.
        assert!(last.0 > 0.9, "{}", last.0);
        assert!(last.1 < coarse.mean() / 2.0, "{last:?} against {coarse:?}");
    }
}

#[test]
fn real_tensors_refine_exactly_at_every_setting_and_under_both_rules() {
    let Some(files) = shared_data::tensor_files() else {
        return;
    };
    for path in files {
        let tensors = AttentionTensors::read(&path, None).unwrap();
        for (key_bits, rule) in [
            (4, Rule::threshold(0.1)),
            (6, Rule::threshold(0.3)),
            (8, Rule::threshold(1.0)),
            (
                10,
                Rule::Noise {
                    limit: 40,
                    shift: 12,
                },
            ),
            (
                12,
                Rule::Noise {
                    limit: 200,
                    shift: 12,
                },
            ),
        ] {
            let (share, floats, integers) = errors(&tensors, key_bits, rule);
            println!(
                "{}, {key_bits}+4, {rule:?}: {:.1} % refetched, mean error {:.2e}, {:.3} steps of V at most",
                path.file_name().unwrap().display(),
                100.0 * share,
                floats.mean(),
                integers.max,
            );
            assert!(integers.max <= 0.25, "{}: {integers:?}", path.display());
            assert!(integers.mean() <= 0.02, "{}: {integers:?}", path.display());
        }
    }
}

proptest! {
    #[test]
    fn a_higher_threshold_refetches_whatever_a_lower_one_does(
        sum in 0..=MAX_SUM,
        low in 0.0..1.5_f64,
        more in 0.0..0.5_f64,
    ) {
        let refetches = |threshold| Rule::threshold(threshold).refetches(&[1], sum);
        prop_assert!(!refetches(low) || refetches(low + more));
    }
}
