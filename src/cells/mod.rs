//! Reusable parts that the stages are built from; a cell's RTL and golden model stand together in its folder.

pub mod exp2;
pub mod reciprocal;
