//! From lines to score lines: the processing elements, whole dot products, groups, the packer.

use super::entry::Entry;
use super::rtl::QueryKey;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::max_tree::RowLine;
use crate::hdl::{Builder, Reg, Sig, Stream, StreamOut, Ty};
use crate::numerics::KEY_LSB_BITS;
use crate::{net, reg};

/// What enters the processing elements.
pub(super) struct Operands<'m> {
    /// Query of the K line's row.
    pub query: Sig<'m>,
    /// Its level.
    pub level: Sig<'m>,
    /// K line.
    pub key: Sig<'m>,
    /// LSB line, where there is an LSB plane; its query is the entry's.
    pub lsb: Option<Sig<'m>>,
}

/// Dot products of one line, on their way to the packer.
pub(super) struct Group<'m> {
    stream: Stream<'m>,
    /// Where there is an LSB plane: they are of the second pass; their row's maximum is wanted.
    kind: Option<[Reg<'m>; 2]>,
}

impl QueryKey {
    /// The processing elements; partial sums of chunk k in lane k.
    pub(super) fn elements<'m>(
        &self,
        m: &'m Builder,
        operands: &Operands<'m>,
        entry: &Entry<'m>,
    ) -> Sig<'m> {
        let shape = &self.shape;
        let element = self.element();
        let in_vector = shape.chunks_per_vector();
        // Chunk c of a line meets chunk c % (chunks per vector at this level) of the query.
        let chunk_for = |name: &str, query: Sig<'m>, level: Sig<'m>, c: usize| {
            let chunks = query.lanes(element.elements * element.query_bits).to_vec();
            let name = format!("{name}_chunk{c}");
            shape.by_level(m, &name, level, "", |l| chunks[c & ((1 << l) - 1)])
        };
        let chunk_of = |line: Sig<'m>, bits: usize| {
            let bits = element.elements * bits;
            (line.lanes(in_vector * bits), bits)
        };
        let mut sums = Vec::new();
        for c in 0..in_vector {
            m.section(&format!(
                "elements of the chunks k with k % {in_vector} = {c}"
            ));
            let query = chunk_for("query", operands.query, operands.level, c);
            let second = entry.second.as_ref();
            let held = second.map(|of| chunk_for("held", of.held, of.held_level, c));
            let sum = m.wire(
                &format!("partial{c}"),
                shape.banks() * element.sum_bits(),
                "one partial dot product per chunk",
            );
            let (keys, key_bits) = chunk_of(operands.key, element.key_bits);
            let lsbs = operands.lsb.map(|lsb| chunk_of(lsb, KEY_LSB_BITS));
            m.generate(&format!("g_element{c}"), shape.banks(), |k| {
                let u_element = m.instance(&format!("u_element{c}"), &element);
                u_element
                    .input("load_query", entry.load_query)
                    .input("query", query)
                    .input("key", keys.at(k).slice(c * key_bits, key_bits));
                if let (Some(second), Some(held), Some((lsbs, bits))) = (second, held, lsbs) {
                    u_element
                        .input("held", held)
                        .input("lsb", lsbs.at(k).slice(c * bits, bits))
                        .input("next_refines", second.next_refines);
                }
                let name = u_element.output("sum");
                sum.drive_lane(k, name.as_unsigned());
            });
            sums.push(sum.lanes(element.sum_bits()).to_vec());
        }
        let in_order: Vec<_> = (0..shape.chunks())
            .map(|chunk| sums[chunk % in_vector][chunk / in_vector])
            .collect();
        m.net(
            "partials",
            m.pack(&in_order),
            "partial dot product of chunk k",
        )
    }

    /// Whole dot products, and a place where those of a line stand while the packer cuts them into lines.
    pub(super) fn groups<'m>(
        &self,
        m: &'m Builder,
        partials: Sig<'m>,
        live: Sig<'m>,
        entry: &Entry<'m>,
    ) -> Group<'m> {
        m.section("whole dot products: sums of neighbouring partial ones");
        let element_latency = self.element().latency();
        let tree = self.group_tree();
        let u_groups = m.instance("u_group_tree", &tree);
        u_groups
            .input("terms", partials)
            .input("valid", m.lit(1, 1))
            .ignore("valid", "not used: dots_valid_q runs in step with the tree");
        if tree.select_bits() > 0 {
            let levels = self.shape.levels();
            let doc = "level as the tree counts";
            let select = self.shape.by_level(m, "select", entry.level, doc, |l| {
                let index = levels.iter().position(|&known| known == l);
                m.lit(index.unwrap_or(0) as u64, tree.select_bits())
            });
            u_groups.input("select", delay(m, "tree_select", select, element_latency));
        }
        let dots = u_groups.output("sums");

        m.section("what belongs to the group, delayed alike");
        let latency = element_latency + tree.latency();
        let dots_valid = delay_flag(m, "dots_valid", entry.issue, latency);
        let dots_live = delay(m, "dots_live", live, latency);
        let dots_last = delay(m, "dots_last", entry.last, latency);
        let dots_level = delay(m, "dots_level", entry.level, latency);
        let kind = entry.second.as_ref().map(|second| {
            let refines = delay(m, "dots_refine", second.refines, latency);
            [
                refines,
                delay(m, "dots_progressive", second.progressive, latency),
            ]
        });
        let lanes = self.flagged_lanes(m, dots, dots_live);

        m.section("a group stands here until the packer has made its last line of it");
        let taken = m.wire("group_taken", 1, "");
        reg!(m, group_valid_q: 1, reset = 0);
        group_valid_q.next(dots_valid | (group_valid_q & !*taken));
        m.never(
            dots_valid & group_valid_q & !*taken,
            "a group found no place",
        );
        reg!(m, group_q = lanes, when = dots_valid);
        reg!(m, group_level_q = dots_level, when = dots_valid);
        reg!(m, group_last_q = dots_last, when = dots_valid);
        let kind = kind.map(|[refines, progressive]| {
            reg!(m, group_refines_q = refines, when = dots_valid);
            reg!(m, group_progressive_q = progressive, when = dots_valid);
            [group_refines_q, group_progressive_q]
        });
        let fields = vec![
            ("data".into(), *group_q),
            ("level".into(), *group_level_q),
            ("last".into(), *group_last_q),
        ];
        Group {
            stream: Stream::new(*group_valid_q, taken, fields),
            kind,
        }
    }

    /// Each dot product with its live flag above it, as one lane.
    fn flagged_lanes<'m>(&self, m: &'m Builder, dots: Sig<'m>, live: Sig<'m>) -> Sig<'m> {
        let sum_bits = self.group_tree().sum().width;
        let dot_bits = self.dot_bits();
        let sums = dots.lanes(sum_bits).to_vec();
        let above: Vec<_> = sums
            .iter()
            .map(|sum| sum.slice(dot_bits, sum_bits - dot_bits))
            .collect();
        let reason = "copies of the sign: queries never take the most negative code";
        m.unused("sum_high", m.pack(&above), reason);
        let lanes: Vec<_> = sums
            .iter()
            .enumerate()
            .map(|(k, sum)| m.cat(&[live.bit(k), sum.slice(0, dot_bits)]))
            .collect();
        m.net("flagged", m.pack(&lanes), "lane k: live flag, dot product")
    }

    /// Groups become score lines and lines of LSB dot products, for which their receivers have places. Gives the score
    /// lines as the maximum needs them.
    pub(super) fn score_lines<'m>(
        &self,
        m: &'m Builder,
        group: Group<'m>,
        score: StreamOut<'m>,
        lsb: Option<StreamOut<'m>>,
    ) -> RowLine<'m> {
        let dot_bits = self.dot_bits();
        m.section("score lines");
        let u_packer = m.instance("u_packer", &self.packer());
        let makes_line = group.stream.valid;
        u_packer.feed("in", group.stream);
        let line = u_packer.stream("out");
        line.ready.drive(m.lit(1, 1));
        let last = line.field("last");
        let flagged = line.data().lanes(dot_bits + 1).to_vec();
        let dots: Vec<_> = flagged.iter().map(|lane| lane.slice(0, dot_bits)).collect();
        let live: Vec<_> = flagged.iter().map(|lane| lane.bit(dot_bits)).collect();
        let line_dots = m.net(
            "line_dots",
            m.pack(&dots),
            "dot product k of the score line, signed",
        );
        let dots = line_dots.lanes(Ty::signed(dot_bits)).to_vec();
        let score_bits = self.formats.score_bits();
        let scores: Vec<_> = dots
            .iter()
            .map(|dot| self.score_of(*dot).resize(score_bits).as_unsigned())
            .collect();
        let live = m.net("live", m.pack(&live), "score k belongs to a live key");

        let (valid, sends) = match (group.kind, lsb) {
            (Some([refines, progressive]), Some(lsb)) => {
                m.section("what the packer's line is, in step with it");
                reg!(m, line_refines_q = *refines, when = makes_line);
                reg!(m, line_progressive_q = *progressive, when = makes_line);
                let bits = self.formats.lsb_dot_bits();
                let lanes: Vec<_> = dots.iter().map(|dot| dot.slice(0, bits)).collect();
                net!(m, lsb_valid = line.valid & line_refines_q);
                m.never(lsb_valid & !lsb.ready, "LSB dot products found no place");
                lsb.drive(lsb_valid, &[("data", m.pack(&lanes)), ("last", last)]);
                net!(m, score_valid = line.valid & !line_refines_q);
                (score_valid, Some(*line_progressive_q))
            }
            _ => (line.valid, None),
        };
        m.never(valid & !score.ready, "a score line found no place");
        score.drive(
            valid,
            &[("data", m.pack(&scores)), ("live", live), ("last", last)],
        );
        RowLine {
            valid,
            words: line_dots,
            live,
            last,
            sends,
        }
    }

    /// A dot product over the MSB plane in units of the score.
    pub(super) fn score_of<'m>(&self, dot: Sig<'m>) -> Sig<'m> {
        dot.shift_left(KEY_LSB_BITS)
    }
}
