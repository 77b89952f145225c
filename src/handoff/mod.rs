//! What leaves the generator: sets of files written whole, and the files that other tools read.

pub mod design;
pub mod header;
pub mod memories;
pub mod output;
