//! Makes the read models from the log.
//!
//! A [`Projector`] follows one shard: it takes all that is waiting, decodes it, checks each
//! ledger's chain, folds it to final rows ([`Fold`]) and writes those once, together with the
//! checkpoint. It decides nothing and keeps no state of its own but the heads of the chains.
//! [`rebuild`] makes the read models anew beside the live ones, compares and switches.

pub mod archive;
mod failure;
mod fill;
mod fold;
mod follow;
mod heads;
mod heard;
mod priority;
mod projector;
mod rebuild;
mod status;
mod stretch;

pub use failure::Failure;
pub use fold::{Fold, Head, Link, Unfit};
pub use projector::{Config, Projector, spawn, spawn_with_history};
pub use rebuild::{RebuildError, RebuildProgress, Rebuilt, rebuild};
pub use status::{State, Status};
