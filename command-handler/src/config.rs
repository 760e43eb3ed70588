//! What a command handler is told.

use std::time::Duration;

use crate::ingest::IngestionConfig;
use crate::writer::machine::Bounds;
use crate::writer::mailbox::QueueBounds;

/// What a command handler is told. `Config::new` gives the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Bounds of what waits in each shard's writer.
    pub queue: QueueBounds,
    /// Bounds of batches and memory of each shard's writer.
    pub bounds: Bounds,
    /// A snapshot is made every so many records of a shard; 0 for never.
    pub snapshot_every_records: u64,
    /// A clean stop makes a snapshot when at least so many records came since the last one.
    pub snapshot_on_stop_records: u64,
    /// A writer whose shard was taken away keeps its state for so long, to go on without a claim
    /// when the shard is given back.
    pub away_most: Duration,
    /// How topics that commands come from are read.
    pub ingestion: IngestionConfig,
    /// The clock is right, however far it is ahead of the log's last record.
    pub accept_clock: bool,
    /// Goes on record with each claim.
    pub build: String,
}

impl Config {
    /// The defaults, for a server of this build.
    pub fn new(build: impl Into<String>) -> Self {
        Self {
            queue: QueueBounds::default(),
            bounds: Bounds::default(),
            snapshot_every_records: 1_000_000,
            snapshot_on_stop_records: 10_000,
            away_most: Duration::from_secs(60),
            ingestion: IngestionConfig::default(),
            accept_clock: false,
            build: build.into(),
        }
    }
}
