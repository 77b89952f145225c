//! Three engines for one module and one list of stimuli: the evaluator, Verilator and Icarus.

use super::generator::word;
use num_bigint::BigUint;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use spatten::hdl::{Direction, Evaluator, Module, verilog};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Values of every output, stimulus by stimulus, as hexadecimal digits (or `x` where undefined).
pub type Trace = Vec<Vec<String>>;

/// Edges with the reset held before the first stimulus counts: longer than any chain of registers without reset.
const WARM_UP: usize = 40;

/// A module, its stimuli and its Verilog text.
pub struct Case {
    /// The module.
    pub module: Arc<Module>,
    /// Words for the inputs, in port order, per clock cycle.
    pub stimuli: Vec<Vec<BigUint>>,
    /// Verilog files of the module and everything below it: name and text.
    pub files: Vec<(String, String)>,
}

impl Case {
    /// Random and extreme words for every input of `module`.
    pub fn new(module: Arc<Module>, count: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let stimuli = (0..count)
            .map(|_| {
                widths(&module, Direction::In)
                    .map(|w| word(w, &mut rng))
                    .collect()
            })
            .collect();
        let files = module
            .hierarchy()
            .iter()
            .map(|part| (part.name.clone(), verilog(part, "A test.")))
            .collect();
        Case {
            module,
            stimuli,
            files,
        }
    }
}

fn widths(module: &Module, wanted: Direction) -> impl Iterator<Item = usize> {
    module
        .port_list()
        .filter(move |(_, direction)| *direction == wanted)
        .map(|(signal, _)| signal.ty.width)
}

/// What the evaluator computes: outputs after the edge that the stimulus was held over.
pub fn evaluate(case: &Case) -> Trace {
    let mut engine = Evaluator::new(case.module.clone());
    let ports: Vec<_> = case.module.port_list().map(|p| p.1).collect();
    let mut apply = |words: &[BigUint], reset: bool| -> Vec<String> {
        let mut words = words.iter();
        for (port, direction) in ports.iter().enumerate() {
            if *direction == Direction::In {
                engine.set(port, words.next().expect("one word per input"));
            }
        }
        if reset {
            engine.reset();
        }
        engine.tick().expect("no forbidden condition");
        if reset {
            engine.reset();
        }
        let outputs = ports.iter().enumerate();
        outputs
            .filter(|(_, direction)| **direction == Direction::Out)
            .map(|(port, _)| format!("{:x}", engine.get(port)))
            .collect()
    };
    for _ in 0..WARM_UP {
        apply(&case.stimuli[0], true);
    }
    case.stimuli.iter().map(|s| apply(s, false)).collect()
}

/// What Icarus computes for each case.
///
/// # Panics
/// When the tool fails.
pub fn icarus(cases: &[Case], folder: &Path) -> Vec<Trace> {
    let mut files = write_files(cases, folder);
    let clock = "module clocked;\n  reg clk = 0;\n  always #1 clk = !clk;\n  bench u_bench (clk);\nendmodule\n";
    fs::write(folder.join("clocked.v"), clock).expect("writable");
    files.push("clocked.v".into());
    let compiled = Command::new("iverilog")
        .args(["-g2005", "-Wall", "-s", "clocked", "-o", "bench.vvp"])
        .args(&files)
        .current_dir(folder)
        .output()
        .expect("iverilog runs");
    let messages = String::from_utf8_lossy(&compiled.stderr);
    let design: Vec<_> = messages
        .lines()
        .filter(|line| !line.starts_with("bench.v") && !line.starts_with("clocked.v"))
        .collect();
    let clean = compiled.status.success() && design.is_empty();
    assert!(clean, "{messages}{}", lines_named(&messages, folder));
    let run = Command::new("vvp")
        .args(["-n", "bench.vvp"])
        .current_dir(folder)
        .output()
        .expect("vvp runs");
    assert!(run.status.success(), "{run:?}");
    traces(cases, &String::from_utf8_lossy(&run.stdout))
}

/// What Verilator computes for each case.
///
/// # Panics
/// When the tool fails.
pub fn verilator(cases: &[Case], folder: &Path) -> Vec<Trace> {
    let files = write_files(cases, folder);
    let main = r#"#include "Vbench.h"
#include "verilated.h"
int main() {
    VerilatedContext context;
    Vbench bench(&context);
    while (!context.gotFinish()) {
        bench.clk_i = 0; bench.eval();
        bench.clk_i = 1; bench.eval();
    }
    return 0;
}
"#;
    fs::write(folder.join("main.cpp"), main).expect("writable");
    let built = Command::new("verilator")
        .args(["--cc", "--exe", "--build", "-j", "2", "-CFLAGS", "-O0"])
        .args(["-Wno-fatal", "--top-module", "bench", "main.cpp"])
        // Verilator 5.006 computes `$signed({31'd0, a}) > $signed({31'd0, b})` as a signed comparison of the single
        // bits where its gate optimisation has brought both concatenations together.
        .arg("-fno-gate")
        .args(&files)
        .current_dir(folder)
        .output()
        .expect("verilator runs");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let run = Command::new(folder.join("obj_dir/Vbench"))
        .current_dir(folder)
        .output()
        .expect("the built bench runs");
    assert!(run.status.success(), "{run:?}");
    traces(cases, &String::from_utf8_lossy(&run.stdout))
}

/// The source lines that messages of the form `file:line: ...` speak of.
fn lines_named(messages: &str, folder: &Path) -> String {
    let mut lines = String::new();
    for message in messages.lines() {
        let mut parts = message.split(':');
        let (Some(file), Some(line)) = (parts.next(), parts.next()) else {
            continue;
        };
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let line = line
            .parse::<usize>()
            .ok()
            .and_then(|l| text.lines().nth(l - 1));
        let _ = writeln!(lines, "{}", line.unwrap_or_default());
    }
    lines
}

/// Writes modules, bench and stimuli; the names of the Verilog files.
pub fn write_files(cases: &[Case], folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for (name, text) in cases.iter().flat_map(|case| &case.files) {
        let file = format!("{name}.v");
        fs::write(folder.join(&file), text).expect("writable");
        if !files.contains(&file) {
            files.push(file);
        }
    }
    for (number, case) in cases.iter().enumerate() {
        let mut lines = String::new();
        for words in &case.stimuli {
            let mut all = BigUint::ZERO;
            for (word, width) in words.iter().zip(widths(&case.module, Direction::In)) {
                all = (all << width) | word;
            }
            let _ = writeln!(lines, "{all:x}");
        }
        fs::write(folder.join(format!("stimuli{number}.hex")), lines).expect("writable");
    }
    fs::write(folder.join("bench.v"), bench(cases)).expect("writable");
    files.push("bench.v".into());
    files
}

/// The Verilog bench: prints every output at every falling edge after the warm-up, one per line.
fn bench(cases: &[Case]) -> String {
    let count = cases[0].stimuli.len();
    let mut text = String::new();
    let _ = writeln!(text, "module bench (input wire clk_i);");
    let _ = writeln!(text, "  integer cycle = 0;");
    let _ = writeln!(text, "  wire rst_n = cycle >= {WARM_UP};");
    let _ = writeln!(text, "  wire [31:0] at = rst_n ? cycle - {WARM_UP} : 0;");
    let mut prints = String::new();
    for (number, case) in cases.iter().enumerate() {
        let total: usize = widths(&case.module, Direction::In).sum();
        let _ = writeln!(
            text,
            "  reg [{}:0] stimuli{number} [0:{}];",
            total - 1,
            count - 1
        );
        let _ = writeln!(
            text,
            "  initial $readmemh(\"stimuli{number}.hex\", stimuli{number});"
        );
        let _ = writeln!(
            text,
            "  wire [{}:0] in{number} = stimuli{number}[at];",
            total - 1
        );
        let mut connections = Vec::new();
        if case.module.clocked {
            connections.push(".clk_i (clk_i)".to_owned());
        }
        if case.module.resettable {
            connections.push(".rst_ni (rst_n)".to_owned());
        }
        let mut base = total;
        for (signal, direction) in case.module.port_list() {
            let (name, width) = (&signal.name, signal.ty.width);
            match direction {
                Direction::In => {
                    base -= width;
                    connections.push(format!(".{name} (in{number}[{base} +: {width}])"));
                }
                Direction::Out => {
                    let net = format!("out{number}_{name}");
                    let _ = writeln!(text, "  wire [{}:0] {net};", width - 1);
                    connections.push(format!(".{name} ({net})"));
                    let _ = writeln!(prints, "      $display(\"%h\", {net});");
                }
            }
        }
        let _ = writeln!(
            text,
            "  {} u_dut{number} ({});",
            case.module.name,
            connections.join(", ")
        );
    }
    let _ = writeln!(text, "  always @(negedge clk_i) begin");
    let _ = writeln!(text, "    if (rst_n) begin\n{prints}    end");
    let _ = writeln!(text, "    if (cycle == {}) $finish;", WARM_UP + count - 1);
    let _ = writeln!(text, "    cycle <= cycle + 1;\n  end\nendmodule");
    text
}

/// Reads the bench's lines back; cases alternate within a stimulus.
fn traces(cases: &[Case], printed: &str) -> Vec<Trace> {
    let mut lines = printed.lines().filter(|line| {
        line.chars()
            .all(|c| c.is_ascii_hexdigit() || "xXzZ".contains(c))
    });
    let mut traces = vec![Trace::new(); cases.len()];
    for _ in 0..cases[0].stimuli.len() {
        for (case, trace) in cases.iter().zip(&mut traces) {
            let outputs = widths(&case.module, Direction::Out).count();
            let row: Vec<String> = lines
                .by_ref()
                .take(outputs)
                .map(|line| match line.trim_start_matches('0') {
                    "" => "0".to_owned(),
                    digits => digits.to_owned(),
                })
                .collect();
            assert_eq!(row.len(), outputs, "the bench stopped early:\n{printed}");
            trace.push(row);
        }
    }
    traces
}

/// The first output on which two engines disagree: stimulus, port and both values.
pub fn first_difference(case: &Case, a: &Trace, b: &Trace) -> Option<String> {
    let names: Vec<_> = case
        .module
        .port_list()
        .filter(|(_, direction)| *direction == Direction::Out)
        .map(|(signal, _)| &signal.name)
        .collect();
    for (stimulus, (left, right)) in a.iter().zip(b).enumerate() {
        for ((name, left), right) in names.iter().zip(left).zip(right) {
            if left != right {
                return Some(format!(
                    "stimulus {stimulus}, {}.{name}: {left} and {right}",
                    case.module.name
                ));
            }
        }
    }
    None
}
