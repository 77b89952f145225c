//! softmax

pub mod golden;
