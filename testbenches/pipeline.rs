//! Bench of fixed-latency pipelines: several of them side by side in one design, each fed with corner cases and random
//! words between idle cycles.
//!
//! Every word's outputs are compared with the golden model exactly the documented latency after it entered, and
//! `valid_o`, where there is one, must be high then and only then. Before that, words at full speed measure the
//! latency: it must be the only delay at which all outputs fit their words.

use std::collections::VecDeque;
use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::harness::start;
use super::{BenchError, Options, Report};
use crate::cosim::{Design, PortId, Simulator};
use crate::hdl::{About, Block, Builder, Direction, Ty, elaborate};

/// Words that measure the latency.
const MEASURED_WORDS: usize = 64;
/// Delays that are tried beyond the documented one.
const FURTHER_DELAYS: usize = 8;
/// One cycle in so many is idle.
const IDLE_INTERVAL: u32 = 4;

/// The values of all lanes of all ports of one side, port after port.
pub type Word = Vec<i64>;

/// What a pipeline must compute: the outputs for a word of inputs.
pub type Golden = Box<dyn Fn(&[i64]) -> Word>;

/// A port as lanes of one type.
#[derive(Clone, Debug)]
pub struct Port {
    /// Name without direction.
    pub name: &'static str,
    /// Type of a lane.
    pub lane: Ty,
    /// Number of lanes.
    pub lanes: usize,
}

/// A fixed-latency pipeline and what it must compute.
pub struct Pipeline {
    /// The block; `valid_i` and `valid_o` are found by name where it has them.
    pub block: Box<dyn Block>,
    /// Its documented latency.
    pub latency: usize,
    /// Its inputs but for the valid flag.
    pub inputs: Vec<Port>,
    /// Its outputs but for the valid flag.
    pub outputs: Vec<Port>,
    /// Its golden model.
    pub golden: Golden,
    /// Words that enter before the random ones.
    pub corners: Vec<Word>,
}

/// A single word.
pub fn word(name: &'static str, lane: Ty) -> Port {
    lanes(name, lane, 1)
}

/// `lanes` words of one type.
pub fn lanes(name: &'static str, lane: Ty, lanes: usize) -> Port {
    Port { name, lane, lanes }
}

/// The least and the greatest value of a type.
pub fn range(ty: Ty) -> (i64, i64) {
    if ty.signed {
        let bound = 1 << (ty.width - 1);
        (-bound, bound - 1)
    } else {
        (0, (1 << ty.width) - 1)
    }
}

/// Runs the pipelines as one design called `spatten_bench_<name>`.
///
/// # Errors
/// [`BenchError`]: an output, a valid flag or a latency is not as it should be, or the simulation cannot be built.
pub fn run(name: &str, pipelines: &[Pipeline], options: &Options) -> Result<Report, BenchError> {
    run_design(&design(name, pipelines), pipelines, options)
}

/// The pipelines' Verilog under one top.
pub fn design(name: &str, pipelines: &[Pipeline]) -> Design {
    let top = SideBySide { name, pipelines };
    Design::from(&elaborate(&top))
}

/// As [`run`], on Verilog that may have been changed since [`design`] made it.
///
/// # Errors
/// As [`run`].
pub fn run_design(
    design: &Design,
    pipelines: &[Pipeline],
    options: &Options,
) -> Result<Report, BenchError> {
    let simulator = start(design, options)?;
    let ports = |simulator: &Simulator| {
        let indices = 0..pipelines.len();
        indices
            .map(|index| Ports::find(simulator, index, &pipelines[index]))
            .collect()
    };
    let mut bench = Bench {
        ports: ports(&simulator),
        simulator,
        pipelines,
        random: ChaCha8Rng::seed_from_u64(options.seed),
        seed: options.seed,
    };
    bench.simulator.reset(2)?;
    let mut report = bench.measure()?;
    report.designs = bench.stream(options.cases)?;
    report.words += report.designs.iter().sum::<u64>();
    report.cycles = bench.simulator.cycle();
    Ok(report)
}

/// Top module: every pipeline with ports of its own, `p<index>_<port>`.
struct SideBySide<'a> {
    name: &'a str,
    pipelines: &'a [Pipeline],
}

impl fmt::Debug for SideBySide<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = self.pipelines.iter().map(|pipeline| &pipeline.block);
        formatter.debug_list().entries(blocks).finish()
    }
}

impl Block for SideBySide<'_> {
    fn name(&self) -> String {
        format!("spatten_bench_{}", self.name)
    }

    fn about(&self) -> About {
        About {
            purpose: "Pipelines side by side, for their testbench.".into(),
            parameters: vec![],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        for (index, pipeline) in self.pipelines.iter().enumerate() {
            m.section(&pipeline.block.name());
            let child = m.instance(&format!("u_p{index}"), &*pipeline.block);
            for (signal, direction) in m.child(&*pipeline.block).port_list() {
                let name = &signal.name[..signal.name.len() - "_i".len()];
                let outer = format!("p{index}_{name}");
                match direction {
                    Direction::In => {
                        child.input(name, m.input(&outer, signal.ty, ""));
                    }
                    Direction::Out => m.output(&outer, signal.ty, "").drive(child.output(name)),
                }
            }
        }
    }
}

/// Where a pipeline is reached in the simulation.
struct Ports {
    valid_in: Option<PortId>,
    valid_out: Option<PortId>,
    inputs: Vec<PortId>,
    outputs: Vec<PortId>,
}

impl Ports {
    fn find(simulator: &Simulator, index: usize, pipeline: &Pipeline) -> Self {
        let all = |ports: &[Port], suffix: &str| {
            let name = |port: &Port| format!("p{index}_{}_{suffix}", port.name);
            ports
                .iter()
                .map(|port| simulator.port(&name(port)))
                .collect()
        };
        Ports {
            valid_in: simulator.design().port(&format!("p{index}_valid_i")),
            valid_out: simulator.design().port(&format!("p{index}_valid_o")),
            inputs: all(&pipeline.inputs, "i"),
            outputs: all(&pipeline.outputs, "o"),
        }
    }
}

/// What one pipeline has still to do.
struct Progress {
    /// Words to send before further random ones.
    first: VecDeque<Word>,
    random_words: usize,
    /// Words of the last cycles, the oldest in front; as many as the latency.
    in_flight: VecDeque<Option<Word>>,
    compared: u64,
}

impl Progress {
    fn is_done(&self) -> bool {
        self.first.is_empty()
            && self.random_words == 0
            && self.in_flight.iter().all(Option::is_none)
    }

    /// Words in flight are lost and come again.
    fn reset(&mut self) {
        for slot in &mut self.in_flight {
            self.first.extend(slot.take());
        }
    }
}

struct Bench<'a> {
    simulator: Simulator,
    pipelines: &'a [Pipeline],
    ports: Vec<Ports>,
    random: ChaCha8Rng,
    seed: u64,
}

impl Bench<'_> {
    /// Sends words at full speed and finds the delay at which the outputs fit.
    fn measure(&mut self) -> Result<Report, BenchError> {
        let longest = self.pipelines.iter().map(|p| p.latency).max().unwrap_or(0);
        let cycles = MEASURED_WORDS + longest + FURTHER_DELAYS;
        let mut sent: Vec<Vec<Word>> = vec![Vec::new(); self.pipelines.len()];
        let mut seen: Vec<Vec<(bool, Word)>> = vec![Vec::new(); self.pipelines.len()];
        for cycle in 0..cycles {
            for (index, sent) in sent.iter_mut().enumerate() {
                let word = self.random_word(index);
                self.drive(index, cycle < MEASURED_WORDS, &word);
                sent.push(word);
            }
            self.simulator.settle()?;
            for (index, seen) in seen.iter_mut().enumerate() {
                seen.push((self.valid_out(index), self.outputs(index)));
            }
            self.simulator.tick()?;
        }

        let mut report = Report::default();
        for (index, pipeline) in self.pipelines.iter().enumerate() {
            let expected: Vec<Word> = sent[index][..MEASURED_WORDS]
                .iter()
                .map(|word| (pipeline.golden)(word))
                .collect();
            let has_valid = self.ports[index].valid_out.is_some();
            let fits = |delay: &usize| {
                let leaving = &seen[index][*delay..];
                let words_fit = expected.iter().zip(leaving).all(|(e, (_, s))| e == s);
                let flags_fit = (0..cycles).all(|cycle| {
                    let valid = (*delay..delay + MEASURED_WORDS).contains(&cycle);
                    seen[index][cycle].0 == valid
                });
                words_fit && (flags_fit || !has_valid)
            };
            let delays: Vec<usize> = (0..=pipeline.latency + FURTHER_DELAYS)
                .filter(fits)
                .collect();
            let name = pipeline.block.name();
            if delays != [pipeline.latency] {
                return Err(BenchError::Mismatch(format!(
                    "{name} (seed {}): the latency should be {} cycles at one word per cycle, \
                     but its outputs fit at {delays:?}",
                    self.seed, pipeline.latency
                )));
            }
            report.notes.push(format!(
                "{name}: latency {} cycles, interval 1 cycle",
                pipeline.latency
            ));
            report.words += MEASURED_WORDS as u64;
        }
        Ok(report)
    }

    /// Sends corners and `cases` random words between idle cycles, resets once on the way, and compares every word. Returns
    /// the words of each pipeline.
    fn stream(&mut self, cases: usize) -> Result<Vec<u64>, BenchError> {
        let mut progress: Vec<Progress> = self
            .pipelines
            .iter()
            .map(|pipeline| Progress {
                first: pipeline.corners.iter().cloned().collect(),
                random_words: cases,
                in_flight: vec![None; pipeline.latency].into(),
                compared: 0,
            })
            .collect();
        let reset_at = self.random.random_range(1..=cases.max(1));
        // What the measurement left in the pipelines runs out.
        self.reset()?;

        let mut cycle = 0;
        while !progress.iter().all(Progress::is_done) {
            for (index, progress) in progress.iter_mut().enumerate() {
                let word = self.next_word(index, progress);
                let driven = word.clone().unwrap_or_else(|| self.random_word(index));
                self.drive(index, word.is_some(), &driven);
                progress.in_flight.push_back(word);
            }
            self.simulator.settle()?;
            for (index, progress) in progress.iter_mut().enumerate() {
                let leaving = progress.in_flight.pop_front().flatten();
                self.compare(index, leaving.as_deref(), progress.compared)?;
                progress.compared += u64::from(leaving.is_some());
            }
            cycle += 1;
            if cycle == reset_at {
                progress.iter_mut().for_each(Progress::reset);
                self.reset()?;
            } else {
                self.simulator.tick()?;
            }
        }
        Ok(progress.iter().map(|progress| progress.compared).collect())
    }

    /// Resets with idle inputs; no valid flag may be left.
    fn reset(&mut self) -> Result<(), BenchError> {
        for index in 0..self.pipelines.len() {
            if let Some(valid) = self.ports[index].valid_in {
                self.simulator.set(valid, 0);
            }
        }
        self.simulator.reset(1)?;
        for index in 0..self.pipelines.len() {
            if self.valid_out(index) {
                return Err(self.mismatch(index, 0, "valid_o is high after reset"));
            }
        }
        Ok(())
    }

    fn next_word(&mut self, index: usize, progress: &mut Progress) -> Option<Word> {
        if self.random.random_ratio(1, IDLE_INTERVAL) {
            return None;
        }
        if let Some(word) = progress.first.pop_front() {
            return Some(word);
        }
        progress.random_words = progress.random_words.checked_sub(1)?;
        Some(self.random_word(index))
    }

    fn random_word(&mut self, index: usize) -> Word {
        let ports = self.pipelines[index].inputs.iter();
        ports
            .flat_map(|port| std::iter::repeat_n(port.lane, port.lanes))
            .map(|lane| random_value(&mut self.random, lane))
            .collect()
    }

    fn drive(&mut self, index: usize, valid: bool, word: &[i64]) {
        let ports = &self.ports[index];
        if let Some(port) = ports.valid_in {
            self.simulator.set(port, u64::from(valid));
        }
        let mut word = word;
        for (id, port) in ports.inputs.iter().zip(&self.pipelines[index].inputs) {
            let (lanes, rest) = word.split_at(port.lanes);
            self.simulator.set_lanes(*id, port.lane.width as u32, lanes);
            word = rest;
        }
    }

    fn valid_out(&self, index: usize) -> bool {
        let port = self.ports[index].valid_out;
        port.is_some_and(|port| self.simulator.get(port) == 1)
    }

    fn outputs(&self, index: usize) -> Word {
        let mut word = Vec::new();
        let ports = self.ports[index].outputs.iter();
        for (id, port) in ports.zip(&self.pipelines[index].outputs) {
            let start = word.len();
            word.resize(start + port.lanes, 0);
            let Ty { width, signed } = port.lane;
            self.simulator
                .get_lanes(*id, width as u32, signed, &mut word[start..]);
        }
        word
    }

    fn compare(&self, index: usize, inputs: Option<&[i64]>, number: u64) -> Result<(), BenchError> {
        let pipeline = &self.pipelines[index];
        if self.ports[index].valid_out.is_some() && self.valid_out(index) != inputs.is_some() {
            let wrong = format!("valid_o is {}", self.valid_out(index));
            return Err(self.mismatch(index, number, &wrong));
        }
        let Some(inputs) = inputs else {
            return Ok(());
        };
        let expected = (pipeline.golden)(inputs);
        let got = self.outputs(index);
        let places = pipeline
            .outputs
            .iter()
            .flat_map(|port| (0..port.lanes).map(move |lane| (port.name, lane)));
        for ((port, lane), (expected, got)) in places.zip(expected.iter().zip(&got)) {
            if expected != got {
                let wrong = format!(
                    "output {port}, lane {lane}: expected {expected}, got {got}, for inputs {inputs:?}"
                );
                return Err(self.mismatch(index, number, &wrong));
            }
        }
        Ok(())
    }

    fn mismatch(&self, index: usize, number: u64, wrong: &str) -> BenchError {
        BenchError::Mismatch(format!(
            "{} (seed {}), cycle {}, word {number}: {wrong}",
            self.pipelines[index].block.name(),
            self.seed,
            self.simulator.cycle()
        ))
    }
}

/// The ends of the range, every magnitude, or any value.
fn random_value(random: &mut ChaCha8Rng, ty: Ty) -> i64 {
    let (least, greatest) = range(ty);
    match random.random_range(0..8) {
        0 => least,
        1 => greatest,
        2..5 => {
            let value = random.random_range(least..=greatest);
            value >> random.random_range(0..ty.width)
        }
        _ => random.random_range(least..=greatest),
    }
}
