#![doc = include_str!("README.md")]

mod write_master;
mod writer;

pub use write_master::{WriteFault, WriteMaster};
pub use writer::OutputWriter;
