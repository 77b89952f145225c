#![doc = include_str!("README.md")]

mod exponent;
pub mod golden;
mod rtl;
mod weights;

pub use exponent::Exponent;
pub use rtl::Softmax;
pub use weights::Weights;
