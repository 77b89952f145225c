//! Tries other inputs within a cycle, to see that outputs do not depend on what they must not depend on.

use super::fault::{Fault, Rule};
use super::memory::MemoryPort;
use super::sink::StreamSink;
use super::source::StreamSource;
use super::stream::Channel;
use super::{Direction, PortId, Simulator};

/// With settled outputs: inverts every ready, and looks whether a valid or its payload follows. In a design that is
/// not marked combinational it also withdraws every offer, and no output at all may follow. Leaves the inputs as
/// they were.
pub(super) fn probe(
    simulator: &mut Simulator,
    sources: &[StreamSource],
    sinks: &[StreamSink],
    memories: &[MemoryPort],
) -> Result<(), Fault> {
    let sinks = sinks.iter().map(|sink| &sink.channel);
    let outgoing: Vec<&Channel> = sinks
        .chain(memories.iter().flat_map(MemoryPort::inlets))
        .collect();
    let readies = outgoing.iter().map(|channel| channel.ready);
    if simulator.design().combinational {
        let readies: Vec<PortId> = readies.collect();
        let offers = offers(simulator, &outgoing);
        invert(simulator, &readies)?;
        let after = self::offers(simulator, &outgoing);
        if let Some(index) = offers
            .iter()
            .zip(&after)
            .position(|(before, after)| before != after)
        {
            return Err(Fault::Protocol {
                stream: outgoing[index].name.clone(),
                cycle: simulator.cycle(),
                word: 0,
                rule: Rule::OfferFollowsReady,
            });
        }
        invert(simulator, &readies)
    } else {
        let offering = sources.iter().filter(|source| source.is_offering());
        let touched: Vec<PortId> = readies
            .chain(offering.map(|source| source.channel.valid))
            .chain(memories.iter().flat_map(MemoryPort::offering))
            .collect();
        // Before the first evaluation the outputs are still those of the last cycle's inputs.
        let before = outputs(simulator);
        for _ in 0..2 {
            invert(simulator, &touched)?;
            let after = outputs(simulator);
            let mut pairs = before.iter().zip(&after);
            if let Some(index) = pairs.position(|(before, after)| before != after) {
                let port = simulator.name(before[index].0).to_owned();
                return Err(Fault::Combinational {
                    port,
                    cycle: simulator.cycle(),
                });
            }
        }
        Ok(())
    }
}

fn offers(simulator: &Simulator, outgoing: &[&Channel]) -> Vec<Option<Vec<i64>>> {
    let offer = |channel: &&Channel| channel.offer(simulator);
    outgoing.iter().map(offer).collect()
}

fn invert(simulator: &mut Simulator, ports: &[PortId]) -> Result<(), Fault> {
    for &port in ports {
        let value = simulator.get(port);
        simulator.set(port, value ^ 1);
    }
    Ok(simulator.evaluate()?)
}

/// The value of every output.
fn outputs(simulator: &Simulator) -> Vec<(PortId, Vec<u32>)> {
    let ports = &simulator.design().ports;
    let outputs = ports
        .iter()
        .enumerate()
        .filter(|(_, port)| port.direction == Direction::Out);
    outputs
        .map(|(index, _)| {
            let mut words = Vec::new();
            simulator.get_words(PortId(index), &mut words);
            (PortId(index), words)
        })
        .collect()
}
