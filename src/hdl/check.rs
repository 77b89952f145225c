//! Checks of a finished module: loop lanes, unused bits, combinational loops. Widths, drivers and names are checked
//! while building.

use super::expr::{ExprId, GenvarId, Op, SignalId};
use super::module::{Direction, Item, Module, SignalKind};
use super::types::mistake_at;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Expressions that a statement reads, and what depends on them combinationally.
pub(super) fn expressions_of(item: &Item) -> Vec<ExprId> {
    match item {
        Item::Section(_) | Item::Declare(_) | Item::Generate { .. } => vec![],
        Item::Net(_, e) | Item::Assign(_, e) | Item::AssignLane(_, _, e) => vec![*e],
        Item::Case {
            selector,
            arms,
            otherwise,
            ..
        } => {
            let mut all = vec![*selector, *otherwise];
            all.extend(arms.iter().map(|arm| arm.1));
            all
        }
        Item::Registers(updates) => updates
            .iter()
            .flat_map(|u| u.enable.into_iter().chain([u.next]))
            .collect(),
        Item::Memory {
            write_enable,
            write_address,
            write_data,
            read_enable,
            read_address,
            ..
        } => vec![
            *write_enable,
            *write_address,
            *write_data,
            *read_enable,
            *read_address,
        ],
        Item::RegisterFile {
            write_enable,
            write_address,
            write_data,
            read_address,
            ..
        } => vec![*write_enable, *write_address, *write_data, *read_address],
        Item::Instance { inputs, reset, .. } => inputs.iter().map(|i| i.1).chain(*reset).collect(),
        Item::Never { condition, .. } => vec![*condition],
    }
}

/// Signals that a statement drives, with the loop's variable where it drives one lane of each iteration.
fn targets_of(item: &Item) -> Vec<(SignalId, Option<GenvarId>)> {
    match item {
        Item::Assign(id, _) => vec![(*id, None)],
        Item::AssignLane(id, genvar, _) => vec![(*id, Some(*genvar))],
        Item::Registers(updates) => updates.iter().map(|u| (u.register, None)).collect(),
        Item::Memory {
            memory,
            read_register,
            ..
        } => vec![(*memory, None), (*read_register, None)],
        Item::Instance { outputs, .. } => outputs.iter().map(|o| (o.1, None)).collect(),
        _ => vec![],
    }
}

/// Calls `visit` for every statement with the loops around it.
fn each_item<'a>(
    items: &'a [Item],
    loops: &mut Vec<GenvarId>,
    visit: &mut dyn FnMut(&'a Item, &[GenvarId]),
) {
    for item in items {
        visit(item, loops);
        if let Item::Generate { genvar, items, .. } = item {
            loops.push(*genvar);
            each_item(items, loops, visit);
            loops.pop();
        }
    }
}

/// Signals declared in a loop and lanes of a loop are used only inside it.
pub(super) fn scopes(module: &Module) {
    let mut home: BTreeMap<SignalId, Vec<GenvarId>> = BTreeMap::new();
    each_item(&module.items, &mut Vec::new(), &mut |item, loops| {
        if let Item::Declare(id)
        | Item::Net(id, _)
        | Item::Case { target: id, .. }
        | Item::RegisterFile { read_data: id, .. } = item
        {
            home.insert(*id, loops.to_vec());
        }
    });
    each_item(&module.items, &mut Vec::new(), &mut |item, loops| {
        for (target, lane) in targets_of(item) {
            let declared = home.get(&target).map_or(&[][..], Vec::as_slice);
            let expected: Vec<_> = declared.iter().copied().chain(lane).collect();
            if loops != expected {
                let signal = module.signal(target);
                mistake_at(
                    signal.place,
                    format!(
                        "{} is driven in another generate loop than it is declared in",
                        signal.name
                    ),
                );
            }
        }
        let mut seen = HashSet::new();
        let mut stack = expressions_of(item);
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            let op = &module.expr(id).op;
            match op {
                Op::Signal(signal) => {
                    let declared = home.get(signal).map_or(&[][..], Vec::as_slice);
                    if !loops.starts_with(declared) {
                        let signal = module.signal(*signal);
                        mistake_at(
                            signal.place,
                            format!("{} is used outside its generate loop", signal.name),
                        );
                    }
                }
                Op::Lane { bus, genvar } => {
                    let signal = module.signal(*bus);
                    let declared = home.get(bus).map_or(&[][..], Vec::as_slice);
                    if !loops.contains(genvar) || !loops.starts_with(declared) {
                        let text = format!("a lane of {} is used outside its loop", signal.name);
                        mistake_at(signal.place, text);
                    }
                    if declared.contains(genvar) {
                        let text = format!(
                            "{} is declared in the loop that selects its lanes",
                            signal.name
                        );
                        mistake_at(signal.place, text);
                    }
                }
                _ => stack.extend(op.operands()),
            }
        }
    });
}

/// Every bit of every named signal is read somewhere, or stands in a `_unused` net.
pub(super) fn usage(module: &Module) {
    let mut used: Vec<Vec<bool>> = module
        .signals
        .iter()
        .map(|s| vec![false; s.ty.width])
        .collect();
    let mut seen = HashSet::new();
    each_item(&module.items, &mut Vec::new(), &mut |item, _| {
        let mut stack = expressions_of(item);
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            let expr = module.expr(id);
            match &expr.op {
                Op::Signal(signal) => used[signal.0 as usize].fill(true),
                Op::Slice { value, lo } => match module.named(*value) {
                    Some(signal) => used[signal.0 as usize][*lo..lo + expr.width].fill(true),
                    None => stack.push(*value),
                },
                Op::Lane { bus, genvar } => {
                    let bits = expr.width * module.genvar(*genvar).count;
                    used[bus.0 as usize][..bits].fill(true);
                }
                op => stack.extend(op.operands()),
            }
        }
    });
    for (signal, used) in module.signals.iter().zip(&used) {
        let exempt = matches!(
            signal.kind,
            SignalKind::Port(Direction::Out) | SignalKind::Memory { .. }
        ) || signal.name.ends_with("_unused");
        if exempt {
            continue;
        }
        if let Some(bit) = used.iter().position(|u| !u) {
            mistake_at(
                signal.place,
                format!(
                    "bit {bit} of {} ({}) is never used in {}; say why with `unused`",
                    signal.name, signal.ty, module.name
                ),
            );
        }
    }
}

/// For every output port the input ports it depends on in the same cycle; a combinational loop is a mistake.
pub(super) fn combinational_paths(module: &Module) -> Vec<(usize, BTreeSet<usize>)> {
    let mut graph = Graph {
        module,
        reads: BTreeMap::new(),
        reached: BTreeMap::new(),
        visiting: Vec::new(),
    };
    each_item(&module.items, &mut Vec::new(), &mut |item, _| {
        graph.add(item);
    });
    // Every net is followed, not only those behind outputs: a loop may be closed among internal nets.
    for index in 0..module.signals.len() {
        graph.inputs_behind(SignalId(index as u32));
    }
    let outputs = module.port_list().enumerate();
    outputs
        .filter(|(_, (_, direction))| *direction == Direction::Out)
        .map(|(index, _)| (index, graph.inputs_behind(module.ports[index])))
        .collect()
}

struct Graph<'a> {
    module: &'a Module,
    /// Signals that a signal's value is computed from in the same cycle.
    reads: BTreeMap<SignalId, BTreeSet<SignalId>>,
    reached: BTreeMap<SignalId, BTreeSet<usize>>,
    visiting: Vec<SignalId>,
}

impl Graph<'_> {
    fn add(&mut self, item: &Item) {
        match item {
            Item::Net(target, _) | Item::Assign(target, _) | Item::AssignLane(target, _, _) => {
                self.add_reads(*target, &expressions_of(item));
            }
            Item::Case { target, .. } => self.add_reads(*target, &expressions_of(item)),
            Item::RegisterFile {
                read_address,
                read_data,
                ..
            } => self.add_reads(*read_data, &[*read_address]),
            Item::Instance {
                module,
                inputs,
                outputs,
                ..
            } => {
                for (port, target) in outputs {
                    let behind = module.combinational.iter().find(|(out, _)| out == port);
                    let behind = &behind.expect("every output is listed").1;
                    let exprs: Vec<_> = inputs
                        .iter()
                        .filter(|(input, _)| behind.contains(input))
                        .map(|(_, expr)| *expr)
                        .collect();
                    self.add_reads(*target, &exprs);
                }
            }
            _ => {}
        }
    }

    fn add_reads(&mut self, target: SignalId, exprs: &[ExprId]) {
        let mut seen = HashSet::new();
        let mut stack = exprs.to_vec();
        let reads = self.reads.entry(target).or_default();
        while let Some(id) = stack.pop() {
            if !seen.insert(id) {
                continue;
            }
            match &self.module.expr(id).op {
                Op::Signal(signal) => {
                    reads.insert(*signal);
                }
                Op::Lane { bus, .. } => {
                    reads.insert(*bus);
                }
                op => stack.extend(op.operands()),
            }
        }
    }

    fn inputs_behind(&mut self, signal: SignalId) -> BTreeSet<usize> {
        if let Some(known) = self.reached.get(&signal) {
            return known.clone();
        }
        if let Some(start) = self.visiting.iter().position(|&v| v == signal) {
            let names: Vec<_> = self.visiting[start..]
                .iter()
                .map(|&id| self.module.signal(id).name.as_str())
                .collect();
            mistake_at(
                self.module.signal(signal).place,
                format!("combinational loop through {}", names.join(", ")),
            );
        }
        self.visiting.push(signal);
        let mut inputs = BTreeSet::new();
        if self.module.signal(signal).kind == SignalKind::Port(Direction::In) {
            let port = self.module.ports.iter().position(|&p| p == signal);
            inputs.extend(port);
        }
        for read in self.reads.get(&signal).cloned().unwrap_or_default() {
            inputs.extend(self.inputs_behind(read));
        }
        self.visiting.pop();
        self.reached.insert(signal, inputs.clone());
        inputs
    }
}
