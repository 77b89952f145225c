//! Processing element of `query_key`: one chunk of a key against one chunk of the query.

use crate::cells::adder_tree::AdderTree;
use crate::cells::multiplier::Multiplier;
use crate::hdl::{About, Block, Builder, Sig, Ty};
use crate::numerics::KEY_LSB_BITS;
use crate::reg;

/// Registered operands, one multiplier per element, and the adder tree over their products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryKeyElement {
    /// Elements of a chunk, a power of two.
    pub elements: usize,
    /// Bits of a query element (signed).
    pub query_bits: usize,
    /// Bits of a key element (signed).
    pub key_bits: usize,
    /// Whether lines of K's LSB plane come too, for the query of a row that is refined.
    pub refines: bool,
}

impl QueryKeyElement {
    pub(crate) fn multiplier(&self) -> Multiplier {
        Multiplier {
            a_bits: self.query_bits,
            b: Ty::signed(self.key_bits),
            stages: 2,
        }
    }

    pub(crate) fn tree(&self) -> AdderTree {
        let product = Ty::signed(self.query_bits + self.key_bits);
        AdderTree::total(self.elements, product, 1)
    }

    /// Bits of the partial sum (signed).
    pub fn sum_bits(&self) -> usize {
        self.tree().sum().width
    }

    /// Cycles from the operands to the sum.
    pub fn latency(&self) -> usize {
        1 + self.multiplier().latency() + self.tree().latency()
    }
}

impl Block for QueryKeyElement {
    fn name(&self) -> String {
        format!(
            "spatten_query_key_element_n{}_q{}_k{}{}",
            self.elements,
            self.query_bits,
            self.key_bits,
            if self.refines { "_lsb" } else { "" }
        )
    }

    fn about(&self) -> About {
        About {
            purpose: format!(
                "Processing element of query_key: the partial dot product of {} elements of a key with the\n\
                 query elements it holds.",
                self.elements
            ),
            parameters: vec![
                ("elements", self.elements.to_string()),
                ("query_bits", self.query_bits.to_string()),
                ("key_bits", self.key_bits.to_string()),
                ("refines", self.refines.to_string()),
                ("latency", self.latency().to_string()),
            ],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let n = self.elements;
        let load_query = m.input("load_query", 1, "take the query chunk: first line of a row");
        let query = m.input(
            "query",
            n * self.query_bits,
            "query chunk, element k signed",
        );
        let key = m.input("key", n * self.key_bits, "key chunk, element k signed");
        let sum = m.output(
            "sum",
            Ty::signed(self.sum_bits()),
            "sum over k of query * key",
        );

        let (query, key) = match self.refines {
            true => self.operands(m, query, key),
            false => (query, key),
        };

        m.section("operands; the query stays until the next one");
        let query_q = m.register("query_q", query.ty(), None, "");
        query_q.next_when(load_query, query);
        let key_q = m.register("key_q", key.ty(), None, "");
        key_q.next(key);

        m.section("products");
        let product_bits = self.query_bits + self.key_bits;
        let products = m.wire("products", n * product_bits, "product k signed");
        m.generate("g_multiplier", n, |k| {
            let u_multiplier = m.instance("u_multiplier", &self.multiplier());
            u_multiplier
                .input("a", query_q.lanes(Ty::signed(self.query_bits)).at(k))
                .input("b", key_q.lanes(Ty::signed(self.key_bits)).at(k));
            products.drive_lane(k, u_multiplier.output("product").as_unsigned());
        });

        m.section("sum");
        let u_tree = m.instance("u_tree", &self.tree());
        u_tree
            .input("terms", products)
            .input("valid", m.lit(1, 1))
            .ignore("valid", "query_key delays one flag for all elements");
        sum.drive(u_tree.output("sums").as_signed());
    }
}

impl QueryKeyElement {
    /// The query and key chunks of the pass that has the array in this cycle.
    fn operands<'m>(&self, m: &'m Builder, query: Sig<'m>, key: Sig<'m>) -> (Sig<'m>, Sig<'m>) {
        let held = m.input("held", query.ty(), "query chunk of the row that is refined");
        let nibbles = self.elements * KEY_LSB_BITS;
        let lsb = m.input("lsb", nibbles, "LSB chunk, element k unsigned");
        let next = m.input("next_refines", 1, "the LSB chunk's turn is next");

        m.section("whose turn it is: a register of its own in each element");
        reg!(m, refines_q = next, reset = 0);
        let above = m.lit(0, self.key_bits - KEY_LSB_BITS);
        let lsbs = lsb.lanes(KEY_LSB_BITS).to_vec().into_iter();
        let lsbs: Vec<_> = lsbs.map(|lsb| m.cat(&[above, lsb])).collect();
        let key = refines_q.select(m.pack(&lsbs), key);
        (refines_q.select(held, query), key)
    }
}
