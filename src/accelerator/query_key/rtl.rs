//! RTL of `query_key`.

use super::element::QueryKeyElement;
use crate::accelerator::shape::ArrayShape;
use crate::cells::adder_tree::AdderTree;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::lane_packer::LanePacker;
use crate::cells::max_tree::MaxTree;
use crate::hdl::{About, Block, Builder, Field, Reg, Sig, Stream, StreamOut, Ty};
use crate::numerics::{Formats, KEY_LSB_BITS, value_bits};
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
    /// Score lines that the receiver always takes, until `score_free_i` tells that one of them has left it.
    pub score_places: usize,
}

impl QueryKey {
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

    /// Cycles from taking a K line to its group of dot products at the packer.
    pub fn pipeline_latency(&self) -> usize {
        self.element().latency() + self.group_tree().latency() + 1
    }

    /// Cycles from taking the K line that completes a score line to that line at the output.
    pub fn score_latency(&self) -> u64 {
        self.pipeline_latency() as u64 + LanePacker::LATENCY
    }

    /// Cycles per K line of a level: one, or as many as its scores have lines.
    pub fn line_cycles(&self, level: usize) -> usize {
        self.shape.vectors_per_line(level).div_ceil(self.lanes)
    }

    /// K lines whose scores share a score line.
    fn lines_per_score_line(&self, level: usize) -> usize {
        self.lanes.div_ceil(self.shape.vectors_per_line(level))
    }

    /// Rows whose maximum may be under way or waiting: as many as one-line rows enter until the first one's maximum
    /// has left and its credit is back.
    fn maxima(&self) -> usize {
        (self.score_latency() + self.maximum_latency()) as usize + 1
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
            "spatten_query_key_{}_q{}_k{}_l{}_s{}",
            self.shape.name(),
            self.formats.query_bits,
            self.formats.key_bits,
            self.lanes,
            self.score_places
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("query_bits", self.formats.query_bits.to_string()));
        parameters.push(("key_bits", self.formats.key_bits.to_string()));
        parameters.push(("lanes", self.lanes.to_string()));
        parameters.push(("score_places", self.score_places.to_string()));
        About {
            purpose: format!(
                "Query times key: multipliers / d dot products per cycle of the row's query with the vectors of a\n\
                 K line, packed into score lines, and the exact maximum of each row.\n\
                 \n\
                 line -> elements -> tree -> group -> u_packer -> score\n\
                 \x20                                           '-> u_max_tree -> maximum\n\
                 \n\
                 d is {min} << level; vector v of a line is its elements v*d to v*d + d - 1. Each processing element\n\
                 takes a chunk of {min} of them; the tree adds the chunks of a vector; the dot products of one line\n\
                 are a group. Nothing behind a line stalls: it enters when the receiver has places for its score\n\
                 lines, of {places} in all, which score_free gives back.\n\
                 Latency from a K line to its scores {latency} cycles; one line per cycle.",
                min = self.shape.min_dim(),
                latency = self.score_latency(),
                places = self.score_places,
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

        let level = row.field("level");
        let last = line.field("last");
        let score_free = m.input(
            "score_free",
            1,
            "a score line has left its place with the receiver",
        );

        m.section("a line enters when its scores and its row's maximum have places");
        let opening = self.opening(m, level);
        let maxima = Credits::new(m, "maximum", self.maxima());
        let maximum_room = maxima.available();
        net!(m, room = opening.room & maximum_room);
        net!(m, issue = line.valid & row.valid & room);
        line.ready.drive(row.valid & room);
        net!(m, row_end = issue & last);
        row.ready.drive(row_end);
        self.count(m, &opening, [issue, last, score_free]);
        reg!(m, first_q: 1, reset = 1, "the next line is a row's first");
        first_q.next_when(issue, last);
        net!(m, load_query = issue & first_q);

        let partials = self.elements(m, line.data(), row.field("query"), level, load_query);

        m.section("whole dot products: sums of neighbouring partial ones");
        let element_latency = self.element().latency();
        let tree = self.group_tree();
        let u_groups = m.instance("u_group_tree", &tree);
        u_groups
            .input("terms", partials)
            .input("valid", m.lit(1, 1))
            .ignore("valid", "not used: dots_valid_q runs in step with the tree");
        if tree.select_bits() > 0 {
            let select = shape.by_level(m, "select", level, "level as the tree counts", |l| {
                let index = shape.levels().iter().position(|&known| known == l);
                m.lit(index.unwrap_or(0) as u64, tree.select_bits())
            });
            u_groups.input("select", delay(m, "tree_select", select, element_latency));
        }
        let dots = u_groups.output("sums");

        m.section("what belongs to the group, delayed alike");
        let latency = element_latency + tree.latency();
        let dots_valid = delay_flag(m, "dots_valid", issue, latency);
        let dots_live = delay(m, "dots_live", line.field("live"), latency);
        let dots_last = delay(m, "dots_last", last, latency);
        let dots_level = delay(m, "dots_level", level, latency);
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
        let group = Stream::new(
            *group_valid_q,
            taken,
            vec![
                ("data".into(), *group_q),
                ("level".into(), *group_level_q),
                ("last".into(), *group_last_q),
            ],
        );
        let line = self.score_lines(m, group, score);
        let maximum_left = self.maxima_of(m, line, maximum);
        maxima.count(row_end, maximum_left);
    }
}

/// What a K line needs to enter.
struct Opening<'m> {
    /// Score lines taken and not yet freed.
    used: Reg<'m>,
    /// K lines that the open score line already has.
    part: Reg<'m>,
    /// Cycles until the packer has made the score lines of the K line before.
    pace: Option<(Reg<'m>, Sig<'m>)>,
    /// Score lines that the line opens.
    opens: Sig<'m>,
    /// The line is the last one of its score line.
    fills: Sig<'m>,
    /// Its scores have places.
    room: Sig<'m>,
}

/// A packed line on its way to the receiver.
struct ScoreLine<'m> {
    valid: Sig<'m>,
    /// Dot products, signed.
    dots: Sig<'m>,
    live: Sig<'m>,
    last: Sig<'m>,
}

impl QueryKey {
    /// Places for the scores of the next line.
    fn opening<'m>(&self, m: &'m Builder, level: Sig<'m>) -> Opening<'m> {
        let shape = &self.shape;
        let by_level = |name: &str, doc: &str, bits: usize, value: &dyn Fn(usize) -> usize| {
            shape.by_level(m, name, level, doc, |l| m.lit(value(l) as u64, bits))
        };
        let most = |value: &dyn Fn(usize) -> usize| shape.levels().into_iter().map(value).max();
        let most_parts = most(&|l| self.lines_per_score_line(l)).unwrap_or(1);
        let most_cycles = most(&|l| self.line_cycles(l)).unwrap_or(1);

        let used_bits = value_bits(self.score_places);
        reg!(m, score_used_q: used_bits, reset = 0, "score lines on their way or with the receiver");
        let part_bits = value_bits(most_parts - 1);
        reg!(m, part_q: part_bits, reset = 0, "K lines whose scores the open score line has");
        let final_part = by_level("final_part", "", part_bits, &|l| {
            self.lines_per_score_line(l) - 1
        });
        net!(m, fills = part_q.equals(final_part));
        let new_lines = by_level("new_lines", "score lines of a K line", used_bits, &|l| {
            self.line_cycles(l)
        });
        let limit = by_level("limit", "lines in use that leave room", used_bits, &|l| {
            self.score_places - self.line_cycles(l)
        });
        net!(m, open = part_q.any());
        net!(m, opens = open.select(m.lit(0, used_bits), new_lines));
        net!(m, score_room = open | score_used_q.le(limit));
        let pace = (most_cycles > 1).then(|| {
            let bits = value_bits(most_cycles - 1);
            reg!(m, pace_q: bits, reset = 0, "cycles in which the packer cuts the group before");
            let cycles = by_level("pace", "", bits, &|l| self.line_cycles(l) - 1);
            (pace_q, cycles)
        });
        let room = pace.map_or(score_room, |(pace, _)| {
            net!(m, paced = pace.is(0));
            score_room & paced
        });
        Opening {
            used: score_used_q,
            part: part_q,
            pace,
            opens,
            fills,
            room,
        }
    }

    /// Closes the counts: a line enters, it is its row's last, a score line has left its place.
    fn count<'m>(&self, m: &'m Builder, opening: &Opening<'m>, events: [Sig<'m>; 3]) {
        let [issue, last, free] = events;
        let Opening {
            used, part, opens, ..
        } = *opening;
        let none = m.lit(0, used.width());
        let taken = m.net(
            "score_taken",
            used.wrapping_add(issue.select(opens, none)),
            "",
        );
        used.next(taken.wrapping_sub(free.extend(used.width())));
        let following = part.wrapping_add(m.lit(1, part.width()));
        let wraps = opening.fills | last;
        part.next_when(issue, wraps.select(m.lit(0, part.width()), following));
        if let Some((pace, cycles)) = opening.pace {
            let down = pace.wrapping_sub(m.lit(1, pace.width()));
            pace.next_when(issue | pace.any(), issue.select(cycles, down));
        }
    }

    /// The processing elements; partial sums of chunk k in lane k.
    fn elements<'m>(
        &self,
        m: &'m Builder,
        line: Sig<'m>,
        query: Sig<'m>,
        level: Sig<'m>,
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

    /// Groups become score lines, for which the receiver has places.
    fn score_lines<'m>(
        &self,
        m: &'m Builder,
        group: Stream<'m>,
        score: StreamOut<'m>,
    ) -> ScoreLine<'m> {
        let dot_bits = self.dot_bits();
        m.section("score lines");
        let u_packer = m.instance("u_packer", &self.packer());
        u_packer.feed("in", group);
        let line = u_packer.stream("out");
        line.ready.drive(m.lit(1, 1));
        m.never(line.valid & !score.ready, "a score line found no place");
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
        score.drive(
            line.valid,
            &[("data", m.pack(&scores)), ("live", live), ("last", last)],
        );
        ScoreLine {
            valid: line.valid,
            dots: line_dots,
            live,
            last,
        }
    }

    /// The maximum of each row, collected over its lines. Gives the cycles in which one leaves.
    fn maxima_of<'m>(
        &self,
        m: &'m Builder,
        line: ScoreLine<'m>,
        maximum: StreamOut<'m>,
    ) -> Sig<'m> {
        let dot_bits = self.dot_bits();
        m.section("maximum of the row, collected over its lines");
        let tree = self.max_tree();
        let u_max = m.instance("u_max_tree", &tree);
        u_max
            .input("valid", line.valid)
            .input("words", line.dots)
            .input("live", line.live);
        let latency = tree.latency();
        let seen = u_max.output("valid");
        let line_was_last = delay(m, "max_tree_last", line.last, latency);
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
        let fifo = Fifo::new(dot_bits, self.maxima());
        let found = m.through("u_maximum_fifo", &fifo, found);
        maximum.valid.drive(found.valid);
        let value = self.score_of(found.data());
        let score_bits = self.formats.score_bits();
        maximum.field("data").drive(value.resize(score_bits));
        found.ready.drive(maximum.ready);
        m.net("maximum_left", found.valid & maximum.ready, "")
    }

    /// A dot product over the MSB plane in units of the score.
    fn score_of<'m>(&self, dot: Sig<'m>) -> Sig<'m> {
        dot.shift_left(KEY_LSB_BITS)
    }
}
