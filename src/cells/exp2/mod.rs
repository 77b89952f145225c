//! The exponential table unit: e = 2^-x by table and linear interpolation.

pub mod golden;
