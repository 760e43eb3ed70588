//! Account history in memory, and read models that write it first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ledger_core::account::AccountNumber;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;

use crate::history::History;
use crate::projection::{
    Changes, Checkpoint, HeadRow, HistoryRow, LedgerIndex, Projection, ProjectionError,
};
use crate::views::HistoryRange;

/// Account history in memory that can be told to fail and to lose all it has. Clones are the
/// same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryHistory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: Kept,
    faults: u32,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Kept {
    checkpoints: BTreeMap<u32, Checkpoint>,
    rows: BTreeMap<(LedgerName, AccountNumber, u64), HistoryRow>,
}

impl PartialEq for MemoryHistory {
    fn eq(&self, other: &Self) -> bool {
        let kept = self.inner().kept.clone();
        kept == other.inner().kept
    }
}

impl MemoryHistory {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `count` calls find it out of reach.
    pub fn fail_next(&self, count: u32) {
        self.inner().faults = count;
    }

    /// Loses all it has, as a store without a disk does when it starts again.
    pub fn lose(&self) {
        self.inner().kept = Kept::default();
    }

    /// Its rows.
    pub fn len(&self) -> usize {
        self.inner().kept.rows.len()
    }

    /// True where it has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Another with the same content.
    pub fn copied(&self) -> Self {
        let kept = self.inner().kept.clone();
        Self {
            inner: Arc::new(Mutex::new(Inner { kept, faults: 0 })),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reached(&self) -> Result<MutexGuard<'_, Inner>, ProjectionError> {
        let mut inner = self.inner();
        if inner.faults > 0 {
            inner.faults -= 1;
            return Err(ProjectionError::Unavailable("as the test wants".to_owned()));
        }
        Ok(inner)
    }
}

#[async_trait]
impl History for MemoryHistory {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        Ok(self.reached()?.kept.checkpoints.get(&shard).copied())
    }

    async fn append(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        ledgers: &[LedgerName],
        rows: &[HistoryRow],
    ) -> Result<(), ProjectionError> {
        let mut inner = self.reached()?;
        let found = inner.kept.checkpoints.get(&shard).copied();
        crate::history::may_append(shard, found.as_ref(), from, to)?;
        for row in rows {
            let ledger = ledgers
                .get(row.ledger.0 as usize)
                .ok_or_else(|| ProjectionError::Unusable("a row of no ledger".to_owned()))?;
            let key = (ledger.clone(), row.account, row.ledger_sequence);
            let row = HistoryRow {
                ledger: LedgerIndex(0),
                ..row.clone()
            };
            inner.kept.rows.insert(key, row);
        }
        if found.is_none_or(|found| found.sequence < to.sequence) {
            inner.kept.checkpoints.insert(shard, *to);
        }
        Ok(())
    }

    async fn rows(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError> {
        let inner = self.reached()?;
        if range.from > range.through {
            return Ok(Vec::new());
        }
        let key = |sequence| (ledger.clone(), account, sequence);
        let rows = inner
            .kept
            .rows
            .range(key(range.from)..=key(range.through))
            .map(|(_, row)| row.clone());
        Ok(match range.newest_first {
            false => rows.take(most).collect(),
            true => rows.rev().take(most).collect(),
        })
    }

    async fn row_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
        through: u64,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        let inner = self.reached()?;
        let key = |sequence| (ledger.clone(), account, sequence);
        let found = inner
            .kept
            .rows
            .range(key(0)..=key(through))
            .rev()
            .map(|(_, row)| row)
            .find(|row| row.recorded_at <= at);
        Ok(found.cloned())
    }
}

/// Read models that write a history first, as those do that keep none themselves.
#[derive(Clone)]
pub struct WithHistory {
    projection: Arc<dyn Projection>,
    history: Arc<dyn History>,
}

impl WithHistory {
    /// Writes `history`, then `projection`.
    pub fn new(projection: Arc<dyn Projection>, history: Arc<dyn History>) -> Self {
        Self {
            projection,
            history,
        }
    }
}

#[async_trait]
impl Projection for WithHistory {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        self.projection.checkpoint(shard).await
    }

    async fn heads(
        &self,
        shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
        self.projection.heads(shard, ledgers).await
    }

    async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        changes: Changes,
    ) -> Result<(), ProjectionError> {
        self.history
            .append(shard, from, to, &changes.ledgers, &changes.history)
            .await?;
        self.projection.apply(shard, from, to, changes).await
    }

    fn watch(&self, shard: u32) -> tokio::sync::watch::Receiver<u64> {
        self.projection.watch(shard)
    }
}
