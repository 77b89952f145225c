//! The Verilog-2005 printer.
//!
//! Every operand of a context-determined operator is printed at the width of the result, extensions are explicit
//! concatenations, and signed operators stand behind `$signed`/`$unsigned`, whose arguments are self-determined: no
//! width or sign is left for Verilog's context rules to decide.

use super::expr::{Binary, Compare, ExprId, Op, Reduce, Shift, SignalId};
use super::module::{Direction, Item, Module, SignalKind, Update};
use num_bigint::BigUint;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

/// Longest line before an expression is broken.
const LINE: usize = 116;

/// The Verilog text of one module; `origin` is a line about generator and configuration for the banner.
pub fn verilog(module: &Module, origin: &str) -> String {
    let mut printer = Printer {
        module,
        out: String::new(),
        indent: 1,
        loops: 0,
        names: names_of(module),
    };
    printer.banner(origin);
    printer.header();
    printer.items(&module.items);
    printer.out.push_str("\nendmodule\n");
    printer.out
}

struct Printer<'a> {
    module: &'a Module,
    out: String,
    indent: usize,
    /// Generate loops around the statement being printed.
    loops: usize,
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
            let comment = comment(doc);
            let _ = writeln!(self.out, "  {kind:left$} {name:right$}{comment}");
            trim_end(&mut self.out);
        }
        self.out.push_str(");\n\n");
        let loop_variables: BTreeSet<_> = module.genvars.iter().map(|g| &g.name).collect();
        for name in loop_variables {
            self.line(&format!("genvar {name};"));
        }
    }

    fn line(&mut self, text: &str) {
        for line in text.lines() {
            for _ in 0..self.indent {
                self.out.push_str("  ");
            }
            self.out.push_str(line);
            trim_end_spaces(&mut self.out);
            self.out.push('\n');
        }
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
                if !self.out.ends_with("\n\n") {
                    self.out.push('\n');
                }
                let rule = "-".repeat(72usize.saturating_sub(title.len()));
                self.line(&format!("// ---- {title} {rule}"));
            }
            Item::Declare(id) => self.declare(*id),
            Item::Net(id, value) => {
                let signal = module.signal(*id);
                let text = self.expression(&signal.name, *value);
                let head = format!("wire{} {} = ", range(signal.ty.width), signal.name);
                self.statement(&head, &text, &signal.doc);
            }
            Item::Assign(id, value) => {
                let name = &module.signal(*id).name;
                let text = self.expression(base_name(name), *value);
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
                self.line("end");
                if outermost {
                    self.indent -= 1;
                    self.line("endgenerate");
                }
            }
            Item::Never { condition, message } => {
                self.out.push_str("`ifndef SYNTHESIS\n");
                let text = self.expression("never", *condition);
                self.line("always @(posedge clk_i) begin");
                self.line(&format!("  if ({text}) begin"));
                self.line(&format!("    $display(\"%m: {message}\");"));
                self.line("    $stop;");
                self.line("  end");
                self.line("end");
                self.out.push_str("`endif\n");
            }
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
        let lines = wrap(text, LINE - 2 * self.indent - head.len().min(40) - 1);
        let pad = " ".repeat(head.len().min(40));
        let count = lines.len();
        for (index, part) in lines.into_iter().enumerate() {
            let lead = if index == 0 { head } else { &pad };
            let end = if index + 1 == count { ";" } else { "" };
            self.line(&format!("{lead}{part}{end}"));
        }
    }

    fn case(
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
        let declaration = format!("reg{} {name};", range(signal.ty.width));
        self.line(&format!("{declaration}{}", comment(&signal.doc)));
        self.line("always @(*) begin");
        self.line(&format!("  case ({selector_text})"));
        for ((number, _), text) in arms.iter().zip(texts) {
            let number = literal(&BigUint::from(*number), width);
            self.line(&format!("    {number}: {name} = {text};"));
        }
        self.line(&format!("    default: {name} = {otherwise_text};"));
        self.line("  endcase");
        self.line("end");
    }

    fn registers(&mut self, updates: &[Update]) {
        let module = self.module;
        let mut written = Vec::new();
        for update in updates {
            let name = &module.signal(update.register).name;
            let prefix = format!("{}_d", name.trim_end_matches("_q"));
            let mut roots = vec![(update.next, Place::Alone)];
            roots.extend(update.enable.map(|e| (e, Place::Alone)));
            let mut texts = self.expressions(&prefix, &roots).into_iter();
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

    fn memory(&mut self, item: &Item) {
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
    }

    fn register_file(&mut self, item: &Item) {
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
        self.line("always @(posedge clk_i) begin");
        self.line(&format!(
            "  if ({}) {name}[{}] <= {};",
            texts[0], texts[1], texts[2]
        ));
        self.line("end");
        self.statement(&head, &format!("{name}[{}]", texts[3]), "");
    }

    fn instance(&mut self, item: &Item) {
        let Item::Instance {
            name,
            module: child,
            inputs,
            outputs,
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
            connections.push(("rst_ni".to_owned(), "rst_ni".to_owned()));
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
        self.line(&format!("{} {name} (", child.name));
        let count = connections.len();
        for (index, (port, text)) in connections.into_iter().enumerate() {
            let comma = if index + 1 == count { "" } else { "," };
            let head = format!("  .{port:widest$} (");
            let lines = wrap(&text, LINE.saturating_sub(head.len() + 2 * self.indent + 3));
            let last = lines.len() - 1;
            for (number, part) in lines.into_iter().enumerate() {
                let lead = if number == 0 {
                    head.clone()
                } else {
                    " ".repeat(head.len())
                };
                let end = if number == last {
                    format!("){comma}")
                } else {
                    String::new()
                };
                self.line(&format!("{lead}{part}{end}"));
            }
        }
        self.line(");");
    }

    fn expression(&mut self, consumer: &str, root: ExprId) -> String {
        self.expressions(consumer, &[(root, Place::Alone)])
            .remove(0)
    }

    /// Texts of several expressions of one statement, after printing the temporaries they need.
    fn expressions(&mut self, consumer: &str, roots: &[(ExprId, Place)]) -> Vec<String> {
        let ids: Vec<_> = roots.iter().map(|root| root.0).collect();
        let mut writer = ExprWriter {
            module: self.module,
            consumer,
            shared: shared(self.module, &ids),
            named: HashMap::new(),
            temporaries: Vec::new(),
            names: &mut self.names,
            next_number: 0,
        };
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

/// Compound expressions that one statement uses more than once.
fn shared(module: &Module, roots: &[ExprId]) -> HashSet<ExprId> {
    let mut seen = HashSet::new();
    let mut shared = HashSet::new();
    let mut stack = roots.to_vec();
    while let Some(id) = stack.pop() {
        let leaf = match &module.expr(id).op {
            Op::Const(_) | Op::Signal(_) | Op::Lane { .. } => true,
            Op::Slice { value, .. } | Op::Not(value) => indexable(module, *value),
            _ => false,
        };
        if leaf {
            continue;
        }
        if !seen.insert(id) {
            shared.insert(id);
            continue;
        }
        stack.extend(module.expr(id).op.operands());
    }
    shared
}

/// Whether Verilog can index the expression's text.
fn indexable(module: &Module, id: ExprId) -> bool {
    matches!(module.expr(id).op, Op::Signal(_) | Op::Lane { .. })
}

struct ExprWriter<'a> {
    module: &'a Module,
    consumer: &'a str,
    shared: HashSet<ExprId>,
    /// Expressions that have become temporaries.
    named: HashMap<ExprId, String>,
    temporaries: Vec<(String, usize, String)>,
    /// Every name of the module, which those of temporaries join.
    names: &'a mut HashSet<String>,
    next_number: usize,
}

/// Where an expression's text will stand, which decides what it needs around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Right of an assignment, or in brackets of its own: width and sign come from the text alone.
    Alone,
    /// In brackets of its own, but read together with unsigned texts.
    Selector,
    /// Beside a binary operator.
    Operand,
    /// Behind a unary operator: `^~a` would be read as an operator `^~`.
    Unary,
}

/// How tightly a text holds together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Binary,
    Unary,
    Primary,
}

impl ExprWriter<'_> {
    /// Text of an expression that stands alone.
    fn alone(&mut self, id: ExprId) -> String {
        self.text(id, Place::Alone)
    }

    /// Text of an expression beside a binary operator.
    fn operand(&mut self, id: ExprId) -> String {
        self.text(id, Place::Operand)
    }

    fn text(&mut self, id: ExprId, place: Place) -> String {
        if self.is_named(id) || self.shared.contains(&id) {
            return self.temporary(id);
        }
        let (text, binding) = self.compound(id, place);
        let enough = match place {
            Place::Alone | Place::Selector => Binding::Binary,
            Place::Operand => Binding::Unary,
            Place::Unary => Binding::Primary,
        };
        if binding >= enough {
            text
        } else {
            format!("({text})")
        }
    }

    fn is_named(&self, id: ExprId) -> bool {
        self.named.contains_key(&id)
    }

    /// Name of a new net that holds the expression.
    fn temporary(&mut self, id: ExprId) -> String {
        if let Some(name) = self.named.get(&id) {
            return name.clone();
        }
        let (text, _) = self.compound(id, Place::Alone);
        let name = self.temporary_name();
        self.temporaries
            .push((name.clone(), self.module.expr(id).width, text));
        self.named.insert(id, name.clone());
        name
    }

    /// The consumer's name and a number, such that nothing else in the module has it.
    fn temporary_name(&mut self) -> String {
        loop {
            let name = format!("{}_t{}", self.consumer, self.next_number);
            self.next_number += 1;
            if self.names.insert(name.clone()) {
                return name;
            }
        }
    }

    fn compound(&mut self, id: ExprId, place: Place) -> (String, Binding) {
        let expr = self.module.expr(id);
        let width = expr.width;
        match &expr.op {
            Op::Const(value) => (literal(value, width), Binding::Primary),
            Op::Signal(signal) => {
                let name = self.module.signal(*signal).name.clone();
                (name, Binding::Primary)
            }
            Op::Lane { .. } => (self.lane_bits(id, 0, width), Binding::Primary),
            Op::Not(a) => {
                let operator = if width == 1 { '!' } else { '~' };
                let operand = self.text(*a, Place::Unary);
                (format!("{operator}{operand}"), Binding::Unary)
            }
            Op::Reduce(reduce, a) => {
                let operator = match reduce {
                    Reduce::And => '&',
                    Reduce::Or => '|',
                    Reduce::Xor => '^',
                };
                // In parentheses beside other operators: `a & |b` reads badly.
                let operand = self.text(*a, Place::Unary);
                (format!("{operator}{operand}"), Binding::Binary)
            }
            Op::Binary(binary, a, b) => (self.binary(*binary, *a, *b), Binding::Binary),
            Op::Mul { signed, a, b } => self.product(*signed, *a, *b, width, place),
            Op::Compare {
                compare,
                signed,
                a,
                b,
            } => {
                let operator = match compare {
                    Compare::Eq => "==",
                    Compare::Ne => "!=",
                    Compare::Lt => "<",
                    Compare::Le => "<=",
                    Compare::Gt => ">",
                    Compare::Ge => ">=",
                };
                let ordered = !matches!(compare, Compare::Eq | Compare::Ne);
                if *signed && ordered {
                    let (a, b) = (self.alone(*a), self.alone(*b));
                    let text = format!("$signed({a}) {operator} $signed({b})");
                    (text, Binding::Binary)
                } else {
                    let (a, b) = (self.operand(*a), self.operand(*b));
                    (format!("{a} {operator} {b}"), Binding::Binary)
                }
            }
            Op::Shift {
                shift,
                value,
                amount,
            } => {
                let amount = self.operand(*amount);
                let operator = match shift {
                    Shift::Left => "<<",
                    Shift::Right => ">>",
                    Shift::ArithmeticRight => {
                        let text = format!("$signed({}) >>> {amount}", self.alone(*value));
                        return unsigned_unless_alone(place, text);
                    }
                };
                let value = self.operand(*value);
                (format!("{value} {operator} {amount}"), Binding::Binary)
            }
            Op::Mux {
                condition,
                then,
                otherwise,
            } => {
                let condition = self.operand(*condition);
                let then = self.operand(*then);
                let chained = matches!(self.module.expr(*otherwise).op, Op::Mux { .. })
                    && !self.shared.contains(otherwise)
                    && !self.is_named(*otherwise);
                let otherwise = if chained {
                    self.compound(*otherwise, Place::Operand).0
                } else {
                    self.operand(*otherwise)
                };
                let text = format!("{condition} ? {then} : {otherwise}");
                (text, Binding::Binary)
            }
            Op::Slice { value, lo } => (self.bits(*value, *lo, width), Binding::Primary),
            Op::Concat(parts) => (self.concatenation(parts), Binding::Primary),
            Op::Extend { signed, value } => {
                let text = self.extension(*signed, *value, width);
                (text, Binding::Primary)
            }
        }
    }

    fn binary(&mut self, binary: Binary, a: ExprId, b: ExprId) -> String {
        let operator = match binary {
            Binary::And => "&",
            Binary::Or => "|",
            Binary::Xor => "^",
            Binary::Add => "+",
            Binary::Sub => "-",
        };
        // `a & b & c` needs no parentheses on the left: the operator associates that way.
        let flat = !matches!(binary, Binary::Sub | Binary::Add)
            && matches!(&self.module.expr(a).op, Op::Binary(inner, _, _) if *inner == binary)
            && !self.shared.contains(&a)
            && !self.is_named(a);
        let a = if flat {
            self.compound(a, Place::Operand).0
        } else {
            self.operand(a)
        };
        format!("{a} {operator} {}", self.operand(b))
    }

    fn product(
        &mut self,
        signed: bool,
        a: ExprId,
        b: ExprId,
        width: usize,
        place: Place,
    ) -> (String, Binding) {
        let a = self.extension(signed, a, width);
        let b = self.extension(signed, b, width);
        if signed {
            unsigned_unless_alone(place, format!("$signed({a}) * $signed({b})"))
        } else {
            (format!("{a} * {b}"), Binding::Binary)
        }
    }

    fn extension(&mut self, signed: bool, value: ExprId, width: usize) -> String {
        let own = self.module.expr(value).width;
        let more = width - own;
        if more == 0 {
            return self.operand(value);
        }
        if !signed {
            let text = self.alone(value);
            return format!("{{{more}'d0, {text}}}");
        }
        let sign = self.bits(value, own - 1, 1);
        if own == 1 {
            return format!("{{{width}{{{sign}}}}}");
        }
        let text = self.alone(value);
        format!("{{{{{more}{{{sign}}}}}, {text}}}")
    }

    fn concatenation(&mut self, parts: &[ExprId]) -> String {
        let mut texts = Vec::new();
        let mut index = 0;
        while index < parts.len() {
            let run = parts[index..]
                .iter()
                .take_while(|&&p| p == parts[index])
                .count();
            let text = self.alone(parts[index]);
            texts.push(if run == 1 {
                text
            } else {
                format!("{{{run}{{{text}}}}}")
            });
            index += run;
        }
        if texts.len() == 1 && parts.len() > 1 {
            return texts.remove(0);
        }
        format!("{{{}}}", texts.join(", "))
    }

    /// Bits `lo .. lo + width` of an expression.
    fn bits(&mut self, value: ExprId, lo: usize, width: usize) -> String {
        let own = self.module.expr(value).width;
        if own == width {
            return self.operand(value);
        }
        match &self.module.expr(value).op {
            Op::Lane { .. } if !self.is_named(value) => self.lane_bits(value, lo, width),
            Op::Slice { value, lo: first } => self.bits(*value, first + lo, width),
            Op::Signal(signal) => select(&self.module.signal(*signal).name, lo, width),
            Op::Const(constant) => {
                let mask = (BigUint::from(1u8) << width) - 1u8;
                literal(&((constant >> lo) & mask), width)
            }
            _ => select(&self.temporary(value), lo, width),
        }
    }

    fn lane_bits(&mut self, id: ExprId, lo: usize, width: usize) -> String {
        let expr = self.module.expr(id);
        let Op::Lane { bus, genvar } = expr.op else {
            unreachable!("called for lanes only")
        };
        let bus = &self.module.signal(bus).name;
        let k = &self.module.genvar(genvar).name;
        let stride = expr.width;
        if stride == width {
            return lane(bus, k, width);
        }
        let start = match lo {
            0 => format!("{k}*{stride}"),
            _ => format!("{k}*{stride} + {lo}"),
        };
        if width == 1 {
            format!("{bus}[{start}]")
        } else {
            format!("{bus}[{start} +: {width}]")
        }
    }
}

/// A signed operator's result beside other operators would change how those are read.
fn unsigned_unless_alone(place: Place, text: String) -> (String, Binding) {
    match place {
        Place::Alone => (text, Binding::Binary),
        _ => (format!("$unsigned({text})"), Binding::Primary),
    }
}

fn range(width: usize) -> String {
    if width == 1 {
        String::new()
    } else {
        format!(" [{}:0]", width - 1)
    }
}

fn select(name: &str, lo: usize, width: usize) -> String {
    if width == 1 {
        format!("{name}[{lo}]")
    } else {
        format!("{name}[{}:{lo}]", lo + width - 1)
    }
}

fn lane(bus: &str, k: &str, width: usize) -> String {
    if width == 1 {
        format!("{bus}[{k}]")
    } else {
        format!("{bus}[{k}*{width} +: {width}]")
    }
}

/// Sized literal: binary for single bits, decimal while short, else hexadecimal.
fn literal(value: &BigUint, width: usize) -> String {
    if width == 1 {
        format!("1'b{value}")
    } else if width <= 24 {
        format!("{width}'d{value}")
    } else {
        format!("{width}'h{value:x}")
    }
}

fn comment(doc: &str) -> String {
    if doc.is_empty() {
        String::new()
    } else {
        format!("  // {doc}")
    }
}

/// A port's name without its direction, for the names of temporaries.
fn base_name(name: &str) -> &str {
    name.strip_suffix("_o").unwrap_or(name)
}

fn trim_end_spaces(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
}

fn trim_end(out: &mut String) {
    out.truncate(out.trim_end_matches([' ', '\n']).len());
    out.push('\n');
}

/// Breaks a long expression after commas, or before operators, so that no line is longer than `width` where possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let breaks_before = matches!(word, "&" | "|" | "^" | "+" | "-" | "?" | ":");
        let full = line.len() + 1 + word.len() > width;
        let allowed = breaks_before || line.ends_with(',');
        if full && allowed && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
