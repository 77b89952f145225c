#![doc = include_str!("README.md")]

mod exponent;
mod exponential_pass;
pub mod golden;
mod row_sum;
mod rtl;
mod use_pass;
mod value_ids;
mod value_ranking;
mod weights;

pub use exponent::Exponent;
pub(crate) use exponent::ScoreLine;
pub use exponential_pass::ExponentialPass;
pub use row_sum::RowSum;
pub use rtl::Softmax;
pub use use_pass::UsePass;
pub use value_ids::ValueIds;
pub use value_ranking::ValueRanking;
pub use weights::Weights;
