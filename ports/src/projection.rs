//! Projections: read models made from the log. Rows and their checkpoint move in one
//! transaction, so each record is applied exactly once.

use async_trait::async_trait;
use ledger_core::account::{AccountNumber, AccountStatus, AccountTerms, Totals};
use ledger_core::amount::Amount;
use ledger_core::event::LedgerTerms;
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::{Posting, Transaction, TransactionStatus};
use schemas::record::{LogId, RecordHash};

use crate::log::Position;

/// How far a projection has got in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log that it was made from; another is refused.
    pub log_id: LogId,
    /// The last record applied.
    pub sequence: u64,
    /// Its hash.
    pub record_hash: RecordHash,
    /// The entry that holds it.
    pub position: Position,
    /// Its time.
    pub recorded_at: Timestamp,
}

/// Index into [`Changes::ledgers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerIndex(pub u32);

/// All that a stretch of a shard's log changes in the read models. Each row is the *final* one
/// of the stretch (folded), but for history and keys, which only grow. Lists are sorted by the
/// key that their doc names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The ledgers that rows speak of.
    pub ledgers: Vec<LedgerName>,
    /// Ledgers as they are now (created, terms or closing changed), by ledger.
    pub ledger_rows: Vec<LedgerRow>,
    /// The head of every ledger's chain that moved, the engine's own too, by ledger.
    pub heads: Vec<HeadRow>,
    /// Accounts whose terms or status changed, by (ledger, number). New ones have `opened_at`.
    pub accounts: Vec<AccountRow>,
    /// Balances that moved, by (ledger, account). Where an account is in both lists, both rows
    /// carry the same version.
    pub balances: Vec<BalanceRow>,
    /// New and changed transactions, by (ledger, id).
    pub transactions: Vec<TransactionRow>,
    /// Movements, by (ledger, account, ledger sequence).
    pub history: Vec<HistoryRow>,
    /// Sums to add to the buckets of (account, effective day), by (ledger, account, day).
    pub days: Vec<DayRow>,
    /// Keys of records, by (ledger, key), but for those of the engine's own chains; an expiry,
    /// which nobody asked for, has a request hash of zeros. A UUID key whose record made the direct transaction
    /// or hold of the same id is not here: its entry stands in the transaction's row.
    pub keys: Vec<KeyRow>,
    /// Where each ledger's records stand: one per entry and ledger, by (ledger, ledger sequence).
    pub places: Vec<PlaceRow>,
}

/// See [`Changes::ledger_rows`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// `Some` where the terms changed (their `version` is that of their event; see
    /// [`Self::version`]).
    pub terms: Option<LedgerTerms>,
    /// When it was created; `None` where an earlier stretch created it.
    pub created_at: Option<Timestamp>,
    /// `Some` where the closing changed.
    pub closed_through: Option<Option<Timestamp>>,
    /// Its version now, which the views' terms carry.
    pub version: u64,
}

/// See [`Changes::heads`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// Of its last record.
    pub ledger_sequence: u64,
    /// Of its last record.
    pub record_hash: RecordHash,
    /// Of its last record.
    pub recorded_at: Timestamp,
}

/// See [`Changes::accounts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// The account.
    pub number: AccountNumber,
    /// `Some` where the terms changed.
    pub terms: Option<AccountTerms>,
    /// `Some` where the status changed; a new account is open.
    pub status: Option<AccountStatus>,
    /// `Some` for a new account.
    pub opened_at: Option<Timestamp>,
    /// Its version now.
    pub version: u64,
}

/// See [`Changes::balances`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BalanceRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// The account.
    pub account: AccountNumber,
    /// Its version now.
    pub version: u64,
    /// Its totals now.
    pub totals: Totals,
    /// Change of its count of open holds.
    pub open_holds_delta: i64,
}

/// See [`Changes::transactions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// The transaction as it is now.
    pub transaction: Transaction,
    /// Of the record that made it; `None` where an earlier stretch did.
    pub made: Option<TransactionMade>,
}

/// The record that made a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMade {
    /// Its ledger sequence.
    pub ledger_sequence: u64,
    /// Its time.
    pub recorded_at: Timestamp,
    /// Its key.
    pub key: IdempotencyKey,
    /// What the key stands for, where the key is the transaction's id (see [`Changes::keys`]).
    pub key_entry: Option<KeyEntry>,
}

/// All that one record did to one account, and the account after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// The account.
    pub account: AccountNumber,
    /// Of the record.
    pub ledger_sequence: u64,
    /// Of the record.
    pub recorded_at: Timestamp,
    /// The account's version after it.
    pub version: u64,
    /// The account's totals after it.
    pub totals: Totals,
    /// What moved, in order; at least one.
    pub movements: Vec<Movement>,
}

/// One posting's effect on one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// The transaction that moved: the capture, the reversal, the released hold.
    pub transaction: TransactionId,
    /// Of that transaction.
    pub effective_at: Timestamp,
    /// What happened: POSTED moves, PENDING reserves, VOIDED and EXPIRED release. A capture is
    /// a POSTED movement (the reservation that it uses up is seen in the totals); what a final
    /// capture leaves is a VOIDED movement of the hold in the same row.
    pub effect: TransactionStatus,
    /// The posting (of a release: what was left of it).
    pub posting: Posting,
}

/// Sums of POSTED movements of one account on one UTC day of `effective_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// The account.
    pub account: AccountNumber,
    /// The day.
    pub day: Day,
    /// Debits to add.
    pub debits: Amount,
    /// Credits to add.
    pub credits: Amount,
    /// Ledger sequence of the first of these movements.
    pub first_ledger_sequence: u64,
    /// Ledger sequence of the last of these movements.
    pub last_ledger_sequence: u64,
}

/// See [`Changes::keys`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// The key.
    pub key: IdempotencyKey,
    /// What it stands for.
    pub entry: KeyEntry,
}

/// Where a ledger's records stand in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceRow {
    /// The ledger.
    pub ledger: LedgerIndex,
    /// Of the ledger's first record in the entry.
    pub ledger_sequence: u64,
    /// The same record's sequence in the shard.
    pub sequence: u64,
    /// The entry.
    pub position: Position,
    /// The same record's time.
    pub recorded_at: Timestamp,
}

/// A projection could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// Its checkpoint is not the one that the caller knows: someone else moved it. Nothing was
    /// written.
    #[error("the checkpoint of shard {shard} is {found:?}, not {expected:?}")]
    CheckpointMoved {
        /// The shard.
        shard: u32,
        /// What the caller knew.
        expected: Option<Box<Checkpoint>>,
        /// What stands there.
        found: Option<Box<Checkpoint>>,
    },
    /// The account history stands before the stretch that was to be written (its store lost
    /// what it had, or was never filled), or behind the read models that are to be shown with it:
    /// it is to be filled from the log up to there first. Nothing was written.
    #[error(
        "the account history of shard {shard} has got to record {} only, and is filled from the \
         log while a projector runs",
        found.as_ref().map_or(0, |found| found.sequence)
    )]
    HistoryBehind {
        /// The shard.
        shard: u32,
        /// What stands there.
        found: Option<Box<Checkpoint>>,
    },
    /// It cannot be reached now. Nothing was written.
    #[error("the read models cannot be reached: {0}")]
    Unavailable(String),
    /// It is damaged, or was made by another version (`READ_MODELS_UNUSABLE`): rebuild it.
    #[error("the read models cannot be used: {0}")]
    Unusable(String),
}

/// A set of read models that follows the log.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// How far it has got in `shard`.
    ///
    /// # Errors
    /// [`ProjectionError`].
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError>;

    /// The heads that it has reached of the chains of `ledgers` (all of `shard`), in order of
    /// the question, [`HeadRow::ledger`] being the index into it; `None` where it has no record
    /// of the ledger. So a projector that starts again can check that the next record follows.
    ///
    /// # Errors
    /// [`ProjectionError`].
    async fn heads(
        &self,
        shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError>;

    /// Writes `changes` and moves the checkpoint of `shard` from `from` to `to`, in one
    /// transaction, by compare-and-set.
    ///
    /// # Errors
    /// [`ProjectionError`]; nothing was written then.
    async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        changes: Changes,
    ) -> Result<(), ProjectionError>;

    /// Tells the sequence of the checkpoint of `shard`, now and as it moves.
    fn watch(&self, shard: u32) -> tokio::sync::watch::Receiver<u64>;
}

/// Makes and switches read models, to rebuild them beside the live ones.
#[async_trait]
pub trait ProjectionSwitch: Send + Sync + 'static {
    /// Empty read models beside the live ones.
    ///
    /// # Errors
    /// [`ProjectionError`].
    async fn begin_rebuild(&self) -> Result<Box<dyn Rebuild>, ProjectionError>;
}

/// Read models that are being rebuilt.
#[async_trait]
pub trait Rebuild: Send + Sync {
    /// To be filled through this.
    fn projection(&self) -> std::sync::Arc<dyn Projection>;

    /// Tables that differ between these read models and the live ones, row by row as both
    /// stand, with the first differing row of each. Meant to be asked when both have the same
    /// checkpoints.
    ///
    /// # Errors
    /// [`ProjectionError`].
    async fn differences(&self) -> Result<Vec<String>, ProjectionError>;

    /// Makes these the live ones and removes the old ones. Neither is applied to meanwhile.
    ///
    /// # Errors
    /// [`ProjectionError`]; the old ones are live then.
    async fn switch(self: Box<Self>) -> Result<(), ProjectionError>;
}
