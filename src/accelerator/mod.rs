//! The stages of the accelerator, whose dataflow the picture shows; a stage's parameters, RTL, golden model and
//! documentation stand together in its folder.
//!
//! ```text
//! list, key, value (jobs) --> fetch <--> mem<n>_ar, mem<n>_r: a read port per memory channel
//!                               |  rings of K, of K's LSBs, of V, of Q       kv_buffer
//! row --> control::Dispatch --> |
//!            |                  | query, key_line, lsb_line      | value_line
//!            |                  v                                v
//!            '-- to every stage: query_key -> refine -> softmax -> prob_value -> output --> mem<n>_aw, mem<n>_w
//!                                               |          | probabilities | outputs
//!               fetch <-- lsb_job -- refetch <--'          v               v
//! job -----------------------------------------------> importance (top_k) --> kept_token, kept_head
//! ```
//!
//! `memory_core.rs` joins all of it, `attention_pipeline.rs` what computes; `top.rs` joins that to K and V buffers that are fed
//! by streams, for testbenches of the arithmetic alone.
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
pub mod axi;
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
