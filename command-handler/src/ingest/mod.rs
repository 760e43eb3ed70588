//! Commands that come by topics: read in order, decided by the very writers that decide calls,
//! and told of in the transaction that holds the decision.
//!
//! Exactly once: a record of a topic becomes a command with the record's own key, and its place
//! stands in the decision's record. A writer that goes on after another reads each partition
//! again from the first place whose answer was not known to be durable when the last decision
//! was made; what was decided already is a repeat then, and its outcome is told again.

mod classify;
pub mod letters;
mod service;
mod session;
mod window;

pub(crate) use service::Service;

/// What a reader of topics is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestionConfig {
    /// Records of a shard that were read and whose answers are not durable yet; beyond them its
    /// topics are not read.
    pub in_flight_records: usize,
    /// Their bytes, about.
    pub in_flight_bytes: usize,
    /// Records that are taken at once.
    pub chunk_records: usize,
    /// Go on though records that were never read are in the topics no more.
    pub accept_gap: bool,
}

impl Default for IngestionConfig {
    fn default() -> Self {
        Self {
            in_flight_records: 8_192,
            in_flight_bytes: 16 * 1024 * 1024,
            chunk_records: 1_024,
            accept_gap: false,
        }
    }
}
