//! Testbench of the bitwidth converter.

use rand::RngExt;

use super::harness::{ensure, start};
use super::{BenchError, Options, Report};
use crate::accelerator::fetch::{BitwidthConverter, Fetch};
use crate::accelerator::shape::ArrayShape;
use crate::config::Config;
use crate::cosim::Design;
use crate::hdl::elaborate;

/// Runs on the configuration's head dimensions and widths, and on each head dimension alone at odd widths.
///
/// # Errors
/// [`BenchError`] when the block differs from [`VectorFormat::unpack`](crate::accelerator::fetch::VectorFormat::unpack) or
/// cannot be simulated.
pub fn run(config: &Config, options: &Options) -> Result<Report, BenchError> {
    let used = Fetch::new(config).converter();
    let mut report = check(&used, &Design::from(&elaborate(&used)), options)?;
    for (head_dims, element_bits) in [
        (vec![32], 12),
        (vec![64], 5),
        (vec![128], 9),
        (vec![32, 128], 10),
    ] {
        let shape = ArrayShape {
            multipliers: 128,
            head_dims,
        };
        let corner = BitwidthConverter {
            shape,
            element_bits,
        };
        let few = Options {
            cases: options.cases / 4,
            ..options.untraced()
        };
        report.add(check(&corner, &Design::from(&elaborate(&corner)), &few)?.without_notes());
    }
    Ok(report)
}

/// At least `options.cases` vectors of every format and head dimension in turn, in the midst of random bytes.
///
/// # Errors
/// As [`run`]; the message names format, head dimension and element.
pub fn check(
    block: &BitwidthConverter,
    design: &Design,
    options: &Options,
) -> Result<Report, BenchError> {
    let mut simulator = start(design, options)?;
    let [beats, format_port, level_port] =
        ["beats_i", "format_i", "level_i"].map(|name| simulator.port(name));
    let elements = simulator.port("elements_o");
    let mut random = options.random(0);
    let formats = block.formats();
    let width = block.element_bits;
    let mut report = Report::default();
    while report.words < options.cases as u64 {
        for &head_dim in &block.shape.head_dims {
            let level = block.shape.level_of(head_dim).unwrap_or_default();
            for &format in &formats {
                let mut bytes: Vec<u8> = (0..block.beats() * 32).map(|_| random.random()).collect();
                let half = 1_i64 << (format.bits().min(width) - 1);
                let expected: Vec<i64> = (0..head_dim)
                    .map(|_| random.random_range(-half..half))
                    .collect();
                let mut place: Vec<u8> = (0..format.stride(head_dim))
                    .map(|_| random.random())
                    .collect();
                format.pack(&expected, &mut place);
                let first = format.first_beat(head_dim) * 32;
                let read = &place[first..first + format.beats(head_dim) * 32];
                bytes[..read.len()].copy_from_slice(read);

                let values: Vec<i64> = bytes.iter().map(|&byte| i64::from(byte)).collect();
                simulator.set_lanes(beats, 8, &values);
                simulator.set(format_port, format.code());
                simulator.set(level_port, level as u64);
                simulator.settle()?;
                let mut found = vec![0; block.shape.max_dim()];
                simulator.get_lanes(elements, width as u32, true, &mut found);
                for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    ensure(found == expected, || {
                        format!(
                            "{}: {format:?}, d = {head_dim}, element {index}: {found}, expected {expected}",
                            design.top
                        )
                    })?;
                }
                report.words += 1;
            }
        }
    }
    Ok(report)
}
