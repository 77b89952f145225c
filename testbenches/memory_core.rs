//! Testbench of the memory core: random layers from memory to memory.

use std::fmt;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::attention_core::{Layer, random_layer};
use super::fetch::faults as fetch_faults;
use super::harness::{ensure, random_stalls};
use super::{BenchError, Options, Report};
use crate::accelerator::fetch::{Fetch, ReadFault};
use crate::accelerator::output::WriteFault;
use crate::accelerator::refine::golden::{MAX_SUM, Rule, noise};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::memory::{AxiSlave, Hbm2Timing, MemoryTiming, Response, SlaveFault};
use crate::cosim::{Stalls, Verilator};
use crate::engine::EngineError;
use crate::engine::rtl::RtlEngine;
use crate::engine::streams::CoreJob;
use crate::golden::cascade::Live;
use crate::golden::head::{attend_head, prefix_mask};
use crate::golden::layer::LayerOperands;
use crate::golden::row::first_sum;
use crate::numerics::{Formats, KEY_LSB_BITS, STORED_BITS};
use crate::perf::traffic::layer_traffic;

/// Runs on the configuration's memory core, with and without HBM2 timing.
///
/// # Errors
/// [`BenchError`] when an output row, a decision or the number of bytes differs from the golden model, or the core cannot
/// be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut report = Report::default();
    let timings = [
        MemoryTiming::Fixed(20),
        MemoryTiming::Hbm2(Hbm2Timing::default()),
    ];
    let mut random = options.random(0);
    for timing in timings {
        let verilator = Verilator::default();
        let engine = RtlEngine::new(config, &verilator, &timing, options.seed);
        let mut engine = engine.map_err(bench_error)?;
        let target = report.words + options.cases as u64 / 2;
        while report.words < target {
            let case = Case::new(config, &mut random);
            let (rows, cycles) = case.check(&mut engine, &mut random)?;
            report.words += rows;
            report.cycles += cycles;
        }
    }
    let timing = MemoryTiming::Fixed(20);
    let engine = RtlEngine::new(config, &Verilator::default(), &timing, options.seed);
    let told = faults(config, &mut engine.map_err(bench_error)?, &mut random)?;
    report.notes.push(told);
    Ok(report)
}

/// The configuration with the smallest buffers that its rules allow, and two reads under way per port.
///
/// # Panics
/// When it has no LSB plane.
pub fn with_smallest_buffers(config: &Config) -> Config {
    let mut config = config.clone();
    assert!(config.buffers.key_lsb_lines > 0, "there is no LSB plane");
    config.name = format!("{}_smallest", config.name);
    let (lines, score_lines) = (
        config.lines_per_longest_row(),
        config.score_lines_per_longest_row(),
    );
    let buffers = &mut config.buffers;
    for (buffer, least) in [
        (&mut buffers.key_lines, lines),
        (&mut buffers.value_lines, lines),
        (&mut buffers.score_lines, score_lines),
        (&mut buffers.exponential_lines, score_lines),
        (&mut buffers.held_lines, score_lines),
        (&mut buffers.weight_lines, 16),
        (&mut buffers.key_lsb_lines, 16),
        (&mut buffers.query_rows, 2),
        (&mut config.schedule.rows_in_flight, 2),
        (&mut config.memory.outstanding_reads, 2),
    ] {
        *buffer = least.max(2);
    }
    config
}

/// At least `options.cases` rows of layers in which every row takes its LSBs, by both rules, with the longest and the
/// shortest rows side by side: on a configuration of the smallest buffers nothing waits for what waits for
/// it, at full speed, under random stalls, and with one stream or memory channel that hardly moves.
///
/// # Errors
/// As [`run`]; a deadlock is an error that names the streams that stand still.
pub fn refine_every_row(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let mut report = Report::default();
    let mut random = options.random(0);
    let timings = [
        MemoryTiming::Fixed(1),
        MemoryTiming::Fixed(200),
        MemoryTiming::Hbm2(Hbm2Timing::default()),
    ];
    let mut refined = 0;
    for (index, timing) in timings.iter().enumerate() {
        let engine = RtlEngine::new(config, &Verilator::default(), timing, options.seed);
        let mut engine = engine.map_err(bench_error)?;
        let target = options.cases as u64 * (index as u64 + 1) / timings.len() as u64;
        while report.words < target {
            let case = Case::refining(config, &mut random);
            let traffic = Traffic::random(&mut random);
            traffic.apply(&mut engine, &mut random);
            let (rows, cycles) = case.compare(&mut engine)?;
            report.words += rows;
            report.cycles += cycles;
            refined += case.refined_rows()?;
        }
    }
    report.notes.push(format!("{refined} rows refined"));
    Ok(report)
}

/// How streams and memories hesitate.
enum Traffic {
    FullSpeed,
    Random,
    /// All run at full speed but one.
    Slow,
}

impl Traffic {
    fn random(random: &mut impl Rng) -> Traffic {
        match random.random_range(0..4) {
            0 => Traffic::FullSpeed,
            1 => Traffic::Random,
            _ => Traffic::Slow,
        }
    }

    fn apply(&self, engine: &mut RtlEngine, random: &mut impl Rng) {
        match self {
            Traffic::FullSpeed => engine.stall(|| Stalls::NONE),
            Traffic::Random => engine.stall(|| random_stalls(random)),
            Traffic::Slow => {
                let mut ends = 0;
                engine.stall(|| {
                    ends += 1;
                    Stalls::NONE
                });
                let slow = random.random_range(0..ends);
                let mut end = 0..ends;
                // 13 cycles per transfer: the only channel must still move a layer before it counts as stuck.
                engine.stall(|| match end.next() == Some(slow) {
                    true => Stalls::bursts(0.2, 100),
                    false => Stalls::NONE,
                });
            }
        }
    }
}

/// Rounds of every fault.
const FAULT_ROUNDS: usize = 3;
/// Jobs that may end before they come to the fault, which comes earlier from one to the next.
const ATTEMPTS: u32 = 16;

/// A fault that a memory has, on a read or on a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Read(ReadFault),
    Write(WriteFault),
}

impl Fault {
    /// Those that can be seeded into the memories of this configuration.
    fn possible(fetch: &Fetch) -> Vec<Fault> {
        let reads = fetch_faults::possible(fetch);
        let waits = reads.contains(&ReadFault::Silence);
        let writes = WriteFault::ALL.into_iter();
        let writes = writes.filter(|fault| waits || *fault != WriteFault::Silence);
        let reads = reads.into_iter().map(Fault::Read);
        reads.chain(writes.map(Fault::Write)).collect()
    }

    /// Seeds it into the read or write of a memory that follows after `number` others.
    fn seed(self, memory: &mut AxiSlave, number: u64, stray: Option<u16>) {
        let respond = |response| SlaveFault::Respond { beat: 0, response };
        match self {
            Fault::Read(fault) => {
                let read = memory.reads_taken() + number;
                let beat = number as usize % 4;
                fetch_faults::seed_one(memory, (fault, read, beat), stray);
            }
            Fault::Write(fault) => {
                let write = memory.writes_taken() + number;
                let fault = match fault {
                    // Writes have id 0, and reads at least one other.
                    WriteFault::UnknownId => SlaveFault::StrayAnswer { id: 1 },
                    WriteFault::SlaveError => respond(Response::SlaveError),
                    WriteFault::DecodeError => respond(Response::DecodeError),
                    WriteFault::Silence => SlaveFault::Silence,
                };
                memory.fail_write(write, fault);
            }
        }
    }

    fn is_silence(self) -> bool {
        let silent = [
            Fault::Read(ReadFault::Silence),
            Fault::Write(WriteFault::Silence),
        ];
        silent.contains(&self)
    }
}

/// Everything that a memory can do wrong in the midst of a job: the error names port and address, the ports drain, and after
/// a restart a whole job runs, or fails again. Says which faults there were.
fn faults(
    config: &Config,
    engine: &mut RtlEngine,
    random: &mut ChaCha8Rng,
) -> Result<String, BenchError> {
    let faults = Fault::possible(&Fetch::new(config));
    for round in 0..FAULT_ROUNDS {
        for &fault in &faults {
            // A small layer may not come to the read or write.
            let mut told = (0..ATTEMPTS).map(|attempt| (32 >> attempt).max(1));
            let told =
                told.find_map(|within| fail(fault, within, config, engine, random).transpose());
            ensure(told.transpose()?.is_some(), || {
                format!("memory core: {fault:?} is not told")
            })?;
            if round > 0 || random.random_bool(0.5) {
                Case::new(config, random).check(engine, random)?;
            }
        }
    }
    Ok(format!(
        "{FAULT_ROUNDS} faults of each kind told: {faults:?}"
    ))
}

/// Runs a job into a fault of one of a port's first reads or writes, as many as `within`, and restarts; nothing when it was
/// not told.
fn fail(
    fault: Fault,
    within: u64,
    config: &Config,
    engine: &mut RtlEngine,
    random: &mut ChaCha8Rng,
) -> Result<Option<()>, BenchError> {
    let case = Case::new(config, random);
    let channel = random.random_range(0..config.memory.channels);
    let stray = fetch_faults::stray_id(&Fetch::new(config));
    let number = random.random_range(0..within);
    fault.seed(engine.memory(channel), number, stray);
    let hesitates = random.random_bool(0.5);
    engine.stall(|| match hesitates {
        true => random_stalls(random),
        false => Stalls::NONE,
    });
    let limit = (4 << config.memory.silence_log2) + 100_000;
    let whole = (&case.whole, &case.formats);
    let parts = (&case.operands, &case.live);
    let found = engine.run_to_error(whole, parts, limit);
    let found = found.map_err(bench_error)?;
    if let Some(error) = found {
        let told = (error.of_write, error.port, error.kind);
        let expected = match fault {
            Fault::Read(fault) => (false, channel, fault.code()),
            Fault::Write(fault) => (true, channel, fault.code()),
        };
        ensure(told == expected, || {
            format!("memory core: {error:?}, expected (of write, port, kind) {expected:?}")
        })?;
        let misdeed = engine.memory(channel).first_misdeed();
        let of_read = misdeed.map(fetch_faults::expected_record);
        let address = of_read.map(|(_, _, address)| address);
        ensure(error.of_write || Some(error.address) == address, || {
            format!("memory core: {error:x?} of {misdeed:x?}")
        })?;
    }
    let drained = engine.restart(20_000).map_err(bench_error)?;
    ensure(drained || fault.is_silence(), || {
        format!("memory core: {fault:?} at port {channel}: the ports do not drain")
    })?;
    engine.memory(channel).forget_faults();
    Ok(found.map(|_| ()))
}

fn bench_error(error: EngineError) -> BenchError {
    match error {
        EngineError::Cosim(error) => BenchError::Cosim(error),
        other => BenchError::Mismatch(other.to_string()),
    }
}

/// A layer in memory, and what lives of it.
struct Case {
    config: Config,
    whole: LayerOperands,
    formats: Formats,
    live: Live,
    operands: LayerOperands,
}

impl Case {
    fn new(config: &Config, random: &mut ChaCha8Rng) -> Case {
        loop {
            let whole = random_layer(&AttentionCore::new(config), random);
            // Each query is a token of its own.
            let fits = whole.live_keys.len() <= config.limits.tokens;
            let case = Case::of(config, whole, random);
            if fits && !case.operands.live_keys.is_empty() {
                return case;
            }
        }
    }

    /// Rows of one key and of the longest row's, even of none, in heads that all refine, by one rule or the other, but for one head in
    /// some layers.
    fn refining(config: &Config, random: &mut ChaCha8Rng) -> Case {
        let core = AttentionCore::new(config);
        let dims = &config.array.head_dims;
        let keys = config.limits.keys_per_row;
        let queries = random.random_range(1..=keys.min(16));
        let (heads, kv_heads) = [(1, 1), (4, 4), (6, 2), (3, 1)][random.random_range(0..4)];
        let layer = Layer {
            head_dim: dims[random.random_range(0..dims.len())],
            heads,
            kv_heads,
            queries,
            keys,
            reach: 0.2,
        };
        let live = (0..queries).map(|_| match random.random_range(0..4) {
            0 => random.random_range(0..=1),
            1 => random.random_range(0..=keys),
            _ => keys,
        });
        let live = live.collect();
        let mut whole = layer.operands(&core, random, live);
        lsb_plane(&mut whole, random);
        for rule in &mut whole.rules {
            *rule = match random.random_range(0..2) {
                0 => Rule::Threshold { most: 0 },
                _ => Rule::Noise { limit: 0, shift: 0 },
            };
        }
        if heads > 1 && random.random_bool(0.3) {
            whole.rules[random.random_range(0..heads)] = Rule::None;
        }
        let live = Live::all(keys, heads);
        Case {
            config: config.clone(),
            operands: whole.gather(&live),
            formats: config.formats(),
            whole,
            live,
        }
    }

    /// Rows that the golden model refines.
    ///
    /// # Errors
    /// [`BenchError::Mismatch`] unless these are all that see a key (by their noise: two keys), in heads with a rule.
    fn refined_rows(&self) -> Result<usize, BenchError> {
        let mut refined = 0;
        for (head, rule) in self.operands.rules.iter().enumerate() {
            let rows = attend_head(&self.config.formats(), &self.operands.head(head));
            for (row, &live) in rows.iter().zip(&self.operands.live_keys) {
                let refines = match rule {
                    Rule::None => false,
                    Rule::Threshold { .. } => live > 0,
                    Rule::Noise { .. } => live > 1,
                };
                ensure(row.refetched == refines, || {
                    format!("head {head}, a row of {live} keys, {rule:?}: not as meant")
                })?;
                refined += usize::from(refines);
            }
        }
        Ok(refined)
    }

    /// Of a layer of the hardware's widths: narrower K and V, rules, and only some tokens and heads.
    fn of(config: &Config, mut whole: LayerOperands, random: &mut ChaCha8Rng) -> Case {
        let mut formats = config.formats();
        let narrow = |planes: &mut Vec<Vec<Vec<i64>>>, from: usize, to: usize| {
            let elements = planes.iter_mut().flatten().flatten();
            elements.for_each(|element| *element >>= from - to);
        };
        let mut stored = |most: usize| {
            let fitting: Vec<usize> = STORED_BITS.into_iter().filter(|&b| b <= most).collect();
            fitting[random.random_range(0..fitting.len())]
        };
        let (key_bits, value_bits) = (stored(formats.key_bits), stored(formats.value_bits));
        narrow(&mut whole.keys, formats.key_bits, key_bits);
        narrow(&mut whole.values, formats.value_bits, value_bits);
        (formats.key_bits, formats.value_bits) = (key_bits, value_bits);
        if config.buffers.key_lsb_lines > 0 && random.random_bool(0.6) {
            progressive(config, &mut whole, random);
        }

        let mut some = |count: usize| -> Vec<usize> {
            let share = [1.0, 0.7, 0.2][random.random_range(0..3)];
            let last = count - 1;
            (0..count)
                .filter(|&id| id == last || random.random_bool(share))
                .collect()
        };
        let live = Live {
            tokens: some(whole.keys[0].len()),
            heads: some(whole.queries.len()),
        };
        Case {
            config: config.clone(),
            operands: whole.gather(&live),
            whole,
            formats,
            live,
        }
    }

    /// Runs it with random stalls, and holds everything against the golden model; rows compared, and cycles.
    fn check(
        &self,
        engine: &mut RtlEngine,
        random: &mut ChaCha8Rng,
    ) -> Result<(u64, u64), BenchError> {
        let at_full_speed = random.random_bool(0.3);
        engine.stall(|| match at_full_speed {
            true => Stalls::NONE,
            false => random_stalls(random),
        });
        for channel in 0..self.config.memory.channels {
            engine.memory(channel).reorder(random.random_range(0..30));
        }
        self.compare(engine)
    }

    /// Runs it, and holds everything against the golden model; rows compared, and cycles.
    fn compare(&self, engine: &mut RtlEngine) -> Result<(u64, u64), BenchError> {
        let job = CoreJob::dense(&self.operands);
        let whole = (&self.whole, &self.formats);
        let parts = (&self.operands, &self.live);
        let result = engine.attend_live(whole, parts, &job, &mut |_| ());
        let result = result.map_err(|error| match bench_error(error) {
            BenchError::Mismatch(what) => BenchError::Mismatch(format!("{what}; {self}")),
            other => other,
        })?;

        let mut refetched = Vec::new();
        for (head, outputs) in result.outputs.iter().enumerate() {
            let rows = attend_head(&self.config.formats(), &self.operands.head(head));
            let flags: Vec<bool> = rows.iter().map(|row| row.refetched).collect();
            for (row, (expected, found)) in rows.iter().zip(outputs).enumerate() {
                let told = result.refined[head][row];
                let element = expected.outputs.iter().zip(found).position(|(a, b)| a != b);
                ensure(element.is_none() && told == flags[row], || {
                    let element = element.unwrap_or_default();
                    format!(
                        "memory core: head {head} ({}), row {row}, element {element}: {}, expected {}; refined {told}, expected {}; \
                         {} keys of {} bits, rule {:?}, {} live, tokens {:?}",
                        self.live.heads[head],
                        found[element],
                        expected.outputs[element],
                        flags[row],
                        self.operands.keys[0].len(),
                        self.formats.key_bits,
                        self.operands.rules[head],
                        self.operands.live_keys[row],
                        self.live.tokens,
                    )
                })?;
            }
            refetched.push(flags);
        }
        let kv_heads = self.live.kv_heads(&self.whole.kv_heads);
        let expected = layer_traffic(&self.operands, &self.formats, &kv_heads, &refetched).moved();
        ensure(result.moved == expected, || {
            format!(
                "memory core: {:?} bytes moved, expected {expected:?}; {self}",
                result.moved
            )
        })?;
        let rows = self.operands.queries.len() * self.operands.live_keys.len();
        Ok((rows as u64, result.cycles))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operands = &self.operands;
        let keep: Vec<usize> = operands
            .value_pruning
            .iter()
            .map(|pruning| pruning.keep)
            .collect();
        write!(
            f,
            "d {}, K {} and V {} bits, heads {:?} over KV heads {:?}, tokens {:?}, live keys {:?}, values kept {keep:?}, rules {:?}",
            self.whole.keys[0][0].len(),
            self.formats.key_bits,
            self.formats.value_bits,
            self.live.heads,
            operands.kv_heads,
            self.live.tokens,
            operands.live_keys,
            operands.rules,
        )
    }
}

/// Gives K an LSB plane, and heads rules that some of their rows meet.
fn progressive(config: &Config, layer: &mut LayerOperands, random: &mut ChaCha8Rng) {
    lsb_plane(layer, random);
    for head in 0..layer.queries.len() {
        layer.rules[head] = rule(config, layer, head, random);
    }
}

/// Gives K a random LSB plane.
fn lsb_plane(layer: &mut LayerOperands, random: &mut impl Rng) {
    let mut plane = |keys: &Vec<Vec<i64>>| -> Vec<Vec<i64>> {
        let mut lsb = |_: &i64| random.random_range(0..1 << KEY_LSB_BITS);
        let vector = |key: &Vec<i64>| key.iter().map(&mut lsb).collect();
        keys.iter().map(vector).collect()
    };
    layer.key_lsbs = Some(layer.keys.iter().map(&mut plane).collect());
}

/// A rule that no row meets, all do, or those with a sum (or noise) above that of a random row.
fn rule(config: &Config, layer: &LayerOperands, head: usize, random: &mut impl Rng) -> Rule {
    let operands = layer.head(head);
    let row = random.random_range(0..operands.queries.len());
    let query = &operands.queries[row];
    let live = prefix_mask(operands.live_keys[row], operands.keys.len());
    let formats = config.formats();
    let sum = first_sum(&formats, query, operands.keys, &live, operands.scale);
    let shift = random.random_range(0..24);
    match random.random_range(0..5) {
        0 => Rule::None,
        1 => Rule::Threshold { most: 0 },
        2 => Rule::Threshold { most: MAX_SUM },
        3 => Rule::Threshold {
            most: (sum - random.random_range(0..2)).max(0),
        },
        _ => Rule::Noise {
            limit: noise(query, shift) / 2,
            shift,
        },
    }
}
