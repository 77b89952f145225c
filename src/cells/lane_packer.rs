//! Lane packer: groups of a run-time size become lines of a fixed size.
//!
//! A group of g lanes enters per transfer. Where g is smaller than the line, groups collect until the line is full or
//! the last group has come; where g is larger, a group leaves as several lines. Order is kept.

use crate::accelerator::shape::ArrayShape;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::value_bits;
use crate::reg;

/// From groups of `chunks >> level` lanes to lines of `lanes` lanes.
///
/// - Latency: [`LanePacker::LATENCY`] cycle from the transfer that completes a line.
/// - Interval: one group per cycle while groups are no larger than lines, else one line per cycle.
/// - Stalls: holds one line; a group enters only when the held line is leaving or not there.
#[derive(Clone, Debug)]
pub struct LanePacker {
    /// Array whose lines make the groups.
    pub shape: ArrayShape,
    /// Lanes of a line; at every level a multiple or a divisor of the group.
    pub lanes: usize,
    /// Bits of one lane.
    pub width: usize,
}

/// Lines that the packer makes of groups of one level: lanes beyond the last group are zero.
///
/// # Panics
/// When neither of group and line divides the other.
pub fn pack_groups(groups: &[Vec<i64>], lanes: usize) -> Vec<Vec<i64>> {
    let all: Vec<i64> = groups.concat();
    let mut lines: Vec<Vec<i64>> = all.chunks(lanes).map(<[i64]>::to_vec).collect();
    if let Some(group) = groups.first() {
        assert!(
            group.len().is_multiple_of(lanes) || lanes.is_multiple_of(group.len()),
            "groups of {} lanes do not fit lines of {lanes}",
            group.len()
        );
    }
    if let Some(last) = lines.last_mut() {
        last.resize(lanes, 0);
    }
    lines
}

impl LanePacker {
    /// Cycles from the transfer that completes a line to the first cycle the line can leave.
    pub const LATENCY: u64 = 1;

    /// Parts of a line (groups smaller than a line) or of a group (groups larger) at `level`.
    fn parts(&self, level: usize) -> usize {
        let group = self.shape.vectors_per_line(level);
        self.lanes.max(group) / self.lanes.min(group)
    }

    fn most_parts(&self) -> usize {
        let parts = self.shape.levels().into_iter().map(|l| self.parts(l));
        parts.max().unwrap_or(1)
    }
}

impl Block for LanePacker {
    fn name(&self) -> String {
        let shape = self.shape.name();
        format!(
            "spatten_lane_packer_{shape}_l{}_w{}",
            self.lanes, self.width
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("lanes", self.lanes.to_string()));
        parameters.push(("width", self.width.to_string()));
        About {
            purpose: "Lane packer: groups of multipliers / d lanes become lines of a fixed number of lanes,\n\
                      in order; lanes of a line that no group fills are zero."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let chunks = self.shape.chunks();
        let (lanes, width) = (self.lanes, self.width);
        let group_doc = format!("group: up to {chunks} lanes of {width} bits");
        let input = m.stream_in(
            "in",
            &[
                Field::new("data", chunks * width, &group_doc),
                self.shape.level_field(),
                Field::new("last", 1, "last group of the row"),
            ],
        );
        let line_doc = format!("line: {lanes} lanes of {width} bits");
        let out = m.stream_out(
            "out",
            &[
                Field::new("data", lanes * width, &line_doc),
                Field::new("last", 1, "last line of the row"),
            ],
        );
        let level = input.field("level");
        let group = input.data();
        let last = input.field("last");
        let part_bits = value_bits(self.most_parts() - 1);

        m.section("which part of the line a group fills, or of a group a line takes");
        reg!(m, part_q: part_bits, reset = 0);
        let final_part = self.shape.by_level(
            m,
            "final_part",
            level,
            "last part of a full line or group",
            |l| m.lit(self.parts(l) as u64 - 1, part_bits),
        );
        let splits =
            self.shape
                .by_level(m, "splits", level, "a group is larger than a line", |l| {
                    m.lit(u64::from(self.shape.vectors_per_line(l) > lanes), 1)
                });
        let at_end = m.net("at_end", part_q.equals(final_part), "");
        let completes = m.net(
            "completes",
            splits | at_end | last,
            "this step completes a line",
        );

        m.section("a step takes a group in, or one line out of a group");
        reg!(m, full_q: 1, reset = 0);
        let room = m.net(
            "room",
            out.ready | !full_q,
            "the held line leaves or is not there",
        );
        let step = m.net("step", input.valid & room, "");
        let group_done = m.net(
            "group_done",
            (!splits) | at_end,
            "the step uses the group up",
        );
        input.ready.drive(room & group_done);
        let wraps = at_end | (last & !splits);
        let next_part = wraps.select(
            m.lit(0, part_bits),
            part_q.wrapping_add(m.lit(1, part_bits)),
        );
        part_q.next_when(step, next_part);
        full_q.next(room.select(input.valid & completes, full_q));

        m.section("the line being collected or cut");
        reg!(m, line_q: lanes * width);
        reg!(m, last_q = last & group_done, when = step);
        let line = self
            .shape
            .by_level(m, "line", level, "line after this step", |l| {
                self.next_line(m, l, group, *line_q, *part_q)
            });
        line_q.next_when(step, line);
        out.drive(full_q, &[("data", *line_q), ("last", *last_q)]);
    }
}

impl LanePacker {
    /// The line after a step at `level`: earlier parts kept, later ones zero.
    fn next_line<'m>(
        &self,
        m: &'m Builder,
        level: usize,
        group: Sig<'m>,
        held: Sig<'m>,
        part: Sig<'m>,
    ) -> Sig<'m> {
        let size = self.shape.vectors_per_line(level) * self.width;
        let line = self.lanes * self.width;
        let parts = self.parts(level);
        if size > line {
            let pieces: Vec<_> = (0..parts).map(|p| group.slice(p * line, line)).collect();
            return select_part(part, &pieces);
        }
        if parts == 1 {
            return group.slice(0, line);
        }
        let pieces: Vec<_> = (0..parts)
            .map(|p| {
                let earlier = held.slice(p * size, size);
                let group = group.slice(0, size);
                // No part comes before the first, and after the last the line leaves.
                let here = match p {
                    0 => group,
                    _ => part.is(p as u64).select(group, m.lit(0, size)),
                };
                if p + 1 == parts {
                    return here;
                }
                let later = part.gt(m.lit(p as u64, part.width()));
                later.select(earlier, here)
            })
            .collect();
        m.pack(&pieces)
    }
}

/// The piece that `part` names; the last one for every number beyond.
pub(crate) fn select_part<'m>(part: Sig<'m>, pieces: &[Sig<'m>]) -> Sig<'m> {
    let (last, others) = pieces.split_last().expect("at least one part");
    others
        .iter()
        .enumerate()
        .rev()
        .fold(*last, |rest, (p, piece)| {
            part.is(p as u64).select(*piece, rest)
        })
}
