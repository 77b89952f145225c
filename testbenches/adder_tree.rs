//! Bench of the adder trees: sums of all lanes, and sums of chosen groups.

use super::pipeline::{self, Pipeline, lanes, range, word};
use super::{BenchError, Options, Report};
use crate::catalogue;
use crate::cells::adder_tree::{AdderTree, golden};
use crate::config::Config;
use crate::hdl::Ty;

/// Runs the adder trees of `config` and the corner cases of their parameters.
///
/// # Errors
/// [`BenchError`]: a tree is wrong, or cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut trees = catalogue::adder_trees(config);
    let groups = |lanes, term, levels_per_stage, result_levels: &[usize]| AdderTree {
        lanes,
        term,
        levels_per_stage,
        result_levels: result_levels.to_vec(),
    };
    trees.extend([
        AdderTree::total(1, Ty::signed(7), 1),
        AdderTree::total(2, Ty::unsigned(1), 1),
        AdderTree::total(13, Ty::unsigned(5), 3),
        groups(6, Ty::signed(28), 1, &[0, 1]),
        groups(6, Ty::signed(9), 2, &[1, 2]),
        groups(16, Ty::signed(28), 1, &[0, 1, 2]),
        groups(11, Ty::unsigned(4), 2, &[0, 2, 4]),
    ]);
    let pipelines: Vec<_> = trees.into_iter().map(pipeline).collect();
    pipeline::run("adder_tree", &pipelines, options)
}

fn pipeline(tree: AdderTree) -> Pipeline {
    let mut inputs = vec![lanes("terms", tree.term, tree.lanes)];
    if tree.select_bits() > 0 {
        inputs.push(word("select", Ty::unsigned(tree.select_bits())));
    }
    let (least, greatest) = range(tree.term);
    let mut corners = Vec::new();
    for select in 0..tree.result_levels.len() as i64 {
        for term in [least, greatest] {
            let mut corner = vec![term; tree.lanes];
            corner.extend((tree.select_bits() > 0).then_some(select));
            corners.push(corner);
        }
    }
    let golden = {
        let tree = tree.clone();
        move |inputs: &[i64]| {
            let (terms, select) = inputs.split_at(tree.lanes);
            let select = select.first().map_or(0, |&select| select as usize);
            golden(&tree, terms, select)
        }
    };
    Pipeline {
        latency: tree.latency(),
        inputs,
        outputs: vec![lanes("sums", tree.sum(), tree.results())],
        golden: Box::new(golden),
        corners,
        block: Box::new(tree),
    }
}
