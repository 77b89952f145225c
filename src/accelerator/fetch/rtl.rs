//! The fetcher: lists of tokens and jobs in, lines of K, of its LSB plane, of V, and queries out.

use super::admission::Admission;
use super::assembly::Assembly;
use super::class_scan::{ClassScan, place_fields};
use super::distributor::Distributor;
use super::fetch_path::FetchPath;
use super::fill_crossbar::FillCrossbar;
use super::read_master::ReadMaster;
use super::read_request::ReadRequest;
use super::tag::VectorTag;
use super::token_list::TokenList;
use crate::accelerator::axi::{self, BEAT_BYTES};
use crate::accelerator::kv_buffer::{LineColumn, LineRing};
use crate::accelerator::shape::ArrayShape;
use crate::cells::fifo::Fifo;
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field};
use crate::numerics::{index_bits, log2_exact};

/// Bits of an element of K's LSB plane.
pub const LSB_BITS: usize = 4;
/// Bits of a vector's format.
pub const FORMAT_BITS: usize = 3;
/// Jobs of a class between their first batch and their last vector's address.
const JOBS: usize = 4;

/// A class of vectors: each has its jobs, its ring of lines and its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// K, or its MSB plane.
    Key,
    /// K's LSB plane.
    Lsb,
    /// V.
    Value,
    /// Q.
    Query,
}

impl Class {
    /// Every class, in the order of its code.
    pub const ALL: [Class; 4] = [Class::Key, Class::Lsb, Class::Value, Class::Query];

    /// Bits of a code.
    pub const BITS: usize = 2;

    /// The code in tags.
    pub fn code(self) -> u64 {
        self as u64
    }

    /// Name of the class's channels: jobs `<name>` in, rows `<name>_row` in, lines `<name>_line` out.
    pub fn name(self) -> &'static str {
        match self {
            Class::Key => "key",
            Class::Lsb => "lsb",
            Class::Value => "value",
            Class::Query => "query",
        }
    }
}

/// From lists of tokens to lines: the read side of the memory system.
///
/// | port | |
/// |---|---|
/// | `list` in | surviving ids, [`scan_lanes`](Self::scan_lanes) per word, to every list class |
/// | `key`, `lsb`, `value` in | jobs: [`job_fields`](Self::job_fields) |
/// | `query` in | one vector per word: [`query_fields`](Self::query_fields) |
/// | `key_row`, `lsb_row`, `value_row` in | [`LineRing::row_fields`]: what is read of the rings |
/// | `key_line`, `lsb_line`, `value_line` out | [`LineRing::line_fields`] |
/// | `query_line` out | `data`, one query after another |
/// | `mem<n>_ar` out, `mem<n>_r` in | AXI4 read port of channel n: [`ReadMaster::address_fields`], [`ReadMaster::data_fields`] |
/// | `error` out | [`error_fields`](Self::error_fields): the first thing that a memory did wrong |
/// | `stop_i`, `idle_o` | the ports stop and drain; all have |
/// | `restart_n_i` | active low, from a register or port: resets all but the ports, which must be idle |
///
/// `lsb`, `lsb_row` and `lsb_line` are there where the configuration has an LSB plane.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Both multiplier arrays.
    pub shape: ArrayShape,
    /// Bits of an element of K's MSB plane, of V and of Q.
    pub element_bits: [usize; 3],
    /// Lines of the rings of K, of its LSB plane (0: none), of V, and rows of Q.
    pub lines: [usize; 4],
    /// Longest list.
    pub keys_per_row: usize,
    /// Ids are below it.
    pub tokens: usize,
    /// Memory channels, a power of two.
    pub channels: usize,
    /// Bits of a byte address.
    pub address_bits: usize,
    /// Reads that a port may have under way.
    pub outstanding: usize,
    /// Cycles after which a port is silent.
    pub timeout: usize,
}

impl Fetch {
    /// The fetcher of a configuration.
    pub fn new(config: &Config) -> Self {
        let (arithmetic, buffers) = (&config.arithmetic, &config.buffers);
        Fetch {
            shape: ArrayShape {
                multipliers: config.array.multipliers,
                head_dims: config.array.head_dims.clone(),
            },
            element_bits: [
                arithmetic.key_bits,
                arithmetic.value_bits,
                arithmetic.query_bits,
            ],
            lines: [
                buffers.key_lines,
                buffers.key_lsb_lines,
                buffers.value_lines,
                buffers.query_rows,
            ],
            keys_per_row: config.limits.keys_per_row,
            tokens: config.limits.tokens,
            channels: config.memory.channels,
            address_bits: config.memory.address_bits,
            outstanding: config.memory.outstanding_reads,
            timeout: 1 << config.memory.silence_log2,
        }
    }

    /// The classes that there are, in the order of their codes.
    pub fn classes(&self) -> impl Iterator<Item = Class> + '_ {
        let there = |class: &Class| self.lines[*class as usize] > 0;
        Class::ALL.into_iter().filter(there)
    }

    /// The classes that take lists.
    pub fn list_classes(&self) -> impl Iterator<Item = Class> + '_ {
        self.classes().filter(|class| *class != Class::Query)
    }

    /// Bits of an element in a class's ring.
    pub fn bits_of(&self, class: Class) -> usize {
        let [key, value, query] = self.element_bits;
        match class {
            Class::Key => key,
            Class::Lsb => LSB_BITS,
            Class::Value => value,
            Class::Query => query,
        }
    }

    /// The ring of a class. Q's has a line per query, its vector at the low end.
    pub fn ring(&self, class: Class) -> LineRing {
        let mut shape = self.shape.clone();
        let mut keys_per_row = self.keys_per_row;
        if class == Class::Query {
            shape.multipliers = shape.max_dim();
            keys_per_row = 1;
        }
        LineRing {
            shape,
            element_bits: self.bits_of(class),
            lines: self.lines[class as usize].next_multiple_of(LineColumn::BANKS),
            keys_per_row,
        }
    }

    /// Ids of a word of `list`, and ids that are scanned per cycle: the largest power of two up to 16 within a row.
    pub fn scan_lanes(&self) -> usize {
        let most = self.keys_per_row.min(16);
        1 << most.ilog2()
    }

    /// Bits of an id.
    pub fn id_bits(&self) -> usize {
        index_bits(self.tokens)
    }

    /// Bits of an address in beats of 32 bytes.
    pub fn base_bits(&self) -> usize {
        self.address_bits - log2_exact(BEAT_BYTES)
    }

    /// The scan of a class. A query is a job of one id, which is its own list.
    pub fn scan(&self, class: Class) -> ClassScan {
        let ring = self.ring(class);
        let lanes = match class {
            Class::Query => 1,
            _ => self.scan_lanes(),
        };
        ClassScan {
            shape: ring.shape,
            lines: ring.lines,
            list: TokenList {
                lanes,
                id_bits: self.id_bits(),
                keys_per_row: ring.keys_per_row,
            },
            base_bits: self.base_bits(),
            channels: self.channels,
            jobs: JOBS,
            skips: class == Class::Lsb,
        }
    }

    /// What tags say.
    pub fn tag(&self) -> VectorTag {
        let bits = |class| index_bits(self.ring(class).lines);
        VectorTag {
            line_bits: self.classes().map(bits).max().expect("there are classes"),
            slot_bits: index_bits(self.shape.chunks()),
        }
    }

    /// The queues of the channels.
    pub fn distributor(&self) -> Distributor {
        Distributor {
            channels: self.channels,
            lanes: self.scan_lanes(),
            id_bits: self.id_bits(),
            tag: self.tag(),
            job_bits: index_bits(JOBS),
        }
    }

    /// The choice among the classes' batches.
    pub fn admission(&self) -> Admission {
        let distributor = self.distributor();
        // In a channel's queue, between queue and port, under way, and in the assembly; and batches.
        let of_channel = distributor.queue().depth + self.outstanding + 16;
        Admission {
            scans: self
                .classes()
                .map(|class| (class, self.scan(class)))
                .collect(),
            most_under_way: self.channels * of_channel + 4 * self.scan_lanes(),
            distributor,
        }
    }

    /// The address of a channel's vectors.
    pub fn read_request(&self) -> ReadRequest {
        ReadRequest {
            distributor: self.distributor(),
            master: self.read_master(),
            shape: self.shape.clone(),
            jobs: JOBS,
        }
    }

    /// The assembly of a channel.
    pub fn assembly(&self) -> Assembly {
        let bits = self.classes().map(|class| self.bits_of(class));
        Assembly {
            shape: self.shape.clone(),
            element_bits: bits.max().expect("there are classes"),
            tag: self.tag(),
        }
    }

    /// The way from the channels to the rings.
    pub fn crossbar(&self) -> FillCrossbar {
        FillCrossbar {
            channels: self.channels,
            assembly: self.assembly(),
        }
    }

    /// Fields of the `list` channel.
    pub fn list_fields(&self) -> Vec<Field> {
        self.scan(Class::Key).list.list_fields()
    }

    /// Words of the `list` channel for one list, the last one filled up with id 0.
    pub fn list_words(&self, ids: &[usize]) -> Vec<Vec<i64>> {
        let lanes = self.scan_lanes();
        let count = ids.len().div_ceil(lanes);
        let words = ids.chunks(lanes).enumerate().map(|(index, ids)| {
            let mut word: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
            word.resize(lanes, 0);
            word.push(i64::from(index + 1 == count));
            word
        });
        words.collect()
    }

    /// Fields of the channels `key`, `lsb` and `value`.
    pub fn job_fields(&self, class: Class) -> Vec<Field> {
        self.scan(class).job_fields()
    }

    /// Fields of the `query` channel.
    pub fn query_fields(&self) -> Vec<Field> {
        let mut fields = place_fields(self.base_bits(), self.channels, &self.shape);
        fields.push(Field::new("id", self.id_bits(), "of the query's token"));
        fields
    }

    /// Fields of the `query_line` channel.
    pub fn query_line_fields(&self) -> Vec<Field> {
        let ring = self.ring(Class::Query);
        let doc = format!(
            "{} elements of {} bits; those from d on are undefined",
            ring.shape.multipliers, ring.element_bits
        );
        vec![Field::new("data", ring.line_bits(), &doc)]
    }

    /// Fields of the `error` channel.
    pub fn error_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new(
            "port",
            index_bits(self.channels),
            "memory channel",
        )];
        fields.extend(self.read_master().error_fields());
        fields
    }

    /// The read side of a port.
    pub fn read_master(&self) -> ReadMaster {
        ReadMaster {
            address_bits: self.address_bits,
            outstanding: self.outstanding,
            burst_beats: self.shape.max_dim() * 16 / (8 * BEAT_BYTES),
            tag_bits: self.tag().bits(),
            timeout: self.timeout,
        }
    }

    /// Channels of a memory port: `mem<n>_ar` and `mem<n>_r`.
    pub fn port_names(&self, channel: usize) -> [String; 2] {
        ["ar", "r"].map(|name| format!("mem{channel}_{name}"))
    }
}

impl Block for Fetch {
    fn name(&self) -> String {
        format!("spatten_fetch_{}", self.suffix())
    }

    fn about(&self) -> About {
        About {
            purpose: "Fetch: from lists of surviving tokens to lines of K, of its LSB plane and of V, and to queries.\n\
                      \n\
                      list, jobs -> u_path -> requests -> u_port<n>: memory port n\n\
                      lines      <- u_path <- beats    <-\n\
                      \n\
                      An error is told on `error`. Whoever controls the ports then raises stop_i, waits for idle_o, resets\n\
                      the rest with restart_n_i, and starts again."
                .into(),
            parameters: self.parameters(),
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let list = m.stream_in("list", &self.list_fields());
        let path = FetchPath {
            fetch: self.clone(),
        };
        let mut inputs = vec![("list".to_owned(), list)];
        for class in self.list_classes() {
            let name = class.name();
            let job = m.stream_in(name, &self.job_fields(class));
            inputs.push((name.to_owned(), job));
            let name = format!("{name}_row");
            let row = m.stream_in(&name, &self.ring(class).row_fields());
            inputs.push((name, row));
        }
        inputs.push(("query".into(), m.stream_in("query", &self.query_fields())));
        let mut outputs = Vec::new();
        for class in self.classes() {
            let name = format!("{}_line", class.name());
            let line = m.stream_out(&name, &self.line_fields(class));
            outputs.push((name, line));
        }
        let master = self.read_master();
        let ports: Vec<_> = (0..self.channels)
            .map(|c| {
                let [ar, r] = self.port_names(c);
                let ar = m.stream_out(&ar, &master.address_fields());
                (ar, m.stream_in(&r, &master.data_fields()))
            })
            .collect();
        let error = m.stream_out("error", &self.error_fields());
        let stop = m.input("stop", 1, "the ports take no requests and throw data away");
        let idle = m.output("idle", 1, "the ports are stopped, and no read is under way");
        let doc =
            "active low, from a register or port: resets all but the ports, which must be idle";
        let restart = m.input("restart_n", 1, doc);

        m.section("all but the ports");
        let u_path = m.instance("u_path", &path);
        u_path.reset(restart);
        for (name, stream) in inputs {
            u_path.feed(&name, stream);
        }
        for (name, line) in outputs {
            line.connect(u_path.stream(&name));
        }

        m.section("the ports");
        let mut idle_of = Vec::new();
        let mut errors = Vec::new();
        for (c, (ar, r)) in ports.into_iter().enumerate() {
            let u_port = m.instance(&format!("u_port{c}"), &master);
            u_port
                .feed("request", u_path.stream(&format!("request{c}")))
                .feed("r", r)
                .input("stop", stop);
            ar.connect(u_port.stream("ar"));
            u_path.feed(&format!("beat{c}"), u_port.stream("beat"));
            idle_of.push(u_port.output("idle"));
            errors.push(u_port.stream("error"));
        }
        idle.drive(m.pack(&idle_of).all());

        m.section("errors, one port's after the other's");
        let record = axi::errors_of_ports(m, errors);
        let fifo = Fifo::new(record.width(), 1);
        error.connect(m.through("u_record", &fifo, record));
    }
}

impl Fetch {
    /// Parameters that shape a module's text, for names.
    pub(super) fn suffix(&self) -> String {
        let list = |numbers: &[usize]| {
            let numbers: Vec<_> = numbers.iter().map(usize::to_string).collect();
            numbers.join("_")
        };
        format!(
            "{}_w{}_n{}_k{}_t{}_c{}_a{}_o{}_s{}",
            self.shape.name(),
            list(&self.element_bits),
            list(&self.lines),
            self.keys_per_row,
            self.tokens,
            self.channels,
            self.address_bits,
            self.outstanding,
            self.timeout
        )
    }

    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let list = |numbers: &[usize]| {
            let numbers: Vec<_> = numbers.iter().map(usize::to_string).collect();
            numbers.join(", ")
        };
        let mut parameters = self.shape.parameters();
        parameters.extend([
            ("element_bits", list(&self.element_bits)),
            ("lines", list(&self.lines)),
            ("keys_per_row", self.keys_per_row.to_string()),
            ("tokens", self.tokens.to_string()),
            ("channels", self.channels.to_string()),
            ("address_bits", self.address_bits.to_string()),
            ("outstanding", self.outstanding.to_string()),
            ("timeout", self.timeout.to_string()),
        ]);
        parameters
    }

    /// Fields of a class's lines.
    pub fn line_fields(&self, class: Class) -> Vec<Field> {
        match class {
            Class::Query => self.query_line_fields(),
            _ => self.ring(class).line_fields(),
        }
    }
}
