#![doc = include_str!("README.md")]

mod column;
pub mod golden;
mod output_scale;
mod rtl;

pub use column::ProbValueColumn;
pub use output_scale::OutputScale;
pub use rtl::ProbValue;
