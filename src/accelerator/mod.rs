//! The stages of the accelerator, whose dataflow the picture shows; a stage's parameters, RTL, golden model and
//! documentation stand together in its folder.
//!
//! ```text
//!             key lines            value lines
//!                 |                     |
//!             K buffer              V buffer          kv_buffer
//!                 | K line              | V line
//! row -----> query_key --> softmax --> prob_value --> out
//! (forked to      scores,      weights,
//! both buffers    maximum      1/S
//! and all stages) '------- attention_pipeline -------'
//! ```
//!
//! Words that the stages share:
//!
//! - level: the head dimension d of a row, as log2(d / smallest supported d);
//! - line: `multipliers / d` vectors of K or V side by side; also `softmax.lanes` scores or weights;
//! - chunk: as many neighbouring elements of a line as the smallest d; a vector is one or more chunks;
//! - bank: as many chunks as a vector of the largest d; the multipliers of a `prob_value` column, one per bank;
//! - group: the scores or weights of one K or V line;
//! - live: the key takes part in the row; keys beyond a causal row's own, and the rest of a last line, do not;
//! - credits: places behind a pipeline that are still free; a word enters only when it can leave.

pub mod attention_pipeline;
pub mod control;
pub mod fetch;
pub mod importance;
pub mod kv_buffer;
pub mod memory_core;
pub mod output;
pub mod prob_value;
pub mod query_key;
pub mod refine;
pub mod shape;
pub mod softmax;
pub mod top;
pub mod top_k;
