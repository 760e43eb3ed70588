//! Account history in a store of its own: every movement of every account, for ever.
//!
//! Where the read models keep no history themselves, they write it through [`History`] before
//! they move their own checkpoint, so it is never behind them; and they read it through the
//! same port, never beyond what they have reached. Rows are written to where their key says,
//! so writing a stretch again changes nothing.

use async_trait::async_trait;
use ledger_core::account::AccountNumber;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;

use crate::projection::{Checkpoint, HistoryRow, ProjectionError};
use crate::views::HistoryRange;

/// Account history of one log.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// How far it has got in `shard`.
    ///
    /// # Errors
    /// [`ProjectionError::Unavailable`], [`ProjectionError::Unusable`].
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError>;

    /// Writes the rows of the stretch after `from` up to `to`, whose [`HistoryRow::ledger`] are
    /// indexes into `ledgers`; then moves the checkpoint of `shard` to `to`, by compare-and-set,
    /// unless it is there or beyond already (then the stretch is being written again). All rows
    /// are durable before the checkpoint moves.
    ///
    /// # Errors
    /// [`ProjectionError::HistoryBehind`] where it has not got to `from`: nothing was written.
    /// [`ProjectionError::Unusable`] where its checkpoint is of another log, or has the
    /// sequence of `from` or `to` with another hash: nothing was written either. Otherwise rows
    /// may have been written, which does no harm, but the checkpoint has not moved.
    async fn append(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        ledgers: &[LedgerName],
        rows: &[HistoryRow],
    ) -> Result<(), ProjectionError>;

    /// Up to `most` rows of an account in `range`; [`HistoryRow::ledger`] is 0.
    ///
    /// # Errors
    /// [`ProjectionError::Unavailable`], [`ProjectionError::Unusable`].
    async fn rows(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError>;

    /// An account's last row with `recorded_at <= at` and a ledger sequence up to `through`.
    ///
    /// # Errors
    /// As [`Self::rows`].
    async fn row_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
        through: u64,
    ) -> Result<Option<HistoryRow>, ProjectionError>;
}

/// Whether a history of `shard` that has got to `found` may take the stretch from `from` to
/// `to`: what [`History::append`] looks at first.
///
/// # Errors
/// [`ProjectionError::HistoryBehind`]; [`ProjectionError::Unusable`] where it was made from
/// another log or another past of this one.
pub fn may_append(
    shard: u32,
    found: Option<&Checkpoint>,
    from: Option<&Checkpoint>,
    to: &Checkpoint,
) -> Result<(), ProjectionError> {
    let reached = found.map_or(0, |found| found.sequence);
    if reached < from.map_or(0, |from| from.sequence) {
        return Err(ProjectionError::HistoryBehind {
            shard,
            found: found.map(|found| Box::new(*found)),
        });
    }
    let Some(found) = found else { return Ok(()) };
    let known = from.into_iter().chain([to]);
    for other in known {
        let diverged = other.log_id != found.log_id
            || (other.sequence == found.sequence && other.record_hash != found.record_hash);
        if diverged {
            return Err(ProjectionError::Unusable(format!(
                "the account history of shard {shard} knows record {} of log {} with hash {}; \
                 the read models go on from another past (record {} of log {} with hash {})",
                found.sequence,
                found.log_id,
                found.record_hash,
                other.sequence,
                other.log_id,
                other.record_hash
            )));
        }
    }
    Ok(())
}
