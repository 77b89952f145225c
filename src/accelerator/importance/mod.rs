#![doc = include_str!("README.md")]

pub mod golden;
mod head_magnitude;
mod home;
mod home_side;
mod probability;
mod rescale;
mod rtl;
mod score_contexts;
mod score_set;
mod wide_product;

pub use head_magnitude::HeadMagnitude;
pub use home::Home;
pub use probability::Probability;
pub use rescale::Rescale;
pub use rtl::Importance;
pub use score_contexts::ScoreContexts;
pub use score_set::ScoreSet;
