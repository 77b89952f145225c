//! The exponential table unit: e = 2^-x by table and linear interpolation.

pub mod golden;
mod rtl;

pub use rtl::Exp2;
