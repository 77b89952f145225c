//! The stages of the accelerator in dataflow order; a stage's parameters, RTL, golden model and
//! documentation stand together in its folder.
//!
//! ```text
//!            key lines            value lines
//!                |                     |
//!            kv_buffer             kv_buffer
//!                | K line              | V line
//! row --> query_key --> softmax --> prob_value --> out
//!            scores,      weights,
//!            maximum      reciprocal
//! ```

pub mod kv_buffer;
pub mod prob_value;
pub mod query_key;
pub mod shape;
pub mod softmax;
pub mod top;
