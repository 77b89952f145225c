//! The Verilog-2005 printer.
//!
//! Every operand of a context-determined operator is printed at the width of the result, extensions are explicit
//! concatenations, and signed operators stand behind `$signed`/`$unsigned`, whose arguments are self-determined: no
//! width or sign is left for Verilog's context rules to decide.

mod expression;
mod statements;
mod text;

use super::expr::{Compare, ExprId, Op, SignalId};
use super::module::{Direction, Item, Module, SignalKind};
use expression::{ExprWriter, Place};
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use text::{base_name, comment, lane, literal, range, trim_end, trim_end_spaces, wrap, wrap_words};

/// Longest line before an expression is broken.
const LINE: usize = 116;

/// The Verilog text of one module; `origin` is a line about generator and configuration for the banner.
pub fn verilog(module: &Module, origin: &str) -> String {
    let mut printer = Printer {
        module,
        out: String::new(),
        indent: 1,
        loops: 0,
        gap: false,
        names: names_of(module),
    };
    printer.banner(origin);
    printer.header();
    printer.items(&module.items);
    printer.first_resets();
    printer.out.push_str("\nendmodule\n");
    printer.out
}

struct Printer<'a> {
    module: &'a Module,
    out: String,
    indent: usize,
    /// Generate loops around the statement being printed.
    loops: usize,
    /// Whether a blank line is due before the next one.
    gap: bool,
    /// Every name of the module, of temporaries so far too.
    names: HashSet<String>,
}

impl Printer<'_> {
    fn banner(&mut self, origin: &str) {
        let module = self.module;
        let _ = writeln!(self.out, "// {}", module.name);
        self.out.push_str("//\n");
        for line in module.about.purpose.lines() {
            let _ = writeln!(self.out, "// {line}");
            trim_end(&mut self.out);
        }
        if !module.about.parameters.is_empty() {
            self.out.push_str("//\n// Parameters:\n");
            let widest = module.about.parameters.iter().map(|p| p.0.len()).max();
            let widest = widest.unwrap_or(0);
            for (name, value) in &module.about.parameters {
                let _ = writeln!(self.out, "//   {name:widest$}  {value}");
            }
        }
        self.out.push_str("//\n");
        let _ = writeln!(self.out, "// {origin}");
        let _ = writeln!(self.out, "// Described in {}.", module.about.source);
        self.out.push('\n');
    }

    fn header(&mut self) {
        let module = self.module;
        let mut rows: Vec<(String, String)> = Vec::new();
        if module.clocked {
            rows.push(("input  wire".into(), "clk_i".into()));
        }
        if module.resettable {
            rows.push(("input  wire".into(), "rst_ni".into()));
        }
        let mut docs = vec![""; rows.len()];
        if module.resettable {
            docs[rows.len() - 1] = "asynchronous, active low, released synchronously";
        }
        for (signal, direction) in module.port_list() {
            let word = match direction {
                Direction::In => "input  wire",
                Direction::Out => "output wire",
            };
            let range = range(signal.ty.width);
            rows.push((format!("{word}{range}"), signal.name.clone()));
            docs.push(&signal.doc);
        }
        let left = rows.iter().map(|r| r.0.len()).max().unwrap_or(0);
        let right = rows.iter().map(|r| r.1.len()).max().unwrap_or(0) + 1;
        let _ = writeln!(self.out, "module {} (", module.name);
        let last = rows.len().saturating_sub(1);
        for (index, ((kind, name), doc)) in rows.iter().zip(docs).enumerate() {
            let comma = if index == last { "" } else { "," };
            let name = format!("{name}{comma}");
            let before = left + right + "   ".len();
            let lines = wrap_words(doc, (LINE + 2).saturating_sub(before + "  // ".len()));
            let _ = writeln!(
                self.out,
                "  {kind:left$} {name:right$}{}",
                comment(&lines[0])
            );
            trim_end(&mut self.out);
            for more in &lines[1..] {
                let _ = writeln!(self.out, "{:before$}{}", "", comment(more));
            }
        }
        self.out.push_str(");\n\n");
        let loop_variables: BTreeSet<_> = module.genvars.iter().map(|g| &g.name).collect();
        for name in loop_variables {
            self.line(&format!("genvar {name};"));
        }
    }

    /// Sets the statement that follows off by a blank line, unless it opens its section or scope.
    fn open_block(&mut self) {
        let last = self.out.trim_end_matches('\n').rsplit('\n').next();
        let opens = last.is_some_and(|line| {
            let line = line.trim_start();
            line.starts_with("// ----") || line.contains(" begin : ") || line == "generate"
        });
        self.gap = !opens;
    }

    /// Sets the statement just printed off from what follows.
    fn close_block(&mut self) {
        self.gap = true;
    }

    fn line(&mut self, text: &str) {
        if std::mem::take(&mut self.gap) && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        for line in text.lines() {
            for _ in 0..self.indent {
                self.out.push_str("  ");
            }
            self.out.push_str(line);
            trim_end_spaces(&mut self.out);
            self.out.push('\n');
        }
    }

    /// A compiler directive, which stands at the margin.
    fn directive(&mut self, text: &str) {
        let indent = std::mem::take(&mut self.indent);
        self.line(text);
        self.indent = indent;
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        let module = self.module;
        match item {
            Item::Section(title) => {
                self.gap = true;
                let rule = "-".repeat(72usize.saturating_sub(title.len()));
                self.line(&format!("// ---- {title} {rule}"));
            }
            Item::Declare(id) => self.declare(*id),
            Item::Net(id, value) => {
                let signal = module.signal(*id);
                let text = self.value(&signal.name, *value);
                let head = format!("wire{} {} = ", range(signal.ty.width), signal.name);
                self.statement(&head, &text, &signal.doc);
            }
            Item::Assign(id, value) => {
                let name = &module.signal(*id).name;
                let text = self.value(base_name(name), *value);
                self.statement(&format!("assign {name} = "), &text, "");
            }
            Item::AssignLane(id, genvar, value) => {
                let name = &module.signal(*id).name;
                let text = self.expression(&format!("{name}_lane"), *value);
                let lane = match module.genvar(*genvar).count {
                    1 => name.clone(),
                    _ => lane(
                        name,
                        &module.genvar(*genvar).name,
                        module.expr(*value).width,
                    ),
                };
                self.statement(&format!("assign {lane} = "), &text, "");
            }
            Item::Case {
                target,
                selector,
                arms,
                otherwise,
            } => self.case(*target, *selector, arms, *otherwise),
            Item::Registers(updates) => self.registers(updates),
            Item::Memory { .. } => self.memory(item),
            Item::RegisterFile { .. } => self.register_file(item),
            Item::Instance { .. } => self.instance(item),
            Item::Generate {
                label,
                genvar,
                items,
            } => {
                let genvar = module.genvar(*genvar);
                let k = &genvar.name;
                // Generate regions do not nest in Verilog-2005; loops in them do.
                let outermost = self.loops == 0;
                self.open_block();
                if outermost {
                    self.line("generate");
                    self.indent += 1;
                }
                self.line(&format!(
                    "for ({k} = 0; {k} < {}; {k} = {k} + 1) begin : {label}",
                    genvar.count
                ));
                self.indent += 1;
                self.loops += 1;
                self.items(items);
                self.loops -= 1;
                self.indent -= 1;
                self.gap = false;
                self.line("end");
                if outermost {
                    self.indent -= 1;
                    self.line("endgenerate");
                }
                self.close_block();
            }
            Item::Never { condition, message } => {
                let text = self.expression("never", *condition);
                self.open_block();
                self.directive("`ifndef SYNTHESIS");
                self.line("always @(posedge clk_i) begin");
                self.line(&format!("  if ({text}) begin"));
                self.line(&format!("    $display(\"%m: {message}\");"));
                self.line("    $stop;");
                self.line("  end");
                self.line("end");
                self.directive("`endif");
                self.close_block();
            }
        }
    }

    /// Simulation starts with the registers high that reset children, so that the first reset is an edge for these.
    fn first_resets(&mut self) {
        let module = self.module;
        let resets = module.items.iter().filter_map(|item| match item {
            Item::Instance { reset, .. } => module.named((*reset)?),
            _ => None,
        });
        let is_register =
            |id: &SignalId| matches!(module.signal(*id).kind, SignalKind::Register(_));
        let registers: BTreeSet<&str> = resets
            .filter(is_register)
            .map(|id| module.signal(id).name.as_str())
            .collect();
        for name in registers {
            self.open_block();
            self.directive("`ifndef SYNTHESIS");
            self.line(&format!(
                "initial {name} = 1'b1;  // so that the first reset is an edge"
            ));
            self.directive("`endif");
            self.close_block();
        }
    }

    fn declare(&mut self, id: SignalId) {
        let signal = self.module.signal(id);
        let (range, name) = (range(signal.ty.width), &signal.name);
        let text = match &signal.kind {
            SignalKind::Register(_) => format!("reg{range} {name};"),
            SignalKind::Constant(value) => format!(
                "localparam{range} {name} = {};",
                literal(value, signal.ty.width)
            ),
            SignalKind::Memory { depth } => format!("reg{range} {name} [0:{}];", depth - 1),
            SignalKind::Net | SignalKind::Port(_) => format!("wire{range} {name};"),
        };
        self.line(&format!("{text}{}", comment(&signal.doc)));
    }

    /// Prints `head text;`, broken over lines at commas or operators when long.
    fn statement(&mut self, head: &str, text: &str, doc: &str) {
        let comment = comment(doc);
        let width = 2 * self.indent + head.len() + text.len() + comment.len() + 1;
        if width <= LINE {
            self.line(&format!("{head}{text};{comment}"));
            return;
        }
        if !doc.is_empty() {
            self.line(&format!("// {doc}"));
        }
        self.broken(head, text, ";");
    }

    /// Prints `head text end` over as many lines as the text needs.
    fn broken(&mut self, head: &str, text: &str, end: &str) {
        let pad = " ".repeat(head.len().min(40));
        let lines = wrap(
            text,
            LINE.saturating_sub(2 * self.indent + head.len() + end.len()),
        );
        let last = lines.len() - 1;
        for (index, part) in lines.into_iter().enumerate() {
            let lead = if index == 0 { head } else { &pad };
            let end = if index == last { end } else { "" };
            self.line(&format!("{lead}{part}{end}"));
        }
    }

    /// What is right of `=`: an order among words in parentheses, so that `<=` looks like no assignment.
    fn value(&mut self, consumer: &str, root: ExprId) -> String {
        let text = self.expression(consumer, root);
        match self.module.expr(root).op {
            Op::Compare {
                compare: Compare::Le,
                ..
            } => format!("({text})"),
            _ => text,
        }
    }

    fn expression(&mut self, consumer: &str, root: ExprId) -> String {
        self.expressions(consumer, &[(root, Place::Alone)])
            .remove(0)
    }

    /// Texts of several expressions of one statement, after printing the temporaries they need.
    fn expressions(&mut self, consumer: &str, roots: &[(ExprId, Place)]) -> Vec<String> {
        let ids: Vec<_> = roots.iter().map(|root| root.0).collect();
        let mut writer = ExprWriter::new(self.module, consumer, &ids, &mut self.names);
        let texts = roots
            .iter()
            .map(|&(id, place)| writer.text(id, place))
            .collect();
        for (name, width, text) in writer.temporaries {
            self.statement(&format!("wire{} {name} = ", range(width)), &text, "");
        }
        texts
    }
}

/// Names of signals, instances and loops.
fn names_of(module: &Module) -> HashSet<String> {
    fn collect(items: &[Item], names: &mut HashSet<String>) {
        for item in items {
            match item {
                Item::Instance { name, .. } => {
                    names.insert(name.clone());
                }
                Item::Generate { label, items, .. } => {
                    names.insert(label.clone());
                    collect(items, names);
                }
                _ => {}
            }
        }
    }
    let mut names: HashSet<_> = module.signals.iter().map(|s| s.name.clone()).collect();
    collect(&module.items, &mut names);
    names
}
