//! The attention core: K and V buffers and the attention pipeline.

use std::ops::Deref;

use super::attention_pipeline::AttentionPipeline;
use super::kv_buffer::{LineBuffer, LineColumn, LineRing};
use super::refine::Refine;
use crate::cells::fork::{Fork, StreamFork};
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field, Stream};
use crate::net;
use crate::numerics::KEY_LSB_BITS;

/// One head after another: K and V lines fill the buffers, query rows enter, output rows leave in order.
///
/// Every stage is the pipeline's, to which the core dereferences.
#[derive(Clone, Debug)]
pub struct AttentionCore {
    /// The stages behind the buffers.
    pub pipeline: AttentionPipeline,
    /// Lines of the K buffer, to be rounded up to whole rows of banks.
    pub key_lines: usize,
    /// Lines of the V buffer, likewise.
    pub value_lines: usize,
    /// Lines of the buffer of K's LSB plane, likewise, where the pipeline refines rows.
    pub key_lsb_lines: usize,
}

impl Deref for AttentionCore {
    type Target = AttentionPipeline;

    fn deref(&self) -> &AttentionPipeline {
        &self.pipeline
    }
}

impl AttentionCore {
    /// The core of a configuration.
    pub fn new(config: &Config) -> Self {
        AttentionCore {
            pipeline: AttentionPipeline::new(config),
            key_lines: config.buffers.key_lines,
            value_lines: config.buffers.value_lines,
            key_lsb_lines: config.buffers.key_lsb_lines,
        }
    }

    /// The K buffer.
    pub fn key_buffer(&self) -> LineBuffer {
        self.line_buffer(self.formats.key_bits, self.key_lines)
    }

    /// The V buffer.
    pub fn value_buffer(&self) -> LineBuffer {
        self.line_buffer(self.formats.value_bits, self.value_lines)
    }

    /// The buffer of K's LSB plane, where there is one.
    pub fn lsb_buffer(&self) -> Option<LineBuffer> {
        self.refines()
            .then(|| self.line_buffer(KEY_LSB_BITS, self.key_lsb_lines))
    }

    fn line_buffer(&self, element_bits: usize, lines: usize) -> LineBuffer {
        LineBuffer {
            ring: LineRing {
                shape: self.shape.clone(),
                element_bits,
                lines: lines.next_multiple_of(LineColumn::BANKS),
                keys_per_row: self.keys_per_row,
            },
        }
    }

    /// Fields of the `row` channel: those of the query, of the buffers and of the pipeline, each once.
    pub fn row_fields(&self) -> Vec<Field> {
        let mut fields = self.pipeline.query_fields();
        let of_buffer = self.key_buffer().ring.row_fields();
        for field in of_buffer.into_iter().chain(self.pipeline.row_fields()) {
            if !fields.iter().any(|known| known.name == field.name) {
                fields.push(field);
            }
        }
        fields
    }
}

impl Block for AttentionCore {
    fn name(&self) -> String {
        format!("spatten_{}_attention_core", self.name)
    }

    fn about(&self) -> About {
        let mut parameters = self.pipeline.parameters();
        parameters.push(("key_lines", self.key_lines.to_string()));
        parameters.push(("value_lines", self.value_lines.to_string()));
        parameters.push(("key_lsb_lines", self.key_lsb_lines.to_string()));
        About {
            purpose: "Attention core: softmax(q K^T * scale) V for query rows of one head after another.\n\
                      \n\
                      key   -> K buffer -> pipeline -> out\n\
                      value -> V buffer ------^\n\
                      row   -> one descriptor per query row, forked to both buffers and the pipeline\n\
                      \n\
                      With an LSB plane: lsb -> LSB buffer -> pipeline, the lines of the rows that `refetch` names, in its\n\
                      order; each row is a head of its own there."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let elements = self.shape.multipliers;
        let line = |bits: usize, what: &str, sign: &str| {
            let doc = format!("{what} line: element k of {bits} bits, {sign}");
            [Field::new("data", elements * bits, &doc)]
        };
        let key = m.stream_in("key", &line(self.formats.key_bits, "K", "signed"));
        let value = m.stream_in("value", &line(self.formats.value_bits, "V", "signed"));
        let row = m.stream_in("row", &self.row_fields());

        m.section("the buffers and the pipeline get their parts of the row descriptor");
        let branches = if self.refines() { 5 } else { 4 };
        let rows = StreamFork::new(m, "u_row_fork", branches, row);
        let of_buffer = ["level", "live", "release", "keys"];
        let key_row = rows.branch("key_row", 2, &of_buffer);
        let ahead = AttentionPipeline::ROWS_AHEAD - 1;
        let query = rows.branch("query", ahead, &["query", "level"]);
        let value_row = rows.branch("value_row", self.value_rows(), &of_buffer);
        let fields = self.pipeline.row_fields();
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        let stage_row = rows.direct(&names);

        m.section("K and V");
        let u_keys = m.instance("u_key_buffer", &self.key_buffer());
        u_keys.feed("fill", key).feed("row", key_row);
        let u_values = m.instance("u_value_buffer", &self.value_buffer());
        u_values.feed("fill", value).feed("row", value_row);

        m.section("attention");
        let u_pipeline = m.instance("u_pipeline", &self.pipeline);
        u_pipeline
            .feed("query", query)
            .feed("key_line", u_keys.stream("line"))
            .feed("value_line", u_values.stream("line"))
            .feed("row", stage_row);
        for (name, fields) in self.pipeline.job_channels() {
            u_pipeline.feed(name, m.stream_in(name, &fields));
        }
        if let Some(lsbs) = self.lsb_buffer() {
            let lsb_row = rows.branch("lsb_row", self.value_rows(), &["level", "live", "rule"]);
            let lsb_row = refetched(m, lsb_row, u_pipeline.stream("refetch"));
            let fill = m.stream_in("lsb", &line(KEY_LSB_BITS, "LSB", "unsigned"));
            let u_lsbs = m.instance("u_lsb_buffer", &lsbs);
            u_lsbs.feed("fill", fill).feed("row", lsb_row);
            u_pipeline.feed("lsb_line", u_lsbs.stream("line"));
        }
        for (name, fields) in self.pipeline.out_channels() {
            if name != "refetch" {
                m.stream_out(name, &fields).connect(u_pipeline.stream(name));
            }
        }
    }
}

/// The rows whose LSB lines are read, each a head of its own, once `refetch`, which has a word per row with a rule and
/// goes on to the core's output, asks for them.
fn refetched<'m>(m: &'m Builder, row: Stream<'m>, refetch: Stream<'m>) -> Stream<'m> {
    m.section("rows whose LSB lines are read");
    let out = m.stream_out("refetch", &Refine::verdict_fields());
    let u_fork = m.instance("u_refetch_fork", &Fork { branches: 2 });
    u_fork.input("in_valid", refetch.valid);
    refetch.ready.drive(u_fork.output("in_ready"));
    let [copy, wanted] = ["out0", "out1"].map(|branch| u_fork.stream(branch));
    out.connect(copy.with_fields(vec![("data".into(), refetch.data())]));

    net!(m, judged = row.field("rule").any());
    net!(m, read = row.valid & judged & wanted.valid & refetch.data());
    let taken = m.wire("lsb_row_taken", 1, "");
    net!(m, passes = *taken | !refetch.data());
    wanted.ready.drive(row.valid & judged & passes);
    row.ready.drive((!judged) | (wanted.valid & passes));
    let live = row.field("live");
    let fields = vec![
        ("level".into(), row.field("level")),
        ("live".into(), live),
        ("release".into(), m.lit(1, 1)),
        ("keys".into(), live),
    ];
    Stream::new(read, taken, fields)
}
