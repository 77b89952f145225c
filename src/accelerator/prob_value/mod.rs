//! Prob x V: the weighted sum of V vectors, normalised once per output by the reciprocal of the row's sum.

pub mod golden;
