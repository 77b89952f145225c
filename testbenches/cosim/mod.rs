//! Co-simulation itself, on small designs written by hand.

mod builds;
mod memory;
mod simulation;
mod streams;

use spatten::cosim::{Design, Direction, Port, Source};

/// A design of one file whose ports are written `name:width`, inputs ending in `_i` or `_ni`.
fn design(top: &str, text: &str, ports: &[&str], combinational: bool) -> Design {
    let ports = ports
        .iter()
        .map(|port| {
            let (name, width) = port.split_once(':').unwrap_or((port, "1"));
            let direction = if name.ends_with('i') {
                Direction::In
            } else {
                Direction::Out
            };
            Port {
                name: name.into(),
                width: width.parse().unwrap(),
                direction,
            }
        })
        .collect();
    let sources = vec![Source {
        file: format!("{top}.v"),
        text: text.into(),
    }];
    Design {
        top: top.into(),
        sources,
        ports,
        combinational,
        brief: false,
    }
}

fn counter() -> Design {
    let ports = ["clk_i", "rst_ni", "count_i", "count_o:12"];
    design("counter", include_str!("counter.v"), &ports, false)
}
