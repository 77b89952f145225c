//! Golden model.
