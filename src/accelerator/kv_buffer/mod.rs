#![doc = include_str!("README.md")]

pub mod golden;
mod rtl;

pub use rtl::LineBuffer;
