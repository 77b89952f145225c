//! The fetcher without its memory ports: from lists and jobs to requests, from beats to lines.

use super::Class;
use super::format::VectorFormat;
use super::rtl::{FORMAT_BITS, Fetch};
use crate::cells::fork::Fork;
use crate::cells::one_hot::chosen;
use crate::hdl::{About, Block, Builder, Field, Instance, Sig, Stream};
use crate::net;

/// All of [`Fetch`] but the read masters: what a restart resets.
#[derive(Clone, Debug)]
pub struct FetchPath {
    /// The whole.
    pub fetch: Fetch,
}

impl FetchPath {
    /// Fields of channel c's requests, `request<c>`.
    pub fn request_fields(&self) -> Vec<Field> {
        self.fetch.read_master().request_fields()
    }

    /// Fields of channel c's beats, `beat<c>`.
    pub fn beat_fields(&self) -> Vec<Field> {
        self.fetch.read_master().beat_fields()
    }
}

impl Block for FetchPath {
    fn name(&self) -> String {
        format!("spatten_fetch_path_{}", self.fetch.suffix())
    }

    fn about(&self) -> About {
        About {
            purpose: "Fetch without its memory ports.\n\
                      \n\
                      list, jobs -> u_<class>_scan -> u_admission -> u_distributor -> u_request<n> -> request<n>\n\
                      beat<n> -> u_assembly<n> -> u_crossbar -> u_<class>_ring -> lines"
                .into(),
            parameters: self.fetch.parameters(),
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let fetch = &self.fetch;
        let list = m.stream_in("list", &fetch.list_fields());
        let mut jobs = Vec::new();
        let mut rows = Vec::new();
        for class in fetch.list_classes() {
            jobs.push(m.stream_in(class.name(), &fetch.job_fields(class)));
            let name = format!("{}_row", class.name());
            rows.push(m.stream_in(&name, &fetch.ring(class).row_fields()));
        }
        let query = m.stream_in("query", &fetch.query_fields());
        let lines: Vec<_> = fetch
            .classes()
            .map(|class| {
                let name = format!("{}_line", class.name());
                m.stream_out(&name, &fetch.line_fields(class))
            })
            .collect();
        let ports: Vec<_> = (0..fetch.channels)
            .map(|c| {
                let request = m.stream_out(&format!("request{c}"), &self.request_fields());
                (
                    request,
                    m.stream_in(&format!("beat{c}"), &self.beat_fields()),
                )
            })
            .collect();

        m.section("scans: every list goes to all classes that take lists");
        let list_classes: Vec<Class> = fetch.list_classes().collect();
        let u_lists = m.instance(
            "u_lists",
            &Fork {
                branches: list_classes.len(),
            },
        );
        u_lists.input("in_valid", list.valid);
        list.ready.drive(u_lists.output("in_ready"));
        let mut scans = Vec::new();
        for (branch, (class, job)) in list_classes.iter().zip(jobs).enumerate() {
            let fields = ["id", "last"].map(|name| (name.to_owned(), list.field(name)));
            let share = u_lists
                .stream(&format!("out{branch}"))
                .with_fields(fields.to_vec());
            let u_scan = m.instance(&format!("u_{}_scan", class.name()), &fetch.scan(*class));
            u_scan.feed("list", share).feed("job", job);
            scans.push((*class, u_scan));
        }
        scans.push((Class::Query, self.query_scan(m, query)));

        m.section("vectors to the channels");
        let moved = m.wire(
            "moved",
            fetch.channels,
            "a vector of channel c reaches its ring",
        );
        let u_admission = m.instance("u_admission", &fetch.admission());
        for (class, u_scan) in &scans {
            u_admission.feed(class.name(), u_scan.stream("batch"));
        }
        u_admission.input("moved", *moved);
        net!(m, level = u_admission.output("level"));
        let u_distributor = m.instance("u_distributor", &fetch.distributor());
        u_distributor.feed("batch", u_admission.stream("batch"));

        m.section("of each job: base and format");
        let of_jobs = |name: &str, bits: usize| {
            let parts: Vec<_> = Class::ALL
                .into_iter()
                .map(
                    |class| match scans.iter().find(|(there, _)| *there == class) {
                        Some((_, u_scan)) => u_scan.output(name),
                        None => m.lit(0, bits * fetch.scan(Class::Key).jobs),
                    },
                )
                .collect();
            m.net(name, m.pack(&parts), "of every class's jobs")
        };
        let bases = of_jobs("bases", fetch.base_bits());
        let formats = of_jobs("formats", FORMAT_BITS);

        let u_crossbar = m.instance("u_crossbar", &fetch.crossbar());
        let mut leaves = Vec::new();
        for (c, (request, beat)) in ports.into_iter().enumerate() {
            m.section(&format!("channel {c}"));
            let u_request = m.instance(&format!("u_request{c}"), &fetch.read_request());
            u_request
                .feed("vector", u_distributor.stream(&format!("vector{c}")))
                .input("bases", bases)
                .input("formats", formats)
                .input("level", level);
            request.connect(u_request.stream("request"));
            leaves.push(u_request.output("leaves"));
            let u_assembly = m.instance(&format!("u_assembly{c}"), &fetch.assembly());
            u_assembly
                .feed("beat", beat)
                .input("level", level)
                .input("moved", moved.bit(c));
            u_crossbar
                .feed(&format!("request{c}"), u_assembly.stream("request"))
                .input(&format!("data{c}"), u_assembly.output("data"));
        }
        moved.drive(u_crossbar.output("moved"));
        self.tell_leaving(m, &scans, &leaves);

        let mut rings = Vec::new();
        let mut rows = rows.into_iter();
        for ((class, u_scan), line) in scans.iter().zip(lines) {
            m.section(&format!("ring of class `{}`", class.name()));
            let name = format!("u_{}_ring", class.name());
            let u_ring = m.instance(&name, &fetch.ring(*class));
            u_ring.feed("allocate", u_scan.stream("allocate"));
            u_ring.ignore("allocate_line", "lines are taken into use in order");
            let lines = u_ring.stream("line");
            match class {
                Class::Query => {
                    self.read_queries(m, u_ring);
                    let flags = m.cat(&[lines.field("live"), lines.field("last")]);
                    m.unused("query_flags", flags, "a line is one query");
                    let fields = vec![("data".to_owned(), lines.data())];
                    line.connect(lines.with_fields(fields));
                }
                _ => {
                    u_ring.feed("row", rows.next().expect("a row channel per ring"));
                    line.connect(lines);
                }
            }
            rings.push((*class, u_ring));
        }
        self.fill(m, u_crossbar, &rings);
    }
}

impl FetchPath {
    /// The scan of queries: each is a list of its own.
    fn query_scan<'m>(&self, m: &'m Builder, query: Stream<'m>) -> Instance<'m> {
        let scan = self.fetch.scan(Class::Query);
        let u_query = m.instance("u_query", &Fork { branches: 2 });
        u_query.input("in_valid", query.valid);
        query.ready.drive(u_query.output("in_ready"));
        let one = |bits: usize| m.lit(1, bits);
        let field = |name: &str, value: Sig<'m>| (name.to_owned(), value);
        let same = ["base", "rotation", "level"].map(|name| field(name, query.field(name)));
        let mut job = same.to_vec();
        let format = m.lit(VectorFormat::Bits16.code(), FORMAT_BITS);
        job.extend([
            field("format", format),
            field("keys", one(scan.list.key_bits())),
            field("dense", m.lit(0, 1)),
            field("list_last", one(1)),
        ]);
        let list = vec![field("id", query.field("id")), field("last", one(1))];
        let u_scan = m.instance("u_query_scan", &scan);
        u_scan
            .feed("list", u_query.stream("out0").with_fields(list))
            .feed("job", u_query.stream("out1").with_fields(job));
        u_scan
    }

    /// Tells each class's scan which vectors of its jobs leave the channels' queues.
    fn tell_leaving<'m>(
        &self,
        m: &'m Builder,
        scans: &[(Class, Instance<'m>)],
        leaves: &[Sig<'m>],
    ) {
        m.section("vectors that leave the queues, by class and job");
        let jobs = self.fetch.scan(Class::Key).jobs;
        for class in Class::ALL {
            let first = class as usize * jobs;
            let of_job = |j: usize| {
                let flags = leaves.iter().map(|leaves| leaves.bit(first + j));
                m.pack(&flags.collect::<Vec<_>>())
            };
            let flags = m.pack(&(0..jobs).map(of_job).collect::<Vec<_>>());
            match scans.iter().find(|(there, _)| *there == class) {
                Some((_, u_scan)) => {
                    u_scan.input("leaves", flags);
                }
                None => m.unused("no_lsb_leaves", flags, "no such class"),
            }
        }
    }

    /// Queries are read as they come: each is a row of one key of the largest head dimension.
    fn read_queries<'m>(&self, m: &'m Builder, u_ring: Instance<'m>) {
        let shape = &self.fetch.shape;
        u_ring
            .input("row_valid", m.lit(1, 1))
            .input(
                "row_level",
                m.lit(shape.max_level() as u64, shape.level_bits()),
            )
            .input("row_live", m.lit(1, 1))
            .input("row_release", m.lit(1, 1))
            .input("row_keys", m.lit(1, 1))
            .ignore("row_ready", "one row follows the other");
    }

    /// Every port's chunks go to the ring of their class.
    fn fill<'m>(&self, m: &'m Builder, u_crossbar: Instance<'m>, rings: &[(Class, Instance<'m>)]) {
        m.section("fills");
        let fetch = &self.fetch;
        let assembly = fetch.assembly();
        let element_bits = assembly.element_bits;
        for port in 0..assembly.ports() {
            let (column, parity) = (port / 2, port % 2);
            let fill = u_crossbar.stream(&format!("fill{port}"));
            let class = fill.field("class");
            let here: Vec<_> = rings
                .iter()
                .filter(|(class, _)| column < fetch.ring(*class).shape.chunks())
                .collect();
            let (mut meant, mut readies) = (Vec::new(), Vec::new());
            let (mut most_bits, mut most_half) = (0, 0);
            for (there, u_ring) in here {
                let ring = fetch.ring(*there);
                let bits = ring.element_bits;
                let half_bits = ring.column().half_bits();
                (most_bits, most_half) = (most_bits.max(bits), most_half.max(half_bits));
                let name = format!("{}_{port}", there.name());
                let is_it = m.net(&format!("is_{name}"), class.is(there.code()), "");
                let ready = m.wire(&format!("{name}_ready"), 1, "");
                let elements = fill.data().lanes(element_bits).to_vec();
                let elements: Vec<_> = elements.iter().map(|e| e.slice(0, bits)).collect();
                let fields = vec![
                    ("half".to_owned(), fill.field("half").slice(0, half_bits)),
                    ("data".to_owned(), m.pack(&elements)),
                ];
                let channel = &crate::accelerator::kv_buffer::LineRing::fill_names(column)[parity];
                u_ring.feed(channel, Stream::new(fill.valid & is_it, ready, fields));
                meant.push(is_it);
                readies.push(*ready);
            }
            let ready = chosen(m.pack(&meant), &readies);
            fill.ready.drive(ready);
            let elements = fill.data().lanes(element_bits).to_vec();
            if most_bits < element_bits {
                let high: Vec<_> = elements
                    .iter()
                    .map(|e| e.slice(most_bits, element_bits - most_bits))
                    .collect();
                m.unused(&format!("fill{port}_high"), m.pack(&high), "for queries");
            }
            let half = fill.field("half");
            if most_half < half.width() {
                let high = half.slice(most_half, half.width() - most_half);
                m.unused(&format!("fill{port}_half_high"), high, "for queries");
            }
        }
    }
}
