//! Core types to the messages of `daybook.record.v1` and back. Records, snapshots and read
//! models all store these messages.

pub mod to_core;
pub mod to_proto;

use bytes::BytesMut;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::time::Timestamp;
use ledger_core::transaction::Transaction;
use prost::Message as _;

use super::RecordError;
use crate::proto::record::v1 as proto;

/// The record around a transaction. What the record says already, the transaction leaves out:
/// its id where it is the record's key, its effective time where it is the record's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enclosing {
    /// The record's key, where it is a UUID.
    pub id: Option<TransactionId>,
    /// The record's time.
    pub recorded_at: Timestamp,
}

impl Enclosing {
    /// Of a record with this key and time.
    pub fn new(key: &IdempotencyKey, recorded_at: Timestamp) -> Self {
        let id = match key {
            IdempotencyKey::Uuid(uuid) => Some(TransactionId(*uuid)),
            IdempotencyKey::Text(_) => None,
        };
        Self { id, recorded_at }
    }
}

/// Appends `transaction` as it is stored outside of a record, with nothing left out.
pub fn encode_transaction(transaction: &Transaction, out: &mut BytesMut) {
    super::wire::transaction(transaction, None, out);
}

/// Reads what [`encode_transaction`] wrote.
///
/// # Errors
/// [`RecordError`] says what is damaged.
pub fn decode_transaction(bytes: &[u8]) -> Result<Transaction, RecordError> {
    to_core::transaction(proto::Transaction::decode(bytes)?, None)
}
