//! Testbench of the memory core: random layers from memory to memory.

use std::fmt;

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use super::attention_core::random_layer;
use super::harness::{ensure, random_stalls};
use super::{BenchError, Options, Report};
use crate::accelerator::fetch::ReadFault;
use crate::accelerator::output::WriteFault;
use crate::accelerator::refine::golden::{MAX_SUM, Rule, noise};
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::memory::{Hbm2Timing, MemoryTiming, Response, SlaveFault};
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
    faults(config, &mut engine.map_err(bench_error)?, &mut random)?;
    Ok(report)
}

/// Everything that a memory can do wrong in the midst of a job: the error names port and address, the ports drain, and after
/// a restart a whole job runs.
fn faults(
    config: &Config,
    engine: &mut RtlEngine,
    random: &mut ChaCha8Rng,
) -> Result<(), BenchError> {
    let respond = |response| SlaveFault::Respond { beat: 0, response };
    let reads = [
        (ReadFault::SlaveError, respond(Response::SlaveError)),
        (ReadFault::DecodeError, respond(Response::DecodeError)),
        (ReadFault::Silence, SlaveFault::Silence),
    ];
    let writes = [
        (WriteFault::SlaveError, respond(Response::SlaveError)),
        (WriteFault::DecodeError, respond(Response::DecodeError)),
    ];
    let reads = reads.map(|(fault, slave)| (false, fault.code(), slave));
    let writes = writes.map(|(fault, slave)| (true, fault.code(), slave));
    for (of_write, kind, fault) in reads.into_iter().chain(writes) {
        let case = Case::new(config, random);
        let channel = random.random_range(0..config.memory.channels);
        let memory = engine.memory(channel);
        let number = random.random_range(0..4);
        match of_write {
            false => memory.fail_read(memory.reads_taken() + number, fault),
            true => memory.fail_write(memory.writes_taken() + number, fault),
        }
        engine.stall(|| Stalls::NONE);
        let limit = (4 << config.memory.silence_log2) + 20_000;
        let whole = (&case.whole, &case.formats);
        let parts = (&case.operands, &case.live);
        let found = engine
            .run_to_error(whole, parts, limit)
            .map_err(bench_error)?;
        // A small layer may not use the channel so often; nothing was wrong then.
        if let Some(error) = found {
            let expected = (of_write, channel, kind);
            ensure((error.of_write, error.port, error.kind) == expected, || {
                format!("memory core: {error:?}, expected (of write, port, kind) {expected:?}")
            })?;
        }
        let drained = engine.restart(20_000).map_err(bench_error)?;
        ensure(drained || fault == SlaveFault::Silence, || {
            format!("memory core: {fault:?} at port {channel}: the ports do not drain")
        })?;
        engine.memory(channel).forget_faults();
        Case::new(config, random).check(engine, random)?;
    }
    Ok(())
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
            let case = Case::of(config, whole, random);
            if !case.operands.live_keys.is_empty() {
                return case;
            }
        }
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
    let lsb = |random: &mut ChaCha8Rng| random.random_range(0..1 << KEY_LSB_BITS);
    let mut plane = |keys: &Vec<Vec<i64>>| -> Vec<Vec<i64>> {
        let vector = |key: &Vec<i64>| key.iter().map(|_| lsb(random)).collect();
        keys.iter().map(vector).collect()
    };
    layer.key_lsbs = Some(layer.keys.iter().map(&mut plane).collect());
    for head in 0..layer.queries.len() {
        layer.rules[head] = rule(config, layer, head, random);
    }
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
