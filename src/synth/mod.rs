//! Area and timing of a configuration's blocks: Yosys maps each module to a cell library once, OpenSTA times the
//! linked netlist of each block.
//!
//! ```text
//! elaborated core --> blocks: modules to report, memories to leave out
//!       |                     |
//!    Verilog --> yosys: one netlist, cell count and area per module, children as black boxes
//!                             |
//!                    timing: worst path per block, registers outside at its ports
//! ```
//!
//! A parent's netlist refers to those of its children, so 512 multipliers cost the time of one. Area and cells of a
//! block are sums over its instances. Memories are macros in a real chip: they stay black boxes, their area and the
//! paths through them are left out, and each result lists them (`docs/decisions.md`, section 6).
//!
//! The figures are from before layout: wires have no load, the clock no skew.

mod blocks;
mod error;
mod files;
mod library;
mod timing;
mod yosys;

pub use blocks::FAMILIES;
pub use error::SynthError;
pub use library::CellLibrary;
pub use timing::WorstPath;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::accelerator::top::AttentionCore;
use crate::catalogue;
use crate::config::Config;
use crate::handoff::memories::{Memory, inventory};
use crate::hdl::{Block, Module, elaborate, verilog};
use blocks::Plan;
use yosys::Mapped;

/// What to synthesise, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Blocks by name, of [`FAMILIES`]; all when empty.
    pub blocks: Vec<String>,
    /// Cells to map to.
    pub library: CellLibrary,
    /// Clock period in ns, positive.
    pub clock_ns: f64,
    /// Folder that keeps scripts, netlists and logs; a temporary one without it.
    pub keep: Option<PathBuf>,
}

/// Figures of one block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlockFigures {
    /// Name of the block, one of [`FAMILIES`].
    pub block: String,
    /// The Verilog module: the block with its parameters.
    pub module: String,
    /// Library cells, memories left out.
    pub cells: u64,
    /// Their area in square micrometres.
    pub area_um2: f64,
    /// Clock period in ns that the slack refers to.
    pub clock_ns: f64,
    /// Slack of the worst path in ns; `None` when the block has no timed path.
    pub worst_slack_ns: Option<f64>,
    /// Register or port where the worst path starts.
    pub start: Option<String>,
    /// Register or port where the worst path ends.
    pub end: Option<String>,
    /// Memory modules inside the block that the figures leave out.
    pub excluded: Vec<String>,
}

/// The attention core, and blocks that it does not hold.
fn tops(config: &Config) -> Vec<Arc<Module>> {
    let beside = catalogue::beside_core(config);
    let beside = beside.iter().map(|block| elaborate(&**block));
    std::iter::once(elaborate(&AttentionCore::new(config)))
        .chain(beside)
        .collect()
}

/// Synthesises and times blocks of `config`.
///
/// `progress` hears how many of the modules and blocks are done, from several threads.
///
/// # Errors
/// [`SynthError`] when a block is not in the core, a tool is missing or fails, or the folder cannot be written.
pub fn run(
    config: &Config,
    options: &Options,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<BlockFigures>, SynthError> {
    let plan = Plan::new(&tops(config), &options.blocks)?;
    let folder = Folder::new(options.keep.as_deref())?;
    let folder = folder.path();
    let total = plan.logic.len() + plan.reported.len();
    let done = AtomicUsize::new(0);
    let step = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
    let origin = format!(
        "Emitted for synthesis from configuration `{}`.",
        config.name
    );
    let modules = (&plan.logic[..], &plan.memories[..]);
    let library = (&options.library, options.clock_ns);
    let mapped = map(folder, modules, &origin, library, &step)?;
    in_parallel(&plan.reported, |block| {
        let worst = timing::worst_path(folder, &block.module, options.clock_ns)?;
        let (cells, area_um2) = yosys::total(&block.module, &mapped);
        step();
        Ok(BlockFigures {
            block: block.family.to_owned(),
            module: block.module.name.clone(),
            cells,
            area_um2,
            clock_ns: options.clock_ns,
            worst_slack_ns: worst.as_ref().map(|path| path.slack_ns),
            start: worst.as_ref().map(|path| path.start.clone()),
            end: worst.map(|path| path.end),
            excluded: blocks::memories_below(&block.module),
        })
    })
}

/// Area of one block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Library cells, memories left out.
    pub cells: u64,
    /// Their area in square micrometres.
    pub area_um2: f64,
    /// Bits of the memories inside the block, which the figures leave out.
    pub memory_bits: usize,
}

/// Areas of blocks of any kind, in their order, without timing: modules that several of them hold are mapped once.
///
/// # Errors
/// [`SynthError`] when Yosys is missing or fails, or the disk does.
pub fn areas(
    blocks: &[&dyn Block],
    library: &CellLibrary,
    clock_ns: f64,
) -> Result<Vec<Area>, SynthError> {
    let tops: Vec<Arc<Module>> = blocks.iter().map(|block| elaborate(*block)).collect();
    let (memories, logic) = blocks::split(tops.iter());
    let folder = Folder::new(None)?;
    let origin = "Emitted for its area.";
    let mapped = map(
        folder.path(),
        (&logic, &memories),
        origin,
        (library, clock_ns),
        &|| {},
    )?;
    let area = |top: &Arc<Module>| {
        let (cells, area_um2) = yosys::total(top, &mapped);
        Area {
            cells,
            area_um2,
            memory_bits: inventory(top).iter().map(Memory::total_bits).sum(),
        }
    };
    Ok(tops.iter().map(area).collect())
}

/// The folder of a run's files.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    /// The folder `keep`, made if need be, or a temporary one.
    fn new(keep: Option<&Path>) -> Result<Folder, SynthError> {
        match keep {
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|e| SynthError::folder(folder, e))?;
                Ok(Folder::Kept(folder.to_owned()))
            }
            None => {
                let made = tempfile::tempdir();
                let made = made.map_err(|e| SynthError::folder(&std::env::temp_dir(), e))?;
                Ok(Folder::Temporary(made))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Kept(folder) => folder,
            Folder::Temporary(folder) => folder.path(),
        }
    }
}

/// Writes the Verilog of logic and memories, and maps the logic; `step` hears of each module.
fn map(
    folder: &Path,
    (logic, memories): (&[Arc<Module>], &[Arc<Module>]),
    origin: &str,
    (library, clock_ns): (&CellLibrary, f64),
    step: &(dyn Fn() + Sync),
) -> Result<HashMap<String, Mapped>, SynthError> {
    for module in logic.iter().chain(memories) {
        let file = yosys::source_file(&module.name);
        files::write(folder, &file, &verilog(module, origin))?;
    }
    yosys::write_shared_files(folder, library)?;
    let mapped = in_parallel(logic, |module| {
        let mapped = yosys::map(folder, module, clock_ns)?;
        step();
        Ok((module.name.clone(), mapped))
    })?;
    Ok(mapped.into_iter().collect())
}

/// Applies `work` to every item on all processors; results in the items' order, or the first error.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, SynthError> + Sync,
) -> Result<Vec<R>, SynthError> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let worker = || {
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            let result = work(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            let mut results = results.lock().expect("no worker panics with the lock held");
            results.push((index, result));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(worker);
        }
    });
    let mut results = results.into_inner().expect("all workers have ended");
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
