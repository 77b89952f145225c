//! Lane unpacker: lines of a fixed size become groups of a run-time size, the inverse of the lane packer.

use super::lane_packer::select_part;
use crate::accelerator::shape::ArrayShape;
use crate::hdl::{About, Block, Builder, Field, Sig};
use crate::numerics::value_bits;
use crate::reg;

/// From lines of `lanes` lanes to groups of `chunks >> level` lanes.
///
/// - Latency: [`LaneUnpacker::LATENCY`], none; interval: one group per cycle while groups are no larger than lines, else one line per cycle.
/// - Stalls: valid and ready pass combinationally; nothing but the first lines of a larger group is held.
///
/// The receiver marks the last group of a row with `finish_i`, which counts in the cycle in which the group leaves; what
/// the line holds beyond it is dropped.
#[derive(Clone, Debug)]
pub struct LaneUnpacker {
    /// Array whose lines the groups go to.
    pub shape: ArrayShape,
    /// Lanes of a line; at every level a multiple or a divisor of the group.
    pub lanes: usize,
    /// Bits of one lane.
    pub width: usize,
}

/// The first `count` groups of `group` lanes in lines.
///
/// # Panics
/// When the lines hold fewer groups.
pub fn unpack_lines(lines: &[Vec<i64>], group: usize, count: usize) -> Vec<Vec<i64>> {
    let all: Vec<i64> = lines.concat();
    assert!(
        all.len() >= group * count,
        "{} lanes hold no {count} groups of {group}",
        all.len()
    );
    all.chunks(group).take(count).map(<[i64]>::to_vec).collect()
}

impl LaneUnpacker {
    /// Cycles from a line to its groups: they leave in the cycle in which the line is offered.
    pub const LATENCY: u64 = 0;

    fn parts(&self, level: usize) -> usize {
        let group = self.shape.vectors_per_line(level);
        self.lanes.max(group) / self.lanes.min(group)
    }

    fn splits(&self, level: usize) -> bool {
        self.shape.vectors_per_line(level) > self.lanes
    }

    /// Most lines that make one group.
    fn most_lines(&self) -> usize {
        let lines = self.shape.levels().into_iter();
        lines
            .filter(|&l| self.splits(l))
            .map(|l| self.parts(l))
            .max()
            .unwrap_or(1)
    }
}

impl Block for LaneUnpacker {
    fn name(&self) -> String {
        let shape = self.shape.name();
        format!(
            "spatten_lane_unpacker_{shape}_l{}_w{}",
            self.lanes, self.width
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("lanes", self.lanes.to_string()));
        parameters.push(("width", self.width.to_string()));
        About {
            purpose: "Lane unpacker: lines of a fixed number of lanes become groups of multipliers / d lanes,\n\
                      in order; lanes of a group beyond multipliers / d are zero."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let chunks = self.shape.chunks();
        let (lanes, width) = (self.lanes, self.width);
        let line_doc = format!("line: {lanes} lanes of {width} bits");
        let input = m.stream_in("in", &[Field::new("data", lanes * width, &line_doc)]);
        let level = m.input(
            "level",
            self.shape.level_bits(),
            "head dimension of the row; stable while a row passes",
        );
        let finish = m.input("finish", 1, "the offered group is the row's last");
        let group_doc = format!("group: up to {chunks} lanes of {width} bits");
        let out = m.stream_out("out", &[Field::new("data", chunks * width, &group_doc)]);
        let most_parts = self.shape.levels().into_iter().map(|l| self.parts(l)).max();
        let part_bits = value_bits(most_parts.unwrap_or(1) - 1);

        m.section("which part of a line is offered, or of a group is missing");
        reg!(m, part_q: part_bits, reset = 0);
        let final_part = self.shape.by_level(
            m,
            "final_part",
            level,
            "last part of a line or group",
            |l| m.lit(self.parts(l) as u64 - 1, part_bits),
        );
        let collects =
            self.shape
                .by_level(m, "collects", level, "a group is larger than a line", |l| {
                    m.lit(u64::from(self.splits(l)), 1)
                });
        let at_end = m.net("at_end", part_q.equals(final_part), "");
        let offer = m.net("offer", (!collects) | at_end, "a whole group is there");
        let line_done = m.net(
            "line_done",
            collects | at_end | finish,
            "the step uses the line up",
        );
        let step = m.net("step", input.valid & (out.ready | !offer), "");
        input.ready.drive((out.ready | !offer) & line_done);
        let wraps = at_end | (finish & !collects);
        let next_part = wraps.select(
            m.lit(0, part_bits),
            part_q.wrapping_add(m.lit(1, part_bits)),
        );
        part_q.next_when(step, next_part);

        let line = input.data();
        let held = self.held_lines(m, line, *part_q, step);
        let group = self
            .shape
            .by_level(m, "group", level, "the offered group", |l| {
                self.group(m, l, line, &held, *part_q)
            });
        out.drive(input.valid & offer, &[("data", group)]);
    }
}

impl LaneUnpacker {
    /// Registers for all lines of a group but the last.
    fn held_lines<'m>(
        &self,
        m: &'m Builder,
        line: Sig<'m>,
        part: Sig<'m>,
        step: Sig<'m>,
    ) -> Vec<Sig<'m>> {
        let held = self.most_lines() - 1;
        if held > 0 {
            m.section("lines of a group that wait for its last");
        }
        (0..held)
            .map(|p| {
                let register = m.register(&format!("held{p}_q"), line.ty(), None, "");
                register.next_when(step & part.is(p as u64), line);
                *register
            })
            .collect()
    }

    fn group<'m>(
        &self,
        m: &'m Builder,
        level: usize,
        line: Sig<'m>,
        held: &[Sig<'m>],
        part: Sig<'m>,
    ) -> Sig<'m> {
        let size = self.shape.vectors_per_line(level) * self.width;
        let whole = self.shape.chunks() * self.width;
        let parts = self.parts(level);
        let group = if self.splits(level) {
            let mut lines = held[..parts - 1].to_vec();
            lines.push(line);
            m.pack(&lines)
        } else {
            let pieces: Vec<_> = (0..parts).map(|p| line.slice(p * size, size)).collect();
            select_part(part, &pieces)
        };
        group.extend(whole)
    }
}
