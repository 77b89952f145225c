#![doc = include_str!("README.md")]

mod dots;
mod element;
mod entry;
pub mod golden;
mod rtl;

pub use element::QueryKeyElement;
pub use rtl::QueryKey;
