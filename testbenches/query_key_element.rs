//! Testbench of `query_key`'s processing element: a new key in any cycle, against the query it holds.

use std::collections::VecDeque;

use rand::{Rng, RngExt};

use super::harness::{ensure, start};
use super::{BenchError, Options, Report};
use crate::accelerator::query_key::QueryKeyElement;
use crate::accelerator::top::AttentionCore;
use crate::config::Config;
use crate::cosim::{Design, PortId, Simulator};
use crate::hdl::elaborate;
use crate::numerics::KEY_LSB_BITS;

/// Runs on the element of the configuration and on the smallest ones.
///
/// # Errors
/// [`BenchError`]: a tool fails, or RTL and golden model differ.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = AttentionCore::new(config).query_key().element();
    let mut report = check(&used, &Design::from(&elaborate(&used)), options)?;
    for (elements, query_bits, key_bits, refines) in
        [(1, 2, 3, false), (2, 3, 5, false), (1, 2, 5, true)]
    {
        let corner = QueryKeyElement {
            elements,
            query_bits,
            key_bits,
            refines,
        };
        let design = Design::from(&elaborate(&corner));
        report.add(check(&corner, &design, &options.untraced())?);
    }
    Ok(report)
}

/// Runs on one design, which is the element's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(
    element: &QueryKeyElement,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let simulator = start(design, options)?;
    let mut bench = Bench {
        load_query: simulator.port("load_query_i"),
        query: simulator.port("query_i"),
        key: simulator.port("key_i"),
        sum: simulator.port("sum_o"),
        second: element
            .refines
            .then(|| ["held_i", "lsb_i", "next_refines_i"].map(|name| simulator.port(name))),
        simulator,
        element,
    };
    // Whose turn it is in this cycle.
    let mut refines = false;
    bench.simulator.reset(2)?;
    let mut random = options.random(1);
    let mut held: Option<Vec<i64>> = None;
    // Sums of the last cycles, the oldest in front; as many as the latency.
    let mut in_flight: VecDeque<Option<i64>> = vec![None; element.latency()].into();
    let mut words = 0;
    let mut cycle = 0;
    while words < options.cases as u64 {
        let operands = bench.operands(cycle, &mut random);
        let load_query = cycle < 2 || random.random_ratio(1, 3);
        bench.drive(&operands, load_query);
        let (operands, next) = bench.drive_second(operands, refines, &mut random);
        refines = next;
        bench.simulator.settle()?;
        if let Some(expected) = in_flight.pop_front().flatten() {
            bench.compare(words, expected, options.seed)?;
            words += 1;
        }
        let (query, key) = operands;
        if load_query {
            held = Some(query);
        }
        let dot = |query: &Vec<i64>| query.iter().zip(&key).map(|(q, k)| q * k).sum();
        in_flight.push_back(held.as_ref().map(dot));
        bench.simulator.tick()?;
        cycle += 1;
    }
    Ok(Report {
        words,
        cycles: bench.simulator.cycle(),
        notes: vec![format!(
            "{}: latency {}, interval 1",
            design.top,
            element.latency()
        )],
        ..Report::default()
    })
}

struct Bench<'a> {
    simulator: Simulator,
    element: &'a QueryKeyElement,
    load_query: PortId,
    query: PortId,
    key: PortId,
    sum: PortId,
    /// Ports `held`, `lsb` and `next_refines`.
    second: Option<[PortId; 3]>,
}

impl Bench<'_> {
    /// Query and key chunk: at first every pair of extremes, then random ones with extremes among them.
    fn operands(&self, cycle: u64, random: &mut impl Rng) -> (Vec<i64>, Vec<i64>) {
        let elements = self.element.elements;
        let range = |bits: usize| (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1);
        let (query, key) = (range(self.element.query_bits), range(self.element.key_bits));
        let extreme = |(low, high): (i64, i64), is_high: bool| if is_high { high } else { low };
        if cycle < 8 {
            return (
                vec![extreme(query, cycle & 2 != 0); elements],
                vec![extreme(key, cycle & 1 != 0); elements],
            );
        }
        let mut chunk = |(low, high): (i64, i64)| -> Vec<i64> {
            let one_extreme = random.random_ratio(1, 16);
            let is_high = random.random();
            let element = |_| {
                if one_extreme {
                    extreme((low, high), is_high)
                } else {
                    random.random_range(low..=high)
                }
            };
            (0..elements).map(element).collect()
        };
        (chunk(query), chunk(key))
    }

    fn drive(&mut self, (query, key): &(Vec<i64>, Vec<i64>), load_query: bool) {
        let simulator = &mut self.simulator;
        simulator.set_lanes(self.query, self.element.query_bits as u32, query);
        simulator.set_lanes(self.key, self.element.key_bits as u32, key);
        simulator.set(self.load_query, u64::from(load_query));
    }

    /// Operands of the second pass, where there is one. Gives those whose turn it is, and whether it is the second
    /// pass's next.
    fn drive_second(
        &mut self,
        first: (Vec<i64>, Vec<i64>),
        refines: bool,
        random: &mut impl Rng,
    ) -> ((Vec<i64>, Vec<i64>), bool) {
        let Some([held, lsb, next_refines]) = self.second else {
            return (first, false);
        };
        let most = (1i64 << (self.element.query_bits - 1)) - 1;
        let mut vector = |low, high| -> Vec<i64> {
            let element = |_| random.random_range(low..=high);
            (0..self.element.elements).map(element).collect()
        };
        let (query, lsbs) = (vector(-most - 1, most), vector(0, (1 << KEY_LSB_BITS) - 1));
        let simulator = &mut self.simulator;
        simulator.set_lanes(held, self.element.query_bits as u32, &query);
        simulator.set_lanes(lsb, KEY_LSB_BITS as u32, &lsbs);
        let next = random.random();
        simulator.set(next_refines, u64::from(next));
        (if refines { (query, lsbs) } else { first }, next)
    }

    fn compare(&self, word: u64, expected: i64, seed: u64) -> Result<(), BenchError> {
        let mut got = [0];
        let bits = self.element.sum_bits() as u32;
        self.simulator.get_lanes(self.sum, bits, true, &mut got);
        ensure(got[0] == expected, || {
            format!(
                "{:?} (seed {seed}), cycle {}, port `sum_o`, word {word}: expected {expected}, got {}",
                self.element,
                self.simulator.cycle(),
                got[0]
            )
        })
    }
}
