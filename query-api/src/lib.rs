//! Queries, statements and audit over the read models.
//!
//! [`QueryApi`] answers every call of the API that changes nothing. Balances, accounts and
//! holds are read through the writer where a caller wants them STRONG; all else comes from the
//! read models, after these have got as far as the caller asked for. Nothing here knows an
//! adapter or decides anything.

mod accounts;
mod audit;
mod balance;
mod consistency;
mod deadline;
mod fail;
mod ledgers;
mod names;
mod page;
mod pattern;
mod suggest;
mod transactions;

use std::sync::Arc;

use ports::log::LogReader;
use ports::strong::StrongReads;
use ports::views::Views;
use schemas::record::LogId;
use tokio::sync::watch;

pub use audit::RecordStream;

/// What the queries are answered from.
#[derive(Clone)]
pub struct Sources {
    /// The read models.
    pub views: Arc<dyn Views>,
    /// The log, for audit.
    pub reader: Arc<dyn LogReader>,
    /// The writers of the shards.
    pub strong: Arc<dyn StrongReads>,
    /// Per shard, the sequence that the read models have got to, as it moves.
    pub projected: Vec<watch::Receiver<u64>>,
    /// The log that all of these speak of.
    pub log_id: LogId,
    /// Says of a shard whether its read models stopped for good.
    pub stopped: Arc<dyn Fn(u32) -> Option<Stopped> + Send + Sync>,
}

/// Read models that do not move any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// The record that could not be applied.
    pub sequence: u64,
    /// Why.
    pub why: String,
}

/// Answers every call that changes nothing. Clones share their caches.
#[derive(Clone)]
pub struct QueryApi {
    sources: Sources,
    names: Arc<names::NameCache>,
}

impl QueryApi {
    /// Answers from `sources`.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            names: Arc::default(),
        }
    }

    fn views(&self) -> &dyn Views {
        self.sources.views.as_ref()
    }

    fn shard_count(&self) -> u32 {
        self.sources.projected.len() as u32
    }

    fn shard_of(&self, ledger: &ledger_core::name::LedgerName) -> u32 {
        ports::routing::chain_shard(ledger, self.shard_count())
    }
}
