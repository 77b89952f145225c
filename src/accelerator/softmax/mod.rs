//! Softmax without division: exponentials relative to the row's maximum, their sum, and the weights for V.

pub mod golden;
