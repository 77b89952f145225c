//! Error of the outputs by the bits that K and V are stored in, that of the arithmetic alone, and how far pruning moves
//! the outputs.

use super::{Benchmark, Inputs, Row, refinement};
use crate::config::Config;
use crate::engine::golden::GoldenEngine;
use crate::engine::job::{Job, JobResult};
use crate::engine::{EngineError, EngineKind};
use crate::golden::cascade::{Live, gather};
use crate::golden::error_bound;
use crate::golden::float64::{AbsError, attend_float_head};
use crate::numerics::{Formats, STORED_BITS};
use crate::workload::schedule::{KeepRatio, Pruning};
use crate::workload::synthetic::{RowKind, SyntheticAttention};
use crate::workload::tensors::AttentionTensors;

/// Steps of a 12-bit V that the arithmetic may err by on real rows, at most and in the mean (`docs/decisions.md`, section 6).
const TARGET_MAX: f64 = 0.25;
const TARGET_MEAN: f64 = 0.02;

pub(super) const ACCURACY: Benchmark = Benchmark {
    name: "accuracy",
    summary: "error of the outputs by stored bits of K and V, over their root mean square, on --tensors or real-like \
              rows; then of the arithmetic alone, how far pruning moves the outputs, and the error by the share of rows that fetch \
              K's LSBs",
    run,
};

fn run(inputs: &Inputs<'_>) -> Result<Vec<Row>, EngineError> {
    let config = inputs.config;
    let made;
    let tensors = match inputs.tensors {
        Some(tensors) => tensors,
        None => {
            made = real_like(config);
            &made
        }
    };
    EngineKind::Golden.check(config, tensors, false)?;

    let widest = config.formats();
    let root_mean_square = root_mean_square(tensors);
    let mut rows = Vec::new();
    for (formats, condition) in settings(&widest) {
        let error = |name, value: f64| {
            let case = format!(
                "K {} V {} conditioning {} {name}",
                formats.key_bits,
                formats.value_bits,
                if condition { "on" } else { "off" },
            );
            Row::of(ACCURACY.name, case, value / root_mean_square, "of rms")
        };
        let errors = merged(&attend(config, tensors, formats, condition)?, |layer| {
            layer.error
        });
        rows.extend([error("max", errors.max), error("mean", errors.mean())]);
    }
    rows.extend(arithmetic(config, tensors, widest)?);
    rows.extend(pruned(config, tensors, root_mean_square)?);
    rows.extend(refinement::rows(
        ACCURACY.name,
        config,
        tensors,
        root_mean_square,
    )?);
    Ok(rows)
}

/// What is pruned, and how it is called.
fn prunings() -> Vec<(String, Pruning)> {
    let ratio = |ratio| Some(KeepRatio::Final(ratio));
    let tokens = [0.9, 0.8, 0.65, 0.5, 0.3].map(|keep| {
        let pruning = Pruning {
            tokens: ratio(keep),
            ..Pruning::default()
        };
        (format!("token-keep {keep}"), pruning)
    });
    let heads = [0.9, 0.75].map(|keep| {
        let pruning = Pruning {
            heads: ratio(keep),
            ..Pruning::default()
        };
        (format!("head-keep {keep}"), pruning)
    });
    let values = [0.6, 0.4, 0.2].into_iter().flat_map(|keep| {
        [false, true].map(|renormalise| {
            let pruning = Pruning {
                values: ratio(keep),
                renormalise,
                ..Pruning::default()
            };
            let switch = if renormalise { "on" } else { "off" };
            (format!("value-keep {keep} renormalise {switch}"), pruning)
        })
    });
    tokens.into_iter().chain(heads).chain(values).collect()
}

/// By how much pruned outputs differ from dense ones, of the queries that take part; pruned heads count as zeros.
fn pruned(
    config: &Config,
    tensors: &AttentionTensors,
    root_mean_square: f64,
) -> Result<Vec<Row>, EngineError> {
    let job = Job::new(tensors, None, config.formats(), true).expect("all layers exist");
    let run = |job: &Job<'_>| job.run(&mut GoldenEngine::new(config), |_| {});
    let dense = run(&job)?;
    let mut rows = Vec::new();
    for (name, pruning) in prunings() {
        let job = job.clone().pruned(&pruning);
        let result = run(&job.expect("ratios in range fit every model"))?;
        let moved = difference(tensors, &result, &dense);
        for (figure, value) in [("max", moved.max), ("mean", moved.mean())] {
            let case = format!("{name} moves outputs by {figure}");
            rows.push(Row::of(
                ACCURACY.name,
                case,
                value / root_mean_square,
                "of rms",
            ));
        }
    }
    Ok(rows)
}

fn difference(tensors: &AttentionTensors, pruned: &JobResult, dense: &JobResult) -> AbsError {
    let mut difference = AbsError::default();
    for (layer, report) in pruned.layers.iter().enumerate() {
        let live = Live {
            tokens: report.kept_tokens.clone(),
            heads: report.kept_heads.clone(),
        };
        let queries = live.queries(tensors.query_count(), tensors.key_count());
        for head in 0..tensors.head_count() {
            let rows = |result: &JobResult| gather(&result.output.out.head(layer, head), &queries);
            let pairs = rows(pruned).concat().into_iter().zip(rows(dense).concat());
            difference.extend(pairs);
        }
    }
    difference
}

/// The stored widths that a configuration holds: all of K with and without conditioning at the widest V, then all of V
/// at the widest K.
fn settings(widest: &Formats) -> Vec<(Formats, bool)> {
    let up_to = |most: usize| {
        let narrower = STORED_BITS.into_iter().filter(move |&bits| bits < most);
        narrower.chain([most])
    };
    let of_key = |key_bits| Formats {
        key_bits,
        ..*widest
    };
    let of_value = |value_bits| Formats {
        value_bits,
        ..*widest
    };
    let keys =
        up_to(widest.key_bits).flat_map(|bits| [(of_key(bits), true), (of_key(bits), false)]);
    let values = up_to(widest.value_bits).map(|bits| (of_value(bits), true));
    keys.chain(values.filter(|(formats, _)| formats != widest))
        .collect()
}

fn attend(
    config: &Config,
    tensors: &AttentionTensors,
    formats: Formats,
    condition: bool,
) -> Result<JobResult, EngineError> {
    let job = Job::new(tensors, None, formats, condition).expect("all layers exist");
    job.run(&mut GoldenEngine::new(config), |_| {})
}

/// The error against float64 attention of the same integers, against the documented bound.
fn arithmetic(
    config: &Config,
    tensors: &AttentionTensors,
    formats: Formats,
) -> Result<[Row; 2], EngineError> {
    let result = attend(config, tensors, formats, true)?;
    let errors = merged(&result, |layer| layer.arithmetic_error.unwrap_or_default());
    let row = |name, value| {
        let case = format!(
            "arithmetic K {} V {} {name}",
            formats.key_bits, formats.value_bits
        );
        Row::of(ACCURACY.name, case, value, "V steps")
    };
    Ok([
        row("max", errors.max)
            .bound(error_bound(&formats, tensors.key_count()))
            .target(TARGET_MAX),
        row("mean", errors.mean()).target(TARGET_MEAN),
    ])
}

fn merged(
    result: &JobResult,
    error: impl Fn(&crate::engine::job::LayerReport) -> AbsError,
) -> AbsError {
    let mut total = AbsError::default();
    for layer in &result.layers {
        total.merge(&error(layer));
    }
    total
}

/// Of all outputs in float64; 1 when they are all zero.
fn root_mean_square(tensors: &AttentionTensors) -> f64 {
    let (mut squares, mut count) = (0.0, 0.0);
    for layer in 0..tensors.layer_count() {
        for head in 0..tensors.head_count() {
            for output in attend_float_head(tensors, layer, head).iter().flatten() {
                squares += output * output;
                count += 1.0;
            }
        }
    }
    if squares > 0.0 {
        f64::sqrt(squares / count)
    } else {
        1.0
    }
}

/// What stands for a user's tensors: 4 layers of 12 heads.
fn real_like(config: &Config) -> AttentionTensors {
    let keys = config.limits.keys_per_row.min(128);
    let model = SyntheticAttention {
        layers: 4,
        heads: 12,
        kv_heads: 12,
        queries: keys.min(32),
        keys,
        head_dim: config.array.head_dims[0].max(64).min(config.max_head_dim()),
        causal: false,
        rows: Some(RowKind::RealLike),
        seed: 1,
    };
    model.tensors()
}
