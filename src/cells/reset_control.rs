//! Reset control: a stop that first drains and then resets what is behind it.

use crate::hdl::{About, Block, Builder, Reg, Sig, Stream};
use crate::{net, reg};

/// Turns a request to stop into a reset of blocks, once what they have under way outside has come to its end.
///
/// | `stop_i` | `idle_i` | `restart_n_o` | `stopped_o` | |
/// |---|---|---|---|---|
/// | 0 | - | 1 | 0 | at work |
/// | 1 | 0 | 1 | 0 | draining |
/// | 1 | 1, from then on any | 0, a cycle later | 1, a cycle later | reset, until the cycle after `stop_i` has fallen |
///
/// `restart_n_o` is low during and one cycle after reset; it comes from a register of its own, which nothing samples.
#[derive(Clone, Debug)]
pub struct ResetControl;

impl Block for ResetControl {
    fn name(&self) -> String {
        "spatten_reset_control".into()
    }

    fn about(&self) -> About {
        About {
            purpose: "Reset control: once stop_i is high and idle_i has been seen, restart_n_o resets the blocks that it\n\
                      drives, until stop_i falls."
                .into(),
            parameters: vec![],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let stop = m.input("stop", 1, "drain, then reset");
        let idle = m.input("idle", 1, "stopped, and nothing is under way outside");
        let restart_n = m.output("restart_n", 1, "active low, from a register");
        let stopped = m.output("stopped", 1, "the blocks are reset");
        let registers = ResetRegisters::new(m, stop, idle);
        stopped.drive(registers.stopped);
        restart_n.drive(registers.restart_n);
    }
}

/// The registers of [`ResetControl`] in the module whose children they reset.
pub struct ResetRegisters<'m> {
    /// Active low: the children's reset, which nothing else may use.
    pub restart_n: Reg<'m>,
    /// The children are reset.
    pub stopped: Reg<'m>,
    m: &'m Builder,
    restart_n_next: Sig<'m>,
}

impl<'m> ResetRegisters<'m> {
    /// Registers `restart_n_q` and `stopped_q`.
    pub fn new(m: &'m Builder, stop: Sig<'m>, idle: Sig<'m>) -> Self {
        let stopped_next = m.wire("stopped_next", 1, "");
        reg!(m, stopped_q = *stopped_next, reset = 0);
        stopped_next.drive(stop & (idle | stopped_q));
        net!(m, restart_n_next = !*stopped_next);
        reg!(m, restart_n_q = restart_n_next, reset = 0);
        ResetRegisters {
            restart_n: restart_n_q,
            stopped: stopped_q,
            m,
            restart_n_next,
        }
    }

    /// Streams from outside that wait while the children are reset: these seem ready then, and would lose their words.
    /// Register `open_q` is `restart_n_q` once more, to be sampled.
    pub fn gated(
        &self,
        streams: Vec<(&'static str, Stream<'m>)>,
    ) -> Vec<(&'static str, Stream<'m>)> {
        let m = self.m;
        reg!(m, open_q = self.restart_n_next, reset = 0);
        let gate = |(name, stream): (&'static str, Stream<'m>)| {
            let ready = m.wire(&format!("{name}_open_ready"), 1, "");
            stream.ready.drive(ready & open_q);
            let fields = stream.fields();
            (name, Stream::new(stream.valid & open_q, ready, fields))
        };
        streams.into_iter().map(gate).collect()
    }
}
