//! Drives fixed-latency pipelines in the evaluator, for the unit tests of their cells.

use crate::hdl::{Block, Direction, Evaluator, elaborate};
use num_bigint::BigUint;

/// Port names without direction, with values.
pub(super) type Values = Vec<(&'static str, BigUint)>;

/// The low `width` bits of a two's-complement number.
pub(super) fn word(value: i64, width: usize) -> BigUint {
    BigUint::from(value as u64) & ((BigUint::from(1u8) << width) - 1u8)
}

/// Lanes of `width` bits, lane 0 lowest.
pub(super) fn pack(lanes: &[i64], width: usize) -> BigUint {
    lanes.iter().rev().fold(BigUint::ZERO, |high, &lane| {
        (high << width) | word(lane, width)
    })
}

/// Feeds one vector per cycle, with an idle cycle after every seventh, and expects each vector's outputs exactly
/// `latency` cycles after it, and `valid_o` (where there is one) then and only then.
pub(super) fn check(block: &dyn Block, latency: usize, vectors: &[(Values, Values)]) {
    let mut evaluator = Evaluator::new(elaborate(block));
    let module = evaluator.module().clone();
    let port = |name: &str, direction: Direction| {
        let suffix = if direction == Direction::In { "i" } else { "o" };
        module.port_index(&format!("{name}_{suffix}"))
    };
    let valid_in = port("valid", Direction::In);
    evaluator.reset();

    let mut schedule: Vec<Option<&(Values, Values)>> = Vec::new();
    for (index, vector) in vectors.iter().enumerate() {
        schedule.push(Some(vector));
        if index % 7 == 6 {
            schedule.push(None);
        }
    }
    for cycle in 0..schedule.len() + latency {
        let entering = schedule.get(cycle).copied().flatten();
        if let Some(valid_in) = valid_in {
            evaluator.set(valid_in, &BigUint::from(u8::from(entering.is_some())));
        }
        for (name, value) in entering.map_or(&[][..], |vector| &vector.0) {
            evaluator.set(port(name, Direction::In).expect(name), value);
        }
        let leaving = cycle.checked_sub(latency).and_then(|c| schedule[c]);
        if let Some(valid_out) = port("valid", Direction::Out) {
            let expected = BigUint::from(u8::from(leaving.is_some()));
            assert_eq!(
                *evaluator.get(valid_out),
                expected,
                "valid in cycle {cycle}"
            );
        }
        for (name, expected) in leaving.map_or(&[][..], |vector| &vector.1) {
            let got = evaluator
                .get(port(name, Direction::Out).expect(name))
                .clone();
            let inputs = &leaving.expect("outputs belong to inputs").0;
            assert_eq!(got, *expected, "{} {name} for {inputs:?}", block.name());
        }
        evaluator.tick().unwrap();
    }
}
