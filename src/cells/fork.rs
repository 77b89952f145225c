//! Fork: one stream to several receivers, each of which takes the word in its own time.

use crate::hdl::{About, Block, Builder};
use crate::net;

/// The handshake of a fork; the payload needs no logic and goes past it.
///
/// Every branch is offered the word until it has taken it; the word leaves when all have. Valid never depends on a
/// ready, so a branch may be any stream.
///
/// - Latency: 0; interval: 1 cycle when all branches are ready.
#[derive(Clone, Debug)]
pub struct Fork {
    /// Receivers, at least 1.
    pub branches: usize,
}

impl Block for Fork {
    fn name(&self) -> String {
        format!("spatten_fork_n{}", self.branches)
    }

    fn about(&self) -> About {
        About {
            purpose: "Fork: offers each word to every branch until that branch has taken it; the word leaves when\n\
                      all have. The payload goes past this module."
                .into(),
            parameters: vec![("branches", self.branches.to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let input = m.stream_in("in", &[]);
        let outs: Vec<_> = (0..self.branches)
            .map(|b| m.stream_out(&format!("out{b}"), &[]))
            .collect();
        let ready: Vec<_> = outs.iter().map(|out| out.ready).collect();
        net!(
            m,
            ready = m.pack(&ready),
            "branch k takes the word when offered"
        );
        let taken = m.register(
            "taken_q",
            self.branches,
            Some(0),
            "branch k has taken the word at the input",
        );
        net!(m, done = *taken | ready);
        net!(m, all = done.all());
        let none = m.lit(0, self.branches);
        taken.next_when(input.valid, all.select(none, done));
        for (b, out) in outs.iter().enumerate() {
            out.valid.drive(input.valid & !taken.bit(b));
        }
        input.ready.drive(all);
    }
}
