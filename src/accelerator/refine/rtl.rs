//! RTL of `refine`.

use super::judge::Judge;
use super::query_noise::QueryNoise;
use crate::accelerator::softmax::{Exponent, ExponentialPass, RowSum, ScoreLine};
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::fork::Fork;
use crate::cells::max_tree::{MaxTree, RowLine};
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, StreamOut, Ty};
use crate::numerics::{Formats, NOISE_BITS, SUM_BITS};
use crate::{net, reg};

/// Between the first scores of a row and softmax: rows with a rule wait for their verdict, and for their LSB dot products
/// where it asks for them.
///
/// - Latency: [`passing_latency`](Self::passing_latency) for rows without a rule,
///   [`verdict_latency`](Self::verdict_latency) for verdicts.
/// - Interval: one line per cycle, also from row to row.
/// - Stalls: a score line leaves when softmax has a place for it; lines are always taken while they have places.
#[derive(Clone, Debug)]
pub struct Refine {
    /// Operand formats.
    pub formats: Formats,
    /// Scores of a line.
    pub lanes: usize,
    /// Lines of the waiting ring, in which a row with a rule waits for its maximum: at least those of the longest row.
    pub waiting_lines: usize,
    /// Lines of the held ring, in which it waits for its verdict and its LSBs: at least those of the longest row.
    pub held_lines: usize,
    /// Lines of LSB dot products under way or waiting.
    pub lsb_lines: usize,
    /// Verdicts that may wait for their row's last line to leave.
    pub rows: usize,
    /// Score lines that softmax takes.
    pub score_places: usize,
}

impl Refine {
    /// Rows whose sum may be under way or waiting.
    const SUMS: usize = 8;
    /// Rows whose verdict may be under way.
    const VERDICTS: usize = 4;
    /// Cycles from a line that leaves the held ring to the score line.
    const JOIN_LATENCY: usize = 2;

    /// The ring of the scores of rows that wait for their maximum.
    pub fn waiting_ring(&self) -> BankedFifo {
        BankedFifo::new(self.score_bits() + 1, self.waiting_lines)
    }

    /// The ring of the scores of rows that wait for their verdict and LSBs.
    pub fn held_ring(&self) -> BankedFifo {
        BankedFifo::new(self.score_bits() + 2, self.held_lines)
    }

    /// The ring of LSB dot products.
    pub fn lsb_ring(&self) -> BankedFifo {
        let width = self.lanes * self.formats.lsb_dot_bits() + 1;
        BankedFifo::new(width, self.lsb_lines)
    }

    /// Bits of the scores of a line with their live flags.
    fn score_bits(&self) -> usize {
        self.lanes * (self.formats.score_bits() + 1)
    }

    fn exponent(&self) -> Exponent {
        Exponent {
            formats: self.formats,
        }
    }

    fn row_sum(&self) -> RowSum {
        RowSum { lanes: self.lanes }
    }

    pub(crate) fn max_tree(&self) -> MaxTree {
        MaxTree {
            lanes: self.lanes,
            width: self.formats.score_bits(),
            levels_per_stage: 1,
        }
    }

    /// Rows whose maximum may be under way or waiting: as many as rows of one line leave until the first one's has been
    /// taken, which softmax's ring delays.
    fn maxima(&self) -> usize {
        let waits = BankedFifo::LATENCY as usize + 1;
        Self::JOIN_LATENCY + self.max_tree().row_latency() + waits
    }

    /// Cycles from the transfer of a score line of a row without a rule to the line at the output.
    pub fn passing_latency(&self) -> usize {
        2 * BankedFifo::LATENCY as usize + Self::JOIN_LATENCY
    }

    /// Cycles from a row's last score line at the output to its maximum.
    pub fn maximum_latency(&self) -> usize {
        self.max_tree().row_latency()
    }

    /// Cycles from the transfer of the last score line of a row to its verdict, when its maximum and scale are there.
    pub fn verdict_latency(&self) -> usize {
        let sum = 1 + self.exponent().latency() + self.row_sum().latency();
        let fifos = 3 * Fifo::LATENCY as usize;
        BankedFifo::LATENCY as usize + sum + Judge.latency() + fifos
    }

    fn exponential_pass(&self) -> ExponentialPass {
        ExponentialPass {
            formats: self.formats,
            lanes: self.lanes,
            exponential_lines: 1,
            rows_in_flight: 1,
            value_pruning: false,
        }
    }

    /// Fields of both `score` channels.
    pub fn score_fields(&self) -> Vec<Field> {
        self.exponential_pass().score_fields()
    }

    /// Fields of both `maximum` channels.
    pub fn maximum_fields(&self) -> Vec<Field> {
        self.exponential_pass().maximum_fields()
    }

    /// Fields of a row's rule.
    pub fn rule_fields() -> Vec<Field> {
        vec![
            Field::new("rule", 2, "0 none, 1 threshold, 2 noise"),
            Field::new("confident_sum", SUM_BITS, "TS: refined where S is larger"),
            Field::new(
                "noise_limit",
                NOISE_BITS,
                "T: not refined where N is no larger",
            ),
        ]
    }

    /// Fields of the `row` channel.
    pub fn row_fields() -> Vec<Field> {
        let mut fields = Self::rule_fields();
        fields.extend(ExponentialPass::scale_fields());
        fields
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

    /// Fields of `verdict` and of `refetch`.
    pub fn verdict_fields() -> Vec<Field> {
        vec![Field::new("data", 1, "the row's LSBs are wanted")]
    }
}

impl Block for Refine {
    fn name(&self) -> String {
        format!(
            "spatten_refine_s{}_l{}_n{}_{}_{}_r{}_p{}",
            self.formats.score_bits(),
            self.lanes,
            self.waiting_lines,
            self.held_lines,
            self.lsb_lines,
            self.rows,
            self.score_places
        )
    }

    fn about(&self) -> About {
        About {
            purpose: "Refine: rows with a rule wait for their verdict, which their exponentials' sum gives, and are\n\
                      refined by the dot products over K's LSB plane where it says so. Rows without a rule pass.\n\
                      \n\
                      first_score -> u_waiting_ring -+--------------> u_held_ring -+-> score, maximum\n\
                      first_maximum, row ------------+-> exponents                 |\n\
                      \x20                                  -> u_row_sum              |\n\
                      noise ------------------------------> u_judge -> verdicts --+--> verdict, refetch\n\
                      lsb --------------------------------> u_lsb_ring -----------'"
                .into(),
            parameters: vec![
                ("score_bits", self.formats.score_bits().to_string()),
                ("lanes", self.lanes.to_string()),
                ("waiting_lines", self.waiting_lines.to_string()),
                ("held_lines", self.held_lines.to_string()),
                ("lsb_lines", self.lsb_lines.to_string()),
                ("rows", self.rows.to_string()),
                ("score_places", self.score_places.to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let score = m.stream_in("first_score", &self.score_fields());
        let maximum = m.stream_in("first_maximum", &self.maximum_fields());
        let row = m.stream_in("row", &Self::row_fields());
        let noise = m.stream_in("noise", &QueryNoise::noise_fields());
        let lsb = m.stream_in("lsb", &self.lsb_fields());
        let verdict_out = m.stream_out("verdict", &Self::verdict_fields());
        let refetch_out = m.stream_out("refetch", &Self::verdict_fields());
        let first_free = m.output("first_free", 1, "a first score line has left its place");
        let lsb_free = m.output("lsb_free", 1, "an LSB line has left its place");

        m.section("scores wait for their row's maximum, if it has a rule");
        let line = m.through("u_waiting_ring", &self.waiting_ring(), score);
        reg!(m, first_free_q = line.valid & *line.ready, reset = 0);
        first_free.drive(first_free_q);
        let (held, judged) = self.enter(m, line, maximum, row);
        let verdict = self.judge(m, judged, noise);

        m.section("every verdict goes three ways");
        let u_fork = m.instance("u_verdict_fork", &Fork { branches: 3 });
        u_fork.input("in_valid", verdict.valid);
        verdict.ready.drive(u_fork.output("in_ready"));
        let receivers = [(0, "row"), (1, "query"), (2, "fetch")];
        let [of_row, of_query, of_fetch] = receivers.map(|(index, name)| {
            let branch = u_fork.stream(&format!("out{index}"));
            let fields = vec![("data".to_owned(), verdict.data())];
            let branch = Stream::new(branch.valid, branch.ready, fields);
            m.through(
                &format!("u_{name}_verdicts"),
                &Fifo::new(1, self.rows),
                branch,
            )
        });
        verdict_out.connect(of_query);
        refetch_out.connect(of_fetch);

        m.section("scores wait for their row's verdict, and for its LSBs where it asks for them");
        let lsb = m.through("u_lsb_ring", &self.lsb_ring(), lsb);
        reg!(m, lsb_free_q = lsb.valid & *lsb.ready, reset = 0);
        lsb_free.drive(lsb_free_q);
        let held = m.through("u_held_ring", &self.held_ring(), held);
        let score = m.stream_out("score", &self.score_fields());
        let maximum = m.stream_out("maximum", &self.maximum_fields());
        self.leave(m, [held, of_row, lsb], score, maximum);
    }
}

/// What the rows that enter the decision bring.
struct Judged<'m> {
    /// Sums of exponentials.
    sum: Stream<'m>,
    /// Rules.
    limits: Stream<'m>,
    /// A row's last line enters; to be given back when the sum leaves.
    sums: Credits<'m>,
    row_end: Sig<'m>,
}

impl Refine {
    /// Lines leave the waiting ring for the held ring, and those of rows with a rule for the decision.
    fn enter<'m>(
        &self,
        m: &'m Builder,
        line: Stream<'m>,
        maximum: Stream<'m>,
        row: Stream<'m>,
    ) -> (Stream<'m>, Judged<'m>) {
        m.section("a line goes on when the held ring takes it, and its row's sum has a place");
        let sums = Credits::new(m, "sum", Self::SUMS);
        let sum_room = sums.available();
        let last = line.field("last");
        net!(m, judged = row.field("rule").any());
        let known = maximum.valid & (sum_room | !last);
        net!(m, goes = line.valid & row.valid & (known | !judged));
        let held_room = m.wire("held_room", 1, "");
        net!(m, enters = goes & *held_room);
        line.ready.drive(row.valid & (known | !judged) & *held_room);
        net!(m, row_end = enters & last);
        row.ready.drive(row_end);
        net!(m, judged_end = row_end & judged);
        maximum.ready.drive(judged_end);
        let fields = ["data", "live", "last"].map(|name| (name.to_owned(), line.field(name)));
        let mut fields = Vec::from(fields);
        fields.push(("judged".into(), judged));
        let held = Stream::new(goes, held_room, fields);

        m.section("first register of the decision: behind it nothing stalls");
        net!(m, issue = enters & judged);
        reg!(m, issue_q = issue, reset = 0);
        reg!(m, last_q = last);
        let line = ScoreLine::register(m, issue, &line, &maximum, &row);
        let exponent = self.exponent();
        let (exponentials, live) = exponent.exponentials(m, self.lanes, &line);
        m.unused("exponential_live", live, "dead keys have e = 0");
        let latency = exponent.latency();
        let e_valid = delay_flag(m, "e_valid", *issue_q, latency);
        let e_last = delay(m, "e_last", *last_q, latency);

        m.section("sums of exponentials, and the rules that they are held against");
        let u_sum = m.instance("u_row_sum", &self.row_sum());
        u_sum
            .input("e", exponentials)
            .input("valid", e_valid)
            .input("last", e_last);
        let found = u_sum.output("valid");
        let place = m.wire("sum_place", 1, "");
        m.never(found & !*place, "a sum found no place");
        let fields = vec![("data".into(), u_sum.output("sum"))];
        let sum = Stream::new(found, place, fields);
        let sum = m.through("u_sums", &Fifo::new(SUM_BITS, Self::SUMS), sum);
        let place = m.wire("limits_place", 1, "");
        m.never(judged_end & !*place, "a rule found no place");
        let rule = row.field("rule");
        let fields = vec![
            ("by_noise".into(), rule.bit(1)),
            ("confident_sum".into(), row.field("confident_sum")),
            ("noise_limit".into(), row.field("noise_limit")),
        ];
        let limits = Stream::new(judged_end, place, fields);
        let limits = m.through("u_limits", &Fifo::new(limits.width(), Self::SUMS), limits);
        let judged = Judged {
            sum,
            limits,
            sums,
            row_end: judged_end,
        };
        (held, judged)
    }

    /// Verdicts, in row order.
    fn judge<'m>(&self, m: &'m Builder, judged: Judged<'m>, noise: Stream<'m>) -> Stream<'m> {
        m.section("a row is judged when its sum is known, and its query's noise where the rule asks for it");
        let Judged { sum, limits, .. } = &judged;
        let by_noise = limits.field("by_noise");
        let verdicts = Credits::new(m, "verdict", Self::VERDICTS);
        let room = verdicts.available();
        net!(
            m,
            judge = sum.valid & limits.valid & (noise.valid | !by_noise) & room
        );
        sum.ready.drive(judge);
        limits.ready.drive(judge);
        noise.ready.drive(judge & by_noise);
        judged.sums.count(judged.row_end, judge);
        let u_judge = m.instance("u_judge", &Judge);
        u_judge
            .input("valid", judge)
            .input("sum", sum.data())
            .input("by_noise", by_noise)
            .input("confident_sum", limits.field("confident_sum"))
            .input("noise_limit", limits.field("noise_limit"))
            .input("noise", noise.data());
        let place = m.wire("verdict_place", 1, "");
        let found = u_judge.output("valid");
        m.never(found & !*place, "a verdict found no place");
        let fields = vec![("data".into(), u_judge.output("refetch"))];
        let verdict = Stream::new(found, place, fields);
        let verdict = m.through("u_verdicts", &Fifo::new(1, Self::VERDICTS), verdict);
        net!(m, verdict_left = verdict.valid & *verdict.ready);
        verdicts.count(judge, verdict_left);
        verdict
    }

    /// Lines of decided rows leave, with their LSB dot products added where these are wanted, and then the row's maximum.
    fn leave<'m>(
        &self,
        m: &'m Builder,
        [held, verdict, lsb]: [Stream<'m>; 3],
        score: StreamOut<'m>,
        maximum: StreamOut<'m>,
    ) {
        let score_free = m.input(
            "score_free",
            1,
            "a score line has left its place with softmax",
        );
        let scores = Credits::new(m, "score", self.score_places);
        let maxima = Credits::new(m, "maximum", self.maxima());
        let (score_room, maximum_room) = (scores.available(), maxima.available());
        let (judged, last) = (held.field("judged"), held.field("last"));
        net!(m, refined = judged & verdict.data());
        let decided = verdict.valid & (lsb.valid | !verdict.data());
        net!(
            m,
            leaves = (decided | !judged) & score_room & (maximum_room | !last)
        );
        net!(m, leave = held.valid & leaves);
        held.ready.drive(leaves);
        net!(m, row_left = leave & last);
        verdict.ready.drive(row_left & judged);
        lsb.ready.drive(leave & refined);
        m.never(
            leave & refined & lsb.field("last").differs(last),
            "LSB dot products of another row, or another number of them",
        );

        m.section("scores and what is added to them");
        let lsb_bits = self.lanes * self.formats.lsb_dot_bits();
        reg!(m, held_valid_q = leave, reset = 0);
        reg!(m, held_q = held.field("data"));
        reg!(m, held_live_q = held.field("live"));
        reg!(m, held_last_q = last);
        reg!(m, lsb_q = lsb.data() & refined.repeat(lsb_bits));
        let lane = Ty::signed(self.formats.score_bits());
        let before = held_q.lanes(lane);
        let added = lsb_q.lanes(Ty::signed(self.formats.lsb_dot_bits()));
        let sums = m.per_lane("sums", self.lanes, lane, "final score of key k", |k| {
            let added = added.at(k).extend(lane.width);
            before.at(k).wrapping_add(added)
        });

        m.section("final scores");
        reg!(m, final_valid_q = *held_valid_q, reset = 0);
        reg!(m, final_q = sums);
        reg!(m, final_live_q = *held_live_q);
        reg!(m, final_last_q = *held_last_q);
        let fields = [
            ("data", *final_q),
            ("live", *final_live_q),
            ("last", *final_last_q),
        ];
        score.drive(final_valid_q, &fields);
        m.never(*final_valid_q & !score.ready, "a score line found no place");
        scores.count(leave, score_free);

        let line = RowLine {
            valid: *final_valid_q,
            words: *final_q,
            live: *final_live_q,
            last: *final_last_q,
            sends: None,
        };
        let found = self.max_tree().row_maxima(m, line, self.maxima());
        maxima.count(row_left, found.valid & maximum.ready);
        maximum.connect(found);
    }
}
