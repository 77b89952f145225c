//! The golden models of one row, against committed vectors of the executable definition of the arithmetic
//! and against their own invariants.

use proptest::prelude::*;
use serde::Deserialize;
use spatten::accelerator::importance::golden::probability;
use spatten::accelerator::refine::golden::Rule;
use spatten::accelerator::softmax::golden::{Scale, exponent, sum, weights};
use spatten::accelerator::{prob_value, query_key};
use spatten::cells::exp2::golden::{ONE, SLOPE_BITS, VALUE_BITS, exp2_negative, table};
use spatten::cells::reciprocal::golden::{Reciprocal, reciprocal};
use spatten::golden::head::{HeadOperands, attend_head, live_keys};
use spatten::golden::row::{RowTrace, ValuePruning, attend_row};
use spatten::golden::{float64, layer};
use spatten::numerics::{EXPONENT_BITS, Formats, SUM_BITS};

/// The formats that the committed vectors were made with.
const TWELVE_BITS: Formats = Formats {
    query_bits: 12,
    key_bits: 12,
    value_bits: 12,
    max_head_dim: 128,
};

/// The committed vectors; `scripts/make_vectors.py` documents and writes them.
#[derive(Deserialize)]
struct Vectors {
    exp2: Exp2Vectors,
    reciprocal: ReciprocalVectors,
    scales: Vec<ScaleVectors>,
    heads: Vec<HeadVectors>,
}

#[derive(Deserialize)]
struct Exp2Vectors {
    value: Vec<i64>,
    slope: Vec<i64>,
    x: Vec<i64>,
    e: Vec<i64>,
}

#[derive(Deserialize)]
struct ReciprocalVectors {
    sum: Vec<i64>,
    mantissa: Vec<i64>,
    exponent: Vec<u32>,
}

/// Mantissa, PRE and POST.
type Registers = (i64, u32, u32);

#[derive(Deserialize)]
struct ScaleVectors {
    factor: f64,
    registers: Registers,
    distance: Vec<i64>,
    x: Vec<i64>,
}

#[derive(Deserialize)]
struct HeadVectors {
    factor: f64,
    registers: Registers,
    queries: Vec<Vec<i64>>,
    keys: Vec<Vec<i64>>,
    values: Vec<Vec<i64>>,
    rows: Vec<RowVectors>,
}

#[derive(Deserialize)]
struct RowVectors {
    live: String,
    scores: Vec<i64>,
    maximum: Option<i64>,
    exponentials: Vec<i64>,
    sum: i64,
    reciprocal: (i64, u32),
    weights: Vec<i64>,
    accumulators: Vec<i64>,
    outputs: Vec<i64>,
    keep: String,
    kept_weights: Vec<i64>,
    kept_outputs: Vec<i64>,
}

fn vectors() -> Vectors {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testbenches/data/numerics_vectors.json"
    );
    let text = std::fs::read_to_string(path).expect("the vector file is committed");
    serde_json::from_str(&text).expect("the vector file has the form of `Vectors`")
}

fn scale_of((mantissa, pre, post): Registers) -> Scale {
    Scale {
        mantissa,
        pre,
        post,
    }
}

fn mask_of(bits: &str) -> Vec<bool> {
    bits.chars().map(|bit| bit == '1').collect()
}

#[test]
fn exponentials_and_their_table_equal_the_vectors() {
    let vectors = vectors().exp2;
    let values: Vec<i64> = table().iter().map(|entry| entry.value).collect();
    let slopes: Vec<i64> = table().iter().map(|entry| entry.slope).collect();
    assert_eq!(values, vectors.value);
    assert_eq!(slopes, vectors.slope);
    assert!(vectors.x.len() > 1000 && vectors.x.len() == vectors.e.len());
    for (&x, &e) in vectors.x.iter().zip(&vectors.e) {
        assert_eq!(exp2_negative(x), e, "x = {x}");
    }
}

#[test]
fn reciprocals_equal_the_vectors() {
    let vectors = vectors().reciprocal;
    assert!(vectors.sum.len() > 400);
    for (i, &sum) in vectors.sum.iter().enumerate() {
        let expected = Reciprocal {
            mantissa: vectors.mantissa[i],
            exponent: vectors.exponent[i],
        };
        assert_eq!(reciprocal(sum), expected, "sum = {sum}");
    }
}

#[test]
fn scale_registers_and_exponents_equal_the_vectors() {
    let cases = vectors().scales;
    assert!(cases.len() > 300);
    for case in cases {
        let scale = Scale::from_factor(case.factor).expect("the vectors' factors are valid");
        assert_eq!(
            scale,
            scale_of(case.registers),
            "factor = {:e}",
            case.factor
        );
        for (&distance, &x) in case.distance.iter().zip(&case.x) {
            assert_eq!(
                exponent(distance, scale),
                x,
                "factor = {:e}, distance = {distance}",
                case.factor
            );
        }
    }
}

#[test]
fn whole_rows_equal_the_vectors_on_every_stream() {
    let heads = vectors().heads;
    assert!(heads.len() >= 9);
    for (head, case) in heads.iter().enumerate() {
        let scale = Scale::from_factor(case.factor).expect("the vectors' factors are valid");
        assert_eq!(scale, scale_of(case.registers), "head {head}");
        for (row, expected) in case.rows.iter().enumerate() {
            let trace = attend_row(
                &TWELVE_BITS,
                &case.queries[row],
                &case.keys,
                &case.values,
                &mask_of(&expected.live),
                scale,
                ValuePruning::NONE,
            );
            let probability = |&e: &i64| probability(e, trace.reciprocal);
            let expected_trace = RowTrace {
                first: None,
                refetched: false,
                scores: expected.scores.clone(),
                maximum: expected.maximum,
                exponentials: expected.exponentials.clone(),
                sum: expected.sum,
                reciprocal: Reciprocal {
                    mantissa: expected.reciprocal.0,
                    exponent: expected.reciprocal.1,
                },
                probabilities: expected.exponentials.iter().map(probability).collect(),
                kept: mask_of(&expected.live),
                weights: expected.weights.clone(),
                accumulators: expected.accumulators.clone(),
                outputs: expected.outputs.clone(),
            };
            assert_eq!(trace, expected_trace, "head {head}, row {row}");
        }
    }
}

#[test]
fn pruned_weights_and_their_outputs_equal_the_vectors() {
    for (head, case) in vectors().heads.iter().enumerate() {
        for (row, expected) in case.rows.iter().enumerate() {
            let keep = mask_of(&expected.keep);
            let kept = weights(&expected.exponentials, Some(&keep));
            assert_eq!(kept, expected.kept_weights, "head {head}, row {row}");

            let accumulators = prob_value::golden::accumulate(&TWELVE_BITS, &kept, &case.values);
            let outputs = prob_value::golden::normalise_row(
                &TWELVE_BITS,
                &accumulators,
                reciprocal(expected.sum),
            );
            assert_eq!(outputs, expected.kept_outputs, "head {head}, row {row}");
        }
    }
}

#[test]
fn exponential_is_one_at_zero_never_rises_and_ends_at_zero() {
    assert_eq!(exp2_negative(0), ONE);
    let all: Vec<i64> = (0..1 << EXPONENT_BITS).map(exp2_negative).collect();
    assert!(all.is_sorted_by(|a, b| a >= b));
    assert_eq!(exp2_negative(23 << 12), 0);
    assert_ne!(exp2_negative(22 << 12), 0);
}

#[test]
fn exponential_is_within_half_a_step_and_21_millionths_of_the_power() {
    for x in 0..1 << EXPONENT_BITS {
        let exact = ONE as f64 * (-(x as f64) / 4096.0).exp2();
        let error = (exp2_negative(x) as f64 - exact).abs();
        assert!(error <= 0.5 + 2.1e-5 * exact, "x = {x}: error {error}");
    }
}

#[test]
fn table_entries_fit_their_widths() {
    for entry in table() {
        assert!((0..1 << VALUE_BITS).contains(&entry.value));
        assert!((0..1 << SLOPE_BITS).contains(&entry.slope));
    }
}

#[test]
fn factors_beyond_the_registers_become_the_nearest_end() {
    let smallest = Scale {
        mantissa: 1 << 15,
        pre: 41,
        post: 22,
    };
    let largest = Scale {
        mantissa: (1 << 16) - 1,
        pre: 0,
        post: 0,
    };
    for factor in [0.0, f64::MIN_POSITIVE, 2f64.powi(-61)] {
        assert_eq!(Scale::from_factor(factor), Ok(smallest), "{factor:e}");
    }
    for factor in [16.0, 1e9, f64::MAX] {
        assert_eq!(Scale::from_factor(factor), Ok(largest), "{factor:e}");
    }
    let largest_distance = (1 << 34) - 1;
    assert_eq!(exponent(largest_distance, smallest), 0);
    assert_eq!(exp2_negative(exponent(16, largest)), 0);
}

#[test]
fn factors_that_are_not_numbers_are_refused() {
    for factor in [-1.0, -f64::MIN_POSITIVE, f64::INFINITY, f64::NAN] {
        let error = Scale::from_factor(factor).expect_err("refused").to_string();
        assert!(error.contains(&format!("{factor}")), "{error}");
    }
}

#[test]
fn output_saturates_at_both_ends_of_its_format() {
    let formats = Formats {
        value_bits: 4,
        ..TWELVE_BITS
    };
    let one = reciprocal(65535);
    assert_eq!(
        prob_value::golden::normalise(&formats, 1 << 30, one),
        (1 << 7) - 1
    );
    assert_eq!(
        prob_value::golden::normalise(&formats, -(1 << 30), one),
        -(1 << 7)
    );
}

#[test]
fn alternating_values_under_half_unit_weights_err_by_sixteen_steps_at_1024_keys() {
    // Every key but the first has x = 17, half a weight unit, so the weights run 1, 0, 1, 0, ...
    let keys: Vec<Vec<i64>> = (0..1024)
        .map(|key| vec![if key == 0 { 0 } else { -17 }])
        .collect();
    let value = |key: i64| {
        if key == 0 {
            0
        } else {
            2047 * (1 - 2 * (key % 2))
        }
    };
    let values: Vec<Vec<i64>> = (0..1024).map(|key| vec![value(key)]).collect();
    let factor = 1.0 / 16.0;
    let head = HeadOperands {
        queries: &[vec![1]],
        keys: &keys,
        key_lsbs: None,
        rule: Rule::None,
        values: &values,
        live_keys: &[1024],
        value_pruning: &[ValuePruning::NONE],
        scale: Scale::from_factor(factor).unwrap(),
    };
    let output = attend_head(&TWELVE_BITS, &head)[0].outputs[0] as f64 / 16.0;
    let error = (output - float64::attend_integer_head(&head, factor)[0][0]).abs();
    assert!((15.0..16.0).contains(&error), "error {error}");
}

#[test]
fn causal_query_sees_the_keys_up_to_its_own() {
    assert_eq!(live_keys(3, 5, true), [3, 4, 5]);
    assert_eq!(live_keys(4, 4, true), [1, 2, 3, 4]);
    assert_eq!(live_keys(1, 7, true), [7]);
    assert_eq!(live_keys(2, 5, false), [5, 5]);
}

#[test]
fn query_heads_share_kv_heads_in_neighbouring_groups() {
    let shared: Vec<usize> = (0..6).map(|head| layer::kv_head(head, 6, 2)).collect();
    assert_eq!(shared, [0, 0, 0, 1, 1, 1]);
    let own: Vec<usize> = (0..3).map(|head| layer::kv_head(head, 3, 3)).collect();
    assert_eq!(own, [0, 1, 2]);
}

#[test]
fn layer_equals_its_heads_with_their_own_operands() {
    let queries: Vec<_> = (1..5).map(|head| vec![vec![100 * head, -3]; 2]).collect();
    let keys = vec![
        vec![vec![5, 7], vec![-9, 11]],
        vec![vec![1, 2], vec![40, 4]],
    ];
    let values = vec![
        vec![vec![10, 20], vec![30, 40]],
        vec![vec![-7, 1], vec![90, 0]],
    ];
    let scales: Vec<_> = (0..4)
        .map(|head| Scale::from_factor(2f64.powi(-14 - head)).unwrap())
        .collect();
    let live = live_keys(2, 2, true);
    let layer = layer::LayerOperands {
        queries: queries.clone(),
        keys: keys.clone(),
        key_lsbs: None,
        rules: vec![Rule::None; 4],
        values: values.clone(),
        kv_heads: layer::equal_groups(4, 2),
        value_pruning: vec![ValuePruning::NONE; 2],
        scales: scales.clone(),
        live_keys: live.clone(),
    };
    let outputs = layer::attend_layer(&TWELVE_BITS, &layer);
    for head in 0..4 {
        let operands = HeadOperands {
            queries: &queries[head],
            keys: &keys[head / 2],
            key_lsbs: None,
            rule: Rule::None,
            values: &values[head / 2],
            live_keys: &live,
            value_pruning: &[ValuePruning::NONE; 2],
            scale: scales[head],
        };
        let rows = attend_head(&TWELVE_BITS, &operands);
        let expected: Vec<_> = rows.into_iter().map(|row| row.outputs).collect();
        assert_eq!(outputs[head], expected, "head {head}");
    }
}

/// Operands of one row with an arbitrary mask.
#[derive(Clone, Debug)]
struct RowOperands {
    query: Vec<i64>,
    keys: Vec<Vec<i64>>,
    values: Vec<Vec<i64>>,
    live: Vec<bool>,
    factor: f64,
}

impl RowOperands {
    fn scale(&self) -> Scale {
        Scale::from_factor(self.factor).expect("the strategy's factors are valid")
    }

    fn attend(&self) -> RowTrace {
        attend_row(
            &TWELVE_BITS,
            &self.query,
            &self.keys,
            &self.values,
            &self.live,
            self.scale(),
            ValuePruning::NONE,
        )
    }
}

/// Rows of 1 to 59 keys, with factors that give anything from flat to sharp rows.
fn any_row() -> impl Strategy<Value = RowOperands> {
    let code = -2047..=2047_i64;
    (1..60_usize, prop::sample::select(vec![1, 4, 32]))
        .prop_flat_map(move |(keys, dim)| {
            let vector = prop::collection::vec(code.clone(), dim);
            let vectors = prop::collection::vec(vector.clone(), keys);
            let live = prop::collection::vec(any::<bool>(), keys);
            let factor = (-34.0..-14.0).prop_map(f64::exp2);
            (vector, vectors.clone(), vectors, live, factor)
        })
        .prop_map(|(query, keys, values, live, factor)| RowOperands {
            query,
            keys,
            values,
            live,
            factor,
        })
}

proptest! {
    #[test]
    fn key_is_its_msb_plane_times_16_plus_its_lsb_plane(key in -32768..=32767_i64) {
        let (msb, lsb) = query_key::golden::split_key(key);
        prop_assert_eq!(msb * 16 + lsb, key);
        prop_assert!((0..16).contains(&lsb));
        prop_assert!((-2048..2048).contains(&msb));
    }

    #[test]
    fn reciprocal_is_normalised_and_just_below_one_over_the_sum(s in 1..(1_i64 << SUM_BITS)) {
        let Reciprocal { mantissa, exponent } = reciprocal(s);
        prop_assert!((1 << 17..1 << 18).contains(&mantissa));
        prop_assert_eq!(exponent, s.ilog2());
        let one = 1_i64 << (exponent + 18);
        prop_assert!(mantissa * s <= one);
        prop_assert!((mantissa + 1) * s > one || s.count_ones() == 1);
    }

    #[test]
    fn registers_stand_for_their_factor_to_one_part_in_2_to_16(exponent in -59.9..3.99_f64) {
        let factor = exponent.exp2();
        let scale = Scale::from_factor(factor).unwrap();
        prop_assert!((1 << 15..1 << 16).contains(&scale.mantissa));
        prop_assert!((scale.factor() / factor - 1.0).abs() <= 2f64.powi(-16));
    }

    #[test]
    fn larger_distance_never_has_a_smaller_exponent(
        exponent_of_factor in -60.0..4.0_f64,
        a in 0..(1_i64 << 34),
        b in 0..(1_i64 << 34),
    ) {
        let scale = Scale::from_factor(exponent_of_factor.exp2()).unwrap();
        prop_assert!(exponent(a.min(b), scale) <= exponent(a.max(b), scale));
    }

    #[test]
    fn weights_sum_to_the_rows_sum(operands in any_row()) {
        let row = operands.attend();
        prop_assert_eq!(row.weights.iter().sum::<i64>(), row.sum);
        prop_assert!(row.weights.iter().all(|weight| (0..1 << 16).contains(weight)));
    }

    #[test]
    fn masked_keys_have_no_weight_and_no_influence(operands in any_row()) {
        let row = operands.attend();
        let mut changed = operands.clone();
        for key in (0..operands.keys.len()).filter(|&key| !operands.live[key]) {
            prop_assert_eq!((row.exponentials[key], row.weights[key]), (0, 0));
            changed.keys[key].fill(2047);
            changed.values[key].fill(-2047);
        }
        prop_assert_eq!(row.outputs, changed.attend().outputs);
    }

    #[test]
    fn pruned_weights_are_zero_where_dropped_and_feed_back_along_the_kept(
        row in prop::collection::vec((0..=ONE, any::<bool>()), 1..100)
    ) {
        let (exponentials, keep): (Vec<i64>, Vec<bool>) = row.into_iter().unzip();
        let pruned = weights(&exponentials, Some(&keep));
        let kept: Vec<i64> = (0..keep.len())
            .filter(|&key| keep[key])
            .map(|key| exponentials[key])
            .collect();
        let mut of_kept_alone = weights(&kept, None).into_iter();
        for (key, &weight) in pruned.iter().enumerate() {
            let expected = if keep[key] { of_kept_alone.next().unwrap() } else { 0 };
            prop_assert_eq!(weight, expected, "key {}", key);
        }
        prop_assert_eq!(pruned.iter().sum::<i64>(), sum(&kept));
    }

    #[test]
    fn row_without_a_live_key_gives_zeros(mut operands in any_row()) {
        operands.live.fill(false);
        let row = operands.attend();
        prop_assert_eq!((row.maximum, row.sum), (None, 0));
        prop_assert!(row.outputs.iter().all(|&output| output == 0));
    }

    #[test]
    fn random_rows_stay_within_six_tenths_of_a_value_step_of_float64(operands in any_row()) {
        let head = HeadOperands {
            queries: std::slice::from_ref(&operands.query),
            keys: &operands.keys,
            key_lsbs: None,
            rule: Rule::None,
            values: &operands.values,
            live_keys: &[operands.keys.len()],
            value_pruning: &[ValuePruning::NONE],
            scale: operands.scale(),
        };
        let row = &attend_head(&TWELVE_BITS, &head)[0];
        let exact = &float64::attend_integer_head(&head, operands.factor)[0];
        let mut error = float64::AbsError::default();
        error.extend(row.outputs.iter().map(|&out| out as f64 / 16.0).zip(exact.iter().copied()));
        prop_assert!(error.max < 0.6, "max error {} LSB", error.max);
    }
}
