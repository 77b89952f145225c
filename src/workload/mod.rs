//! What the accelerator is fed with and what it gives back: tensors of a user's model or of a seed, their quantization,
//! and the files that hold them.

pub mod adversarial;
pub mod attention_output;
pub mod memory_image;
pub mod quantizer;
pub mod refinement;
pub mod schedule;
pub mod statistics;
pub mod synthetic;
pub mod tensor_error;
pub mod tensors;
