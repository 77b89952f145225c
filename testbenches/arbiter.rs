//! Testbench of the arbiter: every branch's words pass once, in order; without stalls the branches take turns; and in
//! every cycle the branch is served that the golden model serves.

use rand::{Rng, RngExt};

use super::harness::{Round, ensure, start};
use super::{BenchError, Options, Report};
use crate::cells::arbiter::{Arbiter, ArbiterModel};
use crate::config::Config;
use crate::cosim::{Bench, Design, Field, Simulator, SinkId, SourceId};
use crate::hdl::{Block, elaborate};
use crate::numerics::index_bits;

/// Bits of a word: its number within its branch.
const WIDTH: usize = 16;
/// Words per branch and round.
const WORDS: usize = 500;

/// Runs on one branch more than the softmax has lanes, and on five.
///
/// # Errors
/// [`BenchError`]: a tool fails, or a word is lost, doubled, reordered or given to the wrong branch.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let block = |branches| Arbiter {
        branches,
        width: WIDTH,
    };
    let used = block(config.softmax.lanes + 1);
    let mut report = check(&used, &Design::from(&elaborate(&used)), options)?;
    let corner = block(5);
    let design = Design::from(&elaborate(&corner));
    report.add(check(&corner, &design, &options.untraced())?);
    Ok(report)
}

/// Runs on one design, which is the arbiter's or a faulty copy of it.
///
/// # Errors
/// As [`run`].
pub fn check(block: &Arbiter, design: &Design, options: &Options) -> Result<Report, BenchError> {
    let branches = block.branches;
    let mut bench = Bench::new(start(design, options)?, options.seed);
    let word = Field::unsigned("data", WIDTH);
    let inputs: Vec<SourceId> = (0..branches)
        .map(|b| bench.source(&format!("in{b}"), std::slice::from_ref(&word)))
        .collect();
    let index = Field::unsigned("index", index_bits(branches));
    let output = bench.sink("out", &[word, index]);
    let numbers: Vec<Vec<i64>> = (0..WORDS as i64).map(|number| vec![number]).collect();
    let round = Round {
        sources: inputs.iter().map(|&i| (i, numbers.clone())).collect(),
        sinks: vec![],
        collected: vec![(output, branches * WORDS)],
    };

    round.at_full_speed(&mut bench, |_| ())?;
    let served = in_order(&bench, output, block, design)?;
    let in_turn = served.iter().enumerate().all(|(k, &b)| b == k % branches);
    ensure(in_turn, || {
        format!("{}: waiting branches are not served in turn", design.top)
    })?;
    let cycles = bench.sink_cycles(output);
    let steady = cycles.windows(2).all(|pair| pair[1] - pair[0] == 1);
    ensure(steady, || format!("{}: the output idles", design.top))?;

    let mut report = Report::default();
    let mut stalls = options.random(1);
    while report.words < options.cases as u64 {
        round.with_stalls(&mut bench, &mut stalls, |_| ())?;
        in_order(&bench, output, block, design)?;
        report.words += (branches * WORDS) as u64;
    }
    let mut simulator = start(design, &options.untraced())?;
    by_the_model(block, &mut simulator, options.cases, &mut stalls)?;
    report.cycles = bench.simulator().cycle() + simulator.cycle();
    report
        .notes
        .push(format!("{}: latency 0, interval 1", design.top));
    Ok(report)
}

/// The branches served, after checking that each branch's words came in order.
fn in_order(
    bench: &Bench,
    output: SinkId,
    block: &Arbiter,
    design: &Design,
) -> Result<Vec<usize>, BenchError> {
    let mut next = vec![0; block.branches];
    let mut served = Vec::new();
    for (place, word) in bench.collected(output).chunks(2).enumerate() {
        let (number, branch) = (word[0], word[1] as usize);
        let expected = next.get(branch).copied();
        ensure(expected == Some(number), || {
            format!(
                "{}: output word {place} is word {number} of branch {branch}, expected {expected:?}",
                design.top
            )
        })?;
        next[branch] += 1;
        served.push(branch);
    }
    Ok(served)
}

/// Random offers and a random output, cycle by cycle: who is served, with which word, and who sees ready.
fn by_the_model(
    block: &Arbiter,
    simulator: &mut Simulator,
    cycles: usize,
    random: &mut impl Rng,
) -> Result<(), BenchError> {
    let mut model = ArbiterModel::default();
    let mut valid = vec![false; block.branches];
    simulator.reset(2)?;
    for cycle in 0..cycles {
        let ready = random.random_bool(0.6);
        for valid in &mut valid {
            *valid |= random.random_bool(0.3);
        }
        let mut set = |port: &str, value: u64| simulator.set(simulator.port(port), value);
        set("out_ready_i", ready.into());
        for (b, &valid) in valid.iter().enumerate() {
            set(&format!("in{b}_valid_i"), valid.into());
            set(&format!("in{b}_data_i"), b as u64 + 1);
        }
        simulator.settle()?;
        let get = |port: &str| simulator.get(simulator.port(port));
        let offered = (get("out_valid_o") == 1).then(|| (get("out_index_o"), get("out_data_o")));
        let taken: Vec<usize> = (0..block.branches)
            .filter(|&b| valid[b] && get(&format!("in{b}_ready_o")) == 1)
            .collect();

        let served = model.cycle(&valid, ready);
        let expected = served.map(|b| (b as u64, b as u64 + 1));
        let moved: Vec<usize> = served.filter(|_| ready).into_iter().collect();
        ensure(offered == expected && taken == moved, || {
            format!(
                "{}: cycle {cycle}: branch and word offered are {offered:?}, expected {expected:?}; branches {taken:?} \
                 move, expected {moved:?}",
                block.name()
            )
        })?;
        for branch in moved {
            valid[branch] = false;
        }
        simulator.tick()?;
    }
    Ok(())
}
