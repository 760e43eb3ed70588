//! How a projection is doing.

use std::sync::Arc;
use std::time::Duration;

use ports::projection::Checkpoint;

use crate::failure::Failure;

/// What a projector is doing.
#[derive(Debug, Clone)]
pub enum State {
    /// Finding where it stands.
    Starting,
    /// Following the log.
    Following,
    /// The log or the read models cannot be reached; it tries again by itself.
    Retrying(Arc<Failure>),
    /// Filling the account history up to where the read models stand, since its store lost what
    /// it had, or never had it.
    Filling {
        /// The last record whose history is there.
        sequence: u64,
        /// The last one that is to be.
        through: u64,
    },
    /// Holding still between two stretches.
    Paused,
    /// It was told to stop.
    Stopped,
    /// It cannot go on.
    Failed(Arc<Failure>),
}

/// How far a projector has got.
#[derive(Debug, Clone)]
pub struct Status {
    /// The shard.
    pub shard: u32,
    /// What it is doing.
    pub state: State,
    /// What it has applied.
    pub checkpoint: Option<Checkpoint>,
    /// The last record that the log is known to have.
    pub committed: u64,
    /// How long after its commit the newest applied record was seen to be behind; zero when
    /// all is applied.
    pub lag: Duration,
}

impl Status {
    /// Records that wait.
    pub fn lag_records(&self) -> u64 {
        self.committed.saturating_sub(self.applied())
    }

    /// The last record applied; 0 before the first.
    pub fn applied(&self) -> u64 {
        self.checkpoint.as_ref().map_or(0, |at| at.sequence)
    }

    /// The record that it could not apply and why, where it cannot go on.
    pub fn failed_at(&self) -> Option<(u64, String)> {
        let State::Failed(failure) = &self.state else {
            return None;
        };
        let sequence = match &**failure {
            Failure::Record { sequence, .. } | Failure::ChainBroken { sequence, .. } => *sequence,
            _ => self.applied() + 1,
        };
        Some((sequence, failure.to_string()))
    }

    /// True while it follows, or will by itself.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, State::Stopped | State::Failed(_))
    }
}
