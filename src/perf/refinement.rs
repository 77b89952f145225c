//! Error of the outputs by the share of rows that fetch K's LSBs, by what decides it and with K conditioned or not.

use super::Row;
use crate::config::Config;
use crate::engine::EngineError;
use crate::engine::golden::GoldenEngine;
use crate::engine::job::{Job, JobResult};
use crate::golden::float64::AbsError;
use crate::golden::head::attend_head;
use crate::numerics::{Formats, KEY_LSB_BITS};
use crate::workload::quantizer::QuantizedLayer;
use crate::workload::refinement::{Limits, Measure, Refinement};
use crate::workload::tensors::AttentionTensors;

/// Bits of the MSB plane: with wider ones the error of the 12-bit V hides that of K.
const KEY_BITS: [usize; 3] = [4, 6, 8];
/// Shares of rows that are refetched, in percent.
const SHARES: [usize; 5] = [0, 25, 50, 75, 100];

/// Mean errors over `root_mean_square`, of the widths that `config` holds.
pub(super) fn rows(
    name: &'static str,
    config: &Config,
    tensors: &AttentionTensors,
    root_mean_square: f64,
) -> Result<Vec<Row>, EngineError> {
    let mut rows = Vec::new();
    if config.buffers.key_lsb_lines == 0 {
        return Ok(rows);
    }
    let widest = config.formats();
    for key_bits in KEY_BITS.into_iter().filter(|&bits| bits <= widest.key_bits) {
        let formats = Formats { key_bits, ..widest };
        for condition in [true, false] {
            for measure in [Measure::Threshold, Measure::Noise] {
                let sorted = figures(tensors, &formats, condition, measure);
                for percent in SHARES {
                    let limit = limit(&sorted, measure, percent);
                    let refinement = Refinement {
                        measure,
                        limits: Limits(vec![limit]),
                    };
                    let job = Job::new(tensors, None, formats, condition);
                    let job = job.expect("all layers exist").refined(refinement);
                    let job = job.expect("the limit is in range");
                    let result = job.run(&mut GoldenEngine::new(config), |_| {})?;
                    let (share, error) = share_and_error(&result);
                    let case = format!(
                        "K {key_bits}+{KEY_LSB_BITS} conditioning {} {} {limit:.1e} refetches {:.1} % mean",
                        if condition { "on" } else { "off" },
                        match measure {
                            Measure::Threshold => "threshold",
                            Measure::Noise => "noise",
                        },
                        100.0 * share,
                    );
                    rows.push(Row::of(name, case, error / root_mean_square, "of rms"));
                }
            }
        }
    }
    Ok(rows)
}

/// The share of rows that were refetched, and the mean error of all outputs.
fn share_and_error(result: &JobResult) -> (f64, f64) {
    let (mut refetched, mut rows) = (0, 0);
    let mut error = AbsError::default();
    for layer in &result.layers {
        refetched += layer.refetched_rows.unwrap_or(0);
        rows += layer.rows;
        error.merge(&layer.error);
    }
    (refetched as f64 / rows.max(1) as f64, error.mean())
}

/// What limits are compared with, of all rows, those first that are refetched first.
fn figures(
    tensors: &AttentionTensors,
    formats: &Formats,
    condition: bool,
    measure: Measure,
) -> Vec<f64> {
    let mut figures = Vec::new();
    for layer in 0..tensors.layer_count() {
        let layer = QuantizedLayer::with_lsb_plane(tensors, layer, formats, condition);
        for (head, &factor) in layer.factors.iter().enumerate() {
            let operands = layer.operands.head(head);
            for (query, row) in operands.queries.iter().zip(attend_head(formats, &operands)) {
                figures.push(measure.of_row(query, factor, row.sum));
            }
        }
    }
    figures.sort_by(|a, b| match measure {
        Measure::Threshold => a.total_cmp(b),
        Measure::Noise => b.total_cmp(a),
    });
    figures
}

/// The limit with which so many percent of the rows are refetched, as near as registers and equal rows allow.
fn limit(sorted: &[f64], measure: Measure, percent: usize) -> f64 {
    let count = sorted.len() * percent / 100;
    match (measure, percent) {
        (Measure::Threshold, 0) | (Measure::Noise, 100) => 0.0,
        (Measure::Threshold, 100) => 1.0,
        (Measure::Noise, 0) => 2.0 * sorted[0],
        (Measure::Threshold, _) => sorted[count].clamp(0.0, 1.0),
        (Measure::Noise, _) => sorted[count].max(0.0),
    }
}
