//! How much a shard remembers of records that the on-disk index has passed.

use std::time::Duration;

use tokio::sync::watch;

use crate::state::ShardState;

/// Records that are remembered even though the index has passed them: most repeats come soon,
/// and are then answered from memory.
pub const KEPT_RECORDS: u64 = 250_000;

/// Records that are remembered at most, when the index is far behind.
pub const REMEMBERED_MAX: usize = 4_000_000;

/// Bytes of larger transactions above which everything is forgotten that the index has passed.
pub const KEPT_BYTES: u64 = 64 << 20;

/// Bytes of larger transactions that are remembered at most, when the index is far behind.
pub const REMEMBERED_BYTES_MAX: u64 = 512 << 20;

/// Forgetting is done for so many records at once.
const STEP: u64 = 50_000;

/// How long replay waits for a projection that does not move.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets a state that is replayed forget what the index has passed.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    projected: watch::Receiver<u64>,
    forgotten: u64,
}

impl Memory {
    /// `projected` tells the sequence of the projection's checkpoint.
    pub(crate) fn new(projected: watch::Receiver<u64>) -> Self {
        Self {
            projected,
            forgotten: 0,
        }
    }

    /// Forgets what may be forgotten.
    pub(crate) fn forget(&mut self, state: &mut ShardState) {
        let last = state.next_sequence() - 1;
        let is_heavy = state.remembered_bytes() > KEPT_BYTES;
        let (kept, step) = if is_heavy {
            (0, 1)
        } else {
            (KEPT_RECORDS, STEP)
        };
        let through = (*self.projected.borrow()).min(last.saturating_sub(kept));
        if through >= self.forgotten + step {
            state.forget_through(through);
            self.forgotten = through;
        }
    }

    /// Forgets; where too much must be remembered, waits for the projection to move on. False
    /// where it does not.
    pub(crate) async fn forget_or_wait(&mut self, state: &mut ShardState) -> bool {
        self.forget(state);
        while state.remembered() > REMEMBERED_MAX || state.remembered_bytes() > REMEMBERED_BYTES_MAX
        {
            tracing::warn!(
                shard = state.shard,
                sequence = state.next_sequence() - 1,
                projected = *self.projected.borrow(),
                "replay waits for the projection, which is far behind"
            );
            let moved = tokio::time::timeout(PATIENCE, self.projected.changed()).await;
            if !matches!(moved, Ok(Ok(()))) {
                return false;
            }
            self.forget(state);
        }
        true
    }
}
