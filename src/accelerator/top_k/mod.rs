#![doc = include_str!("README.md")]

mod filter;
mod first_equals;
mod first_pivots;
pub mod golden;
mod part;
mod quick_select;
mod row_fill;
mod rtl;
mod sampler;

pub use filter::Filter;
pub use first_equals::FirstEquals;
pub use first_pivots::FirstPivots;
pub use part::Part;
pub use quick_select::QuickSelect;
pub use row_fill::RowFill;
pub use rtl::TopK;
pub use sampler::Sampler;
