#![doc = include_str!("README.md")]

mod dispatch;

pub use dispatch::Dispatch;
