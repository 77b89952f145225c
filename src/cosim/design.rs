//! What co-simulation needs to know of a design: its Verilog and its ports.

use super::CosimError;

/// The widest port that co-simulation takes, in bits.
pub const MAX_PORT_BITS: u32 = 100_000;

/// A design to simulate: Verilog text and the ports of its top module.
///
/// A sequential design has the port `clk_i`, and `rst_ni` if anything in it is reset; a combinational cell has neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Design {
    /// Name of the top module.
    pub top: String,
    /// Every source file, the top's among them.
    pub sources: Vec<Source>,
    /// Every port of the top module, in any order; a [`PortId`] is an index into this list.
    pub ports: Vec<Port>,
    /// Whether some output depends on an input within the same cycle, so that outputs must settle after
    /// inputs change.
    pub combinational: bool,
    /// Whether few cycles will be simulated, so that a quick build counts for more than a fast simulation.
    pub brief: bool,
}

/// One Verilog file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File name without folders, for example `spill_register.v`.
    pub file: String,
    /// The Verilog.
    pub text: String,
}

/// One port of the top module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in the Verilog.
    pub name: String,
    /// Bits, 1 to [`MAX_PORT_BITS`].
    pub width: u32,
    /// Whether the bench or the design drives it.
    pub direction: Direction,
}

/// Direction of a port, seen from the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Driven by the bench.
    In,
    /// Driven by the design.
    Out,
}

/// A port of one design: its index in [`Design::ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortId(pub(super) usize);

impl Design {
    /// The port called `name`, if the design has it.
    pub fn port(&self, name: &str) -> Option<PortId> {
        self.ports
            .iter()
            .position(|port| port.name == name)
            .map(PortId)
    }

    /// Whether the design has a clock.
    pub fn is_clocked(&self) -> bool {
        self.port("clk_i").is_some()
    }

    /// Refuses what the generated C++ or the file system could not carry.
    pub(super) fn check(&self) -> Result<(), CosimError> {
        let fault = |reason: String| {
            Err(CosimError::Design {
                top: self.top.clone(),
                reason,
            })
        };
        if !is_plain_identifier(&self.top) {
            return fault("the top module's name is not a plain identifier".into());
        }
        for source in &self.sources {
            let stem = source.file.strip_suffix(".v").unwrap_or("");
            if !is_plain_identifier(stem) {
                return fault(format!(
                    "source file `{}` is not named <identifier>.v",
                    source.file
                ));
            }
        }
        for (index, port) in self.ports.iter().enumerate() {
            if !is_plain_identifier(&port.name) || port.name.contains("__") {
                return fault(format!(
                    "port `{}`: names are letters, digits and single underscores",
                    port.name
                ));
            }
            if !(1..=MAX_PORT_BITS).contains(&port.width) {
                return fault(format!(
                    "port `{}` has {} bits; 1 to {MAX_PORT_BITS} are allowed",
                    port.name, port.width
                ));
            }
            if self.ports[..index]
                .iter()
                .any(|earlier| earlier.name == port.name)
            {
                return fault(format!("port `{}` is listed twice", port.name));
            }
        }
        for name in ["clk_i", "rst_ni"] {
            if let Some(PortId(index)) = self.port(name)
                && (self.ports[index].width, self.ports[index].direction) != (1, Direction::In)
            {
                return fault(format!("port `{name}` must be an input of one bit"));
            }
        }
        if self.port("rst_ni").is_some() && !self.is_clocked() {
            return fault("a design with rst_ni needs clk_i".into());
        }
        Ok(())
    }
}

fn is_plain_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
