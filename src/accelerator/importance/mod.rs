#![doc = include_str!("README.md")]

pub mod golden;
mod probability;

pub use probability::Probability;
