//! The scan of one class of vectors: jobs become batches of ids with places in the class's ring.

use super::rtl::FORMAT_BITS;
use super::slots::{Places, Slots};
use super::token_list::TokenList;
use crate::accelerator::shape::ArrayShape;
use crate::cells::counter::ring_pointer;
use crate::cells::fifo::Fifo;
use crate::cells::fork::Fork;
use crate::cells::popcount::Popcount;
use crate::cells::spill_register::{SpillRegister, registered};
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, StreamOut, Wire};
use crate::numerics::{index_bits, value_bits};
use crate::{net, reg};

/// Jobs that wait in front of each part.
const JOBS_AHEAD: usize = 4;

/// Takes jobs, takes lines of the ring into use for them, and scans their ids, up to `lanes` per cycle. A batch leaves
/// only when all its lines are in use: then whatever is read finds its place, and what was scanned drains.
///
/// A job's base and format stand at `bases` and `formats` until all its vectors have left the channels' queues.
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycles from a job to its first batch.
/// - Interval: one batch per cycle, also from job to job; one line taken into use per cycle.
/// - Stalls: `batch_ready_i` reaches registers only.
#[derive(Clone, Debug)]
pub struct ClassScan {
    /// The array whose lines are filled.
    pub shape: ArrayShape,
    /// Lines of the ring.
    pub lines: usize,
    /// The class's lists.
    pub list: TokenList,
    /// Bits of a base.
    pub base_bits: usize,
    /// Memory channels.
    pub channels: usize,
    /// Jobs between their first batch and their last vector's address.
    pub jobs: usize,
    /// Jobs may be skipped: they read nothing, and only end their list.
    pub skips: bool,
}

impl ClassScan {
    /// Cycles from a job's transfer to the first that offers its first batch: the FIFO, the list, a register, the
    /// batch's register.
    pub const LATENCY: u64 = Fifo::LATENCY + TokenList::LATENCY + 2 * SpillRegister::LATENCY;

    fn slots(&self) -> Slots {
        Slots {
            shape: self.shape.clone(),
            lanes: self.list.lanes,
        }
    }

    /// Bits of a line's number.
    pub fn line_bits(&self) -> usize {
        index_bits(self.lines)
    }

    /// Bits of a slot in a line.
    pub fn slot_bits(&self) -> usize {
        self.slots().slot_bits()
    }

    /// Bits of a job's number.
    pub fn job_bits(&self) -> usize {
        index_bits(self.jobs)
    }

    /// Fields of the `job` channel.
    pub fn job_fields(&self) -> Vec<Field> {
        let mut fields = place_fields(self.base_bits, self.channels, &self.shape);
        fields.extend([
            Field::new("format", FORMAT_BITS, "of the vectors: 0 to 6"),
            Field::new("keys", self.list.key_bits(), "vectors, at least one"),
            Field::new("dense", 1, "ids 0 to keys - 1 instead of a list"),
            Field::new("list_last", 1, "the class's last job with the list"),
        ]);
        if self.skips {
            fields.push(Field::new("skip", 1, "reads nothing"));
        }
        fields
    }

    /// Fields of the `batch` channel.
    pub fn batch_fields(&self) -> Vec<Field> {
        batch_fields(
            self.list.lanes,
            [self.list.id_bits, self.line_bits(), self.slot_bits()],
            self.channels,
            self.jobs,
            &self.shape,
        )
    }

    /// Counts the vectors that leave.
    fn leaving(&self) -> Popcount {
        Popcount {
            width: self.channels,
            levels_per_stage: None,
        }
    }
}

/// Fields of jobs that say where vectors lie and how long they are.
pub(super) fn place_fields(base_bits: usize, channels: usize, shape: &ArrayShape) -> Vec<Field> {
    let base = "of the head in every channel: byte address / 32";
    vec![
        Field::new("base", base_bits, base),
        Field::new(
            "rotation",
            index_bits(channels),
            "exclusive-ored to the channel",
        ),
        shape.level_field(),
    ]
}

/// Fields of a class's batches; `bits` are those of an id, of a line and of a slot.
pub(super) fn batch_fields(
    lanes: usize,
    bits: [usize; 3],
    channels: usize,
    jobs: usize,
    shape: &ArrayShape,
) -> Vec<Field> {
    let lane = |name: &str, bits: usize, doc: &str| {
        Field::new(name, lanes * bits, &format!("{lanes} lanes: {doc}"))
    };
    vec![
        lane("id", bits[0], "token"),
        lane("line", bits[1], "line of the ring"),
        lane("slot", bits[2], "vector of the line"),
        lane("live", 1, "there is a vector"),
        Field::new(
            "rotation",
            index_bits(channels),
            "exclusive-ored to the channel",
        ),
        Field::new("job", index_bits(jobs), "of the class"),
        shape.level_field(),
    ]
}

impl Block for ClassScan {
    fn name(&self) -> String {
        let skips = if self.skips { "_skip" } else { "" };
        format!(
            "spatten_class_scan_{}_l{}_n{}_i{}_k{}_b{}_c{}_j{}{skips}",
            self.shape.name(),
            self.lines,
            self.list.lanes,
            self.list.id_bits,
            self.list.keys_per_row,
            self.base_bits,
            self.channels,
            self.jobs
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.extend([
            ("lines", self.lines.to_string()),
            ("lanes", self.list.lanes.to_string()),
            ("id_bits", self.list.id_bits.to_string()),
            ("keys_per_row", self.list.keys_per_row.to_string()),
            ("base_bits", self.base_bits.to_string()),
            ("channels", self.channels.to_string()),
            ("jobs", self.jobs.to_string()),
            ("skips", self.skips.to_string()),
        ]);
        About {
            purpose: "Scan of one class of vectors.\n\
                      \n\
                      job -+-> u_lines -> lines of the ring are taken into use\n\
                           +-> u_walks -> u_list: words of ids -.\n\
                           '-> u_jobs --------------------------+-> batch: each id with its line and slot\n\
                      \n\
                      A batch leaves when its lines are in use, and when the job's number is free: all vectors of the\n\
                      job that had it before have left the channels' queues."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let list = m.stream_in("list", &self.list.list_fields());
        let job = m.stream_in("job", &self.job_fields());
        let columns = "chunk c of the line will be filled";
        let columns = [Field::new("columns", self.shape.chunks(), columns)];
        let allocate = m.stream_out("allocate", &columns);
        let batch = m.stream_out("batch", &self.batch_fields());
        let doc = "of job j at j";
        let bases = m.output("bases", self.jobs * self.base_bits, doc);
        let formats = m.output("formats", self.jobs * FORMAT_BITS, doc);
        let doc = "at c + channels * j: a vector of job j leaves channel c's queue";
        let leaves = m.input("leaves", self.jobs * self.channels, doc);

        let [lines, walks, jobs] = self.shares(m, job);
        m.section("the ids");
        let u_list = m.instance("u_list", &self.list);
        u_list.feed("list", list).feed("walk", walks);
        let word = registered(m, "u_word", u_list.stream("word"));

        let taken = self.take_lines(m, lines, allocate);

        m.section("places of the ids, if their lines are in use");
        let goes = m.wire("goes", 1, "a batch leaves for the register");
        let job_level = jobs.field("level");
        let last = word.field("last");
        let (placed, in_use) = self.place(m, job_level, word.field("count"), last, *goes, taken);

        let open = self.job_table(m, (&jobs, &word), *goes, leaves, (bases, formats));

        m.section("the batch");
        let room = m.wire("room", 1, "");
        net!(m, there = word.valid & jobs.valid & in_use & open.free);
        goes.drive(there & *room);
        word.ready.drive(*goes);
        jobs.ready.drive(*goes & last);
        let fields = [
            ("id", word.field("id")),
            ("line", m.pack(&placed.lines)),
            ("slot", m.pack(&placed.slots)),
            ("live", placed.live),
            ("rotation", jobs.field("rotation")),
            ("job", open.number),
            ("level", job_level),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        // Whether it is admitted is known late in the cycle.
        let next = Stream::new(there, room, fields.to_vec());
        batch.connect(registered(m, "u_batch", next));
    }
}

/// Where the vectors of a batch go.
struct Placed<'m> {
    lines: Vec<Sig<'m>>,
    slots: Vec<Sig<'m>>,
    live: Sig<'m>,
}

/// The number of a job.
struct Open<'m> {
    number: Sig<'m>,
    /// The batch may use it.
    free: Sig<'m>,
}

impl ClassScan {
    /// A job's shares: of the lines, of the list, of the scan. A skipped one has only that of the list.
    fn shares<'m>(&self, m: &'m Builder, job: Stream<'m>) -> [Stream<'m>; 3] {
        m.section("a job goes to the lines, to the list and to the scan");
        let u_fork = m.instance("u_fork", &Fork { branches: 3 });
        u_fork.input("in_valid", job.valid);
        job.ready.drive(u_fork.output("in_ready"));
        let skip = self.skips.then(|| job.field("skip"));
        let share = |branch: usize, name: &str, fields: &[&str], skips: bool| {
            let fork = u_fork.stream(&format!("out{branch}"));
            let fields: Vec<_> = fields
                .iter()
                .map(|field| ((*field).to_owned(), job.field(field)))
                .collect();
            let stream = match skip.filter(|_| skips) {
                Some(skip) => {
                    let ready = m.wire(&format!("{name}_ready"), 1, "");
                    fork.ready.drive(skip | *ready);
                    Stream::new(fork.valid & !skip, ready, fields)
                }
                None => fork.with_fields(fields),
            };
            let fifo = Fifo::new(stream.width(), JOBS_AHEAD);
            (fifo, stream)
        };
        let (fifo, lines) = share(0, "lines", &["level", "keys"], true);
        let lines = m.through("u_lines", &fifo, lines);
        let lines = registered(m, "u_line", lines);
        let (fifo, jobs) = share(2, "jobs", &["base", "rotation", "level", "format"], true);
        let jobs = m.through("u_jobs", &fifo, jobs);
        let jobs = registered(m, "u_job", jobs);

        let (_, walks) = share(1, "walks", &["keys", "dense", "list_last"], false);
        let keys = job.field("keys");
        let keys = match skip {
            Some(skip) => skip.select(m.lit(0, keys.width()), keys),
            None => keys,
        };
        let fields = ["dense", "list_last"].map(|name| (name.to_owned(), walks.field(name)));
        let walks = walks.with_fields([vec![("keys".to_owned(), keys)], fields.to_vec()].concat());
        let fifo = Fifo::new(walks.width(), JOBS_AHEAD);
        let walks = m.through("u_walks", &fifo, walks);
        [lines, walks, jobs]
    }

    /// Takes the lines of jobs into use, one per cycle; tells of each.
    fn take_lines<'m>(&self, m: &'m Builder, job: Stream<'m>, allocate: StreamOut<'m>) -> Sig<'m> {
        m.section("lines are taken into use, as far as the ring has room");
        let keys = job.field("keys");
        let chunks = self.shape.chunks();
        let take = m.net("take", job.valid & allocate.ready, "");
        reg!(m, take_first_q: 1, reset = 1, "the next line is the job's first");
        reg!(m, take_left_q: keys.width());
        net!(m, take_left = take_first_q.select(keys, *take_left_q));
        let per_line = |l: usize| self.shape.vectors_per_line(l);
        // Wide enough for one more than either, so that no comparison is constant.
        let wide = value_bits(self.list.keys_per_row.max(chunks) + 1);
        let level = job.field("level");
        let count = self
            .shape
            .by_level(m, "per_line", level, "vectors per line", |l| {
                m.lit(per_line(l) as u64, wide)
            });
        // Both are compared before one is chosen: what follows is long.
        net!(m, one_line = keys.extend(wide).le(count));
        net!(m, left_last = take_left_q.extend(wide).le(count));
        net!(m, take_last = take_first_q.select(one_line, left_last));
        let rest = take_left.extend(wide).wrapping_sub(count);
        take_left_q.next_when(take, rest.truncate(keys.width()));
        take_first_q.next_when(take, take_last);
        job.ready.drive(take & take_last);
        let columns = self.shape.by_level(m, "columns", level, "", |l| {
            let filled = |c: usize| {
                let vector = c >> l;
                match vector < self.list.keys_per_row {
                    true => take_left.extend(wide).gt(m.lit(vector as u64, wide)),
                    false => m.lit(0, 1),
                }
            };
            m.pack(&(0..chunks).map(filled).collect::<Vec<_>>())
        });
        allocate.drive(job.valid, &[("columns", columns)]);
        take
    }

    /// Line and slot of every id of a word of `count` ids, and whether all the lines are in use.
    fn place<'m>(
        &self,
        m: &'m Builder,
        level: Sig<'m>,
        ids: Sig<'m>,
        last: Sig<'m>,
        goes: Sig<'m>,
        taken: Sig<'m>,
    ) -> (Placed<'m>, Sig<'m>) {
        let slots = self.slots();
        let lanes = self.list.lanes;
        let start = slots.has_starts().then(|| {
            let doc = "slot of the first id";
            m.register("start_q", self.slot_bits(), Some(0), doc)
        });
        let Places {
            slots: lane_slots,
            offsets,
            next_slot,
            next_offset,
        } = slots.places(m, level, start.map(|start| *start));
        if let (Some(start), Some(next_slot)) = (start, next_slot) {
            start.next_when(goes, last.select(m.lit(0, self.slot_bits()), next_slot));
        }

        let arms: Vec<_> = (1..lanes)
            .map(|count| (count as u64, offsets[count - 1]))
            .collect();
        let all = offsets[lanes - 1];
        let last_offset = match arms.len() {
            0 => {
                m.unused("one_id", ids, "one id per word");
                all
            }
            _ => m.case("last_offset", ids, &arms, all, "line of the last id"),
        };
        // Lines in use from that of lane 0 on.
        let bits = value_bits(self.lines).max(slots.offset_bits()) + 1;
        reg!(m, in_use_q: bits, reset = 0, "lines in use, from that of the first id on");
        net!(m, are_in_use = last_offset.extend(bits).lt(*in_use_q));
        let one = m.lit(1, slots.offset_bits());
        let passed = last.select(last_offset.wrapping_add(one), next_offset);
        net!(
            m,
            passed = passed,
            "lines that the next word does not touch"
        );
        let gone = passed.extend(bits) & goes.repeat(bits);
        let rest = in_use_q.wrapping_sub(gone);
        in_use_q.next(rest.wrapping_add(taken.extend(bits)));

        let line_bits = self.line_bits();
        reg!(m, first_line_q: line_bits, reset = 0, "line of the first id");
        first_line_q.next_when(
            goes,
            self.line_behind(m, "next_line", *first_line_q, passed),
        );
        let line = |k: usize| self.line_behind(m, &format!("line{k}"), *first_line_q, offsets[k]);
        let lines = (0..lanes).map(line).collect();
        let live = |k: usize| match k {
            0 => m.lit(1, 1),
            k => ids.gt(m.lit(k as u64, ids.width())),
        };
        let live = m.pack(&(0..lanes).map(live).collect::<Vec<_>>());
        let placed = Placed {
            lines,
            slots: lane_slots,
            live,
        };
        (placed, are_in_use)
    }

    /// The line `offset` lines behind `line` in the ring.
    fn line_behind<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        line: Sig<'m>,
        offset: Sig<'m>,
    ) -> Sig<'m> {
        let bits = self.line_bits().max(offset.width()) + 1;
        let sum = line.extend(bits).wrapping_add(offset.extend(bits));
        let sum = m.net(&format!("{name}_sum"), sum, "");
        let lines = m.lit(self.lines as u64, bits);
        let wrapped = sum.ge(lines).select(sum.wrapping_sub(lines), sum);
        m.net(name, wrapped.truncate(self.line_bits()), "")
    }

    /// Numbers jobs, keeps what their vectors need behind the queues, and tells when a number is free again.
    fn job_table<'m>(
        &self,
        m: &'m Builder,
        (jobs, word): (&Stream<'m>, &Stream<'m>),
        goes: Sig<'m>,
        leaves: Sig<'m>,
        (bases, formats): (Wire<'m>, Wire<'m>),
    ) -> Open<'m> {
        m.section("jobs whose vectors are on their way to the memory");
        let last = word.field("last");
        net!(m, job_ends = goes & last);
        let number = ring_pointer(
            m,
            "number_q",
            self.jobs,
            job_ends,
            "of the job that is scanned",
        );
        reg!(m, begins_q: 1, reset = 1, "the next batch is its first");
        begins_q.next_when(goes, last);
        let (mut base_of, mut format_of, mut free_of) = (Vec::new(), Vec::new(), Vec::new());
        let bits = value_bits(self.list.keys_per_row.max(self.channels));
        reg!(m, count_q = word.field("count"), when = goes);
        for j in 0..self.jobs {
            let is_it = match self.jobs {
                1 => m.lit(1, 1),
                _ => number.is(j as u64),
            };
            let scans = m.net(&format!("scans{j}"), goes & is_it, "");
            let keep = |name: &str| {
                let value = jobs.field(name);
                let register = m.register(&format!("{name}{j}_q"), value.ty(), None, "");
                register.next_when(scans, value);
                *register
            };
            base_of.push(keep("base"));
            format_of.push(keep("format"));

            let u_gone = m.instance(&format!("u_gone{j}"), &self.leaving());
            u_gone.input("word", leaves.slice(j * self.channels, self.channels));
            let gone = u_gone.output("count");
            let gone_q = m.register(&format!("gone{j}_q"), gone.ty(), Some(0), "");
            gone_q.next(gone);
            let scans_q = m.register(&format!("scans{j}_q"), 1, Some(0), "not yet counted");
            scans_q.next(scans);
            let vectors = m.register(&format!("vectors{j}_q"), bits, Some(0), "");
            let more = count_q.extend(bits) & scans_q.repeat(bits);
            let rest = vectors.wrapping_sub(gone_q.extend(bits));
            vectors.next(rest.wrapping_add(more));
            free_of.push(is_it & !(vectors.any() | *scans_q));
        }
        bases.drive(m.pack(&base_of));
        formats.drive(m.pack(&format_of));
        net!(m, number_free = m.pack(&free_of).any());
        Open {
            number,
            free: number_free | !begins_q,
        }
    }
}
