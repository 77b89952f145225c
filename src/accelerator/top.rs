//! The attention core: K and V buffers and the attention pipeline.

use std::ops::Deref;

use super::attention_pipeline::{AttentionPipeline, branch};
use super::kv_buffer::{LineBuffer, LineColumn, LineRing};
use crate::cells::fork::Fork;
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field};

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
        About {
            purpose: "Attention core: softmax(q K^T * scale) V for query rows of one head after another.\n\
                      \n\
                      key   -> K buffer -> pipeline -> out\n\
                      value -> V buffer ------^\n\
                      row   -> one descriptor per query row, forked to both buffers and the pipeline"
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let elements = self.shape.multipliers;
        let line = |bits: usize, what: &str| {
            let doc = format!("{what} line: element k of {bits} bits, signed");
            [Field::new("data", elements * bits, &doc)]
        };
        let key = m.stream_in("key", &line(self.formats.key_bits, "K"));
        let value = m.stream_in("value", &line(self.formats.value_bits, "V"));
        let row = m.stream_in("row", &self.row_fields());

        m.section("the buffers and the pipeline get their parts of the row descriptor");
        let u_fork = m.instance("u_row_fork", &Fork { branches: 4 });
        u_fork.input("in_valid", row.valid);
        row.ready.drive(u_fork.output("in_ready"));
        let buffer = ["level", "live", "release", "keys"];
        let key_row = branch(m, u_fork, (0, "key_row", 2), &row, &buffer);
        let ahead = AttentionPipeline::ROWS_AHEAD - 1;
        let query = branch(m, u_fork, (1, "query", ahead), &row, &["query", "level"]);
        let value_row = branch(m, u_fork, (2, "value_row", self.rows()), &row, &buffer);
        let of_pipeline = self.pipeline.row_fields();
        let fields = of_pipeline
            .iter()
            .map(|field| (field.name.clone(), row.field(&field.name)));
        let stage_row = u_fork.stream("out3").with_fields(fields.collect());

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
        for (name, fields) in self.pipeline.out_channels() {
            m.stream_out(name, &fields).connect(u_pipeline.stream(name));
        }
    }
}
