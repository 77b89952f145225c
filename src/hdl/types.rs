//! Types of signals and the way a mistake in a description is reported.

use std::fmt;
use std::panic::Location;

/// Width and signedness of a signal; `u12` and `s40` in messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ty {
    /// Bits, at least 1.
    pub width: usize,
    /// Two's complement when true.
    pub signed: bool,
}

impl Ty {
    /// Unsigned word of `width` bits.
    pub const fn unsigned(width: usize) -> Self {
        Ty {
            width,
            signed: false,
        }
    }

    /// Two's-complement word of `width` bits.
    pub const fn signed(width: usize) -> Self {
        Ty {
            width,
            signed: true,
        }
    }
}

impl From<usize> for Ty {
    /// A bare width is an unsigned word.
    fn from(width: usize) -> Self {
        Ty::unsigned(width)
    }
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.signed { 's' } else { 'u' }, self.width)
    }
}

impl fmt::Debug for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in the Rust source a signal was described.
pub type Place = &'static Location<'static>;

/// Reports a mistake in a hardware description at the Rust line that made it.
///
/// Descriptions are code: a mistake in one is a bug of this library, never of its user's input, so it panics.
#[track_caller]
pub(crate) fn mistake(message: impl fmt::Display) -> ! {
    mistake_at(Location::caller(), message)
}

/// As [`mistake`], for a line noted earlier.
pub(crate) fn mistake_at(place: Place, message: impl fmt::Display) -> ! {
    panic!("{}:{}: {message}", place.file(), place.line())
}
