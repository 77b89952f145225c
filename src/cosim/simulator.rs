//! A running simulation: ports by number, clock, reset.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use num_bigint::BigUint;

use super::build::Build;
use super::ffi::{self, Model};
use super::lanes::{pack, unpack};
use super::{CosimError, Design, DesignStopped, Direction, PortId};

/// One simulation of a built design.
///
/// A cycle is: set inputs, [`settle`](Self::settle), read outputs, [`tick`](Self::tick). Inputs start at zero with
/// reset released and all registers random, as after power-up: call [`reset`](Self::reset) first.
///
/// Values are unsigned unless a method says otherwise. Ports up to 64 bits take the `u64` methods; the word and
/// [`BigUint`] methods take ports of any width.
pub struct Simulator {
    model: Model,
    design: Arc<Design>,
    reset_port: Option<PortId>,
    cycle: u64,
}

impl Simulator {
    pub(super) fn new(build: &Build, seed: u64, trace: Option<&Path>) -> Result<Self, CosimError> {
        let trace = trace.map(trace_file).transpose()?;
        let model = Model::start(
            &build.library,
            &build.design,
            model_seed(seed),
            trace.as_deref(),
        )?;
        let design = build.design.clone();
        let simulator = Self {
            model,
            reset_port: design.port("rst_ni"),
            design,
            cycle: 0,
        };
        match simulator.stopped() {
            stopped if stopped.message.is_empty() => Ok(simulator),
            stopped => Err(stopped.into()),
        }
    }

    /// The design that is simulated.
    pub fn design(&self) -> &Arc<Design> {
        &self.design
    }

    /// The port called `name`.
    ///
    /// # Panics
    /// When the design has no such port.
    #[track_caller]
    pub fn port(&self, name: &str) -> PortId {
        match self.design.port(name) {
            Some(port) => port,
            None => panic!("`{}` has no port `{name}`", self.design.top),
        }
    }

    /// Clock cycles run so far.
    pub fn cycle(&self) -> u64 {
        self.cycle
    }

    /// Drives an input with an unsigned value.
    ///
    /// # Panics
    /// When the value does not fit the port, or the port is an output.
    #[inline]
    #[track_caller]
    pub fn set(&mut self, port: PortId, value: u64) {
        let width = self.input_width(port);
        assert!(
            width >= 64 || value >> width == 0,
            "{value:#x} does not fit the {width} bits of {}",
            self.name(port)
        );
        self.model.write(port.0, value);
    }

    /// Drives an input with a two's-complement value.
    ///
    /// # Panics
    /// When the value does not fit the port, the port has more than 64 bits, or it is an output.
    #[inline]
    #[track_caller]
    pub fn set_signed(&mut self, port: PortId, value: i64) {
        let width = self.input_width(port);
        assert!(
            fits_signed(value, width),
            "{value} does not fit the {width} bits of {}",
            self.name(port)
        );
        self.model.write(port.0, value as u64 & mask(width));
    }

    /// Reads a port as an unsigned value.
    ///
    /// # Panics
    /// When the port has more than 64 bits.
    #[inline]
    #[track_caller]
    pub fn get(&self, port: PortId) -> u64 {
        assert!(
            self.width(port) <= 64,
            "{} has {} bits, more than 64",
            self.name(port),
            self.width(port)
        );
        self.model.read(port.0)
    }

    /// Reads a port as a two's-complement value.
    ///
    /// # Panics
    /// When the port has more than 64 bits.
    #[inline]
    #[track_caller]
    pub fn get_signed(&self, port: PortId) -> i64 {
        sign_extend(self.get(port), self.width(port))
    }

    /// Drives an input of any width with 32-bit words, least significant first; missing words are zero.
    ///
    /// # Panics
    /// When a bit at or above the port's width is set, or the port is an output.
    #[track_caller]
    pub fn set_words(&mut self, port: PortId, words: &[u32]) {
        let width = self.input_width(port) as usize;
        let bits = words.iter().rposition(|&word| word != 0).map_or(0, |top| {
            top * 32 + (32 - words[top].leading_zeros()) as usize
        });
        assert!(
            bits <= width,
            "a value of {bits} bits does not fit the {width} bits of {}",
            self.name(port)
        );
        if let Some(storage) = self.model.words_mut(port.0) {
            let count = words.len().min(storage.len());
            storage[..count].copy_from_slice(&words[..count]);
            storage[count..].fill(0);
        } else {
            let word = |index: usize| words.get(index).map_or(0, |&word| u64::from(word));
            self.model.write(port.0, word(0) | word(1) << 32);
        }
    }

    /// Reads a port of any width into 32-bit words, least significant first: `ceil(width / 32)` of them.
    pub fn get_words(&self, port: PortId, words: &mut Vec<u32>) {
        words.clear();
        if let Some(storage) = self.model.words(port.0) {
            words.extend_from_slice(storage);
        } else {
            let value = self.model.read(port.0);
            words.push(value as u32);
            if self.width(port) > 32 {
                words.push((value >> 32) as u32);
            }
        }
    }

    /// Drives an input of any width.
    ///
    /// # Panics
    /// When the value does not fit the port, or the port is an output.
    #[track_caller]
    pub fn set_big(&mut self, port: PortId, value: &BigUint) {
        self.set_words(port, &value.to_u32_digits());
    }

    /// Reads a port of any width.
    pub fn get_big(&self, port: PortId) -> BigUint {
        let mut words = Vec::new();
        self.get_words(port, &mut words);
        BigUint::new(words)
    }

    /// Drives an input with lanes of `width` bits each, the first in the lowest bits; higher bits of a value are
    /// dropped.
    ///
    /// # Panics
    /// When the lanes do not fill the port, or it is an output.
    #[track_caller]
    pub fn set_lanes(&mut self, port: PortId, width: u32, lanes: &[i64]) {
        let bits = self.input_width(port) as usize;
        assert!(
            lanes.len() * width as usize == bits,
            "{} lanes of {width} bits do not fill {}",
            lanes.len(),
            self.name(port)
        );
        if let Some(words) = self.model.words_mut(port.0) {
            pack(lanes, width, words);
        } else {
            let mut words = [0; 2];
            pack(lanes, width, &mut words);
            self.model
                .write(port.0, u64::from(words[0]) | u64::from(words[1]) << 32);
        }
    }

    /// Reads lanes of `width` bits each, the first from the lowest bits.
    ///
    /// # Panics
    /// When the lanes do not fill the port.
    #[track_caller]
    pub fn get_lanes(&self, port: PortId, width: u32, signed: bool, lanes: &mut [i64]) {
        assert!(
            lanes.len() * width as usize == self.width(port) as usize,
            "{} lanes of {width} bits do not fill {}",
            lanes.len(),
            self.name(port)
        );
        match self.model.words(port.0) {
            Some(words) => unpack(words, width, signed, lanes),
            None => {
                let value = self.model.read(port.0);
                unpack(&[value as u32, (value >> 32) as u32], width, signed, lanes);
            }
        }
    }

    /// Lets outputs follow inputs within the cycle; nothing to do for a design whose outputs never depend on inputs.
    ///
    /// # Errors
    /// [`DesignStopped`] when the design ends its own simulation.
    #[inline]
    pub fn settle(&mut self) -> Result<(), DesignStopped> {
        if self.design.combinational {
            self.evaluate()
        } else {
            Ok(())
        }
    }

    /// As [`settle`](Self::settle), whatever the design claims about its outputs.
    pub(super) fn evaluate(&mut self) -> Result<(), DesignStopped> {
        if self.model.settle() {
            Ok(())
        } else {
            Err(self.stopped())
        }
    }

    /// One clock cycle: the rising edge, at which registers take the inputs as they stand, then the falling edge.
    /// Without a clock the design just settles.
    ///
    /// # Errors
    /// [`DesignStopped`] when the design ends its own simulation.
    #[inline]
    pub fn tick(&mut self) -> Result<(), DesignStopped> {
        if !self.model.tick() {
            return Err(self.stopped());
        }
        self.cycle += 1;
        Ok(())
    }

    /// Asserts reset at once, between clock edges; runs `cycles` cycles in reset; releases it after a falling edge,
    /// well before the next rising one. The other inputs stay as they are.
    ///
    /// # Errors
    /// [`DesignStopped`] when the design ends its own simulation.
    pub fn reset(&mut self, cycles: u64) -> Result<(), DesignStopped> {
        self.set_reset(true)?;
        for _ in 0..cycles {
            self.tick()?;
        }
        self.set_reset(false)
    }

    /// Asserts or releases reset between clock edges, and lets the design follow.
    ///
    /// # Errors
    /// [`DesignStopped`] when the design ends its own simulation.
    pub fn set_reset(&mut self, asserted: bool) -> Result<(), DesignStopped> {
        if let Some(port) = self.reset_port {
            self.model.write(port.0, u64::from(!asserted));
        }
        self.evaluate()
    }

    #[cold]
    fn stopped(&self) -> DesignStopped {
        DesignStopped {
            cycle: self.cycle,
            message: self.model.message(),
        }
    }

    pub(super) fn name(&self, port: PortId) -> &str {
        &self.design.ports[port.0].name
    }

    #[inline]
    pub(super) fn width(&self, port: PortId) -> u32 {
        self.design.ports[port.0].width
    }

    #[inline]
    #[track_caller]
    fn input_width(&self, port: PortId) -> u32 {
        let declared = &self.design.ports[port.0];
        assert!(
            declared.direction == Direction::In,
            "{} is an output",
            declared.name
        );
        declared.width
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("top", &self.design.top)
            .field("cycle", &self.cycle)
            .finish()
    }
}

/// The lowest `width` bits, 1 to 64.
pub(super) fn mask(width: u32) -> u64 {
    u64::MAX >> (64 - width.min(64))
}

/// Whether `value` is a two's-complement number of `width` bits.
pub(super) fn fits_signed(value: i64, width: u32) -> bool {
    (1..=64).contains(&width) && sign_extend(value as u64 & mask(width), width) == value
}

/// Reads the lowest `width` bits (1 to 64) as two's complement.
pub(super) fn sign_extend(value: u64, width: u32) -> i64 {
    ((value << (64 - width)) as i64) >> (64 - width)
}

/// Checks that the trace can be written before Verilator tries, which would not say why.
fn trace_file(path: &Path) -> Result<std::ffi::CString, CosimError> {
    let fault = |source| CosimError::Trace {
        path: path.to_owned(),
        source,
    };
    File::create(path).map_err(fault)?;
    ffi::c_path(path).ok_or_else(|| fault(std::io::ErrorKind::InvalidFilename.into()))
}

/// Verilator takes a 31-bit seed and reads 0 as "choose one": fold the seed into 1 to 2^31 - 1.
fn model_seed(seed: u64) -> u32 {
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 33) as u32).max(1)
}
