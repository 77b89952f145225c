//! RTL of `query_key`.

use super::dots::Operands;
use super::element::QueryKeyElement;
use super::entry::SecondPass;
use crate::accelerator::shape::ArrayShape;
use crate::cells::adder_tree::AdderTree;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::credits::Credits;
use crate::cells::lane_packer::LanePacker;
use crate::cells::max_tree::MaxTree;
use crate::hdl::{About, Block, Builder, Field, Ty};
use crate::net;
use crate::numerics::{Formats, KEY_LSB_BITS};

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
    /// Queries of rows that may be refined, from a row's first K line to its last LSB line; 0 without an LSB plane.
    pub held_queries: usize,
}

impl QueryKey {
    /// The processing element.
    pub fn element(&self) -> QueryKeyElement {
        QueryKeyElement {
            elements: self.shape.min_dim(),
            query_bits: self.formats.query_bits,
            key_bits: self.formats.key_bits,
            refines: self.refines(),
        }
    }

    /// Whether lines of K's LSB plane come, too.
    pub fn refines(&self) -> bool {
        self.held_queries > 0
    }

    /// Lines of LSB dot products that their receiver always takes: enough for one per cycle, and for all of a K line.
    pub fn lsb_places(&self) -> usize {
        let round = (self.score_latency() + BankedFifo::LATENCY + 2) as usize;
        let levels = self.shape.levels().into_iter();
        let more = levels.map(|level| self.line_cycles(level) - 1).max();
        let banks = BankedFifo::new(1, 1).banks;
        (round + more.unwrap_or(0)).next_multiple_of(banks)
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
    pub(super) fn dot_bits(&self) -> usize {
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
    pub(super) fn lines_per_score_line(&self, level: usize) -> usize {
        self.lanes.div_ceil(self.shape.vectors_per_line(level))
    }

    /// Rows whose maximum may be under way or waiting: as many as one-line rows enter until the first one's maximum
    /// has left and its credit is back.
    fn maxima(&self) -> usize {
        (self.score_latency() + self.maximum_latency()) as usize + 1
    }

    /// Cycles from a row's last score line leaving to its maximum at the output.
    pub fn maximum_latency(&self) -> u64 {
        self.max_tree().row_latency() as u64
    }

    /// Fields of the `row` channel.
    pub fn row_fields(&self) -> Vec<Field> {
        let bits = self.shape.max_dim() * self.formats.query_bits;
        let doc = format!(
            "query: element k of {} bits, signed, those beyond d unused; held until the row's last line is taken",
            self.formats.query_bits
        );
        let mut fields = vec![Field::new("query", bits, &doc), self.shape.level_field()];
        if self.refines() {
            let doc = "the row's maximum is wanted, and a verdict comes";
            fields.push(Field::new("progressive", 1, doc));
        }
        fields
    }

    /// Fields of a channel of lines, of elements of `bits` bits that `what` describes.
    fn line_fields(&self, bits: usize, what: &str) -> Vec<Field> {
        let doc = format!("{what}: element k of {bits} bits");
        vec![
            Field::new("data", self.shape.multipliers * bits, &doc),
            Field::new(
                "live",
                self.shape.chunks(),
                "vector k of the line is a live key",
            ),
            Field::new("last", 1, "last line of the row"),
        ]
    }

    /// Fields of the `verdict` channel.
    pub fn verdict_fields() -> Vec<Field> {
        vec![Field::new(
            "data",
            1,
            "the row is refined: its LSB lines come",
        )]
    }

    /// Fields of the `lsb` channel.
    pub fn lsb_fields(&self) -> Vec<Field> {
        let bits = self.formats.lsb_dot_bits();
        let doc = format!("{} sums s{bits}: Q.K over the LSB plane", self.lanes);
        vec![
            Field::new("data", self.lanes * bits, &doc),
            Field::new("last", 1, "last line of the row"),
        ]
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
            "spatten_query_key_{}_q{}_k{}_l{}_s{}{}",
            self.shape.name(),
            self.formats.query_bits,
            self.formats.key_bits,
            self.lanes,
            self.score_places,
            match self.held_queries {
                0 => String::new(),
                held => format!("_h{held}"),
            }
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("query_bits", self.formats.query_bits.to_string()));
        parameters.push(("key_bits", self.formats.key_bits.to_string()));
        parameters.push(("lanes", self.lanes.to_string()));
        parameters.push(("score_places", self.score_places.to_string()));
        parameters.push(("held_queries", self.held_queries.to_string()));
        let second = match self.refines() {
            true => {
                "\n\nA row that is refined comes a second time, with lines of K's LSB plane: its query is held until its\n\
                 verdict, and its dot products leave on `lsb`. The passes take turns score line by score line."
            }
            false => "",
        };
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
                 Latency from a K line to its scores {latency} cycles; one line per cycle.{second}",
                min = self.shape.min_dim(),
                latency = self.score_latency(),
                places = self.score_places,
            ),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let row = m.stream_in("row", &self.row_fields());
        let key_fields = self.line_fields(self.formats.key_bits, "K line, signed");
        let line = m.stream_in("line", &key_fields);
        let score = m.stream_out("score", &self.score_fields());
        let maximum = m.stream_out("maximum", &self.maximum_fields());
        let free_doc = "a score line has left its place with the receiver";
        let score_free = m.input("score_free", 1, free_doc);

        let maxima = Credits::new(m, "maximum", self.maxima());
        let lsb = self.refines().then(|| {
            let fields = self.line_fields(KEY_LSB_BITS, "LSB line, unsigned");
            let second = SecondPass {
                line: m.stream_in("lsb_line", &fields),
                verdict: m.stream_in("verdict", &Self::verdict_fields()),
                free: m.input("lsb_free", 1, "a line of `lsb` has left its place"),
            };
            (second, m.stream_out("lsb", &self.lsb_fields()))
        });
        let (second, lsb_out) = lsb.unzip();
        let lsbs = second.as_ref().map(|second| second.line.data());
        let entry = match second {
            Some(second) => self.both_passes(m, &row, &line, score_free, &maxima, second),
            None => self.first_pass_only(m, &row, &line, score_free, &maxima),
        };

        let operands = Operands {
            query: row.field("query"),
            level: row.field("level"),
            key: line.data(),
            lsb: lsbs,
        };
        let partials = self.elements(m, &operands, &entry);
        let group = self.groups(m, partials, line.field("live"), &entry);
        let scores = self.score_lines(m, group, score, lsb_out);
        let found = self.max_tree().row_maxima(m, scores, self.maxima());
        maximum.valid.drive(found.valid);
        let value = self.score_of(found.data());
        let score_bits = self.formats.score_bits();
        maximum.field("data").drive(value.resize(score_bits));
        found.ready.drive(maximum.ready);
        net!(m, maximum_left = found.valid & maximum.ready);
        maxima.count(entry.row_end, maximum_left);
    }
}
