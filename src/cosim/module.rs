//! From an elaborated module to a design that can be simulated.

use std::sync::Arc;

use super::{Design, Direction, Port, Source};
use crate::hdl::{self, Module};

/// The banner's line: the same whatever the configuration is called, so that equal modules share a build.
const ORIGIN: &str = "Printed for co-simulation.";

impl From<&Arc<Module>> for Design {
    /// Prints the module and everything below it.
    fn from(module: &Arc<Module>) -> Self {
        let control = [("clk_i", module.clocked), ("rst_ni", module.resettable)];
        let control = control.into_iter().filter(|(_, present)| *present);
        let control = control.map(|(name, _)| Port {
            name: name.into(),
            width: 1,
            direction: Direction::In,
        });
        let ports = module.port_list().map(|(signal, direction)| Port {
            name: signal.name.clone(),
            width: signal.ty.width as u32,
            direction: match direction {
                hdl::Direction::In => Direction::In,
                hdl::Direction::Out => Direction::Out,
            },
        });
        let sources = module.hierarchy().into_iter().map(|module| Source {
            file: format!("{}.v", module.name),
            text: hdl::verilog(&module, ORIGIN),
        });
        Design {
            top: module.name.clone(),
            sources: sources.collect(),
            ports: control.chain(ports).collect(),
            combinational: module.has_combinational_path(),
            brief: false,
        }
    }
}
