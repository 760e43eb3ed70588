//! Topics that commands come from: deposits, withdrawals and transfers, each with a partition
//! per shard, keyed by ledger.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
pub use schemas::ingest::CommandTopic;

use crate::log::Consumed;

/// A record of such a topic, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRecord {
    /// What it asks for.
    pub kind: CommandTopic,
    /// The topic, by its real name.
    pub topic: Arc<str>,
    /// Its partition: the shard.
    pub partition: u32,
    /// Where it stands there.
    pub offset: u64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// How many headers it has besides, whose names are no UTF-8.
    pub unnamed_headers: usize,
    /// What it holds.
    pub payload: Option<Bytes>,
}

impl SourceRecord {
    /// The last header of this name.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        let mut headers = self.headers.iter().rev();
        headers
            .find(|(header, _)| header.eq_ignore_ascii_case(name))?
            .1
            .as_ref()
    }

    /// Bytes that it takes, about.
    pub fn size(&self) -> usize {
        let of = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + of(value)).sum();
        of(&self.key) + of(&self.payload) + headers + 128
    }
}

/// How far behind its end a partition is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// Records that wait there, about.
    pub records: u64,
}

/// The topics cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Not now; trying again may help.
    #[error("the topics that commands come from cannot be read: {0}")]
    Unavailable(String),
    /// Records that were not read yet are there no more, or the topic is not the one that was
    /// read before (`INGESTION_GAP`).
    #[error(
        "{topic}/{partition} was to be read from offset {wanted}, and holds {begins} to {ends} only"
    )]
    Gap {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: u32,
        /// The offset that comes next.
        wanted: u64,
        /// The first offset that is there.
        begins: u64,
        /// The offset after the last one.
        ends: u64,
    },
}

/// Topics that commands come from.
#[async_trait]
pub trait CommandSource: Send + Sync + 'static {
    /// Reads the partition of `shard` of every topic: each from the offset that `from` says, and
    /// from its beginning where it says none. With `accept_gap` from the first record that is
    /// there, instead of [`SourceError::Gap`].
    ///
    /// # Errors
    /// [`SourceError`].
    async fn open(
        &self,
        shard: u32,
        from: &[Consumed],
        accept_gap: bool,
    ) -> Result<Box<dyn SourceReader>, SourceError>;
}

/// Reads the topics of one shard. Holds a bounded number of records that were not asked for yet.
#[async_trait]
pub trait SourceReader: Send {
    /// The next records, in order within each partition: waits for the first, then takes what is
    /// there, up to so many records and about so many bytes. May be dropped while it waits.
    ///
    /// # Errors
    /// [`SourceError`]; then the reader is to be opened anew.
    async fn read(
        &mut self,
        records_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<SourceRecord>, SourceError>;

    /// How far behind each partition is read.
    fn lag(&self) -> Vec<Lag>;
}
