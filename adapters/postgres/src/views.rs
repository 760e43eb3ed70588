//! Reading the live read models.

use async_trait::async_trait;
use ledger_core::account::{Account, AccountNumber};
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::time::{Day, Timestamp};
use ports::projection::{Checkpoint, HeadRow, HistoryRow, PlaceRow, ProjectionError};
use ports::views::{
    AccountFilter, DayBucket, HistoryRange, LedgerProgress, LedgerView, TransactionFilter,
    TransactionView, Views,
};

use crate::database::Lane;
use crate::models::{ReadModels, ask};
use crate::{accounts, ledgers, places, transactions};

impl ReadModels {
    /// How far the ledger has been applied, and its shard.
    async fn reached(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<(u32, LedgerProgress)>, ProjectionError> {
        let log_id = self.shared.log_id;
        ask!(self.shared, Lane::Queries, |connection, generation| {
            ledgers::progress(connection, generation, log_id, ledger)
        })
    }

    /// What `read` finds in the history up to the ledger sequence that it is given: where the
    /// ledger has been applied to. The history knows more, which is not shown yet.
    ///
    /// A history that lost rows is filled from the log again, its checkpoint behind its rows. What
    /// is read there meanwhile would miss rows and not say so: it has to be whole before it is
    /// read, and still afterwards.
    async fn in_history<T>(
        &self,
        ledger: &LedgerName,
        read: impl AsyncFnOnce(u64) -> Result<T, ProjectionError>,
    ) -> Result<Option<T>, ProjectionError> {
        let Some((shard, progress)) = self.reached(ledger).await? else {
            return Ok(None);
        };
        let checkpoint = &progress.checkpoint;
        self.require_history(shard, checkpoint).await?;
        let found = read(progress.head.ledger_sequence).await?;
        self.require_history(shard, checkpoint).await?;
        Ok(Some(found))
    }

    /// Refuses where the history has not got to where the read models are.
    async fn require_history(
        &self,
        shard: u32,
        reached: &Checkpoint,
    ) -> Result<(), ProjectionError> {
        let found = self.shared.history.checkpoint(shard).await?;
        match found {
            Some(found) if found.sequence >= reached.sequence => Ok(()),
            found => Err(ProjectionError::HistoryBehind {
                shard,
                found: found.map(Box::new),
            }),
        }
    }
}

#[async_trait]
impl Views for ReadModels {
    async fn progress(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<LedgerProgress>, ProjectionError> {
        Ok(self.reached(ledger).await?.map(|(_, progress)| progress))
    }

    async fn ledger(&self, ledger: &LedgerName) -> Result<Option<LedgerView>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            ledgers::ledger(connection, generation, ledger)
        })
    }

    async fn ledgers(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<LedgerView>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            ledgers::ledgers(connection, generation, after, most)
        })
    }

    async fn account(
        &self,
        ledger: &LedgerName,
        name: &str,
    ) -> Result<Option<Account>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            accounts::named(connection, generation, ledger, name)
        })
    }

    async fn accounts_by_name(
        &self,
        ledger: &LedgerName,
        names: &[AccountName],
    ) -> Result<Vec<Option<Account>>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            accounts::by_name(connection, generation, ledger, names)
        })
    }

    async fn accounts_by_number(
        &self,
        ledger: &LedgerName,
        numbers: &[AccountNumber],
    ) -> Result<Vec<Option<Account>>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            accounts::by_number(connection, generation, ledger, numbers)
        })
    }

    async fn accounts(
        &self,
        ledger: &LedgerName,
        filter: &AccountFilter,
        most: usize,
    ) -> Result<Vec<Account>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            accounts::list(connection, generation, ledger, filter, most)
        })
    }

    async fn last_account(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<AccountNumber>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            accounts::last(connection, generation, ledger)
        })
    }

    async fn transaction(
        &self,
        ledger: &LedgerName,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ProjectionError> {
        let mut found = self.transactions_by_id(ledger, &[id]).await?;
        Ok(found.pop().flatten())
    }

    async fn transactions_by_id(
        &self,
        ledger: &LedgerName,
        ids: &[TransactionId],
    ) -> Result<Vec<Option<TransactionView>>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            transactions::by_id(connection, generation, ledger, ids)
        })
    }

    async fn key(
        &self,
        ledger: &LedgerName,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyEntry>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            transactions::key(connection, generation, ledger, key)
        })
    }

    async fn transactions(
        &self,
        ledger: &LedgerName,
        filter: &TransactionFilter,
        most: usize,
    ) -> Result<Vec<TransactionView>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            transactions::list(connection, generation, ledger, filter, most)
        })
    }

    async fn history(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError> {
        let found = self.in_history(ledger, async |reached| {
            let range = HistoryRange {
                through: range.through.min(reached),
                ..range
            };
            match range.from > range.through {
                true => Ok(Vec::new()),
                false => self.shared.history.rows(ledger, account, range, most).await,
            }
        });
        Ok(found.await?.unwrap_or_default())
    }

    async fn history_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        let found = self.in_history(ledger, async |reached| {
            let history = &self.shared.history;
            history.row_at(ledger, account, at, reached).await
        });
        Ok(found.await?.flatten())
    }

    async fn days(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        from: Day,
        through: Day,
        most: usize,
    ) -> Result<Vec<DayBucket>, ProjectionError> {
        let days = (from, through);
        ask!(self.shared, Lane::Queries, |connection, generation| {
            places::days(connection, generation, ledger, account, days, most)
        })
    }

    async fn place(
        &self,
        ledger: &LedgerName,
        ledger_sequence: u64,
    ) -> Result<Option<PlaceRow>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            places::of(connection, generation, ledger, ledger_sequence)
        })
    }

    async fn place_at(
        &self,
        ledger: &LedgerName,
        at: Timestamp,
    ) -> Result<Option<PlaceRow>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            places::at(connection, generation, ledger, at)
        })
    }

    async fn heads(&self, shard: u32) -> Result<Vec<(LedgerName, HeadRow)>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            ledgers::heads(connection, generation, shard)
        })
    }
}
