//! The golden models of the stages joined into rows, heads, layers and the cascade of layers, and the float64
//! attention that they are measured against.

pub mod cascade;
mod error_bound;
pub mod float64;
pub mod head;
pub mod layer;
pub mod row;

pub use error_bound::{error_bound, probability_error_bound};
