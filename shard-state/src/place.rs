//! Places in a shard's log, and what they stand for.

use ledger_core::facts::KeyEntry;
use ledger_core::time::Timestamp;
use schemas::record::{Record, RecordHash};

/// The last record of a ledger's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its ledger sequence.
    pub ledger_sequence: u64,
    /// Its hash.
    pub hash: RecordHash,
    /// Its time.
    pub recorded_at: Timestamp,
}

/// The last record of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// Its sequence.
    pub sequence: u64,
    /// Its hash.
    pub hash: RecordHash,
    /// Its time.
    pub recorded_at: Timestamp,
}

/// Where the next record of a ledger goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// Its sequence.
    pub sequence: u64,
    /// Its ledger sequence.
    pub ledger_sequence: u64,
    /// Hash of the ledger's record before it.
    pub previous_hash: Option<RecordHash>,
}

/// What a record's key stands for in memory: the same for the writer that decided it and for
/// every replay. The engine's own keys (expiries) have no request; users cannot say them.
pub fn key_entry(record: &Record) -> KeyEntry {
    KeyEntry {
        request_hash: record.request_hash.unwrap_or_default(),
        sequence: record.sequence,
    }
}
