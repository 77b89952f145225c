//! Fork: one stream to several receivers, each of which takes the word in its own time.

use std::cell::Cell;

use super::fifo::Fifo;
use crate::hdl::{About, Block, Builder, Instance, Stream};
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

/// A word on its way to several receivers, each of which gets some of its fields.
pub(crate) struct StreamFork<'m> {
    m: &'m Builder,
    fork: Instance<'m>,
    word: Stream<'m>,
    taken: Cell<usize>,
}

impl<'m> StreamFork<'m> {
    /// A fork of `word` with that many branches, the instance `name`.
    pub(crate) fn new(m: &'m Builder, name: &str, branches: usize, word: Stream<'m>) -> Self {
        let fork = m.instance(name, &Fork { branches });
        fork.input("in_valid", word.valid);
        word.ready.drive(fork.output("in_ready"));
        StreamFork {
            m,
            fork,
            word,
            taken: Cell::new(0),
        }
    }

    /// The next branch: the named fields.
    pub(crate) fn direct(&self, fields: &[&str]) -> Stream<'m> {
        let alike: Vec<_> = fields.iter().map(|&name| (name, name)).collect();
        self.direct_as(&alike)
    }

    /// The next branch: fields under other names, (name, name in the word).
    fn direct_as(&self, fields: &[(&str, &str)]) -> Stream<'m> {
        let branch = self.fork.stream(&format!("out{}", self.taken.get()));
        self.taken.set(self.taken.get() + 1);
        let field = |&(name, of_word): &(&str, &str)| (name.to_owned(), self.word.field(of_word));
        Stream::new(
            branch.valid,
            branch.ready,
            fields.iter().map(field).collect(),
        )
    }

    /// The next branch, waiting for its receiver in a FIFO of `depth`: the named fields.
    pub(crate) fn branch(&self, name: &str, depth: usize, fields: &[&str]) -> Stream<'m> {
        let alike: Vec<_> = fields.iter().map(|&name| (name, name)).collect();
        self.branch_as(name, depth, &alike)
    }

    /// The same with fields under other names, (name, name in the word).
    pub(crate) fn branch_as(
        &self,
        name: &str,
        depth: usize,
        fields: &[(&str, &str)],
    ) -> Stream<'m> {
        let stream = self.direct_as(fields);
        let fifo = Fifo::new(stream.width(), depth);
        self.m.through(&format!("u_{name}_fifo"), &fifo, stream)
    }
}
