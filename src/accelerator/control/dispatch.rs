//! Dispatch: a row's word becomes what each stage needs of it, and LSBs are fetched for the rows that ask for them.

use crate::accelerator::attention_pipeline::AttentionPipeline;
use crate::accelerator::fetch::{Class, FORMAT_BITS, Fetch};
use crate::cells::fork::{Fork, StreamFork};
use crate::cells::spill_register::registered;
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field, Stream, StreamOut};
use crate::net;
use crate::numerics::index_bits;

/// Key jobs whose rows have not yet been found confident: a row of one line is as long as the memory's latency behind
/// the scan of its keys.
const JOBS_AHEAD: usize = 64;

/// Distributes row words and key jobs.
///
/// - Latency: 1 cycle from a row to the fetch of its query and to its other words, a FIFO's; interval: 1 cycle.
/// - Stalls: a FIFO in front of every receiver, deep enough for the rows whose queries are fetched ahead, so that none
///   holds the others.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// What fetches queries, K and V.
    pub fetch: Fetch,
    /// What computes.
    pub pipeline: AttentionPipeline,
}

impl Dispatch {
    /// That of a configuration.
    pub fn new(config: &Config) -> Self {
        Dispatch {
            fetch: Fetch::new(config),
            pipeline: AttentionPipeline::new(config),
        }
    }

    /// Whether there is an LSB plane.
    fn has_lsb(&self) -> bool {
        self.fetch.classes().any(|class| class == Class::Lsb)
    }

    /// Rows whose queries are fetched, or there, before the row's first score.
    fn rows_ahead(&self) -> usize {
        self.fetch.lines[Class::Query as usize]
    }

    /// Fields of the `row` channel: where the query is and where the outputs go, which K and V the row reads, and what
    /// the pipeline's stages need.
    pub fn row_fields(&self) -> Vec<Field> {
        let mut fields = Vec::new();
        for mut field in self.fetch.query_fields() {
            if field.name == "base" {
                field.name = "query_base".into();
                field.doc = "of the head's queries in every channel: byte address / 32".into();
                fields.push(field.clone());
                field.name = "output_base".into();
                field.doc = "of the head's output rows in every channel: byte address / 32".into();
            }
            fields.push(field);
        }
        let of_buffers = self.fetch.ring(Class::Key).row_fields();
        for field in of_buffers.into_iter().chain(self.pipeline.row_fields()) {
            if fields.iter().all(|known| known.name != field.name) {
                fields.push(field);
            }
        }
        fields
    }

    /// Fields of the `key` channel: the job of the fetcher, and where the LSB plane is.
    pub fn key_fields(&self) -> Vec<Field> {
        let mut fields = self.fetch.job_fields(Class::Key);
        if self.has_lsb() {
            let doc = "of the head's LSB plane in every channel: byte address / 32";
            fields.push(Field::new("lsb_base", self.fetch.base_bits(), doc));
            // Heads that share a place of 6- or 10-bit vectors are turned alike there, but not in the LSB plane.
            let doc = "exclusive-ored to the channel of its vectors";
            fields.push(Field::new(
                "lsb_rotation",
                index_bits(self.fetch.channels),
                doc,
            ));
            let doc = "the keys are those of one row, which has a rule";
            fields.push(Field::new("progressive", 1, doc));
        }
        fields
    }

    /// Fields of the `refined` channel: a word per row with a rule, for whoever counts them.
    pub fn refined_fields() -> [Field; 1] {
        [Field::new("data", 1, "the row took its LSBs")]
    }

    /// Fields of the `output_row` channel.
    pub fn output_row_fields(&self) -> Vec<Field> {
        self.fetch.query_fields()
    }
}

impl Block for Dispatch {
    fn name(&self) -> String {
        format!("spatten_{}_dispatch", self.pipeline.name)
    }

    fn about(&self) -> About {
        let lsb = match self.has_lsb() {
            true => {
                "\nkey -> u_lsb_fifo -> does its row ask for LSBs (refetch)? -> lsb_job, lsb_row, refined"
            }
            false => "",
        };
        About {
            purpose: format!(
                "Dispatch: one word per query row becomes what each stage needs of it.\n\
                 \n\
                 row -> query_fetch, key_row, value_row, pipeline_row, output_row\n\
                 row's level, query_line -> query\n\
                 key -> key_job{lsb}"
            ),
            parameters: vec![
                ("rows_ahead", self.rows_ahead().to_string()),
                ("rows", self.pipeline.value_rows().to_string()),
                ("lsb_plane", self.has_lsb().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (fetch, pipeline) = (&self.fetch, &self.pipeline);
        let row = m.stream_in("row", &self.row_fields());
        let key = m.stream_in("key", &self.key_fields());
        let query_line = m.stream_in("query_line", &fetch.query_line_fields());
        let query_fetch = m.stream_out("query_fetch", &fetch.query_fields());
        let query = m.stream_out("query", &pipeline.query_fields());
        let ring_fields = fetch.ring(Class::Key).row_fields();
        let key_row = m.stream_out("key_row", &ring_fields);
        let value_row = m.stream_out("value_row", &ring_fields);
        let pipeline_row = m.stream_out("pipeline_row", &pipeline.row_fields());
        let output_row = m.stream_out("output_row", &self.output_row_fields());
        let key_job = m.stream_out("key_job", &fetch.job_fields(Class::Key));

        m.section("a row's words, each in a FIFO of its own");
        let ahead = self.rows_ahead();
        // Rows between their query and their outputs.
        let under_way = ahead + pipeline.value_rows();
        let (places, pipeline_fields) = (fetch.query_fields(), pipeline.row_fields());
        let rows = StreamFork::new(m, "u_row_fork", 6, row);
        query_fetch.connect(rows.branch_as("query_fetch", 2, &based(&places, "query_base")));
        // Two more than the ring holds: they are being asked for.
        let level = rows.branch("level", ahead + 2, &["level"]);
        key_row.connect(rows.branch("key_row", ahead, &names(&ring_fields)));
        value_row.connect(rows.branch("value_row", under_way, &names(&ring_fields)));
        pipeline_row.connect(rows.branch("pipeline_row", ahead, &names(&pipeline_fields)));
        let fields = based(&places, "output_base");
        output_row.connect(rows.branch_as("output_row", under_way, &fields));

        m.section("a query and its level");
        query.drive(
            query_line.valid & level.valid,
            &[
                ("query", query_line.data()),
                ("level", level.field("level")),
            ],
        );
        query_line.ready.drive(query.ready & level.valid);
        level.ready.drive(query.ready & query_line.valid);

        if self.has_lsb() {
            self.lsb(m, key, key_job);
        } else {
            key_job.connect(key);
        }
    }
}

impl Dispatch {
    /// Every key job goes to the fetcher now, and once more, when its row has been found confident or not, as the job of
    /// the LSB plane.
    fn lsb<'m>(&self, m: &'m Builder, key: Stream<'m>, key_job: StreamOut<'m>) {
        let refetch = m.stream_in(
            "refetch",
            &[Field::new("data", 1, "the row needs its LSBs")],
        );
        let lsb_job = m.stream_out("lsb_job", &self.fetch.job_fields(Class::Lsb));
        let lsb_row = m.stream_out("lsb_row", &self.fetch.ring(Class::Lsb).row_fields());

        let told_out = m.stream_out("refined", &Self::refined_fields());

        m.section("key jobs, and what is needed of them for the LSBs");
        let keys = StreamFork::new(m, "u_key_fork", 2, key);
        key_job.connect(keys.direct(&names(&self.fetch.job_fields(Class::Key))));
        let fields = [
            ("base", "lsb_base"),
            ("rotation", "lsb_rotation"),
            ("level", "level"),
            ("keys", "keys"),
            ("dense", "dense"),
            ("list_last", "list_last"),
            ("progressive", "progressive"),
        ];
        let later = keys.branch_as("lsb", JOBS_AHEAD, &fields);
        // The FIFO's memory would be read in front of the fork.
        let later = registered(m, "u_lsb_register", later);

        m.section("a job goes on when it is known whether its row needs the LSBs");
        let progressive = later.field("progressive");
        net!(m, known = later.valid & (refetch.valid | !progressive));
        net!(m, refined = progressive & refetch.data());
        let u_known = m.instance("u_known_fork", &Fork { branches: 3 });
        u_known.input("in_valid", known);
        let taken = m.net("taken", known & u_known.output("in_ready"), "");
        later.ready.drive(taken);
        refetch.ready.drive(taken & progressive);

        let job = u_known.stream("out0");
        let row = u_known.stream("out1");
        lsb_job.drive(
            job.valid,
            &[
                ("base", later.field("base")),
                ("rotation", later.field("rotation")),
                ("level", later.field("level")),
                ("format", m.lit(0, FORMAT_BITS)),
                ("keys", later.field("keys")),
                ("dense", later.field("dense")),
                ("list_last", later.field("list_last")),
                ("skip", !refined),
            ],
        );
        job.ready.drive(lsb_job.ready);
        lsb_row.drive(
            row.valid & refined,
            &[
                ("level", later.field("level")),
                ("live", later.field("keys")),
                ("release", m.lit(1, 1)),
                ("keys", later.field("keys")),
            ],
        );
        row.ready.drive(lsb_row.ready | !refined);
        let told = u_known.stream("out2");
        told_out.drive(told.valid & progressive, &[("data", refetch.data())]);
        told.ready.drive(told_out.ready | !progressive);
    }
}

fn names(fields: &[Field]) -> Vec<&str> {
    fields.iter().map(|field| field.name.as_str()).collect()
}

/// Fields of a place, (name, name in the row's word), whose `base` the word calls `base`.
fn based<'a>(fields: &'a [Field], base: &'a str) -> Vec<(&'a str, &'a str)> {
    let of_word = |name: &'a str| if name == "base" { base } else { name };
    let pairs = names(fields).into_iter();
    pairs.map(|name| (name, of_word(name))).collect()
}
