//! The output writer: rows of outputs to the memory channels of their tokens.

use super::write_master::WriteMaster;
use crate::accelerator::axi::{self, BEAT_BITS, BEAT_BYTES};
use crate::accelerator::fetch::{Fetch, VectorFormat, channel_of};
use crate::accelerator::shape::ArrayShape;
use crate::cells::fifo::Fifo;
use crate::cells::popcount::Popcount;
use crate::cells::spill_register::registered;
use crate::config::Config;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream, Ty};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// Bits of an element in memory.
const STORED_BITS: usize = 16;
/// Writes that a port may have under way: they outlast the response of an HBM2 channel at a row of 4 beats every 64 cycles.
const OUTSTANDING: usize = 8;
/// Complete rows that wait in a port for their address to leave.
const REQUESTS: usize = 4;
/// Bits of the count of rows written.
const COUNT_BITS: usize = 32;

/// Writes rows.
///
/// - Latency: 4 cycles from a row's last word to its address; interval: a beat per cycle, a word per cycle with 32 lanes.
/// - Stalls: a port's FIFO holds one longest row; a row for a port whose FIFO is full holds those behind it.
#[derive(Clone, Debug)]
pub struct OutputWriter {
    /// The head dimensions.
    pub shape: ArrayShape,
    /// What `row` looks like: that of the fetcher's queries, which lie as output rows do.
    pub fetch: Fetch,
    /// Elements of a word.
    pub lanes: usize,
    /// Bits of an element of a word.
    pub element_bits: usize,
}

impl OutputWriter {
    /// The writer of a configuration.
    pub fn new(config: &Config) -> Self {
        let fetch = Fetch::new(config);
        OutputWriter {
            shape: fetch.shape.clone(),
            fetch,
            lanes: config.output.lanes,
            element_bits: config.formats().output_bits(),
        }
    }

    /// Words of a beat.
    fn words_per_beat(&self) -> usize {
        (BEAT_BITS / STORED_BITS).div_ceil(self.lanes)
    }

    /// Beats that enter a port's FIFO in one cycle: of a word, where that is more than one.
    fn beats_per_entry(&self) -> usize {
        (self.lanes * STORED_BITS).div_ceil(BEAT_BITS)
    }

    fn row_beats(&self, level: usize) -> usize {
        VectorFormat::Bits16.beats(self.shape.min_dim() << level)
    }

    /// The write side of a port.
    pub fn master(&self) -> WriteMaster {
        WriteMaster {
            address_bits: self.fetch.address_bits,
            id_bits: index_bits(self.fetch.outstanding),
            burst_beats: VectorFormat::Bits16.beats(self.shape.max_dim()),
            outstanding: OUTSTANDING,
            timeout: self.fetch.timeout,
        }
    }

    /// Fields of the `word` channel.
    pub fn word_fields(&self) -> Vec<Field> {
        let doc = format!("{} outputs s{}", self.lanes, self.element_bits);
        vec![
            Field::new("data", self.lanes * self.element_bits, &doc),
            Field::new("last", 1, "last word of the row"),
        ]
    }

    /// Fields of the `row` channel.
    pub fn row_fields(&self) -> Vec<Field> {
        self.fetch.query_fields()
    }

    /// Fields of the `error` channel.
    pub fn error_fields(&self) -> Vec<Field> {
        let mut fields = vec![Field::new(
            "port",
            index_bits(self.fetch.channels),
            "memory channel",
        )];
        fields.extend(self.master().error_fields());
        fields
    }

    /// Channels of a memory port.
    pub fn port_names(channel: usize) -> [String; 3] {
        ["aw", "w", "b"].map(|name| format!("mem{channel}_{name}"))
    }
}

impl Block for OutputWriter {
    fn name(&self) -> String {
        let dims: Vec<_> = self.shape.head_dims.iter().map(usize::to_string).collect();
        format!(
            "spatten_output_writer_d{}_l{}_w{}_c{}_t{}_a{}_s{}",
            dims.join("_"),
            self.lanes,
            self.element_bits,
            self.fetch.channels,
            self.fetch.tokens,
            self.fetch.address_bits,
            self.fetch.timeout
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Output writer: rows of outputs become bursts of 16-bit elements to the channel of their token.\n\
                      \n\
                      row -> channel, address -> u_rows -.\n\
                      word -> beat -> u_entry -----------+-> u_beats<n>, u_requests<n> -> u_master<n> -> mem<n>"
                .into(),
            parameters: vec![
                ("lanes", self.lanes.to_string()),
                ("element_bits", self.element_bits.to_string()),
                ("channels", self.fetch.channels.to_string()),
                ("tokens", self.fetch.tokens.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let word = m.stream_in("word", &self.word_fields());
        let row = m.stream_in("row", &self.row_fields());
        let stop = m.input("stop", 1, "no new write begins");
        let idle = m.output("idle", 1, "stopped, and no write is under way");
        let rows_written = m.output("rows_written", COUNT_BITS, "rows acknowledged since reset");

        let place = self.place(m, row);
        let entry = self.entry(m, word);
        let ports = self.ports(m, place, entry, stop);

        m.section("errors");
        let error = m.stream_out("error", &self.error_fields());
        let errors = ports.iter().map(|port| port.stream("error")).collect();
        error.connect(axi::errors_of_ports(m, errors));

        m.section("all ports");
        let idles: Vec<Sig> = ports.iter().map(|port| port.output("idle")).collect();
        idle.drive(m.pack(&idles).all());
        let acknowledged: Vec<Sig> = ports
            .iter()
            .map(|port| port.output("acknowledged"))
            .collect();
        let acknowledged = m.pack(&acknowledged);
        let count = match self.fetch.channels {
            1 => acknowledged,
            width => {
                let popcount = Popcount {
                    width,
                    levels_per_stage: None,
                };
                let u_count = m.instance("u_count", &popcount);
                u_count.input("word", acknowledged).output("count")
            }
        };
        reg!(m, acknowledged_q = count, reset = 0, "in the cycle before");
        reg!(m, rows_written_q: COUNT_BITS, reset = 0);
        rows_written_q.next(rows_written_q.wrapping_add(acknowledged_q.extend(COUNT_BITS)));
        rows_written.drive(rows_written_q);
    }
}

impl OutputWriter {
    /// The channel and the address of each row, one cycle after it came.
    fn place<'m>(&self, m: &'m Builder, row: Stream<'m>) -> Stream<'m> {
        m.section("where the row goes");
        let row = registered(m, "u_row", row);
        let fetch = &self.fetch;
        let (id, level, base) = (row.field("id"), row.field("level"), row.field("base"));
        let channel = channel_of(m, "row", fetch.channels, id, row.field("rotation"));
        let bits = fetch.base_bits();
        let of_channel = log2_exact(fetch.channels);
        let place = match fetch.id_bits() > of_channel {
            true => m.net(
                "place",
                id.slice(of_channel, fetch.id_bits() - of_channel),
                "id / channels",
            ),
            false => m.net("place", m.lit(0, 1), "every channel has one row of a head"),
        };
        let offset = self
            .shape
            .by_level(m, "offset", level, "in beats", |level| {
                let stride =
                    VectorFormat::Bits16.stride(self.shape.min_dim() << level) / BEAT_BYTES;
                place
                    .extend(bits)
                    .shift_left(log2_exact(stride))
                    .truncate(bits)
            });
        let length_bits = value_bits(self.master().burst_beats - 1);
        let length = self
            .shape
            .by_level(m, "length", level, "beats - 1", |level| {
                m.lit(self.row_beats(level) as u64 - 1, length_bits)
            });
        let mut fields = vec![
            ("address".to_owned(), base.wrapping_add(offset)),
            ("length".to_owned(), length),
        ];
        fields.extend(channel.map(|channel| ("channel".to_owned(), channel)));
        let row = row.with_fields(fields);
        m.through("u_rows", &Fifo::new(row.width(), 2), row)
    }

    /// Beats made of the words, in a register.
    fn entry<'m>(&self, m: &'m Builder, word: Stream<'m>) -> Stream<'m> {
        m.section("elements of 16 bits");
        let lanes = word.data().lanes(Ty::signed(self.element_bits));
        let elements = m.per_lane("stored", self.lanes, STORED_BITS, "element k", |k| {
            lanes.at(k).extend(STORED_BITS).as_unsigned()
        });
        let parts = self.words_per_beat();
        let (data, complete) = match parts {
            1 => (elements, m.lit(1, 1)),
            parts => {
                m.section("words of a beat that have come");
                let bits = index_bits(parts);
                reg!(m, part_q: bits, reset = 0, "words that the beat has");
                net!(m, complete = part_q.is(parts as u64 - 1));
                let next = part_q.wrapping_add(m.lit(1, bits));
                part_q.next_when(
                    word.valid & *word.ready,
                    complete.select(m.lit(0, bits), next),
                );
                let held = (parts - 1) * elements.width();
                reg!(m, held_q: held, "they, the oldest one low");
                let shifted = m.cat(&[elements, *held_q]);
                let kept = m.net("held_next", shifted, "");
                held_q.next_when(word.valid & *word.ready, kept.slice(elements.width(), held));
                (kept, complete)
            }
        };
        let place = m.wire("entry_place", 1, "");
        let fields = vec![("data".into(), data), ("last".into(), word.field("last"))];
        let entry = Stream::new(word.valid & complete, place, fields);
        word.ready.drive(*place | !complete);
        registered(m, "u_entry", entry)
    }

    /// A FIFO and a master per port.
    fn ports<'m>(
        &self,
        m: &'m Builder,
        row: Stream<'m>,
        entry: Stream<'m>,
        stop: Sig<'m>,
    ) -> Vec<Instance<'m>> {
        m.section("to the port of the row");
        net!(m, offered = entry.valid & row.valid);
        let last = entry.field("last");
        let master = self.master();
        let beats = master.burst_beats.div_ceil(self.beats_per_entry());
        let mut taken = Vec::new();
        let mut ports = Vec::new();
        for n in 0..self.fetch.channels {
            m.section(&format!("port {n}"));
            let meant = match self.fetch.channels {
                1 => offered,
                _ => offered & row.field("channel").is(n as u64),
            };
            let request_room = m.wire(&format!("request_room{n}"), 1, "");
            let beat_room = m.wire(&format!("beat_room{n}"), 1, "");
            let moves = m.net(&format!("moves{n}"), meant & *request_room & *beat_room, "");
            taken.push(moves);
            // Room comes from registers, so valid may wait for it without a loop.
            let beat = Stream::new(moves, beat_room, vec![("data".into(), entry.data())]);
            let beat = m.through(
                &format!("u_beats{n}"),
                &Fifo::new(beat.width(), beats),
                beat,
            );
            let fields = ["address", "length"].map(|name| (name.to_owned(), row.field(name)));
            let request = Stream::new(moves & last, request_room, fields.into());
            let fifo = Fifo::new(request.width(), REQUESTS);
            let request = m.through(&format!("u_requests{n}"), &fifo, request);
            let u_master = m.instance(&format!("u_master{n}"), &master);
            u_master
                .feed("request", request)
                .feed("beat", self.single_beats(m, n, beat))
                .input("stop", stop);
            self.connect(m, n, u_master);
            ports.push(u_master);
        }
        net!(m, moves = m.pack(&taken).any());
        entry.ready.drive(moves);
        row.ready.drive(moves & last);
        ports
    }

    /// One beat after the other of entries that have two.
    fn single_beats<'m>(&self, m: &'m Builder, n: usize, entry: Stream<'m>) -> Stream<'m> {
        if self.beats_per_entry() == 1 {
            return entry;
        }
        let second = m.register(
            &format!("second{n}_q"),
            1,
            Some(0),
            "the entry's first beat has left",
        );
        let data = entry.data();
        let beat = second.select(data.slice(BEAT_BITS, BEAT_BITS), data.slice(0, BEAT_BITS));
        let ready = m.wire(&format!("single{n}_ready"), 1, "");
        entry.ready.drive(*ready & *second);
        second.next_when(entry.valid & *ready, !*second);
        Stream::new(entry.valid, ready, vec![("data".into(), beat)])
    }

    fn connect(&self, m: &Builder, n: usize, u_master: Instance<'_>) {
        let master = self.master();
        let [aw, w, b] = Self::port_names(n);
        m.stream_out(&aw, &master.address_fields())
            .connect(u_master.stream("aw"));
        m.stream_out(&w, &WriteMaster::data_fields())
            .connect(u_master.stream("w"));
        u_master.feed("b", m.stream_in(&b, &master.response_fields()));
    }
}
