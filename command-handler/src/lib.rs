//! The command side of Daybook: one writer per shard, and the API that feeds them.
//!
//! A command is parsed and hashed where it comes in, queued at its shard's writer, decided by
//! `ledger-core` on the writer's state, committed to the log together with its neighbours, and
//! answered only then. [`writer::machine`] is the writer without I/O; `writer::driver` runs it
//! on a thread; [`api`] is what gRPC calls.

pub mod api;
pub mod calendar;
pub mod clock;
pub mod config;
pub mod error;
pub mod handler;
pub mod ingest;
mod strong;
pub mod writer;

pub use api::{CommandApi, WriteStreamReplies};
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use error::StartError;
pub use handler::{Handler, Owner, Parts, start, start_parts};
pub use ingest::IngestionConfig;
pub use writer::machine::Bounds;
pub use writer::mailbox::QueueBounds;
pub use writer::status::{Condition, ShardStatus};
