//! Adapters in memory, for tests and simulation: a log that can be told to fail and be tampered
//! with, a store of snapshots, and read models of plain maps.

mod log;
mod snapshots;
mod views;

pub use log::{Fault, MemoryLog};
pub use snapshots::MemorySnapshots;
pub use views::MemoryViews;
