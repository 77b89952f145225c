//! The memory core: the attention pipeline behind its memory channels. It fetches Q, K and V by itself and writes outputs
//! back.

use super::attention_pipeline::AttentionPipeline;
use super::control::Dispatch;
use super::fetch::{Class, Fetch};
use super::output::OutputWriter;
use crate::cells::reset_control::ResetRegisters;
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field};

/// Rows of attention from memory to memory.
///
/// | port | |
/// |---|---|
/// | `list` in | surviving ids, for jobs that are not dense |
/// | `key`, `value` in | what to fetch: a job per KV head whose K and V stay, or per row that has its own |
/// | `row` in | a word per query row: where its query and its outputs are, how it is computed |
/// | `job`, `pin` in | importance: as [`AttentionPipeline`] |
/// | `refined` out | whether a row with a rule took its LSBs |
/// | `kept_token`, `kept_head`, `token_score`, `head_score`, `value_id` out | likewise |
/// | `read_error`, `write_error` out | the first thing that a memory did wrong: port, kind, id of a read, address / 32 |
/// | `rows_written_o` | output rows acknowledged since reset |
/// | `stop_i`, `stopped_o` | the ports drain, then all is reset; it is, and works again when `stop_i` falls; words taken before are lost, words offered meanwhile wait |
/// | `mem<n>_ar`, `_r`, `_aw`, `_w`, `_b` | AXI4 port of channel n |
#[derive(Clone, Debug)]
pub struct MemoryCore {
    /// Who gets what.
    pub dispatch: Dispatch,
    /// The way to memory.
    pub output: OutputWriter,
}

impl MemoryCore {
    /// The memory core of a configuration.
    pub fn new(config: &Config) -> Self {
        MemoryCore {
            dispatch: Dispatch::new(config),
            output: OutputWriter::new(config),
        }
    }

    /// The way from memory.
    pub fn fetch(&self) -> &Fetch {
        &self.dispatch.fetch
    }

    /// What computes.
    pub fn pipeline(&self) -> &AttentionPipeline {
        &self.dispatch.pipeline
    }

    /// Channels in, with their fields.
    pub fn in_channels(&self) -> Vec<(&'static str, Vec<Field>)> {
        let mut channels = vec![
            ("list", self.fetch().list_fields()),
            ("key", self.dispatch.key_fields()),
            ("value", self.fetch().job_fields(Class::Value)),
            ("row", self.dispatch.row_fields()),
        ];
        channels.extend(self.pipeline().job_channels());
        channels
    }

    /// Channels out, with their fields, those of the memory ports left aside.
    pub fn out_channels(&self) -> Vec<(&'static str, Vec<Field>)> {
        let of_pipeline = self.pipeline().out_channels().into_iter();
        let mut channels: Vec<_> = of_pipeline
            .filter(|(name, _)| !["out", "refetch"].contains(name))
            .collect();
        if self.has_lsb() {
            channels.push(("refined", Dispatch::refined_fields().into()));
        }
        channels.push(("read_error", self.fetch().error_fields()));
        channels.push(("write_error", self.output.error_fields()));
        channels
    }

    /// Whether there is an LSB plane.
    pub fn has_lsb(&self) -> bool {
        self.fetch().classes().any(|class| class == Class::Lsb)
    }
}

impl Block for MemoryCore {
    fn name(&self) -> String {
        format!("spatten_{}_memory_core", self.pipeline().name)
    }

    fn about(&self) -> About {
        let mut parameters = self.pipeline().parameters();
        parameters.push(("channels", self.fetch().channels.to_string()));
        parameters.push(("tokens", self.fetch().tokens.to_string()));
        let lsb = match self.has_lsb() {
            true => {
                "\nu_pipeline -- refetch --> u_dispatch -- lsb_job --> u_fetch -- lsb_line --> u_pipeline"
            }
            false => "",
        };
        About {
            purpose: format!(
                "Memory core: attention from memory to memory.\n\
                 \n\
                 row -> u_dispatch -> what u_fetch reads, what the rows of u_pipeline are, where u_output writes\n\
                 mem<n>_r -> u_fetch -- key_line, value_line, query --> u_pipeline -> u_output -> mem<n>_w{lsb}"
            ),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (dispatch, fetch, output) = (&self.dispatch, self.fetch(), &self.output);
        let inputs = self.in_channels().into_iter();
        let inputs: Vec<_> = inputs
            .map(|(name, fields)| (name, m.stream_in(name, &fields)))
            .collect();
        let outs: Vec<_> = self
            .out_channels()
            .into_iter()
            .map(|(name, fields)| (name, m.stream_out(name, &fields)))
            .collect();
        let stop = m.input("stop", 1, "drain the ports, then reset everything");
        let stopped = m.output("stopped", 1, "all is reset");
        let rows_written = m.output("rows_written", 32, "output rows acknowledged since reset");

        m.section("a stop drains the ports, then resets everything");
        let idle = m.wire("idle", 1, "no read and no write is under way");
        let reset = ResetRegisters::new(m, stop, *idle);
        let restart_n = *reset.restart_n;
        stopped.drive(reset.stopped);

        m.section("until they work, words from outside wait");
        let mut inputs = reset.gated(inputs);
        let mut input = |name: &str| {
            let index = inputs.iter().position(|(known, _)| *known == name);
            inputs.swap_remove(index.expect("a channel in")).1
        };

        m.section("stages");
        let u_dispatch = m.instance("u_dispatch", dispatch).reset(restart_n);
        let u_fetch = m.instance("u_fetch", fetch).input("restart_n", restart_n);
        let u_pipeline = m.instance("u_pipeline", self.pipeline()).reset(restart_n);
        let u_output = m.instance("u_output", output).reset(restart_n);
        u_fetch.input("stop", stop);
        u_output.input("stop", stop);
        idle.drive(u_fetch.output("idle") & u_output.output("idle"));
        rows_written.drive(u_output.output("rows_written"));

        m.section("rows and jobs");
        u_dispatch
            .feed("row", input("row"))
            .feed("key", input("key"));
        u_fetch
            .feed("list", input("list"))
            .feed("key", u_dispatch.stream("key_job"))
            .feed("value", input("value"))
            .feed("query", u_dispatch.stream("query_fetch"))
            .feed("key_row", u_dispatch.stream("key_row"))
            .feed("value_row", u_dispatch.stream("value_row"));
        u_dispatch.feed("query_line", u_fetch.stream("query_line"));
        u_pipeline
            .feed("row", u_dispatch.stream("pipeline_row"))
            .feed("query", u_dispatch.stream("query"))
            .feed("job", input("job"))
            .feed("pin", input("pin"));

        m.section("lines and outputs");
        for line in ["key_line", "value_line"] {
            u_pipeline.feed(line, u_fetch.stream(line));
        }
        if self.has_lsb() {
            u_dispatch.feed("refetch", u_pipeline.stream("refetch"));
            u_fetch
                .feed("lsb", u_dispatch.stream("lsb_job"))
                .feed("lsb_row", u_dispatch.stream("lsb_row"));
            u_pipeline.feed("lsb_line", u_fetch.stream("lsb_line"));
        }
        u_output
            .feed("row", u_dispatch.stream("output_row"))
            .feed("word", u_pipeline.stream("out"));

        m.section("what leaves");
        for (name, out) in outs {
            out.connect(match name {
                "read_error" => u_fetch.stream("error"),
                "write_error" => u_output.stream("error"),
                "refined" => u_dispatch.stream("refined"),
                name => u_pipeline.stream(name),
            });
        }

        m.section("memory ports");
        let (reads, writes) = (fetch.read_master(), output.master());
        for n in 0..fetch.channels {
            let [ar, r] = fetch.port_names(n);
            let [aw, w, b] = OutputWriter::port_names(n);
            for (name, fields, instance) in [
                (ar, reads.address_fields(), u_fetch),
                (aw, writes.address_fields(), u_output),
                (
                    w,
                    crate::accelerator::output::WriteMaster::data_fields(),
                    u_output,
                ),
            ] {
                m.stream_out(&name, &fields).connect(instance.stream(&name));
            }
            u_fetch.feed(&r, m.stream_in(&r, &reads.data_fields()));
            u_output.feed(&b, m.stream_in(&b, &writes.response_fields()));
        }
    }
}
