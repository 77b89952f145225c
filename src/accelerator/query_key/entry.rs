//! Which line enters `query_key` next: one of K, or of K's LSB plane for a row that is refined.

use super::rtl::QueryKey;
use crate::cells::banked_fifo::BankedFifo;
use crate::cells::credits::Credits;
use crate::hdl::{Builder, Reg, Sig, Stream, Wire};
use crate::numerics::value_bits;
use crate::{net, reg};

/// The line that enters in this cycle.
pub(super) struct Entry<'m> {
    /// A line enters.
    pub issue: Sig<'m>,
    /// It is its row's last one.
    pub last: Sig<'m>,
    /// Its level.
    pub level: Sig<'m>,
    /// The elements take its query.
    pub load_query: Sig<'m>,
    /// It is the last one of a row whose maximum is wanted.
    pub row_end: Sig<'m>,
    /// What it has beside these where there is an LSB plane.
    pub second: Option<SecondEntry<'m>>,
}

/// What an entry has beside where there is an LSB plane.
pub(super) struct SecondEntry<'m> {
    /// The second pass has the array in the next cycle.
    pub next_refines: Sig<'m>,
    /// It has it in this one.
    pub refines: Sig<'m>,
    /// The maximum of the K line's row is wanted.
    pub progressive: Sig<'m>,
    /// Query of the row that is refined, or is to be decided first.
    pub held: Sig<'m>,
    /// Its level.
    pub held_level: Sig<'m>,
}

/// The streams of the second pass.
pub(super) struct SecondPass<'m> {
    /// LSB lines.
    pub line: Stream<'m>,
    /// Whether a row that has had its first pass is refined.
    pub verdict: Stream<'m>,
    /// A line of LSB dot products has left its place.
    pub free: Sig<'m>,
}

/// Score lines that the next line opens, and whether these have places.
struct Places<'m> {
    /// Lines taken and not yet freed.
    used: Reg<'m>,
    /// Lines that the next line opens.
    opens: Sig<'m>,
    /// There are places for them.
    room: Sig<'m>,
}

/// The score line that is being made.
struct Open<'m> {
    /// K lines that it already has.
    part: Reg<'m>,
    /// It has some.
    open: Sig<'m>,
    /// The next line is its last one.
    fills: Sig<'m>,
    /// Cycles until the packer has made the score lines of the line before, and those of the next line.
    pace: Option<(Reg<'m>, Sig<'m>)>,
    /// The packer takes the next line's group when it comes.
    paced: Option<Sig<'m>>,
}

impl QueryKey {
    /// Decides which line enters: a K line when its scores, and its row's maximum, have places.
    pub(super) fn first_pass_only<'m>(
        &self,
        m: &'m Builder,
        row: &Stream<'m>,
        line: &Stream<'m>,
        score_free: Sig<'m>,
        maxima: &Credits<'m>,
    ) -> Entry<'m> {
        m.section("a line enters when its scores and its row's maximum have places");
        let level = row.field("level");
        let score_line = self.score_line(m, level);
        let places = self.places(m, "score", level, self.score_places, score_line.open);
        let maximum_room = maxima.available();
        let room = score_line.with_pace((score_line.open | places.room) & maximum_room);
        net!(m, room = room);
        net!(m, issue = line.valid & row.valid & room);
        line.ready.drive(row.valid & room);
        let last = line.field("last");
        net!(m, row_end = issue & last);
        row.ready.drive(row_end);
        places.count(m, "score", issue, score_free);
        score_line.count(m, issue, last);
        reg!(m, first_q: 1, reset = 1, "the next line is a row's first");
        first_q.next_when(issue, last);
        net!(m, load_query = issue & first_q);
        Entry {
            issue,
            last,
            level,
            load_query,
            row_end,
            second: None,
        }
    }

    /// The same with a second pass, over the LSB lines of rows whose verdict asks for it. Passes take turns score line
    /// by score line, the second one first: a K line that waits for places never holds up what frees them.
    pub(super) fn both_passes<'m>(
        &self,
        m: &'m Builder,
        row: &Stream<'m>,
        line: &Stream<'m>,
        score_free: Sig<'m>,
        maxima: &Credits<'m>,
        second: SecondPass<'m>,
    ) -> Entry<'m> {
        m.section("queries of rows with a rule, until it is known whether they are refined, and have been");
        let progressive = row.field("progressive");
        let hold = m.wire("hold", 1, "a row with a rule begins");
        let held = self.held_queries(m, row, *hold);
        let (query, held_level) = (held.query.field("query"), held.query.field("level"));

        m.section("a line enters when its scores have places, and its row's query and maximum if it has a rule");
        reg!(m, refines_q: 1, reset = 0, "the second pass has the array");
        net!(m, level = refines_q.select(held_level, row.field("level")));
        let score_line = self.score_line(m, level);
        let open = score_line.open;
        let of_row = row.field("level");
        let scores = self.places(m, "score", of_row, self.score_places, open);
        let dots = self.places(m, "lsb", held_level, self.lsb_places(), open);
        reg!(m, first_q: 1, reset = 1, "the next K line is a row's first");
        let maximum_room = maxima.available();
        net!(
            m,
            key_room = open | (scores.room & (maximum_room | !progressive))
        );
        let key_room = score_line.with_pace(key_room & !refines_q);
        net!(m, holds = first_q & progressive);
        net!(m, key_ready = row.valid & key_room & (held.ready | !holds));
        net!(m, key_issue = line.valid & key_ready);
        line.ready.drive(key_ready);
        hold.drive(line.valid & row.valid & key_room & holds);
        first_q.next_when(key_issue, line.field("last"));
        net!(m, key_end = key_issue & line.field("last"));
        row.ready.drive(key_end);
        net!(m, row_end = key_end & progressive);

        m.section("LSB lines of the row that is refined");
        let lsb_line = &second.line;
        net!(
            m,
            lsb_ready = score_line.with_pace(refines_q & (open | dots.room))
        );
        net!(m, lsb_issue = lsb_line.valid & lsb_ready);
        lsb_line.ready.drive(lsb_ready);
        m.unused(
            "lsb_live",
            lsb_line.field("live"),
            "the scores have their flags",
        );
        net!(m, lsb_end = lsb_issue & lsb_line.field("last"));
        let verdict = &second.verdict;
        net!(m, known = held.query.valid & verdict.valid);
        let refetched = verdict.data();
        net!(m, done = known & (lsb_end | !refetched));
        verdict.ready.drive(done);
        held.query.ready.drive(done);

        m.section(
            "the second pass has the array while it has lines, from one score line to the next",
        );
        net!(m, issue = key_issue | lsb_issue);
        let lasts = [lsb_line.field("last"), line.field("last")];
        net!(m, last = refines_q.select(lasts[0], lasts[1]));
        net!(
            m,
            stays_open = issue.select(!(score_line.fills | last), open)
        );
        net!(m, waits = known & refetched & lsb_line.valid & dots.room);
        let starved = score_line.with_pace(!issue & !open);
        net!(
            m,
            next_refines = refines_q.select(!(lsb_end | starved), waits & !stays_open)
        );
        refines_q.next(next_refines);
        scores.count(m, "score", key_issue, score_free);
        dots.count(m, "lsb", lsb_issue, second.free);
        score_line.count(m, issue, last);
        net!(m, load_query = issue & !open, "each pass has its own");
        Entry {
            issue,
            last,
            level,
            load_query,
            row_end,
            second: Some(SecondEntry {
                next_refines,
                refines: *refines_q,
                progressive,
                held: query,
                held_level,
            }),
        }
    }

    /// The FIFO of the queries of rows that may be refined: one enters with its row's first K line.
    fn held_queries<'m>(&self, m: &'m Builder, row: &Stream<'m>, hold: Sig<'m>) -> Held<'m> {
        let ready = m.wire("hold_ready", 1, "there is a place for a query");
        let fields = ["query", "level"].map(|name| (name.to_owned(), row.field(name)));
        let entering = Stream::new(hold, ready, fields.into());
        let fifo = BankedFifo::new(entering.width(), self.held_queries);
        Held {
            ready,
            query: m.through("u_held_queries", &fifo, entering),
        }
    }

    /// Places for the score lines that the next line of `level` opens, of `places` in all.
    fn places<'m>(
        &self,
        m: &'m Builder,
        name: &str,
        level: Sig<'m>,
        places: usize,
        open: Sig<'m>,
    ) -> Places<'m> {
        let bits = value_bits(places);
        let by_level = |what: &str, doc: &str, value: &dyn Fn(usize) -> usize| {
            let name = format!("{name}_{what}");
            let value = |l| m.lit(value(l) as u64, bits);
            self.shape.by_level(m, &name, level, doc, value)
        };
        let doc = "lines on their way or with the receiver";
        let used = m.register(&format!("{name}_used_q"), bits, Some(0), doc);
        let new = by_level("new", "lines that a line opens", &|l| self.line_cycles(l));
        let limit = by_level("limit", "lines in use that leave room", &|l| {
            places - self.line_cycles(l)
        });
        let opens = open.select(m.lit(0, bits), new);
        Places {
            used,
            opens: m.net(&format!("{name}_opens"), opens, ""),
            room: m.net(&format!("{name}_room"), used.le(limit), ""),
        }
    }

    /// The score line to which the next line, of `level`, belongs.
    fn score_line<'m>(&self, m: &'m Builder, level: Sig<'m>) -> Open<'m> {
        let shape = &self.shape;
        let by_level = |name: &str, doc: &str, bits: usize, value: &dyn Fn(usize) -> usize| {
            shape.by_level(m, name, level, doc, |l| m.lit(value(l) as u64, bits))
        };
        let most = |value: &dyn Fn(usize) -> usize| shape.levels().into_iter().map(value).max();
        let most_parts = most(&|l| self.lines_per_score_line(l)).unwrap_or(1);
        let most_cycles = most(&|l| self.line_cycles(l)).unwrap_or(1);

        let part_bits = value_bits(most_parts - 1);
        reg!(m, part_q: part_bits, reset = 0, "lines whose scores the open score line has");
        let final_part = by_level("final_part", "", part_bits, &|l| {
            self.lines_per_score_line(l) - 1
        });
        net!(m, fills = part_q.equals(final_part));
        net!(m, open = part_q.any());
        let pace = (most_cycles > 1).then(|| {
            let bits = value_bits(most_cycles - 1);
            reg!(m, pace_q: bits, reset = 0, "cycles in which the packer cuts the group before");
            let cycles = by_level("pace", "", bits, &|l| self.line_cycles(l) - 1);
            (pace_q, cycles)
        });
        let paced = pace.map(|(pace, _)| m.net("paced", pace.is(0), ""));
        Open {
            part: part_q,
            open,
            fills,
            pace,
            paced,
        }
    }
}

/// The queries of rows that may be refined.
struct Held<'m> {
    /// There is a place for one more.
    ready: Wire<'m>,
    /// The oldest.
    query: Stream<'m>,
}

impl<'m> Places<'m> {
    /// Closes the count: a line enters, a score line has left its place.
    fn count(&self, m: &'m Builder, name: &str, issue: Sig<'m>, free: Sig<'m>) {
        let none = m.lit(0, self.used.width());
        let taken = self.used.wrapping_add(issue.select(self.opens, none));
        let taken = m.net(&format!("{name}_taken"), taken, "");
        self.used
            .next(taken.wrapping_sub(free.extend(self.used.width())));
    }
}

impl<'m> Open<'m> {
    /// The condition, and the packer is not still cutting the group before.
    fn with_pace(&self, condition: Sig<'m>) -> Sig<'m> {
        self.paced.map_or(condition, |paced| condition & paced)
    }

    /// Closes the count: a line enters, and is its row's last.
    fn count(&self, m: &'m Builder, issue: Sig<'m>, last: Sig<'m>) {
        let part = self.part;
        let following = part.wrapping_add(m.lit(1, part.width()));
        let wraps = self.fills | last;
        part.next_when(issue, wraps.select(m.lit(0, part.width()), following));
        if let Some((pace, cycles)) = self.pace {
            let down = pace.wrapping_sub(m.lit(1, pace.width()));
            pace.next_when(issue | pace.any(), issue.select(cycles, down));
        }
    }
}
