//! Our blocks inside rust-hdl: as a circuit of their own and as a part of a rust-hdl design.

use num_bigint::BigUint;
use rust_hdl::prelude::{
    Block as _, Sim, SimError, Simulation, generate_verilog, wait_clock_false,
};
use rust_hdl::prelude::{wait_clock_cycle, wait_clock_cycles, wait_clock_true};
use spatten::cells::spill_register::SpillRegister;
use spatten::hdl::rust_hdl::Simulated;
use std::collections::BTreeMap;
use std::process::Command;

#[path = "../../examples/rust_hdl_design.rs"]
mod design;

/// The example's entry, which a test has no use for.
const _: fn() = design::main;

/// Values of each signal of a VCD in order, by `scope.signal`; undefined words are left out.
fn changes(vcd: &str) -> BTreeMap<String, Vec<u64>> {
    let mut scopes = Vec::new();
    let mut names = BTreeMap::new();
    let mut values: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in vcd.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["$scope", "module", name, "$end"] => scopes.push(name),
            ["$upscope", "$end"] => {
                scopes.pop();
            }
            ["$var", _, _, code, name, "$end"] => {
                names.insert(code, format!("{}.{name}", scopes.join(".")));
            }
            [word, code] if word.starts_with('b') => {
                let value = u64::from_str_radix(&word[1..], 2).expect("binary digits");
                values.entry(names[code].clone()).or_default().push(value);
            }
            [bit] if bit.starts_with(['0', '1']) => {
                let value = u64::from(bit.starts_with('1'));
                values
                    .entry(names[&bit[1..]].clone())
                    .or_default()
                    .push(value);
            }
            _ => {}
        }
    }
    values
}

#[test]
fn a_rust_hdl_design_runs_our_block_and_its_vcd_shows_every_word() {
    let (taken, vcd) = design::run(60).expect("the simulation runs");
    assert!(taken.len() > 40, "{taken:?}");
    let expected: Vec<u64> = (0..taken.len() as u64).collect();
    assert_eq!(taken, expected, "every number once, in order");

    let vcd = String::from_utf8(vcd).expect("a VCD is text");
    let changes = changes(&vcd);
    let mut words = changes["uut.spill.out_data"].clone();
    words.dedup();
    assert_eq!(words[..taken.len()], expected[..]);
    let registers = &changes["uut.spill.data_q"];
    assert!(
        registers.contains(&(taken.len() as u64 - 1)),
        "{registers:?}"
    );
    assert!(
        changes["uut.spill.spare_full_q"].len() > 10,
        "the spare place is used"
    );
}

#[test]
fn a_rust_hdl_design_with_our_block_prints_verilog_that_icarus_reads() {
    let mut uut = design::Design::default();
    uut.connect_all();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = generate_verilog(&uut);
    std::fs::write(folder.path().join("design.v"), &text).expect("writable");
    let compiled = Command::new("iverilog")
        .args(["-g2005", "-s", "top", "-o", "/dev/null", "design.v"])
        .current_dir(folder.path())
        .output()
        .expect("iverilog runs");
    let messages = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "{messages}\n{text}");
    assert!(
        text.contains("spatten_spill_register_w8 u_core ("),
        "{text}"
    );
}

/// Sends `words` numbers of 100 bits through a spill register that is rust-hdl's top, and returns what came out.
fn through_spill_register(words: u64) -> Result<Vec<BigUint>, SimError> {
    let block = SpillRegister { width: 100 };
    let (send, taken) = std::sync::mpsc::channel();
    let mut simulation = Simulation::new();
    simulation.add_clock(5_000, |x: &mut Box<Simulated>| {
        x.clock.next = !x.clock.val();
    });
    simulation.add_testbench(move |mut sim: Sim<Simulated>| {
        let mut x = sim.init()?;
        wait_clock_cycles!(sim, clock, x, 2);
        x.reset_n.next = true;
        x.set("in_valid_i", 1u8);
        x.set("out_ready_i", 1u8);
        for number in 0..words {
            x.set("in_data_i", BigUint::from(number) << 36);
            wait_clock_false!(sim, clock, x);
            if *x.get("out_valid_o") == BigUint::from(1u8) {
                let word = x.get("out_data_o").clone();
                send.send(word).expect("the receiver outlives the run");
            }
            wait_clock_true!(sim, clock, x);
        }
        sim.done(x)
    });
    let circuit = Box::new(Simulated::new(&block));
    simulation.run(circuit, 10_000 * (words + 10))?;
    drop(simulation);
    Ok(taken.try_iter().collect())
}

#[test]
fn a_module_of_any_width_runs_as_a_circuit_of_its_own() {
    let taken = through_spill_register(50).expect("the simulation runs");
    let expected: Vec<_> = (0..49u64).map(|n| BigUint::from(n) << 36).collect();
    assert_eq!(taken, expected, "a word a cycle, one cycle later");
}

#[test]
fn wrong_port_names_and_widths_are_refused_by_name() {
    let message = |call: fn(&mut Simulated)| {
        let call = move || call(&mut Simulated::new(&SpillRegister { width: 8 }));
        let panic = std::panic::catch_unwind(call).expect_err("refused");
        panic.downcast_ref::<String>().expect("a message").clone()
    };
    let unknown = message(|x| x.set("data", 1u8));
    assert!(unknown.contains("no port data"), "{unknown}");
    let output = message(|x| x.set("out_valid_o", 1u8));
    assert!(
        output.contains("no port out_valid_o of that direction"),
        "{output}"
    );
    let wide = message(|x| x.set("in_data_i", 256u16));
    assert!(wide.contains("256 does not fit in u8"), "{wide}");
}
