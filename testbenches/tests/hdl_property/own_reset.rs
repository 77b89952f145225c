//! Children whose reset is a signal: three engines, the adapter to rust-hdl and the text agree.

use super::engines::{Case, evaluate, first_difference, icarus, verilator, write_files};
use num_bigint::BigUint;
use rust_hdl::prelude::{Block as _, Sim, SimError, Simulation};
use rust_hdl::prelude::{wait_clock_cycle, wait_clock_cycles, wait_clock_false, wait_clock_true};
use spatten::hdl::rust_hdl::Simulated;
use spatten::hdl::{About, Block, Builder, Sig, elaborate, verilog};
use spatten::reg;
use std::process::Command;

const WIDTH: usize = 8;

fn about() -> About {
    About {
        purpose: "A test.".into(),
        parameters: vec![],
        source: file!(),
    }
}

/// Adds its input to a sum that starts at 5, and keeps the input in a register without reset.
#[derive(Debug)]
struct Sum;

impl Block for Sum {
    fn name(&self) -> String {
        "sum".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        let a = m.input("a", WIDTH, "");
        reg!(m, sum_q: WIDTH, reset = 5);
        sum_q.next(sum_q.wrapping_add(a));
        reg!(m, last_q = a);
        m.output("sum", WIDTH, "").drive(sum_q);
        m.output("last", WIDTH, "").drive(last_q);
    }
}

/// Two sums: one reset with this module, one by a register of this module, which is itself reset with it.
#[derive(Debug)]
struct Pair;

impl Block for Pair {
    fn name(&self) -> String {
        "pair".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        let a = m.input("a", WIDTH, "");
        reg!(m, odd_n_q = a.bit(0), reset = 0);
        sums(m, "with", a, None);
        sums(m, "odd", a, Some(*odd_n_q));
    }
}

/// A sum with its outputs led out; reset by the signal if there is one.
fn sums<'m>(m: &'m Builder, name: &str, a: Sig<'m>, reset: Option<Sig<'m>>) {
    let child = m.instance(&format!("u_{name}"), &Sum).input("a", a);
    if let Some(reset) = reset {
        child.reset(reset);
    }
    for port in ["sum", "last"] {
        m.output(&format!("{name}_{port}"), WIDTH, "")
            .drive(child.output(port));
    }
}

/// Everything that a reset can be: the parent's, an input port, a register, and what a child inherits.
#[derive(Debug)]
struct Resets;

impl Block for Resets {
    fn name(&self) -> String {
        "resets".into()
    }

    fn about(&self) -> About {
        about()
    }

    fn build(&self, m: &Builder) {
        let a = m.input("a", WIDTH, "");
        let run = m.input("run_n", 1, "");
        let restart = m.input("restart", 1, "");
        reg!(m, restart_n_q = !restart, reset = 0);
        sums(m, "own", a, None);
        sums(m, "port", a, Some(run));
        let pair = m
            .instance("u_pair", &Pair)
            .input("a", a)
            .reset(*restart_n_q);
        for port in ["with_sum", "with_last", "odd_sum", "odd_last"] {
            m.output(port, WIDTH, "").drive(pair.output(port));
        }
    }
}

#[test]
fn three_engines_agree_on_children_reset_by_a_signal() {
    let case = Case::new(elaborate(&Resets), 300, 1);
    let expected = evaluate(&case);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases = [case];
    let traces = [
        ("Icarus", icarus(&cases, folder.path())),
        ("Verilator", verilator(&cases, folder.path())),
    ];
    for (engine, trace) in traces {
        let difference = first_difference(&cases[0], &expected, &trace[0]);
        assert_eq!(difference, None, "evaluator and {engine} disagree");
    }
}

#[test]
fn a_reset_by_the_wrong_signal_shows() {
    for signal in ["run_n_i", "restart_n_q"] {
        let mut case = Case::new(elaborate(&Resets), 300, 1);
        let expected = evaluate(&case);
        let (_, text) = case.files.last_mut().expect("the module's own file");
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let connection = lines
            .iter_mut()
            .find(|line| line.contains(".rst_ni") && line.contains(&format!("({signal})")));
        let connection = connection.expect("the child's reset");
        *connection = connection.replace(signal, "rst_ni");
        *text = lines.join("\n");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let traces = icarus(std::slice::from_ref(&case), folder.path());
        let difference = first_difference(&case, &expected, &traces[0]);
        assert!(difference.is_some(), "{signal}");
    }
}

#[test]
fn verilator_lint_is_silent_and_a_module_without_own_reset_has_no_reset_port() {
    /// A sum of which only the port's reset is used.
    #[derive(Debug)]
    struct Wrapper;
    impl Block for Wrapper {
        fn name(&self) -> String {
            "wrapper".into()
        }
        fn about(&self) -> About {
            about()
        }
        fn build(&self, m: &Builder) {
            let (a, run) = (m.input("a", WIDTH, ""), m.input("run_n", 1, ""));
            sums(m, "port", a, Some(run));
        }
    }
    let wrapper = elaborate(&Wrapper);
    assert!(!wrapper.resettable, "{}", verilog(&wrapper, "A test."));
    for module in [wrapper, elaborate(&Resets)] {
        let case = Case::new(module, 1, 1);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut files = write_files(std::slice::from_ref(&case), folder.path());
        files.retain(|file| file != "bench.v");
        let lint = Command::new("verilator")
            .args(["--lint-only", "-Wall", "--top-module", &case.module.name])
            .args(&files)
            .current_dir(folder.path())
            .output()
            .expect("verilator runs");
        let messages = String::from_utf8_lossy(&lint.stderr);
        assert!(lint.status.success() && messages.is_empty(), "{messages}");
    }
}

#[test]
fn the_adapter_to_rust_hdl_resets_a_child_by_its_signal() {
    let mut simulated = Simulated::new(&Resets);
    simulated.connect_all();
    let mut simulation = Simulation::new();
    simulation.add_clock(5, |design: &mut Box<Simulated>| {
        design.clock.next = !design.clock.val();
    });
    simulation.add_testbench(move |mut sim: Sim<Simulated>| {
        let mut design = sim.init()?;
        design.reset_n.next = false;
        design.set("a_i", 3u8);
        design.set("run_n_i", 1u8);
        design.set("restart_i", 0u8);
        wait_clock_cycles!(sim, clock, design, 4);
        assert_eq!(*design.get("own_sum_o"), BigUint::from(5u8));
        // The port is high: this child counts although its parent is in reset.
        assert_ne!(*design.get("port_sum_o"), BigUint::from(5u8));
        design.reset_n.next = true;
        design.set("run_n_i", 0u8);
        wait_clock_cycles!(sim, clock, design, 4);
        assert_eq!(*design.get("port_sum_o"), BigUint::from(5u8));
        assert_eq!(*design.get("port_last_o"), BigUint::from(3u8));
        assert_ne!(*design.get("with_sum_o"), BigUint::from(5u8));
        design.set("restart_i", 1u8);
        wait_clock_cycles!(sim, clock, design, 2);
        for held in ["with_sum_o", "odd_sum_o"] {
            assert_eq!(*design.get(held), BigUint::from(5u8), "{held}");
        }
        assert_ne!(*design.get("own_sum_o"), BigUint::from(5u8));
        sim.done(design)
    });
    let run = simulation.run(Box::new(simulated), 1000);
    run.unwrap_or_else(|error: SimError| panic!("{error:?}"));
}
