//! prob_value

pub mod golden;
