//! The noise of a query: how much K's quantization errors can move its scores.

use crate::accelerator::shape::ArrayShape;
use crate::cells::adder_tree::AdderTree;
use crate::cells::credits::Credits;
use crate::cells::delay::{delay, delay_flag};
use crate::cells::fifo::Fifo;
use crate::cells::lane_packer::select_part;
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Field, Sig, Stream, Ty};
use crate::numerics::{NOISE_BITS, NOISE_SHIFT_BITS, log2_exact, value_bits};
use crate::{net, reg};

/// N = min(65535, sum of q^2 >> shift) of the rows that ask for it, a few elements per cycle while the query stands at
/// the input.
///
/// - Latency: [`latency`](Self::latency) from the transfer of a query, its last cycle at the input.
/// - Interval: d / `squarers` cycles per row that asks for its noise, one for others.
/// - Stalls: a query's last elements enter when its noise has a place.
#[derive(Clone, Debug)]
pub struct QueryNoise {
    /// Array whose queries these are.
    pub shape: ArrayShape,
    /// Bits of a query element.
    pub query_bits: usize,
    /// Rows whose noise may be under way or waiting.
    pub rows: usize,
}

impl QueryNoise {
    /// Elements squared per cycle: a row of 32 keys has enough cycles.
    pub fn squarers(&self) -> usize {
        let wanted = (self.shape.multipliers / 32).next_power_of_two();
        wanted.min(self.shape.min_dim())
    }

    /// Cycles that a query of a level stands at the input.
    pub fn steps(&self, level: usize) -> usize {
        (self.shape.min_dim() << level) / self.squarers()
    }

    pub(crate) fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: self.query_bits,
            b: Ty::signed(self.query_bits),
            stages: 2,
        }
    }

    /// Bits of a square: queries never take the most negative code.
    fn square_bits(&self) -> usize {
        2 * (self.query_bits - 1)
    }

    fn tree(&self) -> AdderTree {
        AdderTree::total(self.squarers(), Ty::unsigned(self.square_bits()), 2)
    }

    /// Bits of the sum of squares.
    fn sum_bits(&self) -> usize {
        self.square_bits() + log2_exact(self.shape.max_dim())
    }

    /// Cycles from the transfer of a query to its noise: operands, squares, their sum, the row's sum, shift, clip.
    pub fn latency(&self) -> usize {
        1 + self.multiplier().latency() + self.tree().latency() + 3 + Fifo::LATENCY as usize
    }

    /// Fields of the `query` channel.
    pub fn query_fields(&self) -> Vec<Field> {
        let bits = self.shape.max_dim() * self.query_bits;
        vec![
            Field::new("query", bits, "query, element k signed"),
            self.shape.level_field(),
            Field::new("wanted", 1, "the row's rule asks for its noise"),
            Field::new("shift", NOISE_SHIFT_BITS, "of the sum of squares"),
        ]
    }

    /// A row's field for the shift.
    pub fn shift_field() -> Field {
        let doc = "shift of the query's sum of squares, whose clipped result is N";
        Field::new("noise_shift", NOISE_SHIFT_BITS, doc)
    }

    /// Fields of the `noise` channel.
    pub fn noise_fields() -> Vec<Field> {
        vec![Field::new("data", NOISE_BITS, "N")]
    }
}

impl Block for QueryNoise {
    fn name(&self) -> String {
        format!(
            "spatten_query_noise_{}_q{}_r{}",
            self.shape.name(),
            self.query_bits,
            self.rows
        )
    }

    fn about(&self) -> About {
        let mut parameters = self.shape.parameters();
        parameters.push(("query_bits", self.query_bits.to_string()));
        parameters.push(("squarers", self.squarers().to_string()));
        parameters.push(("rows", self.rows.to_string()));
        parameters.push(("latency", self.latency().to_string()));
        About {
            purpose: format!(
                "Noise of a query: N = min({}, sum of q^2 >> shift), for rows that ask for it. The query stands at\n\
                 the input while its elements are squared, a few per cycle.",
                (1 << NOISE_BITS) - 1
            ),
            parameters,
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let query = m.stream_in("query", &self.query_fields());
        let noise = m.stream_out("noise", &Self::noise_fields());

        m.section("elements of the query, part by part; the last ones when the noise has a place");
        let rows = Credits::new(m, "row", self.rows);
        let room = rows.available();
        let most = self.steps(self.shape.max_level());
        let bits = value_bits(most - 1);
        reg!(m, part_q: bits, reset = 0);
        let level = query.field("level");
        let final_part = self.shape.by_level(m, "final_part", level, "", |l| {
            m.lit(self.steps(l) as u64 - 1, bits)
        });
        net!(m, at_end = part_q.equals(final_part));
        net!(m, ready = at_end & room);
        net!(
            m,
            step = query.valid & query.field("wanted") & (!at_end | room)
        );
        net!(m, row_end = step & at_end);
        query.ready.drive(ready | !query.field("wanted"));
        let none = m.lit(0, bits);
        part_q.next_when(
            step,
            at_end.select(none, part_q.wrapping_add(m.lit(1, bits))),
        );
        let part_bits = self.squarers() * self.query_bits;
        let parts = query.field("query").lanes(part_bits).to_vec();
        reg!(m, elements_q = select_part(*part_q, &parts));
        reg!(m, valid_q = step, reset = 0);
        reg!(m, end_q = row_end);
        reg!(m, shift_q = query.field("shift"), when = row_end);

        let sum = self.squares(m, *elements_q);
        let latency = self.multiplier().latency() + self.tree().latency();
        let sum_valid = delay_flag(m, "sum_valid", *valid_q, latency);
        let sum_end = delay(m, "sum_end", *end_q, latency);
        let shift = delay(m, "shift_late", *shift_q, latency);

        m.section("sum of the row");
        let bits = self.sum_bits();
        reg!(m, first_q: 1, reset = 1, "the next squares are a row's first");
        first_q.next_when(sum_valid, sum_end);
        reg!(m, total_q: bits);
        net!(m, total_before = first_q.select(m.lit(0, bits), total_q));
        total_q.next_when(sum_valid, total_before.wrapping_add(sum.extend(bits)));
        reg!(m, total_valid_q = sum_valid & sum_end, reset = 0);
        reg!(m, total_shift_q = shift);

        m.section("shifted, then clipped");
        reg!(m, shifted_q = total_q.shift_right_by(*total_shift_q));
        reg!(m, shifted_valid_q = *total_valid_q, reset = 0);
        let clipped = match bits > NOISE_BITS {
            true => {
                net!(
                    m,
                    over = shifted_q.slice(NOISE_BITS, bits - NOISE_BITS).any()
                );
                shifted_q.slice(0, NOISE_BITS) | over.repeat(NOISE_BITS)
            }
            false => shifted_q.extend(NOISE_BITS),
        };
        reg!(m, noise_q = clipped);
        reg!(m, noise_valid_q = *shifted_valid_q, reset = 0);

        m.section("rows wait for their decision");
        let place = m.wire("place", 1, "");
        m.never(*noise_valid_q & !*place, "a noise found no place");
        let found = Stream::new(*noise_valid_q, place, vec![("data".into(), *noise_q)]);
        let found = m.through("u_fifo", &Fifo::new(NOISE_BITS, self.rows), found);
        rows.count(row_end, found.valid & noise.ready);
        noise.connect(found);
    }
}

impl QueryNoise {
    /// Sum of the squares of some elements.
    fn squares<'m>(&self, m: &'m Builder, elements: Sig<'m>) -> Sig<'m> {
        m.section("squares and their sum");
        let count = self.squarers();
        let element = elements.lanes(Ty::signed(self.query_bits));
        let products = m.wire("products", count * 2 * self.query_bits, "");
        m.generate("g_squarer", count, |k| {
            let u_squarer = m.instance("u_squarer", &self.multiplier());
            u_squarer
                .input("a", element.at(k))
                .input("b", element.at(k));
            products.drive_lane(k, u_squarer.output("product").as_unsigned());
        });
        let products = products.lanes(2 * self.query_bits).to_vec();
        let bits = self.square_bits();
        let squares: Vec<_> = products.iter().map(|p| p.slice(0, bits)).collect();
        let above: Vec<_> = products.iter().map(|p| p.slice(bits, 2)).collect();
        m.unused(
            "above",
            m.pack(&above),
            "queries never take the most negative code",
        );
        let u_tree = m.instance("u_tree", &self.tree());
        u_tree
            .input("terms", m.pack(&squares))
            .input("valid", m.lit(1, 1))
            .ignore("valid", "sum_valid runs in step with the tree");
        m.net("sum", u_tree.output("sums"), "")
    }
}
