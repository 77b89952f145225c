//! Bench of the maximum trees: any mask of live lanes, none among them.

use super::pipeline::{self, Pipeline, lanes, range, word};
use super::{BenchError, Options, Report};
use crate::catalogue;
use crate::cells::max_tree::{MaxTree, golden};
use crate::config::Config;
use crate::hdl::Ty;

/// Runs the maximum trees of `config` and the corner cases of their parameters.
///
/// # Errors
/// [`BenchError`]: a tree is wrong, or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut trees = catalogue::max_trees(config);
    let corner = |lanes, width, levels_per_stage| MaxTree {
        lanes,
        width,
        levels_per_stage,
    };
    trees.extend([
        corner(1, 5, 1),
        corner(2, 1, 1),
        corner(7, 34, 2),
        corner(16, 34, 1),
    ]);
    let pipelines: Vec<_> = trees.into_iter().map(pipeline).collect();
    pipeline::run("max_tree", &pipelines, options)
}

fn pipeline(tree: MaxTree) -> Pipeline {
    let lane_count = tree.lanes;
    let (least, greatest) = range(tree.word());
    let corner = |live: i64, word: i64| [vec![live; lane_count], vec![word; lane_count]].concat();
    let golden = move |inputs: &[i64]| {
        let (live, words) = inputs.split_at(lane_count);
        let live: Vec<bool> = live.iter().map(|&live| live == 1).collect();
        let max = golden(words, &live);
        vec![i64::from(max.is_some()), max.unwrap_or(least)]
    };
    Pipeline {
        latency: tree.latency(),
        inputs: vec![
            lanes("live", Ty::unsigned(1), lane_count),
            lanes("words", tree.word(), lane_count),
        ],
        outputs: vec![word("live", Ty::unsigned(1)), word("max", tree.word())],
        golden: Box::new(golden),
        corners: vec![
            corner(0, greatest),
            corner(1, least),
            corner(0, least),
            corner(1, greatest),
        ],
        block: Box::new(tree),
    }
}
