//! Local value pruning: which exponentials of a row are large enough for their V to take part.

use super::exponential_pass::ExponentialPass;
use crate::accelerator::top_k::QuickSelect;
use crate::cells::fifo::Fifo;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream};
use crate::numerics::{EXPONENTIAL_BITS, value_bits};
use crate::reg;

/// One or two quick-select engines, which take pruning rows in turn and give a threshold per row, in row order.
///
/// An engine takes the lines of a row while it still ranks the row before, so two engines hold up to four rows.
///
/// - Latency: that of [`QuickSelect`], and one cycle in the FIFO of thresholds.
/// - Interval: a line per cycle while the engine whose turn it is takes lines.
/// - Stalls: on every stream. Rows follow each other in every part, so nothing waits for a later row: an engine frees
///   itself when the thresholds before its own are taken.
#[derive(Clone, Debug)]
pub struct ValueRanking {
    /// Engines: 1 or 2.
    pub engines: usize,
    /// Comparators of each kind in an engine, a power of two.
    pub comparators: usize,
    /// Keys per line.
    pub lanes: usize,
    /// Longest row in keys.
    pub max_keys: usize,
}

impl ValueRanking {
    /// Thresholds that wait for their row's turn beside those in the engines: with fewer, an engine would be held while
    /// the exponentials of rows before it are still read.
    const THRESHOLDS: usize = 4;

    /// An engine.
    pub fn engine(&self) -> QuickSelect {
        QuickSelect {
            width: EXPONENTIAL_BITS,
            lanes: self.comparators,
            inputs: self.lanes.next_power_of_two(),
            max_keys: self.max_keys,
        }
    }

    /// Fields of the `pruning` channel of a softmax stage: one word per row.
    pub fn pruning_fields(max_keys: usize) -> Vec<Field> {
        let bits = value_bits(max_keys);
        vec![
            Field::new("keys", bits, "live keys of the row"),
            Field::new("kept", bits, "V vectors that stay; all where no fewer"),
            Field::new(
                "renormalise",
                1,
                "divide by the sum of the kept exponentials",
            ),
        ]
    }

    /// Fields of the `threshold` channel.
    pub fn threshold_fields(max_keys: usize) -> Vec<Field> {
        vec![
            Field::new("kth", EXPONENTIAL_BITS, "larger exponentials stay"),
            Field::new("keep_equal", value_bits(max_keys), "equal ones that stay"),
        ]
    }
}

impl Block for ValueRanking {
    fn name(&self) -> String {
        format!(
            "spatten_value_ranking_e{}_c{}_l{}_n{}",
            self.engines, self.comparators, self.lanes, self.max_keys
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Ranking of a row's exponentials: the threshold above which their V vectors stay. Rows take the\n\
                      engines in turn.\n\
                      \n\
                      selection, line -> u_engine0, u_engine1 -> u_threshold_fifo -> threshold"
                .into(),
            parameters: vec![
                ("engines", self.engines.to_string()),
                ("comparators", self.comparators.to_string()),
                ("lanes", self.lanes.to_string()),
                ("max_keys", self.max_keys.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        assert!(
            (1..=2).contains(&self.engines),
            "one or two engines rank values, not {}",
            self.engines
        );
        let engine = self.engine();
        let selection = m.stream_in("selection", &engine.selection_fields());
        let line = m.stream_in("line", &ExponentialPass::exponential_fields(self.lanes));
        let threshold = m.stream_out("threshold", &Self::threshold_fields(self.max_keys));

        m.section("engines; lanes that a line does not have are dead");
        let data = line.data().extend(engine.inputs * EXPONENTIAL_BITS);
        let ranked = line.field("live").extend(engine.inputs);
        let engines: Vec<Instance<'_>> = (0..self.engines)
            .map(|index| {
                m.instance(&format!("u_engine{index}"), &engine)
                    .ignore("lower", "a line is compared once its threshold is known")
                    .ignore("upper", "likewise")
            })
            .collect();

        m.section("rows take them in turn");
        let selection_end = selection.valid;
        let selection_turn = self.give(
            m,
            "selection",
            selection,
            &engines,
            |engine, valid, stream| {
                engine
                    .input("selection_valid", valid)
                    .input("selection_k", stream.field("k"))
                    .input("selection_keys", stream.field("keys"))
                    .output("selection_ready")
            },
        );
        let line_end = line.valid & line.field("last");
        let line_turn = self.give(m, "line", line, &engines, |engine, valid, stream| {
            engine
                .input("in_valid", valid)
                .input("in_data", data)
                .input("in_ranked", ranked)
                .input("in_last", stream.field("last"))
                .output("in_ready")
        });
        if let Some((turn, ready)) = selection_turn {
            turn.next_when(selection_end & ready, !*turn);
        }
        if let Some((turn, ready)) = line_turn {
            turn.next_when(line_end & ready, !*turn);
        }

        m.section("thresholds, in the order of their rows");
        let found: Vec<Stream<'_>> = engines.iter().map(|e| e.stream("threshold")).collect();
        let next = match &found[..] {
            [only] => only.clone(),
            [even, odd] => {
                reg!(m, threshold_turn_q: 1, reset = 0, "engine of the next threshold");
                let turn = *threshold_turn_q;
                let valid = m.net("found", turn.select(odd.valid, even.valid), "");
                let ready = m.wire("found_ready", 1, "");
                even.ready.drive(*ready & !turn);
                odd.ready.drive(*ready & turn);
                threshold_turn_q.next_when(valid & *ready, !turn);
                let fields = ["kth", "keep_equal"].map(|name| {
                    let word = turn.select(odd.field(name), even.field(name));
                    (name.to_owned(), word)
                });
                Stream::new(valid, ready, fields.into())
            }
            _ => unreachable!("one or two engines"),
        };
        let fifo = Fifo::new(next.width(), Self::THRESHOLDS);
        threshold.connect(m.through("u_threshold_fifo", &fifo, next));
    }
}

impl ValueRanking {
    /// Offers a stream's words to the engine whose turn it is; `connect` wires an engine and returns its ready. Where
    /// there are two, returns the turn, to be changed at the end of a row's words, and the stream's ready.
    fn give<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        stream: Stream<'m>,
        engines: &[Instance<'m>],
        connect: impl Fn(Instance<'m>, Sig<'m>, &Stream<'m>) -> Sig<'m>,
    ) -> Option<(crate::hdl::Reg<'m>, Sig<'m>)> {
        let [even, odd] = engines else {
            stream
                .ready
                .drive(connect(engines[0], stream.valid, &stream));
            return None;
        };
        let turn = m.register(&format!("{name}_turn_q"), 1, Some(0), "engine of the row");
        let even_ready = connect(*even, stream.valid & !*turn, &stream);
        let odd_ready = connect(*odd, stream.valid & *turn, &stream);
        let ready = turn.select(odd_ready, even_ready);
        let ready = m.net(&format!("{name}_taken"), ready, "");
        stream.ready.drive(ready);
        Some((turn, ready))
    }
}
