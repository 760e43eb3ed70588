//! The state of a shard: replay of its log, snapshots, verification.
//!
//! [`ShardState`] is what the writer decides on and what every replay makes: the states of all
//! ledgers of a shard, the heads of their chains, and the shard's own place in the log. Replay
//! checks each record before it moves anything, and the state's own assertions while it moves;
//! damaged or hostile input gives a [`Divergence`], never a panic.

pub mod build;
mod divergence;
mod memory;
pub mod migrate;
mod pipeline;
mod place;
pub mod recover;
pub mod restore;
pub mod snapshot;
mod source;
mod state;
pub mod verify;

pub use divergence::{Divergence, What};
pub use memory::MemoryBounds;
pub use place::{Head, LastRecord, Next, key_entry};
pub use source::Source;
pub use state::ShardState;
