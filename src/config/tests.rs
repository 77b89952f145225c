use super::*;

#[test]
fn every_preset_is_valid_and_carries_its_own_name() {
    for preset in presets::PRESETS {
        let config = Config::load(preset.name, &[]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.name, preset.name);
    }
}

#[test]
fn the_defaults_are_the_spatten_preset() {
    assert_eq!(Config::load("spatten", &[]).unwrap(), Config::default());
}
