//! Two sets of scores: one may be selected from while the other grows.

use super::score_set::ScoreSet;
use crate::cells::fifo::Fifo;
use crate::cells::fork::Fork;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream};
use crate::net;

/// Jobs name one of two score sets (contexts), for two sequences in turn; everything else follows the jobs in their order.
///
/// - Stalls: on every stream. A job waits while its context has one.
#[derive(Clone, Debug)]
pub struct ScoreContexts {
    /// Each of the two sets.
    pub set: ScoreSet,
}

impl ScoreContexts {
    const CONTEXTS: usize = 2;

    /// Fields of the `job` channel.
    pub fn job_fields(&self) -> Vec<Field> {
        let set = self.set.job_fields().into_iter();
        let mut fields = vec![Field::new("context", 1, "score set")];
        fields.extend(set.filter(|field| field.name != "read"));
        fields.push(Field::new("report", 1, "the scores leave on `score`"));
        fields
    }

    /// A queue of what the accepted jobs need later, one place per context.
    fn queue<'m>(
        m: &'m Builder,
        name: &str,
        push: Sig<'m>,
        fields: Vec<(String, Sig<'m>)>,
    ) -> Stream<'m> {
        let ready = m.wire(&format!("{name}_room"), 1, "");
        m.never(push & !*ready, "a job has no place: a context holds two");
        let stream = Stream::new(push, ready, fields);
        let fifo = Fifo::new(stream.width(), Self::CONTEXTS);
        m.through(&format!("u_{name}_order"), &fifo, stream)
    }

    /// Hands a stream to the set that the head of its queue names.
    fn steer<'m>(
        m: &'m Builder,
        sets: &[Instance<'m>],
        channel: &str,
        stream: &Stream<'m>,
        order: &Stream<'m>,
        names: &[&str],
    ) -> Sig<'m> {
        let mut ready = Vec::new();
        for (context, set) in sets.iter().enumerate() {
            let here = order.valid & order.field("context").is(context as u64);
            let here = m.net(&format!("{channel}_to{context}"), here, "");
            let room = m.wire(&format!("{channel}_room{context}"), 1, "");
            let fields = names.iter().map(|n| ((*n).to_owned(), stream.field(n)));
            set.feed(
                channel,
                Stream::new(stream.valid & here, room, fields.collect()),
            );
            ready.push(*room & here);
        }
        let ready = m.net(&format!("{channel}_ready"), m.pack(&ready).any(), "");
        stream.ready.drive(ready);
        ready
    }
}

impl Block for ScoreContexts {
    fn name(&self) -> String {
        self.set.name().replace("score_set", "score_contexts")
    }

    fn about(&self) -> About {
        About {
            purpose: "Importance scores of two sequences. Each job names its context; increments, survivors and scores\n\
                      follow the jobs in their order.\n\
                      \n\
                      increment, kept, dropped, pin -> u_context0, u_context1 -> line, score"
                .into(),
            parameters: self.set.about().parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let set = &self.set;
        let job = m.stream_in("job", &self.job_fields());
        let pin = m.stream_in("pin", &set.pin_fields());
        let increment = m.stream_in("increment", &set.increment_fields());
        let kept = m.stream_in("kept", &set.kept_fields());
        let line = m.stream_out("line", &set.line_fields());
        let score = m.stream_out("score", &set.line_fields());
        let sets = [0, 1].map(|context| m.instance(&format!("u_context{context}"), set));

        m.section("a job goes to its context");
        let context = job.field("context");
        let (select, report) = (job.field("select"), job.field("report"));
        net!(m, read = select | report);
        let mut ready = Vec::new();
        for (number, set) in sets.iter().enumerate() {
            let here = m.net(&format!("job_to{number}"), context.is(number as u64), "");
            let room = m.wire(&format!("job_room{number}"), 1, "");
            let mut fields = vec![("read".to_owned(), read)];
            let of_set = self.set.job_fields().into_iter();
            for field in of_set.filter(|field| field.name != "read") {
                let value = job.field(&field.name);
                fields.push((field.name, value));
            }
            set.feed("job", Stream::new(job.valid & here, room, fields));
            ready.push(*room & here);
        }
        net!(m, job_ready = m.pack(&ready).any());
        job.ready.drive(job_ready);
        net!(m, accept = job.valid & job_ready);

        m.section("what follows, in the order of the jobs");
        let order = |name: &str, when: &str| {
            let fields = vec![("context".to_owned(), context)];
            Self::queue(m, name, accept & job.field(when), fields)
        };
        let (pins, adds, keeps) = (
            order("pin", "zero"),
            order("increment", "add"),
            order("kept", "select"),
        );
        let fields = [("context", context), ("select", select), ("report", report)];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let reads = Self::queue(m, "line", accept & read, fields.into());

        m.section("increments and survivors");
        let names = ["data", "last", "end"];
        let ready = Self::steer(m, &sets, "increment", &increment, &adds, &names);
        adds.ready
            .drive(increment.valid & ready & increment.field("end"));
        let names = ["data", "count", "last"];
        let ready = Self::steer(m, &sets, "kept", &kept, &keeps, &names);
        keeps.ready.drive(kept.valid & ready & kept.field("last"));

        if set.home {
            let dropped = m.stream_in("dropped", &set.dropped_fields());
            let drops = order("dropped", "select");
            let names = ["data", "dropped", "last"];
            let ready = Self::steer(m, &sets, "dropped", &dropped, &drops, &names);
            drops
                .ready
                .drive(dropped.valid & ready & dropped.field("last"));
        }

        m.section("pins: as many lines as the job has");
        let ready = Self::steer(m, &sets, "pin", &pin, &pins, &["data"]);
        let ends = sets.map(|set| set.output("pin_last"));
        let end = pins.field("context").select(ends[1], ends[0]);
        pins.ready.drive(pin.valid & ready & end);

        m.section("lines of scores, to the selection, to `score`, or to both");
        let lines = sets.map(|set| set.stream("line"));
        net!(m, second = reads.field("context"));
        let choose = |name: &str| second.select(lines[1].field(name), lines[0].field(name));
        net!(
            m,
            offered = reads.valid & second.select(lines[1].valid, lines[0].valid)
        );
        let (to_line, to_score) = (reads.field("select"), reads.field("report"));
        let u_fork = m.instance("u_line_fork", &Fork { branches: 2 });
        u_fork.input("in_valid", offered);
        let done = u_fork.output("in_ready");
        let fields = ["data", "payload", "live", "last"].map(|name| (name, choose(name)));
        for (branch, out, wanted) in [("out0", line, to_line), ("out1", score, to_score)] {
            let branch = u_fork.stream(branch);
            branch.ready.drive(out.ready | !wanted);
            out.drive(branch.valid & wanted, &fields);
        }
        lines[0].ready.drive(reads.valid & done & !second);
        lines[1].ready.drive(reads.valid & done & second);
        reads.ready.drive(offered & done & choose("last"));
    }
}
