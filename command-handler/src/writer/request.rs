//! What goes into a writer and what comes out of it.

use std::sync::Arc;

use ledger_core::account::{Account, AccountNumber, NormalSide, Totals};
use ledger_core::asset::Asset;
use ledger_core::command::Command;
use ledger_core::event::LedgerTerms;
use ledger_core::facts::RequestHash;
use ledger_core::key::TransactionId;
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::rejection::Rejection;
use ledger_core::time::Timestamp;
use ledger_core::transaction::Transaction;
use schemas::error::Fault;
use schemas::ingest::Settle;
use schemas::record::{Origin, RecordHash};

/// Where commands came from: the same for all of one call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// Who asked; `None` is `anonymous`.
    pub actor: Option<Arc<str>>,
    /// Which way they came.
    pub origin: Origin,
    /// W3C trace context of the call.
    pub traceparent: Option<Arc<str>>,
}

/// A command on its way to the writer, parsed and hashed.
#[derive(Debug, Clone)]
pub struct Request {
    /// The ledger that it is for.
    pub ledger: LedgerName,
    /// What is asked for.
    pub command: Command,
    /// Of the command, see [`ledger_core::canonical`].
    pub request_hash: RequestHash,
    /// Decide, but record nothing.
    pub validate_only: bool,
    /// What the outcome shall show beyond the receipt.
    pub want: Want,
    /// Where it came from.
    pub source: Arc<Source>,
    /// Present where it came by a topic: its outcome is committed with its record.
    pub ingested: Option<Box<Ingested>>,
}

/// What a command that came by a topic brings besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingested {
    /// When a command cannot be decided now, those that came after it by the same round or an
    /// earlier one are not either: so their order stands when they come again by a later round.
    pub round: u64,
    /// The account that it left out.
    pub settle: Option<Settle>,
}

/// True for a fault that stands however often the command is sent: it is the command's outcome.
pub const fn is_final(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::InvalidArgument(_)
            | Fault::IdempotencyKeyReused { .. }
            | Fault::KeyStampInFuture { .. }
            | Fault::LedgerNotFound { .. }
    )
}

/// What an outcome shall show beyond the receipt. Costs time on the writer: only what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// The balances after the command.
    pub balances: bool,
    /// The ledger, account or transaction that it made or changed.
    pub subject: bool,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was decided, and the decision is durable (or nothing was to be recorded).
    Decided(Decided),
    /// It was not decided; nothing is on record, and the same command may be sent again.
    Declined(Fault),
}

/// A decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Sequence of its record in the shard; 0 for `validate_only`.
    pub sequence: u64,
    /// Sequence of its record in the ledger; 0 for `validate_only`.
    pub ledger_sequence: u64,
    /// Hash of its record; `None` for `validate_only`.
    pub hash: Option<RecordHash>,
    /// When it was decided.
    pub recorded_at: Timestamp,
    /// The key was decided before; this is that outcome.
    pub repeated: bool,
    /// What was decided.
    pub result: Result<Accepted, Box<Rejection>>,
}

/// What an accepted command made or changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Accepted {
    /// The transaction that it made or changed.
    pub transaction: Option<TransactionId>,
    /// The account that it made or changed.
    pub account: Option<AccountNumber>,
    /// What only some ask for or have.
    pub more: Option<Box<More>>,
}

/// See [`Accepted::more`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct More {
    /// Of an atomic batch, the transaction of each member.
    pub members: Vec<Option<TransactionId>>,
    /// The accounts that it moved, as they are after it, by number; where asked for.
    pub balances: Vec<BalanceLine>,
    /// What it made or changed, where asked for.
    pub subject: Option<Subject>,
}

/// An account's balance after a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceLine {
    /// Its name.
    pub name: AccountName,
    /// Its number.
    pub number: AccountNumber,
    /// Its asset.
    pub asset: Asset,
    /// The side on which its balance normally stands.
    pub side: NormalSide,
    /// Its minimum.
    pub minimum: Option<i128>,
    /// Its version.
    pub version: u64,
    /// Its totals.
    pub totals: Totals,
}

/// What a command made or changed, as it is after it.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// The ledger.
    Ledger(LedgerSubject),
    /// The account.
    Account(Box<Account>),
    /// The transaction.
    Transaction(TransactionSubject),
}

/// A ledger as it is after a command.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerSubject {
    /// Its terms.
    pub terms: LedgerTerms,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its closing.
    pub closed_through: Option<Timestamp>,
}

/// A transaction as it is after a command.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionSubject {
    /// The transaction.
    pub transaction: Transaction,
    /// True when this command's record made it, so that the record's key, time and sequence
    /// are the transaction's own.
    pub made: bool,
    /// Name and asset of every account of its postings, by number.
    pub names: Vec<(AccountNumber, AccountName, Asset)>,
}
