//! RTL of `prob_value`.

use super::column::ProbValueColumn;
use super::element::ProbValueElement;
use super::output_scale::OutputScale;
use crate::accelerator::shape::ArrayShape;
use crate::cells::adder_tree::AdderTree;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::lane_unpacker::LaneUnpacker;
use crate::hdl::{About, Block, Builder, Field, Reg, Sig, Stream, Ty};
use crate::numerics::{
    Formats, RECIPROCAL_BITS, RECIPROCAL_EXPONENT_BITS, WEIGHT_BITS, log2_exact, value_bits,
};
use crate::{net, reg};

/// Weights times V vectors, accumulated per row and scaled to outputs.
#[derive(Clone, Debug)]
pub struct ProbValue {
    /// The multiplier array.
    pub shape: ArrayShape,
    /// Operand formats.
    pub formats: Formats,
    /// Weights of an input line.
    pub lanes: usize,
    /// Outputs per cycle; divides the smallest head dimension.
    pub output_lanes: usize,
}

/// What the drain of a finished row needs.
struct Finished<'m> {
    /// Held sums per chunk of the largest dimension: one lane per element.
    held: Vec<Sig<'m>>,
    /// The accumulators are copied in this cycle.
    hold: Sig<'m>,
    /// Level of the held row.
    level: Sig<'m>,
    /// Last drain step of the held row.
    final_step: Sig<'m>,
    /// 1/S of the held row.
    r: Sig<'m>,
    /// floor(log2 S) of the held row.
    k: Sig<'m>,
}

/// The count of outputs between a row's last line and `out`, which keeps two promises: nothing holds the sums of a row
/// up whose last line has entered, and outputs find places behind the pipeline, which never stalls.
///
/// A row's last line enters when all outputs before it have places: by the time its sums are finished, the row before
/// has drained. Its own outputs need no places yet, since the finished sums can wait for them.
struct Outputs<'m> {
    owed: Reg<'m>,
    due: Reg<'m>,
    /// A row's last line may enter.
    clear: Sig<'m>,
    /// A step of the drain finds a place for its outputs.
    place: Sig<'m>,
}

impl<'m> Outputs<'m> {
    fn new(m: &'m Builder, stage: &ProbValue) -> Self {
        let most_steps = stage.steps(stage.shape.max_level());
        let (places, latency) = (stage.output_places(), stage.element().latency());
        let owed_bits = value_bits(places + most_steps);
        let due_bits = value_bits(latency + most_steps);
        reg!(m, owed_q: owed_bits, reset = 0, "outputs of rows whose last line has entered, not yet taken");
        reg!(m, due_q: due_bits, reset = 0, "those of them that have not yet been drained");
        let placed = owed_q.le(m.lit(places as u64, owed_bits));
        let drained = due_q.le(m.lit(latency as u64, due_bits));
        net!(
            m,
            outputs_clear = placed & drained,
            "all owed outputs have places, and are drained before new sums are finished"
        );
        let waiting = owed_q.wrapping_sub(due_q.extend(owed_bits));
        net!(m, place = waiting.lt(m.lit(places as u64, owed_bits)));
        Outputs {
            owed: owed_q,
            due: due_q,
            clear: outputs_clear,
            place,
        }
    }

    /// Closes the counts: a row's last line enters, a step drains outputs, outputs leave.
    fn count(
        &self,
        m: &'m Builder,
        row_end: Sig<'m>,
        final_step: Sig<'m>,
        step: Sig<'m>,
        taken: Sig<'m>,
    ) {
        m.section("outputs on their way");
        for (name, count, leave) in [("owed", self.owed, taken), ("due", self.due, step)] {
            let width = count.width();
            let steps = final_step.extend(width).wrapping_add(m.lit(1, width));
            let entered = count.wrapping_add(row_end.select(steps, m.lit(0, width)));
            let entered = m.net(&format!("{name}_entered"), entered, "");
            count.next(entered.wrapping_sub(leave.extend(width)));
        }
    }
}

impl ProbValue {
    pub(crate) fn column(&self) -> ProbValueColumn {
        ProbValueColumn {
            banks: self.shape.banks(),
            value_bits: self.formats.value_bits,
            accumulator_bits: self.formats.accumulator_bits(),
        }
    }

    /// The processing element: few enough columns that each bit of a weight drives little more than a hundred gates.
    pub fn element(&self) -> ProbValueElement {
        ProbValueElement {
            columns: self.shape.min_dim().min(8),
            column: self.column(),
        }
    }

    /// Cuts weight lines into the weights of V lines.
    pub fn unpacker(&self) -> LaneUnpacker {
        LaneUnpacker {
            shape: self.shape.clone(),
            lanes: self.lanes,
            width: WEIGHT_BITS,
        }
    }

    pub(crate) fn scale(&self) -> OutputScale {
        OutputScale {
            formats: self.formats,
        }
    }

    /// Sums the chunks that hold parts of one output.
    pub(crate) fn fold(&self) -> AdderTree {
        let term = Ty::signed(self.formats.accumulator_bits());
        AdderTree::total(self.shape.chunks_per_vector(), term, 1)
    }

    /// Steps in which a row of that level leaves.
    fn steps(&self, level: usize) -> usize {
        (self.shape.min_dim() << level) / self.output_lanes
    }

    /// Cycles from a drain step to its outputs at the FIFO.
    pub fn drain_latency(&self) -> usize {
        1 + self.fold().latency() + self.scale().latency()
    }

    /// Outputs that may be owed before a row's last line enters: as many as leave, one per cycle, from there on until
    /// the count knows that the row's first outputs have left.
    fn output_places(&self) -> usize {
        self.element().latency() + self.drain_latency() + 1
    }

    /// Cycles from the transfer of a row's last V line to the first in which its first outputs can leave, when its
    /// reciprocal is there and nothing stalls.
    pub fn latency(&self) -> usize {
        self.element().latency() + self.drain_latency() + Fifo::LATENCY as usize
    }

    /// Cycles per V line of a level: one, or as many as bring its weights.
    pub fn line_cycles(&self, level: usize) -> usize {
        self.shape.vectors_per_line(level).div_ceil(self.lanes)
    }

    /// Cycles from row to row of `lines` V lines when nothing stalls: those of the lines, or those in which the row's
    /// outputs leave.
    pub fn row_cycles(&self, level: usize, lines: usize) -> usize {
        (lines * self.line_cycles(level)).max(self.steps(level))
    }

    /// Fields of the `out` channel.
    pub fn out_fields(&self) -> Vec<Field> {
        let bits = self.formats.output_bits();
        let doc = format!(
            "{} outputs s{bits}, four fraction bits of V",
            self.output_lanes
        );
        vec![
            Field::new("data", self.output_lanes * bits, &doc),
            Field::new("last", 1, "last outputs of the row"),
        ]
    }
}

impl Block for ProbValue {
    fn name(&self) -> String {
        format!(
            "spatten_prob_value_{}_v{}_l{}_o{}",
            self.shape.name(),
            self.formats.value_bits,
            self.lanes,
            self.output_lanes
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("value_bits", self.formats.value_bits.to_string()));
        parameters.push(("lanes", self.lanes.to_string()));
        parameters.push(("output_lanes", self.output_lanes.to_string()));
        About {
            purpose: "Probability times value: each line's weights times its V vectors, accumulated per output element\n\
                      over the row, then scaled by the reciprocal of the weights' sum."
                .into(),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let shape = &self.shape;
        let row = m.stream_in("row", &[shape.level_field()]);
        let weight_doc = format!("{} weights u{WEIGHT_BITS}", self.lanes);
        let weight = m.stream_in(
            "weight",
            &[Field::new("data", self.lanes * WEIGHT_BITS, &weight_doc)],
        );
        let line_bits = shape.multipliers * self.formats.value_bits;
        let line_doc = format!(
            "V line: element k of {} bits, signed",
            self.formats.value_bits
        );
        let line = m.stream_in(
            "line",
            &[
                Field::new("data", line_bits, &line_doc),
                Field::new("last", 1, "last line of the row"),
            ],
        );
        let reciprocal = m.stream_in(
            "reciprocal",
            &[
                Field::new("r", RECIPROCAL_BITS, "1/S = r * 2^-(k + 18)"),
                Field::new("k", RECIPROCAL_EXPONENT_BITS, "floor(log2 S)"),
            ],
        );
        let out = m.stream_out("out", &self.out_fields());
        let level = row.field("level");
        let last = line.field("last");

        m.section("weights of one V line");
        let u_unpacker = m.instance("u_unpacker", &self.unpacker());
        // The level that cuts the weights is the row's, so they wait for it.
        net!(m, weight_here = weight.valid & row.valid);
        u_unpacker
            .input("in_valid", weight_here)
            .input("in_data", weight.data());
        weight
            .ready
            .drive(u_unpacker.output("in_ready") & row.valid);
        u_unpacker.input("level", level).input("finish", last);
        let group = u_unpacker.stream("out");

        m.section(
            "a line enters with its weights; a row's last one when nothing will hold its sums up",
        );
        let step_bits = value_bits(self.steps(shape.max_level()) - 1);
        let final_step = shape.by_level(m, "final_step", level, "last drain step", |l| {
            m.lit(self.steps(l) as u64 - 1, step_bits)
        });
        let outputs = Outputs::new(m, self);
        reg!(m, pace_q: step_bits, reset = 0, "cycles in which the row before drains, counted from its last line");
        net!(m, paced = pace_q.is(0));
        net!(m, end_clear = paced & outputs.clear & reciprocal.valid);
        net!(m, others = row.valid & ((!last) | end_clear));
        net!(m, issue = group.valid & line.valid & others);
        group.ready.drive(line.valid & others);
        line.ready.drive(group.valid & others);
        net!(m, row_end = issue & last);
        row.ready.drive(row_end);
        reciprocal.ready.drive(row_end);
        let pace_down = pace_q.wrapping_sub(m.lit(1, step_bits));
        pace_q.next_when(row_end | !paced, row_end.select(final_step, pace_down));
        reg!(m, first_q: 1, reset = 1, "the next line is a row's first");
        first_q.next_when(issue, last);

        let flags = [issue, *first_q, row_end];
        let held = self.elements(m, line.data(), group.data(), level, flags);

        m.section("what belongs to the held row");
        let cycles = self.element().latency() - 1;
        let hold = delay_flag(m, "hold", row_end, cycles);
        let with_hold = |name: &str, value: Sig<'_>| {
            let delayed = delay(m, name, value, cycles);
            let register = m.register(&format!("held_{name}_q"), value.ty(), None, "");
            register.next_when(hold, delayed);
            *register
        };
        let finished = Finished {
            held,
            hold,
            level: with_hold("level", level),
            final_step: with_hold("final_step", final_step),
            r: with_hold("r", reciprocal.field("r")),
            k: with_hold("k", reciprocal.field("k")),
        };
        let (step, drained) = self.drain(m, &finished, outputs.place);
        net!(m, taken = drained.valid & out.ready, "outputs leave");
        outputs.count(m, row_end, final_step, step, taken);
        out.connect(drained);
    }
}

impl ProbValue {
    /// The processing elements: held sums per chunk of the largest dimension. `flags`: operands enter, they begin a
    /// row, they end one.
    fn elements<'m>(
        &self,
        m: &'m Builder,
        line: Sig<'m>,
        weights: Sig<'m>,
        level: Sig<'m>,
        [valid, first, last]: [Sig<'m>; 3],
    ) -> Vec<Sig<'m>> {
        let shape = &self.shape;
        let element = self.element();
        let in_vector = shape.chunks_per_vector();
        let chunk_bits = shape.min_dim() * self.formats.value_bits;
        let part_bits = element.columns * self.formats.value_bits;
        let weights = weights.lanes(WEIGHT_BITS).to_vec();
        let mut held = Vec::new();
        for c in 0..in_vector {
            m.section(&format!(
                "elements of the chunks k with k % {in_vector} = {c}"
            ));
            // Chunk k belongs to vector k >> level, and so does its weight.
            let weight = shape.by_level(m, &format!("weight{c}"), level, "weight of bank k", |l| {
                let banks = (0..shape.banks()).map(|b| weights[(b * in_vector + c) >> l]);
                m.pack(&banks.collect::<Vec<_>>())
            });
            let values: Vec<_> = (0..shape.banks())
                .map(|b| {
                    let chunk = line.slice((b * in_vector + c) * chunk_bits, chunk_bits);
                    m.net(&format!("value{c}_bank{b}"), chunk, "")
                        .lanes(part_bits)
                })
                .collect();
            let sums = m.wire(
                &format!("held{c}"),
                shape.min_dim() * self.formats.accumulator_bits(),
                "finished sum of element k",
            );
            let elements = shape.min_dim() / element.columns;
            m.generate(&format!("g_element{c}"), elements, |k| {
                let banks: Vec<_> = values.iter().map(|bank| bank.at(k)).collect();
                let u_element = m.instance(&format!("u_element{c}"), &element);
                u_element
                    .input("valid", valid)
                    .input("first", first)
                    .input("last", last)
                    .input("value", m.pack(&banks))
                    .input("weight", weight);
                sums.drive_lane(k, u_element.output("held"));
            });
            held.push(*sums);
        }
        held
    }

    /// A finished row leaves in steps of `output_lanes` elements, one in each cycle with a place for its outputs. Gives
    /// the steps and the outputs.
    fn drain<'m>(
        &self,
        m: &'m Builder,
        finished: &Finished<'m>,
        place: Sig<'m>,
    ) -> (Sig<'m>, Stream<'m>) {
        m.section("a held row drains, one step per cycle while its outputs find places");
        let step_bits = finished.final_step.width();
        reg!(m, drain_q: 1, reset = 0);
        reg!(m, step_q: step_bits, reset = 0);
        net!(m, step = drain_q & place);
        net!(m, at_end = step_q.equals(finished.final_step));
        net!(m, done = step & at_end);
        drain_q.next(finished.hold | (drain_q & !done));
        let following = step_q.wrapping_add(m.lit(1, step_bits));
        step_q.next_when(step, at_end.select(m.lit(0, step_bits), following));
        m.never(
            finished.hold & drain_q & !done,
            "a row was finished while another drained",
        );

        m.section(
            "outputs of the step: a smaller head dimension has parts of each in several chunks",
        );
        let words = self.chunk_words(m, &finished.held, *step_q, finished.level);
        let fold = self.fold();
        let scale = self.scale();
        let r = delay(m, "step_r", finished.r, 1 + fold.latency());
        let k = delay(m, "step_k", finished.k, 1 + fold.latency());
        let wide = self.formats.accumulator_bits();
        let data = m.per_lane(
            "outputs",
            self.output_lanes,
            Ty::signed(self.formats.output_bits()),
            "output k of the step",
            |lane| {
                let parts: Vec<_> = words.iter().map(|w| w.lanes(wide).at(lane)).collect();
                let u_fold = m.instance("u_fold", &fold);
                u_fold
                    .input("terms", m.pack(&parts))
                    .input("valid", m.lit(1, 1))
                    .ignore("valid", "the stage delays one flag for all lanes");
                let total = u_fold.output("sums").as_signed();
                if total.width() > wide {
                    let above = total.slice(wide, total.width() - wide);
                    m.unused("fold_high", above, "copies of the sign");
                }
                let u_scale = m.instance("u_scale", &scale);
                u_scale
                    .input("sum", total.truncate(wide))
                    .input("r", r)
                    .input("k", k);
                u_scale.output("out")
            },
        );
        let valid = delay_flag(m, "output_valid", step, self.drain_latency());
        let last = delay(m, "output_last", at_end, self.drain_latency());
        let ready = m.wire("output_ready", 1, "");
        m.never(valid & !ready, "outputs found no place");
        let stream = Stream::new(
            valid,
            ready,
            vec![("data".into(), data), ("last".into(), last)],
        );
        let fifo = Fifo::new(stream.width(), self.output_places());
        (step, m.through("u_output_fifo", &fifo, stream))
    }

    /// Per chunk the held sums of this step, zero where the chunk has no part in the outputs; registered.
    fn chunk_words<'m>(
        &self,
        m: &'m Builder,
        held: &[Sig<'m>],
        step: Sig<'m>,
        level: Sig<'m>,
    ) -> Vec<Sig<'m>> {
        let word = self.output_lanes * self.formats.accumulator_bits();
        let offset_bits = log2_exact(self.shape.min_dim() / self.output_lanes);
        let chunk_bits = step.width().saturating_sub(offset_bits);
        held.iter()
            .enumerate()
            .map(|(c, &held)| {
                let words = held.lanes(word).to_vec();
                let (last, others) = words.split_last().expect("a chunk has elements");
                let chosen = if others.is_empty() {
                    *last
                } else {
                    let offset = step.slice(0, offset_bits);
                    let arms: Vec<_> = (0u64..).zip(others.iter().copied()).collect();
                    m.case(&format!("chosen{c}"), offset, &arms, *last, "")
                };
                let part = self.shape.by_level(m, &format!("part{c}"), level, "", |l| {
                    let mine = (c & ((1 << l) - 1)) as u64;
                    if l == 0 || chunk_bits == 0 {
                        m.lit(1, 1)
                    } else {
                        step.slice(offset_bits, chunk_bits).is(mine)
                    }
                });
                let register = m.register(&format!("chunk{c}_q"), word, None, "");
                register.next(chosen & part.repeat(word));
                *register
            })
            .collect()
    }
}
