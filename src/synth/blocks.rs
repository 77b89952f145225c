//! Which modules of an elaborated design are reported, synthesised or left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::SynthError;
use crate::hdl::{Item, Module};

/// The block whose module has the configuration's name: it depends on nearly every field.
const DISPATCH: &str = "dispatch";

/// Names of the blocks, in dataflow order: the stages with their processing elements, then cells that are worth
/// a look of their own. A module `spatten_<block>_<parameters>` belongs to the block.
pub const FAMILIES: [&str; 63] = [
    DISPATCH,
    "fetch",
    "fetch_path",
    "class_scan",
    "token_list",
    "admission",
    "distributor",
    "channel_queue",
    "read_request",
    "read_master",
    "assembly",
    "bitwidth_converter",
    "fill_crossbar",
    "fill_port",
    "top_k",
    "quick_select",
    "row_fill",
    "first_pivots",
    "sampler",
    "part",
    "filter",
    "first_equals",
    "merge_sorter",
    "compare_exchange",
    "probability",
    "importance",
    "score_contexts",
    "score_set",
    "home",
    "rescale",
    "head_magnitude",
    "line_buffer",
    "line_ring",
    "line_column",
    "query_key",
    "query_key_element",
    "query_noise",
    "refine",
    "judge",
    "softmax",
    "exponential_pass",
    "exponent",
    "row_sum",
    "value_ranking",
    "value_ids",
    "use_pass",
    "weights",
    "prob_value",
    "prob_value_element",
    "prob_value_column",
    "output_scale",
    "output_writer",
    "write_master",
    "banked_fifo",
    "multiplier",
    "adder_tree",
    "max_tree",
    "exp2",
    "reciprocal",
    "divider",
    "line_compactor",
    "lane_packer",
    "lane_unpacker",
];

/// A module to report.
pub(super) struct Reported {
    /// Its block, of [`FAMILIES`].
    pub family: &'static str,
    /// The module.
    pub module: Arc<Module>,
}

/// What one run does with the modules of a design.
pub(super) struct Plan {
    /// Modules to report, in the order of [`FAMILIES`].
    pub reported: Vec<Reported>,
    /// Modules to synthesise: the reported ones and all below them.
    pub logic: Vec<Arc<Module>>,
    /// Memories among them, which stay black boxes.
    pub memories: Vec<Arc<Module>>,
}

impl Plan {
    /// The plan for blocks below any of `tops`, all of them when none is named.
    ///
    /// # Errors
    /// [`SynthError::UnknownBlock`] when a name is no block of this design.
    pub fn new(tops: &[Arc<Module>], names: &[String]) -> Result<Plan, SynthError> {
        let mut seen = BTreeSet::new();
        let mut reported: Vec<Reported> = tops
            .iter()
            .flat_map(|top| top.hierarchy())
            .filter(|module| seen.insert(module.name.clone()))
            .filter_map(|module| {
                let family = family(&module.name)?;
                Some(Reported { family, module })
            })
            .collect();
        reported.sort_by_key(|block| FAMILIES.iter().position(|&family| family == block.family));
        if let Some(unknown) = names
            .iter()
            .find(|name| !reported.iter().any(|block| block.family == **name))
        {
            let mut known: Vec<&str> = reported.iter().map(|block| block.family).collect();
            known.dedup();
            return Err(SynthError::UnknownBlock {
                name: unknown.clone(),
                known: known.join(", "),
            });
        }
        if !names.is_empty() {
            reported.retain(|block| names.iter().any(|name| name == block.family));
        }
        let (memories, logic) = split(reported.iter().map(|block| &block.module));
        Ok(Plan {
            reported,
            logic,
            memories,
        })
    }
}

/// The modules below `tops`, each once, memories and logic.
pub(super) fn split<'m>(
    tops: impl Iterator<Item = &'m Arc<Module>>,
) -> (Vec<Arc<Module>>, Vec<Arc<Module>>) {
    let mut seen = BTreeSet::new();
    tops.flat_map(|top| top.hierarchy())
        .filter(|module| seen.insert(module.name.clone()))
        .partition(|module| is_memory(module))
}

/// The block that a module belongs to: the longest name that the module's starts with; [`DISPATCH`] stands behind the
/// configuration's name.
fn family(module: &str) -> Option<&'static str> {
    let name = module.strip_prefix("spatten_")?;
    if name.ends_with(&format!("_{DISPATCH}")) {
        return Some(DISPATCH);
    }
    FAMILIES
        .into_iter()
        .filter(|family| {
            name.strip_prefix(family)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
        .max_by_key(|family| family.len())
}

/// Whether the module is the wrapper of a memory macro.
fn is_memory(module: &Module) -> bool {
    module
        .items
        .iter()
        .any(|item| matches!(item, Item::Memory { .. }))
}

/// Names of the memory modules inside a block.
pub(super) fn memories_below(module: &Arc<Module>) -> Vec<String> {
    module
        .hierarchy()
        .iter()
        .filter(|module| is_memory(module))
        .map(|module| module.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::synth::tops;

    fn tiny() -> Vec<Arc<Module>> {
        tops(&Config::load("tiny", &[]).unwrap())
    }

    #[test]
    fn every_block_name_stands_for_a_module() {
        let plan = Plan::new(&tiny(), &[]).unwrap();
        let found: BTreeSet<&str> = plan.reported.iter().map(|block| block.family).collect();
        assert_eq!(found, FAMILIES.into_iter().collect());
    }

    #[test]
    fn a_module_belongs_to_the_longest_name_it_starts_with() {
        assert_eq!(
            family("spatten_query_key_element_n4"),
            Some("query_key_element")
        );
        assert_eq!(family("spatten_query_key_m16"), Some("query_key"));
        assert_eq!(family("spatten_exp2"), Some("exp2"));
        assert_eq!(family("spatten_exp2x"), None);
        assert_eq!(family("spatten_tiny_dispatch"), Some("dispatch"));
        assert_eq!(family("spatten_tiny_memory_core"), None);
        assert_eq!(family("spatten_fifo_w2_d4"), None);
    }

    #[test]
    fn memories_are_no_logic_and_are_listed_with_the_block_that_holds_them() {
        let plan = Plan::new(&tiny(), &["line_buffer".into()]).unwrap();
        assert!(!plan.memories.is_empty());
        assert!(
            plan.memories
                .iter()
                .all(|m| m.name.starts_with("spatten_sram_"))
        );
        assert!(!plan.logic.iter().any(|m| is_memory(m)));
        for block in &plan.reported {
            assert_eq!(block.family, "line_buffer");
            // All banks are of one size.
            assert_eq!(memories_below(&block.module).len(), 1);
        }
    }
}
