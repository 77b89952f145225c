//! The memory inventory: every memory of a design, for choosing macros.

use crate::hdl::{Item, Module, SignalKind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One kind of memory and how often it stands in the design.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Wrapper module whose body a macro replaces.
    pub module: String,
    /// Words.
    pub words: usize,
    /// Bits of a word.
    pub bits: usize,
    /// Ports, such as "1 read, 1 write".
    pub ports: String,
    /// Hierarchical instance names, generate loops with their index.
    pub instances: Vec<String>,
}

impl Memory {
    /// Bits of all instances.
    pub fn total_bits(&self) -> usize {
        self.words * self.bits * self.instances.len()
    }
}

/// Every memory below `top`, by wrapper module.
pub fn inventory(top: &Arc<Module>) -> Vec<Memory> {
    let mut found = BTreeMap::new();
    visit(top, &top.items, &top.name, &mut found);
    found.into_values().collect()
}

fn visit(module: &Arc<Module>, items: &[Item], path: &str, found: &mut BTreeMap<String, Memory>) {
    for item in items {
        match item {
            Item::Memory {
                memory,
                write_address,
                read_address,
                ..
            } => {
                let signal = module.signal(*memory);
                let SignalKind::Memory { depth } = signal.kind else {
                    continue;
                };
                let ports = if write_address == read_address {
                    "1 read or write"
                } else {
                    "1 read, 1 write"
                };
                let entry = found.entry(module.name.clone()).or_insert_with(|| Memory {
                    module: module.name.clone(),
                    words: depth,
                    bits: signal.ty.width,
                    ports: ports.to_owned(),
                    instances: Vec::new(),
                });
                entry.instances.push(path.to_owned());
            }
            Item::Instance {
                name,
                module: child,
                ..
            } => visit(child, &child.items, &format!("{path}.{name}"), found),
            Item::Generate {
                label,
                genvar,
                items,
            } => {
                for index in 0..module.genvar(*genvar).count {
                    visit(module, items, &format!("{path}.{label}[{index}]"), found);
                }
            }
            _ => {}
        }
    }
}
