#![doc = include_str!("README.md")]

mod rtl;

pub use rtl::LineBuffer;
