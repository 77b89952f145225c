//! Join: several streams to one; a word leaves when every branch offers one.

use crate::hdl::{About, Block, Builder};
use crate::net;

/// The handshake of a join; the payloads need no logic and go past it.
///
/// All branches move together, so a branch's ready waits for the others' valids; valid waits for no ready.
///
/// - Latency: 0; interval: 1 cycle when all branches are valid.
#[derive(Clone, Debug)]
pub struct Join {
    /// Branches, at least 1.
    pub branches: usize,
}

impl Block for Join {
    fn name(&self) -> String {
        format!("spatten_join_n{}", self.branches)
    }

    fn about(&self) -> About {
        About {
            purpose: "Join: offers a word when every branch offers one, and takes them all together. The payloads go\n\
                      past this module."
                .into(),
            parameters: vec![("branches", self.branches.to_string())],
            source: file!(),
        }
    }

    fn build(&self, m: &Builder) {
        let branches: Vec<_> = (0..self.branches)
            .map(|b| m.stream_in(&format!("in{b}"), &[]))
            .collect();
        let out = m.stream_out("out", &[]);
        let valids: Vec<_> = branches.iter().map(|branch| branch.valid).collect();
        net!(m, all_valid = m.pack(&valids).all());
        net!(m, transfer = all_valid & out.ready);
        for branch in branches {
            branch.ready.drive(transfer);
        }
        out.valid.drive(all_valid);
    }
}
