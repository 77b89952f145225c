//! Whole layers through the attention core of the larger presets, bit for bit equal to the golden model: every layer
//! and head of real tensors, and generated ones of all lengths.
//!
//! The tests of a preset share one build, which the cache keeps.

mod generated;
mod real;

use spatten::accelerator::top::AttentionCore;
use spatten::config::Config;
use spatten::golden::layer::LayerOperands;
use spatten::testbenches::Options;
use spatten::testbenches::attention_core::LayerBench;
use spatten::testbenches::streams::design;

const SEED: u64 = 1;

/// Whether all cases run, not only a subset.
fn is_long() -> bool {
    std::env::var_os("SPATTEN_LONG").is_some()
}

/// A preset's core on a bench.
struct Preset {
    config: Config,
    bench: LayerBench,
}

impl Preset {
    fn start(name: &str) -> Preset {
        let config = Config::load(name, &[]).unwrap();
        let core = AttentionCore::new(&config);
        let options = Options {
            cases: 1,
            seed: SEED,
            trace: None,
        };
        let bench = LayerBench::start(&core, &design(&core), &options)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Preset { config, bench }
    }

    /// Runs layers at full speed, then in rounds of random stalls.
    #[track_caller]
    fn equals_golden(&mut self, what: &str, layers: &[LayerOperands], rounds: usize) {
        let name = &self.config.name;
        let fail = |error| panic!("{what} at {name}, seed {SEED}: {error}");
        self.bench
            .at_full_speed(layers.to_vec())
            .unwrap_or_else(fail);
        for _ in 0..rounds {
            self.bench.with_stalls(layers.to_vec()).unwrap_or_else(fail);
        }
        println!("{what} at {name}: {:?} so far", self.bench.report());
    }
}
