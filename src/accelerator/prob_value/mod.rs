#![doc = include_str!("README.md")]

mod column;
mod element;
pub mod golden;
mod output_scale;
mod rtl;

pub use column::ProbValueColumn;
pub use element::ProbValueElement;
pub use output_scale::OutputScale;
pub use rtl::ProbValue;
