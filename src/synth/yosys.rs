//! Yosys: one mapped netlist per module.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::library::input_driver;
use super::{CellLibrary, SynthError, files};
use crate::hdl::{Item, Module};

/// The Liberty file of the run.
pub(super) const LIBERTY: &str = "cells.lib";
/// What ABC does between Yosys' gates and the library's.
const ABC_SCRIPT: &str = "map.abc";
/// Drivers and loads that ABC assumes at the ports.
const ABC_CONSTRAINTS: &str = "map.constr";

/// Optimises, maps for delay, splits nets of large fan-out by buffers and chooses the sizes of gates for the period
/// given as `{D}`. On multipliers and sums this leaves 0.5 ns more slack at 130 nm than `&dch; &nf`, for 5 % of area.
const ABC_COMMANDS: &str = "strash
dch
map -B 0.9 {D}
topo
buffer -c -N 16
upsize {D}
dnsize {D}
";

/// Load of a port in fF: about two gates.
const PORT_LOAD_FF: u32 = 15;

/// Part of the clock period that gates may take when they are sized; flip-flops take the rest.
const LOGIC_SHARE: f64 = 0.88;

/// Ending of flip-flop names, which are otherwise those of the registers in the Verilog.
pub(super) const REGISTER_SUFFIX: &str = "_ff";

/// The Verilog of a module before mapping.
pub(super) fn source_file(module: &str) -> String {
    format!("{module}.v")
}

/// The netlist of a module.
pub(super) fn netlist_file(module: &str) -> String {
    format!("{module}.netlist.v")
}

/// Writes what every module's run reads: the library and the commands for ABC.
///
/// # Errors
/// [`SynthError::Folder`] when the library cannot be read or the folder not written.
pub(super) fn write_shared_files(folder: &Path, library: &CellLibrary) -> Result<(), SynthError> {
    let liberty = fs::read_to_string(&library.liberty)
        .map_err(|source| SynthError::folder(&library.liberty, source))?;
    files::write(folder, LIBERTY, &liberty)?;
    files::write(folder, ABC_SCRIPT, ABC_COMMANDS)?;
    let mut constraints = format!("set_load {PORT_LOAD_FF}\n");
    if let Some(driver) = input_driver(&liberty) {
        constraints = format!("set_driving_cell {driver}\n{constraints}");
    }
    files::write(folder, ABC_CONSTRAINTS, &constraints)
}

/// What a netlist is made of.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mapped {
    /// Area of the module's own library cells in square micrometres.
    area_um2: f64,
    /// Library cells and child modules, with their number.
    cells: Vec<(String, u64)>,
}

/// Maps one module to the library, its children being black boxes.
///
/// # Errors
/// [`SynthError`] when Yosys is missing or fails.
pub(super) fn map(
    folder: &Path,
    module: &Arc<Module>,
    clock_ns: f64,
) -> Result<Mapped, SynthError> {
    let name = &module.name;
    let mut children = Vec::new();
    collect_children(&module.items, &mut children);
    children.sort_unstable();
    children.dedup();
    let mut script = String::new();
    for child in children {
        script += &format!("read_verilog -lib {}\n", source_file(child));
    }
    let (source, netlist) = (source_file(name), netlist_file(name));
    let picoseconds = (clock_ns * LOGIC_SHARE * 1000.0).round();
    let report = format!("{name}.stat");
    script += &format!(
        "read_verilog {source}
synth -noabc -top {name}
splitnets
rename -wire -suffix {REGISTER_SUFFIX} t:\\$_*DFF*
dfflibmap -liberty {LIBERTY}
abc -liberty {LIBERTY} -script {ABC_SCRIPT} -constr {ABC_CONSTRAINTS} -D {picoseconds}
opt_clean -purge
tee -q -o {report} stat -liberty {LIBERTY}
write_verilog -noattr -noexpr -simple-lhs {netlist}
"
    );
    let script_file = format!("{name}.ys");
    files::write(folder, &script_file, &script)?;
    let log = format!("{name}.log");
    files::run(folder, "yosys", &["-q", "-l", &log, &script_file])?;
    Ok(read_statistics(&files::read(folder, &report)?))
}

fn collect_children<'m>(items: &'m [Item], names: &mut Vec<&'m str>) {
    for item in items {
        match item {
            Item::Instance { module, .. } => names.push(&module.name),
            Item::Generate { items, .. } => collect_children(items, names),
            _ => {}
        }
    }
}

/// Reads what Yosys' `stat` prints for one module: the list of cells below their number, and the area.
fn read_statistics(text: &str) -> Mapped {
    let cells = text
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("Number of cells:"))
        .skip(1)
        .map_while(|line| {
            let (cell, count) = line.trim().split_once(char::is_whitespace)?;
            Some((cell.to_owned(), count.trim().parse().ok()?))
        })
        .collect();
    let area_um2 = text
        .lines()
        .filter(|line| line.trim_start().starts_with("Chip area for module"))
        .find_map(|line| line.rsplit_once(':')?.1.trim().parse().ok())
        .unwrap_or(0.0);
    Mapped { area_um2, cells }
}

/// Library cells of a module with everything below it, and their area. Modules that were not mapped, the memories,
/// count nothing.
pub(super) fn total(module: &Arc<Module>, mapped: &HashMap<String, Mapped>) -> (u64, f64) {
    // Children stand before their parents.
    let mut totals: HashMap<String, (u64, f64)> = HashMap::new();
    for module in module.hierarchy() {
        let mut sum = (0, 0.0);
        if let Some(mapped) = mapped.get(&module.name) {
            sum.1 = mapped.area_um2;
            for (cell, count) in &mapped.cells {
                let (cells, area) = totals.get(cell).copied().unwrap_or((1, 0.0));
                sum.0 += cells * count;
                sum.1 += area * *count as f64;
            }
        }
        totals.insert(module.name.clone(), sum);
    }
    totals[&module.name]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::exp2::Exp2;
    use crate::hdl::elaborate;

    #[test]
    fn a_child_counts_as_often_as_it_stands_in_its_parent_and_an_unmapped_one_not_at_all() {
        let exp2 = elaborate(&Exp2);
        let hierarchy = exp2.hierarchy();
        let child = &hierarchy[0].name;
        let netlist = |area_um2, cells: &[(&str, u64)]| Mapped {
            area_um2,
            cells: cells.iter().map(|&(c, n)| (c.to_owned(), n)).collect(),
        };
        let parent = netlist(7.0, &[("NAND2X1", 4), (child, 3)]);
        let mut mapped = HashMap::from([(exp2.name.clone(), parent)]);
        assert_eq!(total(&exp2, &mapped), (4, 7.0));
        mapped.insert(child.clone(), netlist(2.5, &[("INVX1", 10)]));
        assert_eq!(total(&exp2, &mapped), (34, 14.5));
    }

    #[test]
    fn statistics_give_cells_and_area() {
        let text = "
=== top ===

   Number of wires:                 11
   Number of cells:                  7
     NAND2X1                         4
     spatten_child                   3

   Area for cell type \\spatten_child is unknown!

   Chip area for module '\\top': 96.500000
";
        let expected = Mapped {
            area_um2: 96.5,
            cells: vec![("NAND2X1".into(), 4), ("spatten_child".into(), 3)],
        };
        assert_eq!(read_statistics(text), expected);
        assert_eq!(
            read_statistics("   Number of cells:  0\n\n"),
            Mapped::default()
        );
    }
}
