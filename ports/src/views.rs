//! Reading the read models: lists, history, facts.

use async_trait::async_trait;
use ledger_core::account::{Account, AccountNumber, AccountStatus, AccountType};
use ledger_core::asset::Asset;
use ledger_core::event::LedgerTerms;
use ledger_core::facts::{Facts, FactsNeeded, KeyEntry};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::{Transaction, TransactionStatus};

use crate::projection::{Checkpoint, HeadRow, HistoryRow, PlaceRow, ProjectionError};

/// A ledger as the read models hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerView {
    /// Its name.
    pub name: LedgerName,
    /// Its terms.
    pub terms: LedgerTerms,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its closing.
    pub closed_through: Option<Timestamp>,
    /// The shard that it lives in.
    pub shard: u32,
}

/// A transaction as the read models hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionView {
    /// As it is now.
    pub transaction: Transaction,
    /// Of the record that made it.
    pub ledger_sequence: u64,
    /// Of the record that made it.
    pub recorded_at: Timestamp,
    /// Of the record that made it.
    pub key: IdempotencyKey,
}

/// Which accounts are listed, by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountFilter {
    /// Names that start with this (whole or part of a segment); empty for all. A pattern is
    /// matched by the caller; this only narrows.
    pub prefix: String,
    /// Of this asset.
    pub asset: Option<Asset>,
    /// Of this type.
    pub account_type: Option<AccountType>,
    /// With this status.
    pub status: Option<AccountStatus>,
    /// With numbers above this.
    pub after: Option<AccountNumber>,
    /// With numbers up to this.
    pub through: Option<AccountNumber>,
}

/// Which transactions are listed, by ledger sequence of their making, then id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionFilter {
    /// With this status.
    pub status: Option<TransactionStatus>,
    /// With `effective_at` from this.
    pub effective_from: Option<Timestamp>,
    /// With `effective_at` up to this.
    pub effective_to: Option<Timestamp>,
    /// With `recorded_at` from this.
    pub recorded_from: Option<Timestamp>,
    /// With `recorded_at` up to this.
    pub recorded_to: Option<Timestamp>,
    /// Made up to this ledger sequence.
    pub through: Option<u64>,
    /// Beyond this place, in the order of the list.
    pub after: Option<(u64, TransactionId)>,
    /// Oldest first.
    pub oldest_first: bool,
}

/// A stretch of an account's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRange {
    /// From this ledger sequence.
    pub from: u64,
    /// Up to this ledger sequence.
    pub through: u64,
    /// Newest first.
    pub newest_first: bool,
}

/// A bucket of an account's POSTED movements on one UTC day of `effective_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayBucket {
    /// The day.
    pub day: Day,
    /// All debits of the day.
    pub debits: u128,
    /// All credits of the day.
    pub credits: u128,
    /// Ledger sequence of the first movement.
    pub first_ledger_sequence: u64,
    /// Ledger sequence of the last movement.
    pub last_ledger_sequence: u64,
}

/// How far the read models have got with a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerProgress {
    /// The shard's checkpoint.
    pub checkpoint: Checkpoint,
    /// The ledger's head there.
    pub head: HeadRow,
}

/// Reads the live read models. Each call sees one state of them; two calls may see two.
#[async_trait]
pub trait Views: Send + Sync + 'static {
    /// How far they have got with `ledger`; `None` when it has no record there yet.
    async fn progress(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<LedgerProgress>, ProjectionError>;

    /// The ledger.
    async fn ledger(&self, ledger: &LedgerName) -> Result<Option<LedgerView>, ProjectionError>;

    /// Ledgers by name, after `after`.
    async fn ledgers(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<LedgerView>, ProjectionError>;

    /// The account of this name.
    async fn account(
        &self,
        ledger: &LedgerName,
        name: &str,
    ) -> Result<Option<Account>, ProjectionError>;

    /// Accounts by name, in order of the question. Adapters that can, answer from one state.
    async fn accounts_by_name(
        &self,
        ledger: &LedgerName,
        names: &[AccountName],
    ) -> Result<Vec<Option<Account>>, ProjectionError> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(self.account(ledger, name.as_str()).await?);
        }
        Ok(found)
    }

    /// Accounts by number, in order of the question.
    async fn accounts_by_number(
        &self,
        ledger: &LedgerName,
        numbers: &[AccountNumber],
    ) -> Result<Vec<Option<Account>>, ProjectionError>;

    /// Accounts that pass `filter`, by number.
    async fn accounts(
        &self,
        ledger: &LedgerName,
        filter: &AccountFilter,
        most: usize,
    ) -> Result<Vec<Account>, ProjectionError>;

    /// The last account of the ledger: numbers are dense, from 1.
    async fn last_account(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<AccountNumber>, ProjectionError> {
        let is_there = |number: u32| async move {
            let asked = [AccountNumber(number)];
            let found = self.accounts_by_number(ledger, &asked).await?;
            Ok::<bool, ProjectionError>(found.first().is_some_and(Option::is_some))
        };
        let mut beyond = 1;
        while is_there(beyond).await? {
            match beyond.checked_mul(2) {
                Some(next) => beyond = next,
                None => break,
            }
        }
        let mut last = beyond / 2;
        while beyond - last > 1 {
            let middle = last + (beyond - last) / 2;
            if is_there(middle).await? {
                last = middle;
            } else {
                beyond = middle;
            }
        }
        Ok((last > 0).then_some(AccountNumber(last)))
    }

    /// The transaction of this id.
    async fn transaction(
        &self,
        ledger: &LedgerName,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ProjectionError>;

    /// Transactions by id, in order of the question.
    async fn transactions_by_id(
        &self,
        ledger: &LedgerName,
        ids: &[TransactionId],
    ) -> Result<Vec<Option<TransactionView>>, ProjectionError> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(self.transaction(ledger, *id).await?);
        }
        Ok(found)
    }

    /// Which decision `key` stands for.
    async fn key(
        &self,
        ledger: &LedgerName,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyEntry>, ProjectionError>;

    /// Transactions that pass `filter`.
    async fn transactions(
        &self,
        ledger: &LedgerName,
        filter: &TransactionFilter,
        most: usize,
    ) -> Result<Vec<TransactionView>, ProjectionError>;

    /// Rows of an account's history in `range`.
    async fn history(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError>;

    /// The last row of an account's history with `recorded_at <= at`.
    async fn history_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
    ) -> Result<Option<HistoryRow>, ProjectionError>;

    /// The first `most` of an account's buckets of days from `from` to `through`, by day.
    async fn days(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        from: Day,
        through: Day,
        most: usize,
    ) -> Result<Vec<DayBucket>, ProjectionError>;

    /// Where the ledger's record of `ledger_sequence` stands: the place at or before it.
    async fn place(
        &self,
        ledger: &LedgerName,
        ledger_sequence: u64,
    ) -> Result<Option<PlaceRow>, ProjectionError>;

    /// The ledger's last place with `recorded_at <= at`.
    async fn place_at(
        &self,
        ledger: &LedgerName,
        at: Timestamp,
    ) -> Result<Option<PlaceRow>, ProjectionError>;

    /// Heads of all chains of `shard`, the engine's own too.
    async fn heads(&self, shard: u32) -> Result<Vec<(LedgerName, HeadRow)>, ProjectionError>;
}

/// Loads what a decision needs and memory no longer holds.
#[async_trait]
pub trait FactsSource: Send + Sync + 'static {
    /// Loads `needed` of `ledger` in `shard`, all at one checkpoint, whose sequence is
    /// [`Facts::through`] (0 before the first). One call may ask for many commands.
    ///
    /// # Errors
    /// [`ProjectionError`].
    async fn load(
        &self,
        shard: u32,
        ledger: &LedgerName,
        needed: &[FactsNeeded],
    ) -> Result<Facts, ProjectionError>;
}
