//! OpenSTA: the worst path of a block.

use std::path::Path;
use std::sync::Arc;

use super::yosys::{LIBERTY, REGISTER_SUFFIX, netlist_file};
use super::{SynthError, files};
use crate::hdl::Module;

/// The path with the least slack.
#[derive(Clone, Debug, PartialEq)]
pub struct WorstPath {
    /// Slack in ns; negative when the path is too slow.
    pub slack_ns: f64,
    /// Register or input port where it starts.
    pub start: String,
    /// Register or output port where it ends.
    pub end: String,
}

/// Times the linked netlist of `module`: registers outside drive and take the ports at the clock's edge, reset is no
/// timed path. `None` when nothing is timed.
///
/// # Errors
/// [`SynthError`] when OpenSTA is missing or fails.
pub(super) fn worst_path(
    folder: &Path,
    module: &Arc<Module>,
    clock_ns: f64,
) -> Result<Option<WorstPath>, SynthError> {
    let name = &module.name;
    let script_file = format!("{name}.tcl");
    files::write(folder, &script_file, &script(folder, module, clock_ns))?;
    let report = files::run(folder, "sta", &["-no_splash", "-exit", &script_file])?;
    files::write(folder, &format!("{name}.timing"), &report)?;
    Ok(read_report(&report))
}

fn script(folder: &Path, module: &Arc<Module>, clock_ns: f64) -> String {
    let mut script = format!("read_liberty {LIBERTY}\n");
    for module in module.hierarchy() {
        let netlist = netlist_file(&module.name);
        // Memories have none and become black boxes.
        if folder.join(&netlist).exists() {
            script += &format!("read_verilog {netlist}\n");
        }
    }
    let clock_port = if module.clocked {
        " [get_ports clk_i]"
    } else {
        ""
    };
    script += &format!(
        "link_design {}
create_clock -name clk -period {clock_ns}{clock_port}
set data_inputs {{}}
foreach port [all_inputs] {{
  set name [get_property $port full_name]
  if {{$name ne \"clk_i\" && $name ne \"rst_ni\"}} {{
    lappend data_inputs $port
  }}
}}
if {{[llength $data_inputs] > 0}} {{
  set_input_delay 0 -clock clk $data_inputs
}}
set_output_delay 0 -clock clk [all_outputs]
report_checks -path_delay max -format full -fields {{slew cap}} -digits 3
",
        module.name
    );
    script
}

/// The worst of the paths that `report_checks` prints, one per group: of the clock, and of resets that come from a port.
fn read_report(text: &str) -> Option<WorstPath> {
    const START: &str = "Startpoint:";
    let paths = text.split(START).skip(1);
    let paths = paths.filter_map(|path| read_path(&format!("{START}{path}")));
    paths.min_by(|a, b| a.slack_ns.total_cmp(&b.slack_ns))
}

fn read_path(text: &str) -> Option<WorstPath> {
    let point = |label: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(label))?;
        let name = line.trim().split(" (").next()?;
        Some(
            name.strip_suffix(REGISTER_SUFFIX)
                .unwrap_or(name)
                .to_owned(),
        )
    };
    let slack = text.lines().find_map(|line| {
        let (number, verdict) = line.trim().split_once(char::is_whitespace)?;
        verdict
            .trim()
            .starts_with("slack (")
            .then(|| number.parse().ok())?
    })?;
    Some(WorstPath {
        slack_ns: slack,
        start: point("Startpoint:")?,
        end: point("Endpoint:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_gives_slack_and_both_ends() {
        let text = "Startpoint: u_a/sum_q[3]_ff (rising edge-triggered flip-flop clocked by clk)
Endpoint: out_data_o[1] (output port clocked by clk)
Path Group: clk

                              3.168   data required time
                             -2.908   data arrival time
---------------------------------------------------------------------------
                             -0.261   slack (VIOLATED)
";
        let expected = WorstPath {
            slack_ns: -0.261,
            start: "u_a/sum_q[3]".into(),
            end: "out_data_o[1]".into(),
        };
        assert_eq!(read_report(text), Some(expected.clone()));
        let reset = "Startpoint: restart_n_i (input port clocked by clk)
Endpoint: u_a/sum_q[0]_ff (recovery check against rising-edge clock clk)
                              3.180   slack (MET)
";
        assert_eq!(read_report(&format!("{reset}\n{text}")), Some(expected));
    }

    #[test]
    fn a_block_without_paths_has_no_slack() {
        assert_eq!(read_report("No paths found.\n"), None);
    }
}
