//! The top-k block beside an odd-even merge sorter of the same width and length: area from Yosys on the IHP cells, time.
//!
//! The sorter has 24,063 comparators at 1024 keys. Each stands in a module of its own, so that one is mapped, and a sorter
//! of [`MAPPED_KEYS`] keys around it gives what a key that passes a layer costs: the area of any length follows by counting.

use super::Row;
use super::top_k::TOP_K;
use crate::accelerator::top_k::TopK;
use crate::cells::merge_sorter::{CompareExchange, MergeSorter};
use crate::handoff::design::CLOCK_NS;
use crate::synth::{self, Area, CellLibrary, SynthError};

/// Cells that both are mapped to: a folder of `pdk/` in the shared data.
const PDK: &str = "ihp-sg13g2";
/// Keys of the sorter that is mapped.
const MAPPED_KEYS: usize = 8;
/// The paper's throughput over that of a full sorter of 1024 keys.
const PAPER_THROUGHPUT: f64 = 1.4;
/// The paper's power of that sorter over its engine's.
const PAPER_POWER: f64 = 3.5;

const MEMORIES: &str = "left out of the areas: rows and lines that wait; the sorter has no memory, its keys wait in registers, \
                        which count";
const AREA_FOR_POWER: &str = "area stands in for the paper's power: without the memories and without activities of \
                              every net there is no honest figure of that";
const ONE_ALONE: &str =
    "of one selection, last key to first result; the paper's figure is a median, too";
const BACK_TO_BACK: &str =
    "both are fed alike; the sorter takes a selection as fast as its keys come";

/// The merge sorter that ranks as many keys as a block's longest selection has.
pub(super) fn sorter(block: &TopK, keys: usize) -> MergeSorter {
    MergeSorter {
        lanes: keys.next_power_of_two().max(2),
        width: block.engine.width,
    }
}

/// Cycles of selections of one length.
pub(super) struct Cycles {
    /// Keys of a selection.
    pub keys: usize,
    /// Median from the last line to the first element that stays.
    pub median: f64,
    /// Per selection, back to back.
    pub occupancy: f64,
    /// Of the input of a selection.
    pub input: f64,
}

/// Throughput of the block over that of the sorter, of one selection after its last key and of selections back to back.
pub(super) fn throughput(block: &TopK, cycles: &Cycles) -> [Row; 2] {
    let n = cycles.keys;
    let latency = sorter(block, n).latency() as f64;
    let row = |what: &str, value: f64, note| {
        let case = format!("{what} over merge sorter n={n}");
        let row = Row::of(TOP_K.name, case, value, "x").note(note);
        match n {
            1024 => row.target(PAPER_THROUGHPUT),
            _ => row,
        }
    };
    [
        row("median speed", latency / cycles.median, ONE_ALONE),
        row("throughput", cycles.input / cycles.occupancy, BACK_TO_BACK),
    ]
}

/// What synthesis says of both.
struct Areas {
    /// The engine: quick-select alone.
    engine: Area,
    /// The block: engine, filter and what joins them.
    block: Area,
    sorter: Sorter,
}

/// The whole sorter, from its parts.
#[derive(Debug, PartialEq)]
struct Sorter {
    cells: f64,
    area_um2: f64,
}

impl Sorter {
    /// The figures of `sorter` from those of a comparator and of the sorter `mapped`, of the same width.
    fn scaled(sorter: &MergeSorter, comparator: Area, mapped: (&MergeSorter, Area)) -> Sorter {
        let (of, whole) = mapped;
        let scale = |whole: f64, comparator: f64| {
            let beside = whole - of.comparators() as f64 * comparator;
            let passing = beside / of.passing_keys() as f64;
            sorter.comparators() as f64 * comparator + sorter.passing_keys() as f64 * passing
        };
        Sorter {
            cells: scale(whole.cells as f64, comparator.cells as f64),
            area_um2: scale(whole.area_um2, comparator.area_um2),
        }
    }
}

/// Areas of the block and of the sorter of its length; rows that say why there are none where tool or library is missing.
///
/// # Errors
/// [`SynthError`] when Yosys fails, or the disk does.
pub(super) fn areas(block: &TopK) -> Result<Vec<Row>, SynthError> {
    rows(
        block,
        CellLibrary::find(Some(PDK)).and_then(|library| mapped(block, &library)),
    )
}

fn mapped(block: &TopK, library: &CellLibrary) -> Result<Areas, SynthError> {
    let width = block.engine.width;
    let comparator = CompareExchange { width };
    let small = MergeSorter {
        lanes: MAPPED_KEYS,
        width,
    };
    let found = synth::areas(
        &[&block.engine, block, &comparator, &small],
        library,
        CLOCK_NS,
    )?;
    let [engine, whole, comparator, of_small] = found[..] else {
        unreachable!("an area for each block");
    };
    let sorter = sorter(block, block.engine.max_keys);
    Ok(Areas {
        engine,
        block: whole,
        sorter: Sorter::scaled(&sorter, comparator, (&small, of_small)),
    })
}

/// The rows of the areas, or as many that are skipped.
fn rows(block: &TopK, areas: Result<Areas, SynthError>) -> Result<Vec<Row>, SynthError> {
    let n = block.engine.max_keys;
    let cases = [
        ("area of engine", "um2"),
        ("cells of engine", "cells"),
        ("area of engine and filter", "um2"),
        ("cells of engine and filter", "cells"),
        ("memory of engine and filter", "bits"),
        ("area of merge sorter", "um2"),
        ("cells of merge sorter", "cells"),
        ("merge sorter over engine and filter, area", "x"),
    ];
    let case = |what: &str| format!("{what} n={n}");
    let areas = match areas {
        Ok(areas) => areas,
        Err(error) if error.is_missing() => {
            let skipped =
                |(what, unit)| Row::skipped(TOP_K.name, case(what), unit, &error.to_string());
            return Ok(cases.map(skipped).into());
        }
        Err(error) => return Err(error),
    };
    let Areas {
        engine,
        block: whole,
        sorter,
    } = areas;
    let ratio = sorter.area_um2 / whole.area_um2;
    let values = [
        engine.area_um2,
        engine.cells as f64,
        whole.area_um2,
        whole.cells as f64,
        whole.memory_bits as f64,
        sorter.area_um2,
        sorter.cells,
        ratio,
    ];
    let with_value = |((what, unit), value)| {
        let row = Row::of(TOP_K.name, case(what), value, unit);
        match unit {
            "bits" => row.note(MEMORIES),
            "x" => row.note(AREA_FOR_POWER).target(PAPER_POWER),
            _ => row,
        }
    };
    Ok(cases.into_iter().zip(values).map(with_value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::hdl::Block;
    use crate::tools::ToolError;

    fn block() -> TopK {
        TopK::new(&Config::load("tiny", &[]).unwrap())
    }

    fn area(cells: u64, area_um2: f64, memory_bits: usize) -> Area {
        Area {
            cells,
            area_um2,
            memory_bits,
        }
    }

    #[test]
    fn a_longer_sorter_costs_its_comparators_and_the_keys_that_pass() {
        let sorter = |lanes| MergeSorter { lanes, width: 4 };
        // A comparator of 5 cells and 10 um2, a key that passes of 2 cells and 3 um2.
        let of = |lanes| {
            let (pairs, passing) = (sorter(lanes).comparators(), sorter(lanes).passing_keys());
            let cells = 5 * pairs + 2 * passing;
            let area_um2 = 10 * pairs + 3 * passing;
            area(cells as u64, area_um2 as f64, 0)
        };
        let comparator = area(5, 10.0, 0);
        let scaled = Sorter::scaled(&sorter(1024), comparator, (&sorter(8), of(8)));
        let whole = of(1024);
        let expected = Sorter {
            cells: whole.cells as f64,
            area_um2: whole.area_um2,
        };
        assert_eq!(scaled, expected);
    }

    #[test]
    fn what_is_scaled_is_what_yosys_maps() {
        let width = 4;
        let sorter = |lanes| MergeSorter { lanes, width };
        let (small, large) = (sorter(8), sorter(16));
        let library = CellLibrary::find(None).unwrap();
        let blocks: [&dyn Block; 3] = [&CompareExchange { width }, &small, &large];
        let found = synth::areas(&blocks, &library, CLOCK_NS).unwrap();
        let scaled = Sorter::scaled(&large, found[0], (&small, found[1]));
        let mapped = found[2].area_um2;
        // All but the ten registers of valid, which are the keys' part here.
        let error = (scaled.area_um2 - mapped).abs() / mapped;
        assert!(error < 0.02, "{scaled:?} for {mapped}");
    }

    #[test]
    fn areas_stand_beside_each_other_with_what_they_leave_out() {
        let areas = Areas {
            engine: area(100, 1000.0, 0),
            block: area(150, 1600.0, 96),
            sorter: Sorter {
                cells: 900.0,
                area_um2: 8000.0,
            },
        };
        let rows = rows(&block(), Ok(areas)).unwrap();
        let figures: Vec<_> = rows
            .iter()
            .map(|row| (row.case.as_str(), row.value.unwrap(), row.unit))
            .collect();
        assert_eq!(
            figures,
            [
                ("area of engine n=32", 1000.0, "um2"),
                ("cells of engine n=32", 100.0, "cells"),
                ("area of engine and filter n=32", 1600.0, "um2"),
                ("cells of engine and filter n=32", 150.0, "cells"),
                ("memory of engine and filter n=32", 96.0, "bits"),
                ("area of merge sorter n=32", 8000.0, "um2"),
                ("cells of merge sorter n=32", 900.0, "cells"),
                ("merge sorter over engine and filter, area n=32", 5.0, "x"),
            ]
        );
        let note = |case: &str| {
            let row = rows.iter().find(|row| row.case.starts_with(case));
            row.unwrap().note.clone().unwrap_or_default()
        };
        assert!(note("memory").contains("left out"));
        assert!(note("merge sorter over").contains("power"));
    }

    #[test]
    fn without_yosys_or_the_library_the_areas_are_skipped_with_the_reason() {
        let missing = SynthError::Tool(ToolError::Missing {
            tool: "yosys".into(),
            source: std::io::ErrorKind::NotFound.into(),
        });
        let unknown = SynthError::UnknownLibrary {
            name: PDK.into(),
            known: "osu018".into(),
        };
        for (error, word) in [(missing, "`yosys`"), (unknown, PDK)] {
            let rows = rows(&block(), Err(error)).unwrap();
            assert_eq!(rows.len(), 8);
            for row in rows {
                let note = row.note.unwrap();
                assert!(
                    note.starts_with("skipped: ") && note.contains(word),
                    "{note}"
                );
                assert_eq!((row.value, row.target, row.ratio), (None, None, None));
            }
        }
    }

    #[test]
    fn a_yosys_that_fails_is_an_error() {
        let folder = std::path::PathBuf::from("/");
        let error = SynthError::Folder {
            path: folder,
            source: std::io::ErrorKind::PermissionDenied.into(),
        };
        assert!(rows(&block(), Err(error)).is_err());
    }

    #[test]
    fn the_block_is_faster_where_its_median_or_its_share_of_the_input_is_smaller() {
        let cycles = Cycles {
            keys: 1024,
            median: 44.0,
            occupancy: 160.0,
            input: 128.0,
        };
        let [speed, throughput] = throughput(&block(), &cycles);
        assert_eq!(speed.case, "median speed over merge sorter n=1024");
        assert_eq!((speed.value, throughput.value), (Some(1.25), Some(0.8)));
        assert_eq!(throughput.target, Some(PAPER_THROUGHPUT));
    }
}
