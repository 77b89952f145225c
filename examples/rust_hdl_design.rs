//! One of our blocks in a rust-hdl design, run in rust-hdl's own simulator: no tool has to be installed.
//!
//! A counter sends its numbers through a spill register; whoever takes them stalls now and then. Run with
//! `cargo run --release --example rust_hdl_design [FILE.vcd]`.

use rust_hdl::prelude::*;
use spatten::cells::spill_register::SpillRegister;
use spatten::rust_hdl_block;

rust_hdl_block! {
    /// Our spill register with rust-hdl's signals as ports.
    pub struct Spill8 = SpillRegister { width: 8 };
    inputs { in_valid: Bit, in_data: Bits<8>, out_ready: Bit }
    outputs { in_ready: Bit, out_valid: Bit, out_data: Bits<8> }
}

/// A counter before our spill register.
#[derive(LogicBlock, Default)]
pub struct Design {
    /// Clock.
    pub clock: Signal<In, Clock>,
    /// Reset, active low.
    pub reset_n: Signal<In, Bit>,
    /// The word is taken.
    pub ready: Signal<In, Bit>,
    /// A word is offered.
    pub valid: Signal<Out, Bit>,
    /// The word.
    pub word: Signal<Out, Bits<8>>,
    count: DFF<Bits<8>>,
    spill: Spill8,
}

impl Logic for Design {
    #[hdl_gen]
    fn update(&mut self) {
        dff_setup!(self, clock, count);
        self.spill.clock.next = self.clock.val();
        self.spill.reset_n.next = self.reset_n.val();
        self.spill.in_valid.next = self.reset_n.val();
        self.spill.in_data.next = self.count.q.val();
        self.spill.out_ready.next = self.ready.val();
        if self.reset_n.val() & self.spill.in_ready.val() {
            self.count.d.next = self.count.q.val() + 1;
        }
        self.valid.next = self.spill.out_valid.val();
        self.word.next = self.spill.out_data.val();
    }
}

/// Words taken in `cycles` clock cycles of 10 ns, and the VCD of all signals.
///
/// # Errors
/// When rust-hdl's simulation fails.
pub fn run(cycles: u64) -> Result<(Vec<u64>, Vec<u8>), SimError> {
    let mut design = Design::default();
    design.connect_all();
    let (send, taken) = std::sync::mpsc::channel();
    let mut simulation = Simulation::new();
    simulation.add_clock(5_000, |x: &mut Box<Design>| {
        x.clock.next = !x.clock.val();
    });
    simulation.add_testbench(move |mut sim: Sim<Design>| {
        let mut x = sim.init()?;
        x.reset_n.next = false;
        wait_clock_cycles!(sim, clock, x, 2);
        x.reset_n.next = true;
        for cycle in 0..cycles {
            // Between the edges: what is offered and taken now moves at the next rising edge.
            x.ready.next = cycle % 4 != 3;
            wait_clock_false!(sim, clock, x);
            if x.valid.val() && x.ready.val() {
                let word: u64 = x.word.val().into();
                send.send(word).expect("the receiver outlives the run");
            }
            wait_clock_true!(sim, clock, x);
        }
        sim.done(x)
    });
    let mut vcd = Vec::new();
    simulation.run_traced(Box::new(design), 10_000 * (cycles + 10), &mut vcd)?;
    drop(simulation);
    Ok((taken.try_iter().collect(), vcd))
}

/// Runs the design and writes the VCD.
pub fn main() {
    let file = std::env::args().nth(1);
    let file = file.unwrap_or_else(|| "rust_hdl_design.vcd".into());
    let (words, vcd) = run(40).expect("the simulation runs");
    println!("taken: {words:?}");
    std::fs::write(&file, vcd).expect("the VCD can be written");
    println!("{file} holds every signal");
}
