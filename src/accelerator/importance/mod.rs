#![doc = include_str!("README.md")]

pub mod golden;
mod head_magnitude;
mod probability;
mod rtl;
mod score_contexts;
mod score_set;

pub use head_magnitude::HeadMagnitude;
pub use probability::Probability;
pub use rtl::Importance;
pub use score_contexts::ScoreContexts;
pub use score_set::ScoreSet;
