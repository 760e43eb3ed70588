//! Adapters in memory, for tests and simulation: a log that can be told to fail and be tampered
//! with, and a store of snapshots.

mod log;
mod snapshots;

pub use log::{Fault, MemoryLog};
pub use snapshots::MemorySnapshots;
