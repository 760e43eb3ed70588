//! How much a shard remembers of records that the on-disk index has passed.

use std::time::Duration;

use tokio::sync::watch;

use crate::state::ShardState;

/// Bounds of what a shard remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryBounds {
    /// The newest records that are remembered even though the index has passed them: most
    /// repeats come soon, and are then answered from memory.
    pub records_least: u64,
    /// Records that are remembered at most, when the index is far behind.
    pub records_most: u64,
    /// Bytes of larger transactions above which everything is forgotten that the index has
    /// passed, the newest records too.
    pub bytes_least: u64,
    /// Bytes of larger transactions that are remembered at most, when the index is far behind.
    pub bytes_most: u64,
    /// Forgetting is done for so many records at once.
    pub step: u64,
}

impl Default for MemoryBounds {
    fn default() -> Self {
        Self {
            records_least: 250_000,
            records_most: 4_000_000,
            bytes_least: 64 << 20,
            bytes_most: 512 << 20,
            step: 50_000,
        }
    }
}

impl MemoryBounds {
    /// Up to where memory lets go now; `None` where it is not worth while yet. `passed` is what
    /// the index has passed, `last` the last record, `forgotten` what memory has let go of
    /// before.
    pub fn forget_through(
        &self,
        state: &ShardState,
        passed: u64,
        last: u64,
        forgotten: u64,
    ) -> Option<u64> {
        let is_heavy = state.remembered_bytes() > self.bytes_least;
        let (least, step) = match is_heavy {
            true => (0, 1),
            false => (self.records_least, self.step),
        };
        let through = passed.min(last.saturating_sub(least));
        (through >= forgotten + step).then_some(through)
    }

    /// Whether more is remembered than may be: `records` of `state`, with what they hold.
    pub fn are_exceeded(&self, state: &ShardState, records: u64) -> bool {
        records > self.records_most || state.remembered_bytes() > self.bytes_most
    }
}

/// How long replay waits for a projection that does not move.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets a state that is replayed forget what the index has passed.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    bounds: MemoryBounds,
    projected: watch::Receiver<u64>,
    forgotten: u64,
}

impl Memory {
    /// `projected` tells the sequence of the projection's checkpoint.
    pub(crate) fn new(bounds: MemoryBounds, projected: watch::Receiver<u64>) -> Self {
        Self {
            bounds,
            projected,
            forgotten: 0,
        }
    }

    /// Forgets what may be forgotten.
    pub(crate) fn forget(&mut self, state: &mut ShardState) {
        let last = state.next_sequence() - 1;
        let passed = *self.projected.borrow();
        let through = self
            .bounds
            .forget_through(state, passed, last, self.forgotten);
        if let Some(through) = through {
            state.forget_through(through);
            self.forgotten = through;
        }
    }

    /// Forgets; where too much must be remembered, waits for the projection to move on. False
    /// where it does not.
    pub(crate) async fn forget_or_wait(&mut self, state: &mut ShardState) -> bool {
        self.forget(state);
        while self.bounds.are_exceeded(state, state.remembered() as u64) {
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

#[cfg(test)]
mod tests {
    use ledger_core::account::AccountType;
    use ledger_core::amount::Amount;
    use ledger_core::command::{AccountRef, AmountSpec, CreateTransaction, Operation, PostingSpec};
    use ledger_core::name::AccountName;
    use ledger_core::text::Metadata;
    use ledger_core::transaction::LimitsMode;
    use ports::log::EventLog as _;
    use ports::memory::{MemoryLog, RandomBooks, Scribe};
    use schemas::record::LogId;

    use super::*;
    use crate::recover::{self, Options};

    /// The state of a log with `count` transactions of 50 postings each.
    async fn heavy(count: usize) -> ShardState {
        let log = MemoryLog::new(LogId([1; 16]), 1);
        let scribe = Scribe::new(log.clone()).await;
        let books = RandomBooks::new(scribe.clone(), "bank", 1);
        books.open_account("one", "USD/2", AccountType::Asset);
        books.open_account("two", "USD/2", AccountType::Asset);
        let name = |name| AccountRef::Name(AccountName::new(name).expect("a right name"));
        let posting = PostingSpec {
            debit: name("one"),
            credit: name("two"),
            amount: AmountSpec::Exact(Amount::new(1).expect("small")),
            asset: None,
        };
        for _ in 0..count {
            let large = Operation::CreateTransaction(CreateTransaction {
                postings: vec![posting.clone(); 50],
                effective_at: None,
                hold: None,
                limits: LimitsMode::Enforce,
                description: None,
                metadata: Metadata::default(),
            });
            scribe.write("bank", large).expect("no limits");
        }
        scribe.commit().await;
        let options = Options {
            log_id: log.log_id(),
            shard: 0,
            shard_count: 1,
            until: None,
            hash_seed: 42,
            projected: watch::channel(0).1,
        };
        let recovered = recover::recover(log.reader(), None, options, Box::new(|_| {}));
        recovered.await.expect("a sound log").state
    }

    const SMALL: MemoryBounds = MemoryBounds {
        records_least: 1_000,
        records_most: 1_000,
        bytes_least: 10_000,
        bytes_most: 20_000,
        step: 1_000,
    };

    #[tokio::test]
    async fn above_the_kept_bytes_all_is_forgotten_that_the_index_has_passed() {
        let state = heavy(20).await;
        let last = state.next_sequence() - 1;
        let heavy = state.remembered_bytes();
        assert!(heavy > 20_000, "{heavy} bytes");
        let passed = last - 5;
        let forget = |bounds: MemoryBounds, state: &ShardState| {
            let mut state = ShardState::clone(state);
            let mut memory = Memory::new(bounds, watch::channel(passed).1);
            memory.forget(&mut state);
            (state.remembered(), state.remembered_bytes())
        };
        let light = MemoryBounds {
            bytes_least: heavy,
            ..SMALL
        };
        assert_eq!(forget(light, &state), (state.remembered(), heavy));
        // Five of twenty are beyond the index.
        let (records, bytes) = forget(SMALL, &state);
        assert_eq!(records, 5);
        assert_eq!(bytes, heavy / 4);
    }

    #[tokio::test]
    async fn above_the_most_bytes_replay_waits_for_the_index() {
        let mut state = heavy(20).await;
        let last = state.next_sequence() - 1;
        let (projected, watched) = watch::channel(0);
        let mut memory = Memory::new(SMALL, watched);
        let mover = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = projected.send(last - 15);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let _ = projected.send(last - 2);
            projected
        });
        assert!(memory.forget_or_wait(&mut state).await);
        assert!(state.remembered_bytes() <= SMALL.bytes_most);
        drop(mover.await);
        let mut state = heavy(20).await;
        assert!(
            !memory.forget_or_wait(&mut state).await,
            "an index that is gone never moves"
        );
    }
}
