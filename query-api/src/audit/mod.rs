//! Audit: decisions as they stand in the log, the refused ones too.

mod decision;
mod find;
mod records;
mod watch;

pub use watch::RecordStream;
