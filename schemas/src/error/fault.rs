//! Faults: everything that a caller is told and that is not recorded.

use std::sync::Arc;

use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use tonic::Code;

use crate::api::Malformed;
use crate::record::LogId;

/// Why there is no decision, or no answer. Nothing was recorded under the key; where repeating
/// helps, it is safe with the same key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The request is malformed.
    #[error(transparent)]
    InvalidArgument(#[from] Malformed),
    /// The key was used before, for another request.
    #[error("key {key} was used in ledger {ledger} before, for another request")]
    IdempotencyKeyReused {
        /// The ledger.
        ledger: LedgerName,
        /// The key.
        key: IdempotencyKey,
    },
    /// The key is a UUIDv7 from the future.
    #[error(
        "the UUIDv7 key {key} is stamped {} s ahead of the engine's clock; at most {} s are allowed",
        .ahead_micros / 1_000_000,
        ledger_core::limits::KEY_AHEAD_MICROS_MAX / 1_000_000
    )]
    KeyStampInFuture {
        /// The key.
        key: IdempotencyKey,
        /// How far ahead of the engine's time it is stamped.
        ahead_micros: i64,
    },
    /// No such ledger.
    #[error("ledger {ledger} does not exist")]
    LedgerNotFound {
        /// Its name.
        ledger: LedgerName,
    },
    /// No such account, as a query found.
    #[error(
        "account {account} was never opened in ledger {ledger}{}",
        .did_you_mean.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
    )]
    AccountNotFound {
        /// The ledger.
        ledger: LedgerName,
        /// As the caller named it.
        account: String,
        /// A name near to it.
        did_you_mean: Option<String>,
    },
    /// No such transaction, as a query found.
    #[error("transaction {transaction} is not in ledger {ledger}")]
    TransactionNotFound {
        /// The ledger.
        ledger: LedgerName,
        /// Its id.
        transaction: TransactionId,
    },
    /// No such decision.
    #[error("ledger {ledger} has no decision {by}")]
    DecisionNotFound {
        /// The ledger.
        ledger: LedgerName,
        /// As the caller named it: `with key …`, `at ledger sequence 7`.
        by: String,
    },
    /// A ledger sequence was named that the ledger has not reached.
    #[error("ledger {ledger} has reached ledger sequence {reached}, not {asked} yet")]
    SequenceNotReached {
        /// The ledger.
        ledger: LedgerName,
        /// What was asked for.
        asked: u64,
        /// Where the ledger is.
        reached: u64,
    },
    /// The read models did not get as far as was asked for in time.
    #[error("the read models have reached sequence {reached}, not {asked} yet; the time was up")]
    ReadTimeout {
        /// The shard's sequence that was asked for.
        asked: u64,
        /// Where they are.
        reached: u64,
    },
    /// The caller's deadline passed before there was a decision.
    #[error("the deadline passed before the command was decided")]
    DeadlineExceeded,
    /// The shard does not serve now: it starts, recovers, or lost its writer.
    #[error("the server cannot answer now: {why}")]
    Unavailable {
        /// Why.
        why: String,
    },
    /// Another node writes the ledger's shard, or will.
    #[error(
        "shard {shard} is not this node's to write{}",
        .owner.as_ref().map(|at| format!("; {at} is said to have it")).unwrap_or_default()
    )]
    NotOwner {
        /// The shard.
        shard: u32,
        /// Address of the node that is believed to write it.
        owner: Option<Arc<str>>,
    },
    /// A queue is full.
    #[error("the server is working at its limit: {what} is full")]
    Overloaded {
        /// Which queue or memory.
        what: String,
    },
    /// The log's disk is full; reads go on.
    #[error("the disk of the log is full: shard {shard} takes no commands until there is room")]
    DiskFull {
        /// The shard.
        shard: u32,
    },
    /// The page token is not of this server, or of another request.
    #[error("the page token {why}")]
    PageTokenInvalid {
        /// What is wrong with it.
        why: String,
    },
    /// The consistency or resume token cannot be read.
    #[error("the token {why}")]
    TokenInvalid {
        /// What is wrong with it.
        why: String,
    },
    /// The token speaks of another log.
    #[error("the token is of log {found}; this server has log {expected}")]
    TokenOfAnotherLog {
        /// The token's.
        found: LogId,
        /// The server's.
        expected: LogId,
    },
    /// A request with more than a server takes at once.
    #[error("{found} {what}; at most {most} are allowed")]
    BatchTooLarge {
        /// What there is too much of: `commands`, `bytes`, `accounts`.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much is allowed.
        most: u64,
    },
    /// A message that is none: the transport or protobuf could not read it.
    #[error("the message cannot be read: {why}")]
    MessageMalformed {
        /// What is wrong with it.
        why: String,
    },
    /// A message of more bytes than a server takes.
    #[error("the message has {found} bytes; at most {most} are taken")]
    MessageTooLarge {
        /// Its bytes.
        found: u64,
        /// How many are taken.
        most: u64,
    },
    /// An answer that does not fit one message.
    #[error("the answer would hold more than {most} {what}, the most that one message carries")]
    ReplyTooLarge {
        /// What there is too much of: `bytes`, `accounts`.
        what: &'static str,
        /// How much one message carries.
        most: u64,
    },
    /// The read models must be rebuilt.
    #[error("the read models cannot be used: {why}")]
    ReadModelsUnusable {
        /// Why.
        why: String,
    },
    /// The projection stopped at a record that it could not apply.
    #[error("the read models of shard {shard} stopped at sequence {sequence}: {why}")]
    ProjectionStopped {
        /// The shard.
        shard: u32,
        /// The record that it could not apply.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// What was read from the log is not what was written.
    #[error("the log is damaged: {why}")]
    LogDamaged {
        /// Where and how.
        why: String,
    },
    /// The shard stopped for good, for safety.
    #[error("shard {shard} stopped for safety: {why}")]
    ShardStopped {
        /// The shard.
        shard: u32,
        /// Why.
        why: String,
    },
    /// A fault of Daybook's own.
    #[error("a fault inside of the server: {why}")]
    Internal {
        /// What went wrong.
        why: String,
    },
}

impl Fault {
    /// A shard or a store that does not answer now.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into() }
    }

    /// A fault of Daybook's own.
    pub fn internal(why: impl Into<String>) -> Self {
        Self::Internal { why: why.into() }
    }

    /// The stable code: the `reason` of `google.rpc.ErrorInfo`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidArgument(_) => "INVALID_ARGUMENT",
            Self::IdempotencyKeyReused { .. } => "IDEMPOTENCY_KEY_REUSED",
            Self::KeyStampInFuture { .. } => "KEY_STAMP_IN_FUTURE",
            Self::LedgerNotFound { .. } => "LEDGER_NOT_FOUND",
            Self::AccountNotFound { .. } => "ACCOUNT_NOT_FOUND",
            Self::TransactionNotFound { .. } => "TRANSACTION_NOT_FOUND",
            Self::DecisionNotFound { .. } => "DECISION_NOT_FOUND",
            Self::SequenceNotReached { .. } => "SEQUENCE_NOT_REACHED",
            Self::ReadTimeout { .. } => "READ_TIMEOUT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Unavailable { .. } => "UNAVAILABLE",
            Self::NotOwner { .. } => "NOT_OWNER",
            Self::Overloaded { .. } => "RESOURCE_EXHAUSTED",
            Self::DiskFull { .. } => "DISK_FULL",
            Self::PageTokenInvalid { .. } => "PAGE_TOKEN_INVALID",
            Self::TokenInvalid { .. } => "TOKEN_INVALID",
            Self::TokenOfAnotherLog { .. } => "TOKEN_OF_ANOTHER_LOG",
            Self::BatchTooLarge { .. } => "BATCH_TOO_LARGE",
            Self::MessageMalformed { .. } => "MESSAGE_MALFORMED",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::ReplyTooLarge { .. } => "REPLY_TOO_LARGE",
            Self::ReadModelsUnusable { .. } => "READ_MODELS_UNUSABLE",
            Self::ProjectionStopped { .. } => "PROJECTION_STOPPED",
            Self::LogDamaged { .. } => "LOG_DAMAGED",
            Self::ShardStopped { .. } => "SHARD_STOPPED",
            Self::Internal { .. } => "INTERNAL",
        }
    }

    /// The gRPC code.
    pub const fn grpc(&self) -> Code {
        match self {
            Self::InvalidArgument(_)
            | Self::PageTokenInvalid { .. }
            | Self::TokenInvalid { .. }
            | Self::BatchTooLarge { .. }
            | Self::MessageMalformed { .. } => Code::InvalidArgument,
            Self::IdempotencyKeyReused { .. } => Code::AlreadyExists,
            Self::KeyStampInFuture { .. } | Self::TokenOfAnotherLog { .. } => {
                Code::FailedPrecondition
            }
            Self::LedgerNotFound { .. }
            | Self::AccountNotFound { .. }
            | Self::TransactionNotFound { .. }
            | Self::DecisionNotFound { .. } => Code::NotFound,
            Self::SequenceNotReached { .. }
            | Self::MessageTooLarge { .. }
            | Self::ReplyTooLarge { .. } => Code::OutOfRange,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::ReadTimeout { .. }
            | Self::Unavailable { .. }
            | Self::NotOwner { .. }
            | Self::ReadModelsUnusable { .. }
            | Self::ProjectionStopped { .. } => Code::Unavailable,
            Self::Overloaded { .. } | Self::DiskFull { .. } => Code::ResourceExhausted,
            Self::LogDamaged { .. } => Code::DataLoss,
            Self::ShardStopped { .. } | Self::Internal { .. } => Code::Internal,
        }
    }

    /// How long to wait before the same request, with the same key, is worth repeating; `None`
    /// where repeating does not help.
    pub const fn retry_after_millis(&self) -> Option<u32> {
        match self {
            Self::ReadTimeout { .. } => Some(50),
            Self::Overloaded { .. } | Self::NotOwner { .. } => Some(100),
            Self::DeadlineExceeded => Some(200),
            Self::Unavailable { .. } => Some(500),
            Self::DiskFull { .. } => Some(10_000),
            _ => None,
        }
    }

    /// True where repeating the same request, with the same key, helps.
    pub const fn retryable(&self) -> bool {
        self.retry_after_millis().is_some()
    }

    /// The figures, as they stand in the metadata of `google.rpc.ErrorInfo`.
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::IdempotencyKeyReused { ledger, key } => {
                vec![("ledger", ledger.to_string()), ("key", key.to_string())]
            }
            Self::KeyStampInFuture { key, ahead_micros } => vec![
                ("key", key.to_string()),
                ("ahead_seconds", (ahead_micros / 1_000_000).to_string()),
            ],
            Self::LedgerNotFound { ledger } => vec![("ledger", ledger.to_string())],
            Self::AccountNotFound {
                ledger,
                account,
                did_you_mean,
            } => {
                let near = did_you_mean.iter();
                let near = near.map(|name| ("did_you_mean", name.clone()));
                let mut figures =
                    vec![("ledger", ledger.to_string()), ("account", account.clone())];
                figures.extend(near);
                figures
            }
            Self::TransactionNotFound {
                ledger,
                transaction,
            } => vec![
                ("ledger", ledger.to_string()),
                ("transaction", transaction.to_string()),
            ],
            Self::DecisionNotFound { ledger, .. } => vec![("ledger", ledger.to_string())],
            Self::SequenceNotReached {
                ledger,
                asked,
                reached,
            } => vec![
                ("ledger", ledger.to_string()),
                ("asked", asked.to_string()),
                ("reached", reached.to_string()),
            ],
            Self::ReadTimeout { asked, reached } => vec![
                ("asked", asked.to_string()),
                ("reached", reached.to_string()),
            ],
            Self::NotOwner { shard, owner } => {
                let owner = owner.iter().map(|at| ("owner", at.to_string()));
                std::iter::once(("shard", shard.to_string()))
                    .chain(owner)
                    .collect()
            }
            Self::DiskFull { shard } | Self::ShardStopped { shard, .. } => {
                vec![("shard", shard.to_string())]
            }
            Self::TokenOfAnotherLog { found, expected } => vec![
                ("found", found.to_string()),
                ("expected", expected.to_string()),
            ],
            Self::BatchTooLarge { what, found, most } => vec![
                ("what", (*what).to_owned()),
                ("found", found.to_string()),
                ("most", most.to_string()),
            ],
            Self::MessageTooLarge { found, most } => {
                vec![("found", found.to_string()), ("most", most.to_string())]
            }
            Self::ReplyTooLarge { what, most } => {
                vec![("what", (*what).to_owned()), ("most", most.to_string())]
            }
            Self::ProjectionStopped {
                shard, sequence, ..
            } => vec![
                ("shard", shard.to_string()),
                ("sequence", sequence.to_string()),
            ],
            Self::InvalidArgument(_)
            | Self::DeadlineExceeded
            | Self::Unavailable { .. }
            | Self::Overloaded { .. }
            | Self::PageTokenInvalid { .. }
            | Self::TokenInvalid { .. }
            | Self::MessageMalformed { .. }
            | Self::ReadModelsUnusable { .. }
            | Self::LogDamaged { .. }
            | Self::Internal { .. } => Vec::new(),
        }
    }
}
