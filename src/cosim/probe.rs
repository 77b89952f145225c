//! Tries other inputs within a cycle, to see that outputs do not depend on what they must not depend on.

use super::fault::{Fault, Rule};
use super::sink::StreamSink;
use super::source::StreamSource;
use super::{Direction, PortId, Simulator};

/// With settled outputs: inverts every ready, and looks whether a valid or its payload follows. In a design that is
/// not marked combinational it also withdraws every offer, and no output at all may follow. Leaves the inputs as
/// they were.
pub(super) fn probe(
    simulator: &mut Simulator,
    sources: &[StreamSource],
    sinks: &[StreamSink],
) -> Result<(), Fault> {
    let readies = sinks.iter().map(|sink| sink.channel.ready);
    if simulator.design().combinational {
        let readies: Vec<PortId> = readies.collect();
        let offers = offers(simulator, sinks);
        invert(simulator, &readies)?;
        let after = self::offers(simulator, sinks);
        if let Some(index) = offers
            .iter()
            .zip(&after)
            .position(|(before, after)| before != after)
        {
            return Err(sinks[index].broken(simulator, Rule::OfferFollowsReady));
        }
        invert(simulator, &readies)
    } else {
        let offering = sources.iter().filter(|source| source.is_offering());
        let touched: Vec<PortId> = readies
            .chain(offering.map(|source| source.channel.valid))
            .collect();
        let before = outputs(simulator);
        invert(simulator, &touched)?;
        let after = outputs(simulator);
        if let Some(index) = before
            .iter()
            .zip(&after)
            .position(|(before, after)| before != after)
        {
            let port = simulator.name(before[index].0).to_owned();
            return Err(Fault::Combinational {
                port,
                cycle: simulator.cycle(),
            });
        }
        invert(simulator, &touched)
    }
}

fn offers(simulator: &Simulator, sinks: &[StreamSink]) -> Vec<Option<Vec<i64>>> {
    sinks.iter().map(|sink| sink.offer(simulator)).collect()
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
