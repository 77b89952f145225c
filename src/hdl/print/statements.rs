//! Statements of more than one line: `case`, registers, memories and children.

use super::expression::Place;
use super::text::{comment, literal, range};
use super::{LINE, Printer};
use crate::hdl::expr::{ExprId, SignalId};
use crate::hdl::module::{Item, SignalKind, Update};
use num_bigint::BigUint;

impl Printer<'_> {
    pub(super) fn case(
        &mut self,
        target: SignalId,
        selector: ExprId,
        arms: &[(u64, ExprId)],
        otherwise: ExprId,
    ) {
        let module = self.module;
        let signal = module.signal(target);
        let name = signal.name.clone();
        let mut roots = vec![(selector, Place::Selector), (otherwise, Place::Alone)];
        roots.extend(arms.iter().map(|arm| (arm.1, Place::Alone)));
        let mut texts = self.expressions(&name, &roots).into_iter();
        let selector_text = texts.next().expect("one text per root");
        let otherwise_text = texts.next().expect("one text per root");
        let width = module.expr(selector).width;
        self.open_block();
        let declaration = format!("reg{} {name};", range(signal.ty.width));
        self.line(&format!("{declaration}{}", comment(&signal.doc)));
        self.line("always @(*) begin");
        self.line(&format!("  case ({selector_text})"));
        for ((number, _), text) in arms.iter().zip(texts) {
            let number = literal(&BigUint::from(*number), width);
            self.broken(&format!("    {number}: {name} = "), &text, ";");
        }
        self.broken(&format!("    default: {name} = "), &otherwise_text, ";");
        self.line("  endcase");
        self.line("end");
        self.close_block();
    }

    pub(super) fn registers(&mut self, updates: &[Update]) {
        let module = self.module;
        let mut written = Vec::new();
        for update in updates {
            let name = &module.signal(update.register).name;
            let prefix = name.trim_end_matches("_q");
            let mut roots = vec![(update.next, Place::Alone)];
            roots.extend(update.enable.map(|e| (e, Place::Alone)));
            let mut texts = self.expressions(prefix, &roots).into_iter();
            let next = texts.next().expect("one text per root");
            written.push((name.clone(), next, texts.next()));
        }
        let reset: Vec<String> = updates
            .iter()
            .filter_map(|update| {
                let signal = module.signal(update.register);
                match &signal.kind {
                    SignalKind::Register(Some(value)) => {
                        let value = literal(value, signal.ty.width);
                        Some(format!("{} <= {value};", signal.name))
                    }
                    _ => None,
                }
            })
            .collect();
        self.open_block();
        if reset.is_empty() {
            self.line("always @(posedge clk_i) begin");
        } else {
            self.line("always @(posedge clk_i or negedge rst_ni) begin");
            self.indent += 1;
            self.line("if (!rst_ni) begin");
            for text in &reset {
                self.line(&format!("  {text}"));
            }
            self.line("end else begin");
        }
        self.indent += 1;
        let mut index = 0;
        while index < written.len() {
            let enable = &written[index].2;
            let mut end = index + 1;
            while end < written.len() && enable.is_some() && written[end].2 == *enable {
                end += 1;
            }
            self.update_group(enable.as_deref(), &written[index..end]);
            index = end;
        }
        self.indent -= 1;
        if !reset.is_empty() {
            self.line("end");
            self.indent -= 1;
        }
        self.line("end");
        self.close_block();
    }

    fn update_group(&mut self, enable: Option<&str>, updates: &[(String, String, Option<String>)]) {
        let single = updates.len() == 1;
        match enable {
            Some(enable) if single => {
                let (name, next, _) = &updates[0];
                let head = format!("if ({enable}) {name} <= ");
                if head.len() + next.len() + 2 * self.indent < LINE {
                    self.line(&format!("{head}{next};"));
                    return;
                }
                self.line(&format!("if ({enable}) begin"));
            }
            Some(enable) => self.line(&format!("if ({enable}) begin")),
            None => {}
        }
        if enable.is_some() {
            self.indent += 1;
        }
        for (name, next, _) in updates {
            self.statement(&format!("{name} <= "), next, "");
        }
        if enable.is_some() {
            self.indent -= 1;
            self.line("end");
        }
    }

    pub(super) fn memory(&mut self, item: &Item) {
        let Item::Memory {
            memory,
            write_enable,
            write_address,
            write_data,
            read_enable,
            read_address,
            read_register,
        } = item
        else {
            unreachable!("called for memories only")
        };
        let name = self.module.signal(*memory).name.clone();
        let register = self.module.signal(*read_register).name.clone();
        let roots = [
            *write_enable,
            *write_address,
            *write_data,
            *read_enable,
            *read_address,
        ]
        .map(|id| (id, Place::Alone));
        let texts = self.expressions(&name, &roots);
        self.open_block();
        self.line("always @(posedge clk_i) begin");
        self.line(&format!(
            "  if ({}) {name}[{}] <= {};",
            texts[0], texts[1], texts[2]
        ));
        self.line(&format!(
            "  if ({}) {register} <= {name}[{}];",
            texts[3], texts[4]
        ));
        self.line("end");
        self.close_block();
    }

    pub(super) fn register_file(&mut self, item: &Item) {
        let Item::RegisterFile {
            memory,
            write_enable,
            write_address,
            write_data,
            read_address,
            read_data,
        } = item
        else {
            unreachable!("called for register files only")
        };
        let name = self.module.signal(*memory).name.clone();
        let read = self.module.signal(*read_data);
        let head = format!("wire{} {} = ", range(read.ty.width), read.name);
        let roots = [*write_enable, *write_address, *write_data, *read_address]
            .map(|id| (id, Place::Alone));
        let texts = self.expressions(&name, &roots);
        self.open_block();
        self.line("always @(posedge clk_i) begin");
        self.line(&format!(
            "  if ({}) {name}[{}] <= {};",
            texts[0], texts[1], texts[2]
        ));
        self.line("end");
        self.close_block();
        self.statement(&head, &format!("{name}[{}]", texts[3]), "");
    }

    pub(super) fn instance(&mut self, item: &Item) {
        let Item::Instance {
            name,
            module: child,
            inputs,
            outputs,
            reset,
        } = item
        else {
            unreachable!("called for instances only")
        };
        let roots: Vec<_> = inputs.iter().map(|i| (i.1, Place::Alone)).collect();
        let prefix = &name["u_".len()..];
        let texts = self.expressions(prefix, &roots);
        let mut connections = Vec::new();
        if child.clocked {
            connections.push(("clk_i".to_owned(), "clk_i".to_owned()));
        }
        if child.resettable {
            let own = reset.and_then(|signal| self.module.named(signal));
            let driver = own.map_or("rst_ni", |signal| &self.module.signal(signal).name);
            connections.push(("rst_ni".to_owned(), driver.to_owned()));
        }
        for (index, (port, _)) in child.port_list().enumerate() {
            let input = inputs.iter().position(|i| i.0 == index);
            let text = match input {
                Some(position) => texts[position].clone(),
                None => {
                    let output = outputs.iter().find(|o| o.0 == index);
                    let id = output.expect("every port is connected").1;
                    self.module.signal(id).name.clone()
                }
            };
            connections.push((port.name.clone(), text));
        }
        let widest = connections.iter().map(|c| c.0.len()).max().unwrap_or(0);
        self.open_block();
        self.line(&format!("{} {name} (", child.name));
        let count = connections.len();
        for (index, (port, text)) in connections.into_iter().enumerate() {
            let comma = if index + 1 == count { "" } else { "," };
            self.broken(&format!("  .{port:widest$} ("), &text, &format!("){comma}"));
        }
        self.line(");");
        self.close_block();
    }
}
