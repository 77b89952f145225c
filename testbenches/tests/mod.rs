//! Tests that hold for every block, of the layers below the blocks, and proofs.

mod any_config;
mod attention_faults;
mod benches;
mod design;
mod docs;
mod emitted;
mod fetch_faults;
mod formal;
mod hdl_mistakes;
mod hdl_property;
mod importance_faults;
mod importance_snapshots;
mod layers;
mod output_faults;
mod pipeline_faults;
mod refine_faults;
mod rust_hdl_adapter;
mod rust_hdl_printer;
mod score_faults;
mod seeded;
mod snapshots;
mod stream_faults;
mod synth;
mod tools;
mod top_k_faults;
mod verify;
