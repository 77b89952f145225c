//! RTL of `top_k`: the engine, the lines in memory, and the filter.

use super::filter::Filter;
use super::quick_select::QuickSelect;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::fork::Fork;
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream};
use crate::numerics::{TOKEN_SCORE_BITS, index_bits};

/// The largest k of the ranked elements and all pinned ones, in input order, each with its payload.
///
/// - Latency from a selection's last line to its first with an element that stays: data-dependent, at most
///   [`most_cycles`](Self::most_cycles).
/// - Interval: selections follow each other while earlier ones are ranked and filtered.
/// - Stalls: on every stream.
#[derive(Clone, Debug)]
pub struct TopK {
    /// Finds the threshold.
    pub engine: QuickSelect,
    /// Bits of a payload.
    pub payload_bits: usize,
    /// Whether elements leave with their keys, the key below, the payload above; and those that do not stay leave too, on
    /// `dropped`.
    pub keys_out: bool,
    /// Lines of the line memory: at least the lines of a selection; twice that for selections back to back.
    pub lines: usize,
}

impl TopK {
    /// The selection of tokens of a configuration: token scores, and the tokens' ids as payloads.
    pub fn new(config: &Config) -> Self {
        let keys = config.limits.keys_per_row;
        let inputs = config.softmax.lanes.next_power_of_two();
        TopK {
            engine: QuickSelect {
                width: TOKEN_SCORE_BITS,
                lanes: config.top_k.lanes,
                inputs,
                max_keys: keys,
            },
            payload_bits: index_bits(keys),
            keys_out: false,
            lines: 2 * keys.div_ceil(inputs),
        }
    }

    /// Bits of an element that leaves.
    pub fn out_bits(&self) -> usize {
        match self.keys_out {
            true => self.engine.width + self.payload_bits,
            false => self.payload_bits,
        }
    }

    /// The filter.
    pub fn filter(&self) -> Filter {
        Filter {
            width: self.engine.width,
            payload_bits: self.out_bits(),
            inputs: self.engine.inputs,
            max_keys: self.engine.max_keys,
            drops: self.keys_out,
        }
    }

    /// The line memory.
    pub fn line_fifo(&self) -> BankedFifo {
        let element = self.engine.width + self.payload_bits + 2;
        BankedFifo::new(self.engine.inputs * element + 1, self.lines)
    }

    /// Most cycles from the last line of `keys` keys to the first line out, from idle and without stalls.
    pub fn most_cycles(&self, keys: usize) -> usize {
        self.engine.most_cycles(keys) + Filter::LATENCY as usize
    }

    /// Fields of the `in` channel.
    pub fn in_fields(&self) -> Vec<Field> {
        let mut fields = self.filter().line_fields();
        let (inputs, bits) = (self.engine.inputs, self.payload_bits);
        let doc = format!("{inputs} payloads of {bits} bits");
        fields[1] = Field::new("payload", inputs * bits, &doc);
        fields
    }

    /// What leaves with the elements of a line that stay.
    fn elements<'m>(&self, m: &'m Builder, line: &Stream<'m>) -> Sig<'m> {
        if !self.keys_out {
            return line.field("payload");
        }
        let keys = line.data().lanes(self.engine.width).to_vec();
        let payloads = line.field("payload").lanes(self.payload_bits).to_vec();
        let elements: Vec<_> = keys
            .into_iter()
            .zip(payloads)
            .map(|(key, payload)| m.cat(&[payload, key]))
            .collect();
        m.pack(&elements)
    }
}

impl Block for TopK {
    fn name(&self) -> String {
        let QuickSelect {
            width,
            lanes,
            inputs,
            max_keys,
        } = self.engine;
        format!(
            "spatten_top_k_w{width}_p{}{}_l{lanes}_i{inputs}_n{max_keys}_{}",
            self.payload_bits,
            if self.keys_out { "k" } else { "" },
            self.lines
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Top-k: the k largest of the ranked elements and all pinned ones stay, in input order.\n\
                      \n\
                      in -> u_engine ---threshold-.\n\
                      '---> u_line_fifo -> u_filter -> out"
                .into(),
            parameters: vec![
                ("width", self.engine.width.to_string()),
                ("payload_bits", self.payload_bits.to_string()),
                ("keys_out", self.keys_out.to_string()),
                ("lanes", self.engine.lanes.to_string()),
                ("inputs", self.engine.inputs.to_string()),
                ("max_keys", self.engine.max_keys.to_string()),
                ("lines", self.lines.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let selection = m.stream_in("selection", &self.engine.selection_fields());
        let input = m.stream_in("in", &self.in_fields());
        let out = m.stream_out("out", &self.filter().out_fields());

        m.section("every line goes to the engine and to the line memory");
        let u_fork = m.instance("u_fork", &Fork { branches: 2 });
        u_fork.input("in_valid", input.valid);
        input.ready.drive(u_fork.output("in_ready"));
        let branch = |index: usize, names: &[&str]| {
            let handshake = u_fork.stream(&format!("out{index}"));
            let fields = names
                .iter()
                .map(|&name| (name.to_owned(), input.field(name)));
            Stream::new(handshake.valid, handshake.ready, fields.collect())
        };
        let ranked = branch(0, &["data", "ranked", "last"]);
        let whole = branch(1, &["data", "payload", "ranked", "pinned", "last"]);

        m.section("threshold");
        let u_engine = m.instance("u_engine", &self.engine);
        u_engine.feed("selection", selection).feed("in", ranked);

        m.section("the lines again, filtered");
        let line = m.through("u_line_fifo", &self.line_fifo(), whole);
        let elements = self.elements(m, &line);
        let fields = ["data", "ranked", "pinned", "last"].map(|f| (f.to_owned(), line.field(f)));
        let mut fields = Vec::from(fields);
        fields.push(("payload".to_owned(), elements));
        let line = line.with_fields(fields);
        let u_filter = m.instance("u_filter", &self.filter());
        u_filter
            .feed("line", line)
            .feed("threshold", u_engine.stream("threshold"))
            .input("lower", u_engine.output("lower"))
            .input("upper", u_engine.output("upper"));
        out.connect(u_filter.stream("out"));
        if self.keys_out {
            let fields = self.filter().dropped_fields();
            m.stream_out("dropped", &fields)
                .connect(u_filter.stream("dropped"));
        }
    }
}
