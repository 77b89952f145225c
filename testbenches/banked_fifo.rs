//! Testbench of the FIFO over banks of single-port SRAM.

use super::harness::{ensure, start};
use super::queue::Queue;
use super::{BenchError, Options, Report};
use crate::cells::banked_fifo::BankedFifo;
use crate::config::Config;
use crate::cosim::{Design, Simulator};
use crate::hdl::elaborate;

/// Runs on the score ring, on one row of banks, on a depth that is no whole number of rows, and on eight banks.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a word or a documented figure is wrong.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let shape = (config.softmax.lanes, config.formats().score_bits());
    let used = BankedFifo::new(shape.0 * shape.1, config.buffers.score_lines);
    let mut report = check(&used, shape, &Design::from(&elaborate(&used)), options)?;
    for (depth, banks) in [(1, 4), (13, 4), (20, 8)] {
        let corner = BankedFifo {
            width: 5,
            depth,
            banks,
        };
        let design = Design::from(&elaborate(&corner));
        report.add(check(&corner, (1, 5), &design, &options.untraced())?);
    }
    Ok(report)
}

/// Order, latency, interval and capacity under random stalls, then both sides streaming at every fill level around
/// the ends of the ring. Words have `shape.0` lanes of `shape.1` bits.
///
/// # Errors
/// As [`run`].
pub fn check(
    block: &BankedFifo,
    shape: (usize, usize),
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let (latency, interval) = (BankedFifo::LATENCY, BankedFifo::INTERVAL);
    let queue = Queue::new(block, shape, latency, interval, block.capacity());
    let mut report = queue.check(design, options)?;
    Levels::new(shape, design, &options.untraced())?.sweep(block)?;
    report
        .notes
        .push(format!("{}: no lost cycle at any fill level", design.top));
    Ok(report)
}

/// The cell with numbered words, moved cycle by cycle.
struct Levels<'a> {
    shape: (usize, usize),
    design: &'a Design,
    simulator: Simulator,
    sent: u64,
    received: u64,
}

impl<'a> Levels<'a> {
    fn new(
        shape: (usize, usize),
        design: &'a Design,
        options: &Options,
    ) -> Result<Self, BenchError> {
        Ok(Levels {
            shape,
            design,
            simulator: start(design, options)?,
            sent: 0,
            received: 0,
        })
    }

    /// With a level of words inside, both sides start to stream in one cycle: one word leaves in every cycle from then
    /// on, and one enters in every cycle, in a full ring from the third on, when the first reads have made room. At
    /// levels around a multiple of the banks the first read meets a write.
    fn sweep(&mut self, block: &BankedFifo) -> Result<(), BenchError> {
        let (top, around) = (block.capacity(), 3 * block.banks);
        // Fewer words than the latency leave before the first new one has come through.
        let levels = (BankedFifo::LATENCY as usize..=top)
            .filter(|level| *level < around || level + around > top);
        for level in levels {
            self.simulator.reset(2)?;
            (self.sent, self.received) = (0, 0);
            for _ in 0..top + 10 {
                self.step(self.sent < level as u64, false)?;
            }
            for cycle in 0..5 * block.banks {
                let (entered, left) = self.step(true, true)?;
                ensure(left && (entered || cycle < 2), || {
                    format!(
                        "{}: a cycle is lost with {level} words inside, {cycle} cycles after both sides began: \
                         in moved {entered}, out moved {left}",
                        self.design.top
                    )
                })?;
            }
        }
        Ok(())
    }

    /// One cycle: whether a word entered, and whether one left.
    fn step(&mut self, offer: bool, take: bool) -> Result<(bool, bool), BenchError> {
        let [valid_in, data_in, ready_out] =
            ["in_valid_i", "in_data_i", "out_ready_i"].map(|port| self.simulator.port(port));
        let [ready_in, valid_out, data_out] =
            ["in_ready_o", "out_valid_o", "out_data_o"].map(|port| self.simulator.port(port));
        let width = self.shape.1 as u32;
        let word = self.word(self.sent);
        self.simulator.set(valid_in, offer.into());
        self.simulator.set(ready_out, take.into());
        self.simulator.set_lanes(data_in, width, &word);
        self.simulator.settle()?;
        let entered = offer && self.simulator.get(ready_in) == 1;
        let left = take && self.simulator.get(valid_out) == 1;
        if left {
            let expected = self.word(self.received);
            let mut got = vec![0; self.shape.0];
            self.simulator.get_lanes(data_out, width, false, &mut got);
            ensure(got == expected, || {
                let (top, number) = (&self.design.top, self.received);
                format!("{top}: stream `out`, word {number}: expected {expected:?}, got {got:?}")
            })?;
        }
        self.simulator.tick()?;
        self.sent += u64::from(entered);
        self.received += u64::from(left);
        Ok((entered, left))
    }

    /// Word `number`: every lane holds what looks random and differs from word to word.
    fn word(&self, number: u64) -> Vec<i64> {
        let scattered = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 4;
        let lane = scattered % (1 << self.shape.1);
        vec![lane as i64; self.shape.0]
    }
}
