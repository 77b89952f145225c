//! Admission: which class's scanned batch goes to the channels next, and to which channels.

use super::Class;
use super::class_scan::ClassScan;
use super::distributor::Distributor;
use crate::accelerator::shape::ArrayShape;
use crate::cells::one_hot::chosen;
use crate::cells::popcount::Popcount;
use crate::cells::spill_register::{SpillRegister, registered};
use crate::hdl::{About, Block, Builder, Sig, Stream};
use crate::numerics::{index_bits, value_bits};
use crate::{net, reg};

/// Takes one batch per cycle: of the LSB plane before queries, before K and V in turn. A batch of another head dimension
/// waits until no vector is under way, so that all that are under way have the same.
///
/// - Latency: [`LATENCY`](Self::LATENCY) cycle; interval: 1 cycle.
/// - Stalls: `batch_ready_i` reaches registers only.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The scan of each class that there is, in the order of their codes.
    pub scans: Vec<(Class, ClassScan)>,
    /// Where batches go.
    pub distributor: Distributor,
    /// Most vectors between scan and ring.
    pub most_under_way: usize,
}

impl Admission {
    /// Cycles from a class's batch to the same batch at the output.
    pub const LATENCY: u64 = SpillRegister::LATENCY;

    fn shape(&self) -> &ArrayShape {
        &self.scans[0].1.shape
    }
}

impl Block for Admission {
    fn name(&self) -> String {
        let classes: Vec<_> = self
            .scans
            .iter()
            .map(|(class, scan)| format!("{}{}", &class.name()[..1], scan.lines))
            .collect();
        format!(
            "spatten_admission_{}_{}_u{}_{}",
            self.shape().name(),
            classes.join("_"),
            self.most_under_way,
            &self.distributor.name()["spatten_distributor_".len()..]
        )
    }

    fn about(&self) -> About {
        let classes: Vec<_> = self
            .scans
            .iter()
            .map(|(class, _)| class.name().to_owned())
            .collect();
        let mut parameters = self.shape().parameters();
        parameters.push(("classes", classes.join(", ")));
        parameters.push(("most_under_way", self.most_under_way.to_string()));
        About {
            purpose: "Admission: the LSB plane's batches first, then queries, then K and V in turn; a batch of another head\n\
                      dimension waits until nothing is under way. Each id's channel is found here.\n\
                      \n\
                      channel = id mod C ^ h(id / C) ^ rotation,  h(r) = (r ^ r / C ^ 5 * (r / 4)) mod C,  C channels"
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let batches: Vec<(Class, Stream)> = self
            .scans
            .iter()
            .map(|(class, scan)| (*class, m.stream_in(class.name(), &scan.batch_fields())))
            .collect();
        let out = m.stream_out("batch", &self.distributor.batch_fields());
        let doc = "of all vectors under way";
        let level_out = m.output("level", self.shape().level_bits(), doc);
        let doc = "a vector of channel c reaches its ring";
        let moved = m.input("moved", self.distributor.channels, doc);

        let admitted = m.wire("admitted", 1, "");
        let live = m.wire("live", self.lanes(), "lanes of the batch");
        let chosen_level = m.wire("chosen_level", self.shape().level_bits(), "of the batch");
        let now = (*admitted, *live, *chosen_level);
        let (level, open) = self.levels(m, &batches, moved, now);
        level_out.drive(level);
        let grants = self.choose(m, &batches, &open, *admitted);
        let levels: Vec<_> = batches
            .iter()
            .map(|(_, batch)| batch.field("level"))
            .collect();
        chosen_level.drive(chosen(m.pack(&grants), &levels));

        m.section("its batch");
        let words: Vec<_> = batches
            .iter()
            .map(|(class, batch)| self.word(m, *class, batch))
            .collect();
        let word = m.net("word", chosen(m.pack(&grants), &words), "of that batch");
        let ready = m.wire("ready", 1, "");
        net!(m, there = m.pack(&grants).any());
        for ((_, batch), grant) in batches.iter().zip(&grants) {
            batch.ready.drive(*grant & *ready);
        }
        admitted.drive(there & *ready);
        let batch = Stream::new(there, ready, self.fields_of(word));

        m.section("channel and row of every id");
        live.drive(batch.field("live"));
        let ids = batch.field("id").lanes(self.distributor.id_bits).to_vec();
        let rotation = batch.field("rotation");
        let places = ids.iter().enumerate();
        let places = places.map(|(k, id)| self.distributor.place(m, k, *id, rotation));
        let (channels, rows): (Vec<_>, Vec<_>) = places.unzip();
        if self.distributor.channels == 1 {
            m.unused("rotation", rotation, "one channel only");
        }
        let mut fields = vec![
            ("row".to_owned(), m.pack(&rows)),
            ("channel".to_owned(), m.pack(&channels)),
        ];
        let same = ["line", "slot", "live", "class", "job"];
        fields.extend(same.map(|name| (name.to_owned(), batch.field(name))));
        let batch = batch.with_fields(fields);
        // Every bit goes to all channels' queues: from a register, not from a FIFO's memory.
        out.connect(registered(m, "u_batch", batch));
    }
}

impl Admission {
    /// The level of what is under way, and which classes' batches have it or need not; `chosen_level` is that of the batch
    /// which is admitted.
    fn levels<'m>(
        &self,
        m: &'m Builder,
        batches: &[(Class, Stream<'m>)],
        moved: Sig<'m>,
        (admitted, live, chosen_level): (Sig<'m>, Sig<'m>, Sig<'m>),
    ) -> (Sig<'m>, Vec<Sig<'m>>) {
        m.section("vectors under way, all of one head dimension");
        if self.shape().levels().len() == 1 {
            m.unused(
                "levels",
                m.cat(&[moved, live, chosen_level]),
                "one head dimension only",
            );
            let level = m.lit(0, self.shape().level_bits());
            return (level, vec![m.lit(1, 1); batches.len()]);
        }
        let gone = self.count_of(self.distributor.channels);
        let u_gone = m.instance("u_gone", &gone);
        u_gone.input("word", moved);
        reg!(m, gone_q = u_gone.output("count"), reset = 0);
        let now = live & admitted.repeat(self.lanes());
        reg!(m, lanes_q = now, reset = 0, "not yet counted");
        let u_added = m.instance("u_added", &self.count_of(self.lanes()));
        u_added.input("word", lanes_q);
        reg!(
            m,
            added_q = u_added.output("count"),
            reset = 0,
            "not yet added"
        );
        let bits = value_bits(self.most_under_way);
        reg!(m, under_way_q: bits, reset = 0);
        let less = under_way_q.wrapping_sub(gone_q.extend(bits));
        under_way_q.next(less.wrapping_add(added_q.extend(bits)));
        net!(
            m,
            none = !(under_way_q.any() | added_q.any() | lanes_q.any())
        );
        reg!(m, level_q: self.shape().level_bits(), reset = 0);
        level_q.next_when(admitted, chosen_level);
        let open = |(class, batch): &(Class, Stream<'m>)| {
            let name = format!("{}_open", class.name());
            m.net(&name, none | batch.field("level").equals(level_q), "")
        };
        let opens = batches.iter().map(open).collect();
        // All channels' assemblies look at it, long after its first batch has left.
        reg!(m, level_behind_q = level_q, reset = 0);
        (*level_behind_q, opens)
    }

    /// Which class is served, one-hot.
    fn choose<'m>(
        &self,
        m: &'m Builder,
        batches: &[(Class, Stream<'m>)],
        open: &[Sig<'m>],
        admitted: Sig<'m>,
    ) -> Vec<Sig<'m>> {
        m.section("the class that is served: LSBs, queries, then K and V in turn");
        let asks = |wanted: Class| {
            let place = batches.iter().position(|(class, _)| *class == wanted)?;
            let asks = batches[place].1.valid & open[place];
            Some(m.net(&format!("{}_asks", wanted.name()), asks, ""))
        };
        let (lsb, query) = (asks(Class::Lsb), asks(Class::Query));
        let first: Vec<_> = lsb.into_iter().chain(query).collect();
        net!(m, served_first = m.pack(&first).any(), "LSBs or a query");
        reg!(m, value_turn_q: 1, reset = 0, "V is served before K");
        let [key, value] = [Class::Key, Class::Value].map(|class| asks(class).expect("always"));
        let key_grant = key & !served_first & !(value & value_turn_q);
        let value_grant = value & !served_first & !(key & !*value_turn_q);
        let key_grant = m.net("key_grant", key_grant, "");
        let value_grant = m.net("value_grant", value_grant, "");
        let turns = admitted & (key_grant | value_grant);
        value_turn_q.next_when(turns, key_grant);
        let grant = |class: &Class| match class {
            Class::Key => key_grant,
            Class::Value => value_grant,
            Class::Lsb => lsb.expect("it is there"),
            Class::Query => {
                let query = query.expect("it is there");
                lsb.map_or(query, |lsb| query & !lsb)
            }
        };
        batches.iter().map(|(class, _)| grant(class)).collect()
    }

    /// Lanes of all batches.
    fn lanes(&self) -> usize {
        self.distributor.lanes
    }

    fn count_of(&self, width: usize) -> Popcount {
        Popcount {
            width,
            levels_per_stage: None,
        }
    }

    /// Names and widths of a batch's fields, those of lanes by lane.
    fn fields(&self) -> [(&'static str, usize, usize); 7] {
        let (lanes, distributor) = (self.lanes(), &self.distributor);
        [
            ("id", lanes, distributor.id_bits),
            ("line", lanes, distributor.tag.line_bits),
            ("slot", lanes, distributor.tag.slot_bits),
            ("live", lanes, 1),
            ("rotation", 1, index_bits(distributor.channels)),
            ("class", 1, Class::BITS),
            ("job", 1, distributor.job_bits),
        ]
    }

    /// A class's batch in the form common to all, the first field high.
    fn word<'m>(&self, m: &'m Builder, class: Class, batch: &Stream<'m>) -> Sig<'m> {
        let lanes_there = batch.field("live").width();
        let parts = self.fields().map(|(name, lanes, bits)| {
            if name == "class" {
                return m.lit(class.code(), bits);
            }
            let value = batch.field(name);
            let there = lanes.min(lanes_there);
            let lanes_of = value.lanes(value.width() / there).to_vec();
            let wide: Vec<_> = lanes_of.iter().map(|lane| lane.extend(bits)).collect();
            m.pack(&wide).extend(lanes * bits)
        });
        m.net(&format!("{}_word", class.name()), m.cat(&parts), "")
    }

    /// The fields of a common word.
    fn fields_of<'m>(&self, word: Sig<'m>) -> Vec<(String, Sig<'m>)> {
        let mut low = word.width();
        let fields = self.fields().map(|(name, lanes, bits)| {
            low -= lanes * bits;
            (name.to_owned(), word.slice(low, lanes * bits))
        });
        fields.to_vec()
    }
}
