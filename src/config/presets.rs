//! The configurations that are compiled into the binary.

use super::ConfigError;

/// A configuration that is compiled into the binary.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Name for `-c`, and the configuration's own.
    pub name: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// The TOML text.
    pub toml: &'static str,
}

/// Every preset, smallest first.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "tiny",
        summary: "simulates in seconds: 64 multipliers per array, rows of 32 keys",
        toml: include_str!("../../configs/tiny.toml"),
    },
    Preset {
        name: "odd",
        summary: "counts and depths that are not powers of two: 192 multipliers per array, rows of 50 keys",
        toml: include_str!("../../configs/odd.toml"),
    },
    Preset {
        name: "eighth",
        summary: "the published 1/8-scale version: 64 multipliers per array, 2 channels, rows of 256 keys",
        toml: include_str!("../../configs/eighth.toml"),
    },
    Preset {
        name: "spatten",
        summary: "the published accelerator: 512 multipliers per array, 16 channels, rows of 1024 keys",
        toml: include_str!("../../configs/spatten.toml"),
    },
];

/// The preset with a name.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// The error for a name that is no preset, with the nearest one.
pub(super) fn unknown(name: &str) -> ConfigError {
    let likeness = |preset: &Preset| strsim::jaro_winkler(preset.name, &name.to_lowercase());
    let nearest = PRESETS
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = nearest
        .filter(|preset| likeness(preset) > 0.8)
        .map_or(String::new(), |preset| {
            format!("did you mean {}? ", preset.name)
        });
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    ConfigError::UnknownPreset {
        name: name.to_string(),
        advice: format!("{hint}the presets are {}", names.join(", ")),
    }
}
