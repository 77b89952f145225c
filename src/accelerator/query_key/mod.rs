//! query_key

pub mod golden;
