//! The reciprocal of a row's sum, as a normalised mantissa and an exponent.

pub mod golden;
mod rtl;

pub use rtl::Reciprocal;
