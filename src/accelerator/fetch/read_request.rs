//! From a vector's place in its plane to the request of its read.

use super::Class;
use super::distributor::Distributor;
use super::format::VectorFormat;
use super::read_master::ReadMaster;
use super::rtl::FORMAT_BITS;
use super::tag::TagParts;
use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::shape::ArrayShape;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::{index_bits, log2_exact, value_bits};
use crate::{net, reg};

/// Looks up the job of a vector that leaves its channel's queue, and computes the address.
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycles (job, address); interval: 1 cycle.
/// - Stalls: `vector_ready_o` follows `request_ready_i` within the cycle.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Where vectors come from.
    pub distributor: Distributor,
    /// Where requests go.
    pub master: ReadMaster,
    /// Head dimensions.
    pub shape: ArrayShape,
    /// Jobs per class.
    pub jobs: usize,
}

impl ReadRequest {
    /// Cycles from a vector to its request.
    pub const LATENCY: u64 = 2;

    /// Jobs of all classes: that of class k and number j is at k * jobs + j.
    pub fn job_count(&self) -> usize {
        Class::ALL.len() * self.jobs
    }

    /// Bits of an address in beats.
    fn base_bits(&self) -> usize {
        self.master.address_bits - log2_exact(BEAT_BYTES)
    }

    fn dim(&self, level: usize) -> usize {
        self.shape.min_dim() << level
    }

    /// log2 of the beats from one vector to the next.
    fn stride_log2(&self, format: VectorFormat, level: usize) -> usize {
        log2_exact(format.stride(self.dim(level)) / BEAT_BYTES)
    }

    /// The longest stride.
    fn most_stride_log2(&self) -> usize {
        let level = self.shape.max_level();
        let strides = VectorFormat::ALL.map(|format| self.stride_log2(format, level));
        strides.into_iter().max().expect("there are formats")
    }

    /// Fields of the `vector` channel.
    pub fn vector_fields(&self) -> Vec<Field> {
        self.distributor.vector_fields()
    }
}

impl Block for ReadRequest {
    fn name(&self) -> String {
        let dims: Vec<_> = self.shape.head_dims.iter().map(usize::to_string).collect();
        format!(
            "spatten_read_request_a{}_r{}_t{}_{}_d{}_j{}",
            self.master.address_bits,
            self.distributor.row_bits(),
            self.distributor.tag.line_bits,
            self.distributor.tag.slot_bits,
            dims.join("_"),
            self.jobs
        )
    }

    fn about(&self) -> About {
        let dims: Vec<_> = self.shape.head_dims.iter().map(usize::to_string).collect();
        About {
            purpose: "Read request: the job of a vector tells its base and its format; its address lies as many strides\n\
                      behind the base as its row says."
                .into(),
            parameters: vec![
                ("address_bits", self.master.address_bits.to_string()),
                ("row_bits", self.distributor.row_bits().to_string()),
                ("line_bits", self.distributor.tag.line_bits.to_string()),
                ("slot_bits", self.distributor.tag.slot_bits.to_string()),
                ("head_dims", dims.join(", ")),
                ("jobs", self.jobs.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let (jobs, base_bits) = (self.job_count(), self.base_bits());
        let tag = self.distributor.tag;
        let vector = m.stream_in("vector", &self.vector_fields());
        let bases = m.input("bases", jobs * base_bits, "of every job");
        let formats = m.input("formats", jobs * FORMAT_BITS, "of every job");
        let level = m.input("level", self.shape.level_bits(), "of all vectors");
        let request = m.stream_out("request", &self.master.request_fields());
        let leaves = m.output("leaves", jobs, "a vector of the job leaves the queue");

        m.section("its job");
        reg!(m, found_q: 1, reset = 0);
        reg!(m, asks_q: 1, reset = 0);
        net!(m, asks_room = request.ready | !asks_q);
        net!(m, found_room = asks_room | !found_q);
        net!(m, take = vector.valid & found_room);
        vector.ready.drive(found_room);
        found_q.next_when(found_room, vector.valid);
        let number = m.cat(&[vector.field("class"), vector.field("job")]);
        net!(m, number = number);
        let base = self.of_job(m, "base", number, bases, base_bits);
        let format = self.of_job(m, "format", number, formats, FORMAT_BITS);
        reg!(m, base_q = base, when = take);
        reg!(m, format_q = format, when = take);
        reg!(m, row_q = vector.field("row"), when = take);
        let place = m.cat(&[
            vector.field("class"),
            vector.field("line"),
            vector.field("slot"),
        ]);
        reg!(m, place_q = place, when = take);
        let flags = (0..jobs).map(|k| {
            let (class, job) = (k / self.jobs, k % self.jobs);
            take & number.is((class * self.job_stride() + job) as u64)
        });
        reg!(m, leaves_q = m.pack(&flags.collect::<Vec<_>>()), reset = 0);
        leaves.drive(*leaves_q);

        m.section("its address");
        net!(m, moves = found_q & asks_room);
        asks_q.next_when(asks_room, *found_q);
        let (stride, length) = self.sizes(m, *format_q, level);
        let row = row_q.extend(row_q.width() + self.most_stride_log2());
        let offset = m.net("offset", row.shift_left_by(stride), "beats behind the base");
        let offset = offset.resize(base_bits.max(offset.width()));
        net!(
            m,
            address = base_q.extend(offset.width()).wrapping_add(offset)
        );
        if address.width() > base_bits {
            let high = address.slice(base_bits, address.width() - base_bits);
            m.unused("address_high", high, "beyond the address space");
        }
        reg!(m, address_q = address.slice(0, base_bits), when = moves);
        reg!(m, length_q = length, when = moves);
        let parts = TagParts {
            class: place_q.slice(tag.place_bits(), Class::BITS),
            line: place_q.slice(tag.slot_bits, tag.line_bits),
            slot: place_q.slice(0, tag.slot_bits),
            format: *format_q,
        };
        reg!(m, tag_q = tag.pack(m, parts), when = moves);
        request.drive(
            asks_q,
            &[
                ("address", *address_q),
                ("length", *length_q),
                ("tag", *tag_q),
            ],
        );
    }
}

impl ReadRequest {
    /// From one class's first job to the next one's, in the number made of both fields.
    fn job_stride(&self) -> usize {
        1 << index_bits(self.jobs)
    }

    /// What a bus says of the job of that number.
    fn of_job<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        number: Sig<'m>,
        bus: Sig<'m>,
        bits: usize,
    ) -> Sig<'m> {
        let count = self.job_count();
        let arm = |k: usize| {
            let number = k / self.jobs * self.job_stride() + k % self.jobs;
            (number as u64, bus.slice(k * bits, bits))
        };
        let arms: Vec<_> = (0..count).map(arm).collect();
        let (last, others) = arms.split_last().expect("there are jobs");
        m.case(name, number, others, last.1, "")
    }

    /// log2 of the beats of a stride, and the beats of a read less one.
    fn sizes<'m>(&self, m: &'m Builder, format: Sig<'m>, level: Sig<'m>) -> (Sig<'m>, Sig<'m>) {
        let stride_bits = value_bits(self.most_stride_log2());
        let length_bits = value_bits(self.master.burst_beats - 1);
        let table = |name: &str, bits: usize, value: &dyn Fn(VectorFormat, usize) -> usize| {
            self.shape.by_level(m, name, level, "", |l| {
                let arms = VectorFormat::ALL
                    .map(|format| (format.code(), m.lit(value(format, l) as u64, bits)));
                let (last, others) = arms.split_last().expect("there are formats");
                m.case(&format!("{name}{l}"), format, others, last.1, "")
            })
        };
        let stride = table("stride", stride_bits, &|format, l| {
            self.stride_log2(format, l)
        });
        let length = table("length", length_bits, &|format, l| {
            format.beats(self.dim(l)) - 1
        });
        (stride, length)
    }
}
