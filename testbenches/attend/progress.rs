//! Engines report every row once as they go.

use spatten::config::Config;
use spatten::engine::EngineKind;
use spatten::engine::job::Job;
use spatten::workload::schedule::{KeepRatio, Pruning};
use spatten::workload::synthetic::SyntheticAttention;
use spatten::workload::tensors::AttentionTensors;

use super::SMALL;

#[test]
fn progress_counts_every_row_once_and_in_several_steps() {
    let model = SyntheticAttention {
        queries: 60,
        causal: false,
        ..SMALL
    };
    let tensors = AttentionTensors::from_bytes(&model.to_bytes(), None).unwrap();
    let config = Config::load("tiny", &[]).unwrap();
    for kind in [EngineKind::Rtl, EngineKind::Golden, EngineKind::Float] {
        let mut engine = kind.start(&config, 1).unwrap();
        let job = Job::new(&tensors, None, config.formats(), true).unwrap();
        let mut steps = Vec::new();
        job.run(engine.as_mut(), |rows| steps.push(rows)).unwrap();
        assert_eq!(steps.iter().sum::<usize>(), job.row_count(), "{kind}");
        assert!(steps.len() > 4, "{kind}: {steps:?}");
    }
}

#[test]
fn progress_counts_pruned_rows_too() {
    let tensors = SMALL.tensors();
    let config = Config::load("tiny", &[]).unwrap();
    let pruning = Pruning {
        tokens: Some(KeepRatio::Final(0.3)),
        heads: Some(KeepRatio::Final(0.3)),
        ..Pruning::default()
    };
    for kind in [EngineKind::Golden, EngineKind::Float] {
        let mut engine = kind.start(&config, 1).unwrap();
        let job = Job::new(&tensors, None, config.formats(), true).unwrap();
        let job = job.pruned(&pruning).unwrap();
        let mut rows = 0;
        let result = job.run(engine.as_mut(), |step| rows += step).unwrap();
        assert_eq!(rows, job.row_count(), "{kind}");
        let attended: usize = result.layers.iter().map(|layer| layer.rows).sum();
        assert!(attended < rows, "{kind}");
    }
}
