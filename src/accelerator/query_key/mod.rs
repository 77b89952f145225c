//! Q x K: one query against the keys of its row, and the row's maximum score.

pub mod golden;
