//! Daybook: the one binary, as a library for its tests and examples.

pub mod bench;
