#![doc = include_str!("README.md")]

pub mod golden;
mod line_buffer;
mod line_column;
mod line_ring;

pub use line_buffer::LineBuffer;
pub use line_column::LineColumn;
pub use line_ring::LineRing;
