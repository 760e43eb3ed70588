//! What users ask for. The parts of a command were checked when they were made;
//! [`Command::check`] checks what only the whole can break. After that only rules can refuse it.

mod check;

use std::sync::Arc;

use crate::account::{AccountNumber, AccountType, FreezeScope, Limits, LimitsChange};
use crate::amount::Amount;
use crate::asset::Asset;
use crate::key::{IdempotencyKey, TransactionId};
use crate::name::AccountName;
use crate::text::{Metadata, MetadataChange, Text};
use crate::time::Timestamp;
use crate::transaction::LimitsMode;

/// One command to one ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Makes it safe to repeat.
    pub key: IdempotencyKey,
    /// What must hold for it to be carried out at all, judged before everything else but that
    /// what the command names exists.
    pub conditions: Vec<Condition>,
    /// What is asked for.
    pub operation: Operation,
}

/// What must hold when the command is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The account has this version, else `VERSION_CONFLICT`.
    AccountVersion {
        /// The account.
        account: AccountRef,
        /// Its version.
        version: u64,
    },
    /// The balance compares so, else `BALANCE_CONDITION_FAILED`.
    Balance {
        /// The account.
        account: AccountRef,
        /// Which balance.
        kind: BalanceKind,
        /// How it must compare.
        comparison: Comparison,
        /// With what, in minor units on the normal side.
        amount: i128,
    },
}

/// Which balance of an account, on its normal side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BalanceKind {
    /// in − out.
    Posted,
    /// posted + pending in − pending out.
    Pending,
    /// posted − pending out.
    Available,
}

impl CreateLedger {
    /// The time zone, `UTC` when it was left out.
    pub(crate) fn zone(&self) -> Arc<str> {
        if self.time_zone.is_empty() {
            Arc::from("UTC")
        } else {
            Arc::clone(&self.time_zone)
        }
    }
}

impl BalanceKind {
    /// As it stands in figures: `posted`, `pending` or `available`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Posted => "posted",
            Self::Pending => "pending",
            Self::Available => "available",
        }
    }
}

/// How a balance must compare with a condition's amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Not less.
    AtLeast,
    /// Not more.
    AtMost,
    /// The same.
    Equal,
}

/// Names an account, by path or by number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AccountRef {
    /// By its path.
    Name(AccountName),
    /// By its number in the ledger.
    Number(AccountNumber),
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Makes the ledger that the command is sent to.
    CreateLedger(CreateLedger),
    /// Changes a ledger's metadata or description.
    UpdateLedger(UpdateLedger),
    /// Makes an account.
    OpenAccount(OpenAccount),
    /// Changes limits or metadata of an account.
    UpdateAccount(UpdateAccount),
    /// Keeps new postings out of an account. Freezing a frozen one sets the new scope.
    FreezeAccount(FreezeAccount),
    /// Lets them in again.
    UnfreezeAccount(ChangeAccount),
    /// Ends an account with no holds whose debits equal its credits.
    CloseAccount(ChangeAccount),
    /// Takes a closing back.
    ReopenAccount(ChangeAccount),
    /// Moves or reserves amounts.
    CreateTransaction(CreateTransaction),
    /// Takes from a hold.
    CaptureTransaction(CaptureTransaction),
    /// Releases what is left of a hold.
    VoidTransaction(VoidTransaction),
    /// Takes (a part of) a posted transaction back.
    ReverseTransaction(ReverseTransaction),
    /// Changes a transaction's metadata or description.
    UpdateTransaction(UpdateTransaction),
    /// Refuses effective times before an instant from now on.
    CloseBooks(CloseBooks),
    /// Moves that instant back.
    ReopenBooks(ReopenBooks),
    /// All of these or none, as one record. Never nested, never `CreateLedger` nor
    /// `ExpireHold`; 1 to 1,000 members.
    Atomic(Vec<AtomicMember>),
    /// The engine's own, when a hold's time has come.
    ExpireHold(TransactionId),
}

/// A member of an atomic batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtomicMember {
    /// Judged just before this member, after all members before it.
    pub conditions: Vec<Condition>,
    /// What is asked for.
    pub operation: Operation,
}

/// See [`Operation::CreateLedger`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CreateLedger {
    /// IANA time zone of the ledger's calendar, checked by the edge; `UTC` when left out.
    pub time_zone: Arc<str>,
    /// Seconds after local midnight at which the next business day begins, 0 to 86,399; 0 is
    /// midnight. Later times of a day count for the next day.
    pub cut_off_seconds: u32,
    /// The user's own words.
    pub description: Option<Text>,
    /// The user's own.
    pub metadata: Metadata,
    /// Accounts that deposits and withdrawals without a counter account are booked against,
    /// by asset. They need not exist yet.
    pub settlement_accounts: Vec<(Asset, AccountName)>,
}

/// See [`Operation::UpdateLedger`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateLedger {
    /// The new description, where it is to change (`Some(None)` takes it away).
    pub description: Option<Option<Text>>,
    /// Changes of metadata.
    pub metadata: MetadataChange,
    /// The new list, where it is to change.
    pub settlement_accounts: Option<Vec<(Asset, AccountName)>>,
}

/// See [`Operation::OpenAccount`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAccount {
    /// Its name, never used before.
    pub name: AccountName,
    /// Its asset, for ever.
    pub asset: Asset,
    /// Its type, for ever.
    pub account_type: AccountType,
    /// What it is held to.
    pub limits: Limits,
    /// The user's own.
    pub metadata: Metadata,
}

/// See [`Operation::UpdateAccount`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateAccount {
    /// The account.
    pub account: AccountRef,
    /// Which of its limits change.
    pub limits: LimitsChange,
    /// Changes of metadata.
    pub metadata: MetadataChange,
}

/// See [`Operation::FreezeAccount`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeAccount {
    /// The account.
    pub account: AccountRef,
    /// What is kept out.
    pub scope: FreezeScope,
    /// Why.
    pub reason: Option<Text>,
}

/// Unfreezing, closing and reopening an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeAccount {
    /// The account.
    pub account: AccountRef,
    /// Why.
    pub reason: Option<Text>,
}

/// See [`Operation::CreateTransaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTransaction {
    /// 1 to 1,000, resolved in order.
    pub postings: Vec<PostingSpec>,
    /// Business time; the engine's time when left out.
    pub effective_at: Option<Timestamp>,
    /// A hold with these terms instead of a posted transaction.
    pub hold: Option<crate::transaction::HoldTerms>,
    /// Whether limits are judged.
    pub limits: LimitsMode,
    /// The user's own words.
    pub description: Option<Text>,
    /// The user's own.
    pub metadata: Metadata,
}

/// A posting as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostingSpec {
    /// The account to debit.
    pub debit: AccountRef,
    /// The account to credit.
    pub credit: AccountRef,
    /// How much.
    pub amount: AmountSpec,
    /// The asset that the caller means, where it says one: checked against the accounts'.
    pub asset: Option<Asset>,
}

/// An amount as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AmountSpec {
    /// This much.
    Exact(Amount),
    /// As much as the limits of both accounts leave room for, seeing the postings before it;
    /// nothing at all is no refusal while `at_least` is zero. `RecordOnly` takes `most`.
    UpTo {
        /// At most this much.
        most: Amount,
        /// Less than this is refused.
        at_least: Amount,
    },
}

/// See [`Operation::CaptureTransaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureTransaction {
    /// The hold.
    pub hold: TransactionId,
    /// How much of which posting (index); empty for all that is left.
    pub amounts: Vec<(u32, Amount)>,
    /// Ends the hold and releases what is left.
    pub is_final: bool,
    /// Business time; the engine's time when left out.
    pub effective_at: Option<Timestamp>,
    /// The user's own words.
    pub description: Option<Text>,
    /// The user's own.
    pub metadata: Metadata,
}

/// See [`Operation::VoidTransaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoidTransaction {
    /// The hold.
    pub hold: TransactionId,
    /// Why.
    pub reason: Option<Text>,
}

/// See [`Operation::ReverseTransaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReverseTransaction {
    /// The posted transaction.
    pub original: TransactionId,
    /// How much of which posting (index); empty for all that is left.
    pub amounts: Vec<(u32, Amount)>,
    /// Business time; the engine's time when left out.
    pub effective_at: Option<Timestamp>,
    /// Whether limits are judged.
    pub limits: LimitsMode,
    /// The user's own words.
    pub description: Option<Text>,
    /// The user's own.
    pub metadata: Metadata,
}

/// See [`Operation::UpdateTransaction`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateTransaction {
    /// The transaction.
    pub transaction: TransactionId,
    /// The version that it must have, where the caller says one.
    pub expected_version: Option<u64>,
    /// The new description, where it is to change (`Some(None)` takes it away).
    pub description: Option<Option<Text>>,
    /// Changes of metadata.
    pub metadata: MetadataChange,
}

/// See [`Operation::CloseBooks`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseBooks {
    /// Effective times before this are refused from now on. Must be later than the present
    /// closing, and not in the future.
    pub through: Timestamp,
    /// Why.
    pub reason: Option<Text>,
}

/// See [`Operation::ReopenBooks`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReopenBooks {
    /// The instant to go back to, earlier than the present closing; `None` opens the books
    /// entirely.
    pub through: Option<Timestamp>,
    /// Why; reopening always says it.
    pub reason: Text,
}
