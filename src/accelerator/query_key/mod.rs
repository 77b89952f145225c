#![doc = include_str!("README.md")]

mod element;
pub mod golden;
mod rtl;

pub use element::QueryKeyElement;
pub use rtl::QueryKey;
