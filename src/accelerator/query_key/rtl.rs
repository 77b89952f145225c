//! RTL of `query_key`.

use super::element::QueryKeyElement;
use crate::accelerator::shape::ArrayShape;
use crate::cells::adder_tree::AdderTree;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::lane_packer::LanePacker;
use crate::cells::max_tree::MaxTree;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, Ty};
use crate::numerics::{Formats, KEY_LSB_BITS};
use crate::{net, reg};

/// Scores of one query against the K lines of its row, and the row's maximum.
#[derive(Clone, Debug)]
pub struct QueryKey {
    /// The multiplier array.
    pub shape: ArrayShape,
    /// Operand formats.
    pub formats: Formats,
    /// Scores of an output line.
    pub lanes: usize,
}

impl QueryKey {
    /// Rows whose maximum may be under way or waiting: enough for the tree's latency with rows of one line.
    const MAXIMA: usize = 8;

    /// The processing element.
    pub fn element(&self) -> QueryKeyElement {
        QueryKeyElement {
            elements: self.shape.min_dim(),
            query_bits: self.formats.query_bits,
            key_bits: self.formats.key_bits,
        }
    }

    /// Sums neighbouring partial products; the head dimension's level chooses how many.
    pub(crate) fn group_tree(&self) -> AdderTree {
        AdderTree {
            lanes: self.shape.chunks(),
            term: Ty::signed(self.element().sum_bits()),
            levels_per_stage: 1,
            result_levels: self.shape.levels(),
        }
    }

    pub(crate) fn max_tree(&self) -> MaxTree {
        MaxTree {
            lanes: self.lanes,
            width: self.dot_bits(),
            levels_per_stage: 1,
        }
    }

    /// Packs groups of dot products, a live flag above each.
    pub fn packer(&self) -> LanePacker {
        LanePacker {
            shape: self.shape.clone(),
            lanes: self.lanes,
            width: self.dot_bits() + 1,
        }
    }

    /// Bits of a whole dot product: one less than the adders make, because queries never take the most negative code.
    fn dot_bits(&self) -> usize {
        self.formats.dot_bits()
    }

    /// Cycles from taking a K line to its group of dot products at the FIFO.
    pub fn pipeline_latency(&self) -> usize {
        self.element().latency() + self.group_tree().latency()
    }

    /// Cycles from taking the K line that completes a score line to that line at the output, when nothing stalls.
    pub fn score_latency(&self) -> u64 {
        self.pipeline_latency() as u64 + Fifo::LATENCY + LanePacker::LATENCY
    }

    /// Cycles from a row's last score line leaving to its maximum at the output.
    pub fn maximum_latency(&self) -> u64 {
        self.max_tree().latency() as u64 + Fifo::LATENCY
    }

    /// Fields of the `row` channel.
    pub fn row_fields(&self) -> Vec<Field> {
        let bits = self.shape.max_dim() * self.formats.query_bits;
        let doc = format!(
            "query: element k of {} bits, signed, those beyond d unused; held until the row's last line is taken",
            self.formats.query_bits
        );
        vec![Field::new("query", bits, &doc), self.shape.level_field()]
    }

    /// Fields of the `score` channel.
    pub fn score_fields(&self) -> Vec<Field> {
        let bits = self.formats.score_bits();
        let doc = format!("{} scores s{bits}: Q.K << {KEY_LSB_BITS}", self.lanes);
        vec![
            Field::new("data", self.lanes * bits, &doc),
            Field::new("live", self.lanes, "score k belongs to a live key"),
            Field::new("last", 1, "last line of the row"),
        ]
    }

    /// Fields of the `maximum` channel.
    pub fn maximum_fields(&self) -> Vec<Field> {
        let bits = self.formats.score_bits();
        vec![Field::new(
            "data",
            Ty::signed(bits),
            "signed; largest score of the row's live keys, meaningless without one",
        )]
    }
}

impl Block for QueryKey {
    fn name(&self) -> String {
        format!(
            "spatten_query_key_{}_q{}_k{}_l{}",
            self.shape.name(),
            self.formats.query_bits,
            self.formats.key_bits,
            self.lanes
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("query_bits", self.formats.query_bits.to_string()));
        parameters.push(("key_bits", self.formats.key_bits.to_string()));
        parameters.push(("lanes", self.lanes.to_string()));
        About {
            purpose: format!(
                "Query times key: multipliers / d dot products per cycle of the row's query with the vectors of a\n\
                 K line, packed into score lines, and the exact maximum of each row.\n\
                 \n\
                 line -> elements -> tree -> u_group_fifo -> u_packer -> score\n\
                 \x20                                                  '-> u_max_tree -> maximum\n\
                 \n\
                 d is {min} << level; vector v of a line is its elements v*d to v*d + d - 1. Each processing element\n\
                 takes a chunk of {min} of them; the tree adds the chunks of a vector; the dot products of one line\n\
                 are a group. The pipeline never stalls: a line enters against a credit for its place behind it.\n\
                 Latency from a K line to its scores {latency} cycles; one line per cycle.",
                min = self.shape.min_dim(),
                latency = self.score_latency(),
            ),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let shape = &self.shape;
        let chunks = shape.chunks();
        let row = m.stream_in("row", &self.row_fields());
        let line_bits = shape.multipliers * self.formats.key_bits;
        let line_doc = format!(
            "K line: element k of {} bits, signed",
            self.formats.key_bits
        );
        let line = m.stream_in(
            "line",
            &[
                Field::new("data", line_bits, &line_doc),
                Field::new("live", chunks, "vector k of the line is a live key"),
                Field::new("last", 1, "last line of the row"),
            ],
        );
        let score = m.stream_out("score", &self.score_fields());
        let maximum = m.stream_out("maximum", &self.maximum_fields());

        m.section("a line enters when its group of scores has a place behind the pipeline");
        let groups = Fifo::new(
            chunks * (self.dot_bits() + 1) + shape.level_bits() + 1,
            self.pipeline_latency() + 2,
        );
        let credits = Credits::new(m, "group", groups.depth);
        let room = credits.available();
        net!(m, issue = line.valid & row.valid & room);
        line.ready.drive(row.valid & room);
        row.ready.drive(issue & line.field("last"));
        reg!(m, first_q: 1, reset = 1, "the next line is a row's first");
        first_q.next_when(issue, line.field("last"));
        net!(m, load_query = issue & first_q);

        let level = row.field("level");
        let partials = self.elements(m, line.data(), row.field("query"), level, issue, load_query);

        m.section("whole dot products: sums of neighbouring partial ones");
        let element_latency = self.element().latency();
        let tree_level = delay(m, "tree_level", level, element_latency);
        let tree = self.group_tree();
        let u_groups = m.instance("u_group_tree", &tree);
        u_groups
            .input("terms", partials)
            .input("valid", m.lit(1, 1))
            .ignore(
                "valid",
                "not used: group_valid_q runs in step with the tree",
            );
        if tree.select_bits() > 0 {
            let select = shape.by_level(
                m,
                "tree_select",
                tree_level,
                "level as the tree counts",
                |l| {
                    let index = shape.levels().iter().position(|&known| known == l);
                    m.lit(index.unwrap_or(0) as u64, tree.select_bits())
                },
            );
            u_groups.input("select", select);
        }
        let dots = u_groups.output("sums");

        m.section("what belongs to the group, delayed alike");
        let latency = self.pipeline_latency();
        let group_valid = delay_flag(m, "group_valid", issue, latency);
        let group_live = delay(m, "group_live", line.field("live"), latency);
        let group_last = delay(m, "group_last", line.field("last"), latency);
        let group_level = delay(m, "group_level", tree_level, tree.latency());

        let lanes = self.flagged_lanes(m, dots, group_live);
        let group_ready = m.wire("group_ready", 1, "");
        let group = Stream::new(
            group_valid,
            group_ready,
            vec![
                ("data".into(), lanes),
                ("level".into(), group_level),
                ("last".into(), group_last),
            ],
        );
        m.never(group_valid & !group_ready, "a group found no place");
        let group = m.through("u_group_fifo", &groups, group);
        credits.count(issue, group.valid & group.ready);
        self.lines(m, group, score, maximum);
    }
}

impl QueryKey {
    /// The processing elements; partial sums of chunk k in lane k.
    fn elements<'m>(
        &self,
        m: &'m Builder,
        line: Sig<'m>,
        query: Sig<'m>,
        level: Sig<'m>,
        load_key: Sig<'m>,
        load_query: Sig<'m>,
    ) -> Sig<'m> {
        let shape = &self.shape;
        let element = self.element();
        let key_chunk = element.elements * element.key_bits;
        let query_chunk = element.elements * element.query_bits;
        let in_vector = shape.chunks_per_vector();
        let query_chunks = query.lanes(query_chunk).to_vec();
        let mut sums = Vec::new();
        for c in 0..in_vector {
            m.section(&format!(
                "elements of the chunks k with k % {in_vector} = {c}"
            ));
            // Chunk c of a line meets chunk c % (chunks per vector at this level) of the query.
            let query = shape.by_level(m, &format!("query_chunk{c}"), level, "", |l| {
                query_chunks[c & ((1 << l) - 1)]
            });
            let sum = m.wire(
                &format!("partial{c}"),
                shape.banks() * element.sum_bits(),
                "one partial dot product per chunk",
            );
            let vectors = line.lanes(in_vector * key_chunk);
            m.generate(&format!("g_element{c}"), shape.banks(), |k| {
                let u_element = m.instance(&format!("u_element{c}"), &element);
                u_element
                    .input("load_query", load_query)
                    .input("load_key", load_key)
                    .input("query", query)
                    .input("key", vectors.at(k).slice(c * key_chunk, key_chunk));
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

    /// Groups become score lines, and the row's maximum is kept beside them.
    fn lines<'m>(
        &self,
        m: &'m Builder,
        group: Stream<'m>,
        score: crate::hdl::StreamOut<'m>,
        maximum: crate::hdl::StreamOut<'m>,
    ) {
        let dot_bits = self.dot_bits();
        m.section("score lines");
        let u_packer = m.instance("u_packer", &self.packer());
        u_packer.feed("in", group);
        let line = u_packer.stream("out");
        let maxima = Credits::new(m, "maximum", Self::MAXIMA);
        let room = maxima.available();
        let last = line.field("last");
        net!(
            m,
            offer = line.valid & room,
            "a score line; its row's maximum would have a place"
        );
        net!(m, step = offer & score.ready, "it is taken");
        line.ready.drive(score.ready & room);
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
        score.drive(
            offer,
            &[("data", m.pack(&scores)), ("live", live), ("last", last)],
        );

        m.section("maximum of the row, collected over its lines");
        let tree = self.max_tree();
        let u_max = m.instance("u_max_tree", &tree);
        u_max
            .input("valid", step)
            .input("words", line_dots)
            .input("live", live);
        let latency = tree.latency();
        let seen = u_max.output("valid");
        let line_was_last = delay(m, "max_tree_last", last, latency);
        let line_max = u_max.output("max");
        let line_any = u_max.output("live");
        reg!(m, row_any_q: 1, reset = 0, "a live key was seen in this row");
        reg!(m, row_max_q: Ty::signed(dot_bits), "valid with row_any_q");
        let better = m.net(
            "better",
            (!row_any_q) | (line_any & line_max.gt(row_max_q)),
            "the first line seen always is",
        );
        let row_max = m.net("row_max", better.select(line_max, row_max_q), "");
        row_any_q.next_when(seen, (row_any_q | line_any) & !line_was_last);
        row_max_q.next_when(seen, row_max);
        let ready = m.wire("row_max_ready", 1, "");
        let row_done = m.net("row_done", seen & line_was_last, "");
        let found = Stream::new(row_done, ready, vec![("data".into(), row_max)]);
        m.never(row_done & !ready, "a maximum found no place");
        let fifo = Fifo::new(dot_bits, Self::MAXIMA);
        let found = m.through("u_maximum_fifo", &fifo, found);
        maxima.count(step & last, found.valid & maximum.ready);
        maximum.valid.drive(found.valid);
        maximum
            .field("data")
            .drive(self.score_of(found.data()).resize(score_bits));
        found.ready.drive(maximum.ready);
    }

    /// A dot product over the MSB plane in units of the score.
    fn score_of<'m>(&self, dot: Sig<'m>) -> Sig<'m> {
        dot.shift_left(KEY_LSB_BITS)
    }
}
