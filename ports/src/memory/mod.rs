//! Adapters in memory, for tests and simulation: a log that can be told to fail and be tampered
//! with, a store of snapshots, read models of plain maps, and a writer that fills them with what
//! real ledgers decide.

mod archive;
mod group;
mod history;
mod log;
mod random;
mod scribe;
mod snapshots;
mod source;
mod views;

pub use archive::MemoryArchive;
pub use group::{MemoryGroup, MemoryMember};
pub use history::{MemoryHistory, WithHistory};
pub use log::{Fault, MemoryLog};
pub use random::{ACCOUNTS, RandomBooks};
pub use scribe::Scribe;
pub use snapshots::MemorySnapshots;
pub use source::MemorySource;
pub use views::MemoryViews;
