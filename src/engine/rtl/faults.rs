//! What testbenches do to the running core: streams and memories that hesitate, memories that fail, and a restart.

use super::RtlEngine;
use crate::cosim::Stalls;
use crate::cosim::memory::{AxiSlave, AxiStalls};
use crate::engine::EngineError;
use crate::engine::memory_streams::MemoryStreams;
use crate::engine::streams::CoreJob;
use crate::golden::cascade::Live;
use crate::golden::layer::LayerOperands;
use crate::numerics::Formats;

/// What a port said of its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortError {
    /// Whether a write failed, not a read.
    pub of_write: bool,
    /// Memory channel.
    pub port: usize,
    /// Code of the [`ReadFault`](crate::accelerator::fetch::ReadFault) or
    /// [`WriteFault`](crate::accelerator::output::WriteFault).
    pub kind: u64,
    /// Address / 32 of the read or write; 0 for a read that is not known.
    pub address: u64,
}

impl RtlEngine {
    /// Starts on what lives of a layer, as [`attend_live`](Self::attend_live), and runs until a port reports an error, for
    /// `limit` cycles at most or until all rows are written; the first report.
    ///
    /// # Errors
    /// As [`RtlEngine::attend_jobs`].
    pub fn run_to_error(
        &mut self,
        (whole, formats): (&LayerOperands, &Formats),
        (operands, live): (&LayerOperands, &Live),
        limit: u64,
    ) -> Result<Option<PortError>, EngineError> {
        let stored = self.store((whole, formats), live.clone(), 0)?;
        let job = CoreJob::dense(operands);
        let streams = MemoryStreams::new(&self.core, &stored.fetched(operands), &job)?;
        self.send(&streams);
        self.end_stop()?;
        for error in self.errors {
            self.bench.collect(error, 1);
        }
        let written = self.bench.simulator().port("rows_written_o");
        // The port counts modulo 2^32.
        let last = (self.rows as u32).wrapping_add(streams.row.len() as u32);
        for _ in 0..limit {
            for (error, of_write) in self.errors.into_iter().zip([false, true]) {
                let word = self.bench.collected(error);
                if let [port, kind, .., address] = *word {
                    return Ok(Some(PortError {
                        of_write,
                        port: port as usize,
                        kind: kind as u64,
                        address: address as u64,
                    }));
                }
            }
            if self.bench.simulator().get(written) as u32 == last {
                break;
            }
            self.bench.step()?;
        }
        Ok(None)
    }

    /// Drains the ports and resets everything behind them, as after an error, until the next words are there; false when
    /// the ports have not drained after `limit` cycles, so that all of it was reset.
    ///
    /// # Errors
    /// [`EngineError`] when the design breaks a rule of its streams.
    pub fn restart(&mut self, limit: u64) -> Result<bool, EngineError> {
        self.bench.silence();
        let [stop, stopped] = ["stop_i", "stopped_o"].map(|port| self.bench.simulator().port(port));
        self.bench.simulator().set(stop, 1);
        let mut drained = false;
        for _ in 0..limit {
            self.bench.step()?;
            drained = self.bench.simulator().get(stopped) == 1;
            if drained {
                break;
            }
        }
        if !drained {
            self.bench.simulator().set(stop, 0);
            self.bench.reset(4)?;
        }
        self.bench.resume();
        self.rows = 0;
        let out = self
            .kept
            .iter_mut()
            .chain(&mut self.scores)
            .chain(&mut self.refined);
        out.for_each(|out| out.taken = 0);
        Ok(drained)
    }

    /// Ends a stop, when the first words are offered already: they must wait until the stages work.
    pub(super) fn end_stop(&mut self) -> Result<(), EngineError> {
        let stop = self.bench.simulator().port("stop_i");
        if self.bench.simulator().get(stop) == 1 {
            self.bench.run_for(3)?;
            self.bench.simulator().set(stop, 0);
        }
        Ok(())
    }

    /// Makes streams and memories hesitate, each as `stalls` says when asked for it.
    pub fn stall(&mut self, mut stalls: impl FnMut() -> Stalls) {
        for (_, source) in &self.sources {
            self.bench.stall_source(*source, stalls());
        }
        let out = self.kept.iter().chain(&self.scores).chain(&self.refined);
        for sink in out.map(|out| out.sink).chain(self.value_id) {
            self.bench.stall_sink(sink, stalls());
        }
        for slave in self.bench.slaves() {
            slave.stall(AxiStalls {
                read_address: stalls(),
                read_data: stalls(),
                write_address: stalls(),
                write_data: stalls(),
                write_response: stalls(),
            });
        }
    }

    /// The memory behind a channel, to make it reorder or fail.
    ///
    /// # Panics
    /// When there is no such channel.
    pub fn memory(&mut self, channel: usize) -> &mut AxiSlave {
        self.bench.slave(self.memories[channel])
    }
}
