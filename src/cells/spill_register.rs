//! Spill register: cuts every combinational path of a stream, both ways, at one transfer per cycle.

use crate::hdl::{About, Block, Builder, Field, Stream};
use crate::{net, reg};

/// Two places of storage between two streams.
///
/// - Latency: 1 cycle; interval: 1 cycle.
/// - Stalls: takes one more word after the output stalls, then holds `in_ready_o` low until a word leaves.
#[derive(Clone, Debug)]
pub struct SpillRegister {
    /// Bits of the payload.
    pub width: usize,
}

impl SpillRegister {
    /// Cycles from a transfer in to the first cycle the word can leave.
    pub const LATENCY: u64 = 1;
}

/// The stream behind a spill register of its width, the instance `name`.
#[track_caller]
pub(crate) fn registered<'m>(m: &'m Builder, name: &str, stream: Stream<'m>) -> Stream<'m> {
    let width = stream.width();
    m.through(name, &SpillRegister { width }, stream)
}

impl Block for SpillRegister {
    fn name(&self) -> String {
        format!("spatten_spill_register_w{}", self.width)
    }

    fn about(&self) -> About {
        About {
            purpose: "Spill register: a stream through two places, so that neither valid nor ready passes\n\
                      combinationally, at one transfer per cycle."
                .into(),
            parameters: vec![("width", self.width.to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let input = m.stream_in("in", &[Field::new("data", self.width, "word")]);
        let out = m.stream_out("out", &[Field::new("data", self.width, "word, same order")]);

        m.section("the spare place takes the word that arrives while the output stalls");
        reg!(m, spare_full_q: 1, reset = 0);
        // Its inverse once more: what waits for ready has not the load of the payload's multiplexer in front.
        reg!(m, ready_q: 1, reset = 1);
        reg!(m, full_q: 1, reset = 0);
        net!(m, take = input.valid & ready_q);
        net!(
            m,
            room = out.ready | !full_q,
            "the output place is or becomes free"
        );
        net!(m, spare_stays = (!room) & (spare_full_q | take));
        spare_full_q.next(spare_stays);
        ready_q.next(!spare_stays);
        reg!(m, spare_q = input.data(), when = take & !room);

        m.section("output place");
        net!(m, offer = take | spare_full_q);
        full_q.next((!room) | offer);
        reg!(
            m,
            data_q = spare_full_q.select(spare_q, input.data()),
            when = room & offer
        );
        input.ready.drive(ready_q);
        out.drive(full_q, &[("data", *data_q)]);
    }
}
