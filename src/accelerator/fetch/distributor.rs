//! Distributor: scanned vectors go to the queues of their memory channels.

use super::channel::channel_of;
use super::channel_queue::ChannelQueue;
use super::tag::VectorTag;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream};
use crate::numerics::{index_bits, log2_exact};
use crate::{net, reg};

/// Vectors that a channel's queue holds.
const QUEUE_DEPTH: usize = 16;

/// Puts each vector of a batch into the queue of its channel, two per channel and cycle.
///
/// Only the row within the channel and the place in the ring travel on; where the head's vectors lie is looked up behind
/// the queues, by class and job.
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycles from a batch to a vector at its queue's end.
/// - Interval: 1 cycle for batches of which no channel gets more than two vectors.
/// - Stalls: `batch_ready_o` depends on the batch: it is high when all its vectors go.
#[derive(Clone, Debug)]
pub struct Distributor {
    /// Memory channels, a power of two.
    pub channels: usize,
    /// Ids of a batch.
    pub lanes: usize,
    /// Bits of an id.
    pub id_bits: usize,
    /// Place of a vector in its ring.
    pub tag: VectorTag,
    /// Bits of a job's number.
    pub job_bits: usize,
}

impl Distributor {
    /// Cycles from a batch's transfer to the first in which its vectors can leave.
    pub const LATENCY: u64 = ChannelQueue::LATENCY;

    /// Bits of a channel's number.
    fn channel_bits(&self) -> usize {
        log2_exact(self.channels)
    }

    /// Bits of a vector's row within its channel.
    pub fn row_bits(&self) -> usize {
        self.id_bits.saturating_sub(self.channel_bits()).max(1)
    }

    /// Fields of the `batch` channel.
    pub fn batch_fields(&self) -> Vec<Field> {
        let lanes = self.lanes;
        let lane = |name: &str, bits: usize, doc: &str| {
            Field::new(name, lanes * bits, &format!("{lanes} lanes: {doc}"))
        };
        vec![
            lane("row", self.row_bits(), "strides behind the job's base"),
            lane("channel", index_bits(self.channels), "memory channel"),
            lane("line", self.tag.line_bits, "line of the class's ring"),
            lane("slot", self.tag.slot_bits, "vector of the line"),
            lane("live", 1, "there is a vector"),
            VectorTag::class_field(),
            Field::new("job", self.job_bits, "of the class"),
        ]
    }

    /// Fields of channel c's vectors, `vector<c>`.
    pub fn vector_fields(&self) -> Vec<Field> {
        [self.lane_fields(), self.common_fields()].concat()
    }

    /// Fields of a vector that its lane brings.
    fn lane_fields(&self) -> Vec<Field> {
        let [line, slot] = self.tag.place_fields();
        let row = Field::new("row", self.row_bits(), "strides behind the job's base");
        vec![line, slot, row]
    }

    /// Fields that all vectors of a batch have in common: they go to the queues once, not with every lane.
    fn common_fields(&self) -> Vec<Field> {
        let job = Field::new("job", self.job_bits, "of the class");
        vec![VectorTag::class_field(), job]
    }

    /// The queue of a channel.
    pub fn queue(&self) -> ChannelQueue {
        ChannelQueue {
            lanes: self.lanes,
            width: width(&self.lane_fields()),
            common_width: width(&self.common_fields()),
            depth: QUEUE_DEPTH,
        }
    }
}

impl Block for Distributor {
    fn name(&self) -> String {
        format!(
            "spatten_distributor_c{}_n{}_i{}_t{}_{}_j{}",
            self.channels,
            self.lanes,
            self.id_bits,
            self.tag.line_bits,
            self.tag.slot_bits,
            self.job_bits
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Distributor: each vector of a batch goes to the queue of its memory channel, two per channel and\n\
                      cycle; the next batch follows when all have gone."
                .into(),
            parameters: vec![
                ("channels", self.channels.to_string()),
                ("lanes", self.lanes.to_string()),
                ("id_bits", self.id_bits.to_string()),
                ("line_bits", self.tag.line_bits.to_string()),
                ("slot_bits", self.tag.slot_bits.to_string()),
                ("job_bits", self.job_bits.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let n = self.lanes;
        let batch = m.stream_in("batch", &self.batch_fields());
        let outs: Vec<_> = (0..self.channels)
            .map(|c| m.stream_out(&format!("vector{c}"), &self.vector_fields()))
            .collect();

        m.section("the batch that is distributed");
        reg!(m, gone_q: n, reset = 0, "lanes that have gone");
        net!(m, live = batch.field("live") & batch.valid.repeat(n));
        net!(m, waiting = live & !gone_q);
        let taken = m.wire("taken", n, "");
        let ends = m.wire("ends", 1, "every lane that waits goes");
        batch.ready.drive(*ends);
        gone_q.next(ends.select(m.lit(0, n), gone_q | *taken));
        let words = self.words(m, &batch);
        let common = self.common_fields();
        let common: Vec<_> = common.iter().map(|f| batch.field(&f.name)).collect();
        net!(m, common = m.cat(&common));
        if self.channels == 1 {
            m.unused("channel", batch.field("channel"), "one channel only");
        }

        let (mut all_taken, mut all_enter) = (Vec::new(), Vec::new());
        for (c, out) in outs.iter().enumerate() {
            m.section(&format!("channel {c}"));
            let hits = match self.channels {
                1 => waiting,
                _ => {
                    let lanes = batch.field("channel").lanes(self.channel_bits()).to_vec();
                    let meant: Vec<_> = lanes.iter().map(|lane| lane.is(c as u64)).collect();
                    waiting & m.pack(&meant)
                }
            };
            let u_queue = m
                .instance(&format!("u_queue{c}"), &self.queue())
                .input("hits", hits)
                .input("words", words)
                .input("common", common);
            all_taken.push(u_queue.output("taken"));
            all_enter.push(u_queue.output("all"));
            let word = u_queue.stream("out");
            let mut low = word.data().width();
            let mut fields = Vec::new();
            for field in self.vector_fields() {
                low -= field.ty.width;
                fields.push((field.name, word.data().slice(low, field.ty.width)));
            }
            out.connect(word.with_fields(fields));
        }
        let or = all_taken.into_iter().reduce(|a, b| a | b);
        taken.drive(or.expect("there are channels"));
        ends.drive(m.pack(&all_enter).all());
    }
}

impl Distributor {
    /// Channel and row of lane k's id.
    pub(super) fn place<'m>(
        &self,
        m: &'m Builder,
        k: usize,
        id: Sig<'m>,
        rotation: Sig<'m>,
    ) -> (Sig<'m>, Sig<'m>) {
        let c = self.channel_bits();
        if c == 0 {
            return (m.lit(0, 1), id);
        }
        let row = match id.width() > c {
            true => id.slice(c, id.width() - c),
            false => m.lit(0, 1),
        };
        let channel = channel_of(m, &format!("id{k}"), self.channels, id, rotation);
        (channel.expect("there are several channels"), row)
    }

    /// Each lane's part of its vector's word, as [`lane_fields`](Self::lane_fields).
    fn words<'m>(&self, m: &'m Builder, batch: &Stream<'m>) -> Sig<'m> {
        let lane = |k: usize| {
            let field = |field: &Field| {
                let bits = field.ty.width;
                batch.field(&field.name).slice(k * bits, bits)
            };
            m.cat(&self.lane_fields().iter().map(field).collect::<Vec<_>>())
        };
        let words: Vec<_> = (0..self.lanes).map(lane).collect();
        m.net("words", m.pack(&words), "")
    }
}

/// Bits of all fields.
fn width(fields: &[Field]) -> usize {
    fields.iter().map(|field| field.ty.width).sum()
}
