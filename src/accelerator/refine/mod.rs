#![doc = include_str!("README.md")]

pub mod golden;
mod judge;
mod query_noise;
mod rtl;

pub use judge::Judge;
pub use query_noise::QueryNoise;
pub use rtl::Refine;
