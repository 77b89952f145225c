//! The stages of the accelerator in dataflow order; a stage's parameters, RTL, golden model and
//! documentation stand together in its folder.

pub mod prob_value;
pub mod query_key;
pub mod softmax;
