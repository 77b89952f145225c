//! `refine`: which rows need the LSBs of their keys, and what becomes of them.

pub mod golden;
