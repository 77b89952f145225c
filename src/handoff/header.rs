//! The C header of the memory image: its constants, and where vectors and their bytes lie.

use crate::accelerator::axi::BEAT_BYTES;
use crate::accelerator::fetch::VectorFormat;
use crate::config::Config;
use crate::numerics::{KEY_LSB_BITS, log2_exact};
use crate::workload::memory_image::{BASE_ALIGNMENT, LEAST_PLANE_BYTES, Plane};

/// The header for the hardware `top` of `config`; the same bytes for the same configuration.
pub fn memory_image(config: &Config, top: &str) -> String {
    let channels = config.memory.channels;
    let numbers = [
        ("CHANNELS", channels),
        ("LOG2_CHANNELS", log2_exact(channels)),
        ("ADDRESS_BITS", config.memory.address_bits),
        ("BEAT_BYTES", BEAT_BYTES),
        ("BASE_ALIGNMENT", BASE_ALIGNMENT as usize),
        ("LEAST_PLANE_BYTES", LEAST_PLANE_BYTES as usize),
        ("TOKENS", config.limits.tokens),
        ("KEYS_PER_ROW", config.limits.keys_per_row),
        ("HEADS", config.limits.heads),
        ("QUERY_BITS", config.arithmetic.query_bits),
        ("KEY_BITS", config.arithmetic.key_bits),
        ("VALUE_BITS", config.arithmetic.value_bits),
        ("OUTPUT_BITS", config.formats().output_bits()),
        ("KEY_LSB_BITS", KEY_LSB_BITS),
        (
            "HAS_LSB_PLANE",
            usize::from(config.buffers.key_lsb_lines > 0),
        ),
    ];
    let planes = Plane::ALL.map(|plane| (plane.name().to_uppercase(), plane as u64));
    let planes = planes.map(|(name, number)| (format!("PLANE_{name}"), number));
    let formats = VectorFormat::ALL.map(|format| (format.name().to_uppercase(), format.code()));
    let text = include_str!("memory_image.h")
        .replace("@TOP@", top)
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@CONFIG@", &config.name)
        .replace("@HASH@", &config.hash())
        .replace("@PLANES@", &enumerators(&planes))
        .replace("@FORMATS@", &enumerators(&formats));
    numbers.iter().fold(text, |text, (name, number)| {
        text.replace(&format!("@{name}@"), &number.to_string())
    })
}

/// Lines of an enumeration.
fn enumerators(codes: &[(String, u64)]) -> String {
    let line = |(name, code): &(String, u64)| format!("    SPATTEN_{name} = {code}");
    let lines: Vec<_> = codes.iter().map(line).collect();
    lines.join(",\n")
}
