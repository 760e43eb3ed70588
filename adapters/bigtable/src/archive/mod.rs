//! The log's archive in Bigtable.
//!
//! One table, one column family. Rows:
//!
//! - `<log>#<shard>#s#<first sequence>`: an entry. Column `1` says what it is (position, count,
//!   size, BLAKE3); columns `b0000` and so on hold its bytes, 8 MiB each;
//! - `<log>#<shard>#p#<position>`: column `1` says the same, so that an entry is found by its
//!   position, and how much can be read at once is known before it is read;
//! - `<log>#!mark#<shard>`: how far it has got, moved last.
//!
//! Bytes are kept as they are: Bigtable compresses blocks itself.

mod marks;
mod reader;
mod value;

use std::sync::Arc;

use async_trait::async_trait;
use ports::archive::{Archive, ArchiveMark, successors};
use ports::log::{LogEntry, LogError, LogReader};
use schemas::record::LogId;

use crate::client::{Client, Table};
use crate::error::BigtableError;
use crate::key::Key;
use crate::rows::NewRow;
use marks::Marks;
use reader::ArchiveReader;

/// The column that says what an entry is, and that of a mark: the version of the form.
const FORM: &[u8] = b"1";

/// Times that a mark is looked at again when its move was not answered.
const ATTEMPTS: usize = 4;

/// See the module. Clones are the same one.
#[derive(Clone)]
pub(crate) struct BigtableArchive {
    client: Arc<Client>,
    keys: Keys,
    marks: Arc<Marks>,
}

/// The keys of one log's rows.
#[derive(Debug, Clone, Copy)]
struct Keys {
    log_id: LogId,
}

impl Keys {
    fn shard(self, shard: u32) -> Key {
        Key::new(self.log_id).u32(shard)
    }

    fn by_sequence(self, shard: u32) -> Key {
        self.shard(shard).text("s")
    }

    fn by_position(self, shard: u32) -> Key {
        self.shard(shard).text("p")
    }

    fn mark(self, shard: u32) -> Vec<u8> {
        self.marks().u32(shard).0
    }

    fn marks(self) -> Key {
        Key::new(self.log_id).text("!mark")
    }
}

/// A row to be written.
#[derive(Clone, Copy)]
enum Item<'a> {
    Entry(&'a LogEntry),
    Place(&'a LogEntry),
}

impl BigtableArchive {
    pub(crate) async fn open(client: Arc<Client>, log_id: LogId) -> Self {
        let keys = Keys { log_id };
        let marks = Marks::new(Arc::clone(&client), keys);
        if let Err(error) = marks.load().await {
            tracing::warn!(%error, "how far the archive has got is not known yet");
        }
        Self {
            client,
            keys,
            marks,
        }
    }

    fn new_row(&self, shard: u32, item: Item<'_>) -> NewRow {
        match item {
            Item::Entry(entry) => {
                let about = (FORM.to_vec(), value::encode_entry(entry));
                let parts = value::parts(&entry.body);
                NewRow {
                    key: self.keys.by_sequence(shard).u64(entry.first_sequence).0,
                    cells: std::iter::once(about).chain(parts).collect(),
                }
            }
            Item::Place(entry) => NewRow {
                key: self.keys.by_position(shard).u64(entry.position.0).0,
                cells: vec![(FORM.to_vec(), value::encode_place(entry))],
            },
        }
    }

    async fn move_mark(
        &self,
        shard: u32,
        from: Option<ArchiveMark>,
        to: ArchiveMark,
    ) -> Result<(), LogError> {
        let key = self.keys.mark(shard);
        let (before, after) = (from.map(value::encode_mark), value::encode_mark(to));
        for _ in 0..ATTEMPTS {
            let swapped = self
                .client
                .swap(Table::Archive, &key, FORM, before.as_deref(), &after)
                .await;
            match swapped {
                Ok(true) => return Ok(()),
                Ok(false) | Err(BigtableError::Unavailable(_) | BigtableError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let found = self.marks.look(shard).await?;
            if found == Some(to) {
                // A lost answer hid that it was done.
                return Ok(());
            }
            if found != from {
                return Err(moved(shard, found, from));
            }
        }
        Err(LogError::Unavailable(
            "the archive's mark cannot be moved".to_owned(),
        ))
    }
}

fn moved(shard: u32, found: Option<ArchiveMark>, from: Option<ArchiveMark>) -> LogError {
    let said = |mark: Option<ArchiveMark>| match mark {
        Some(mark) => format!("record {}", mark.next_sequence - 1),
        None => "nothing".to_owned(),
    };
    LogError::Unusable(format!(
        "the archive of shard {shard} has got to {}, not to {}",
        said(found),
        said(from)
    ))
}

#[async_trait]
impl Archive for BigtableArchive {
    async fn mark(&self, shard: u32) -> Result<Option<ArchiveMark>, LogError> {
        self.marks.look(shard).await
    }

    async fn append(
        &self,
        shard: u32,
        from: Option<ArchiveMark>,
        entries: &[LogEntry],
    ) -> Result<Option<ArchiveMark>, LogError> {
        let new = successors(from, entries)?;
        let found = self.marks.look(shard).await?;
        if found != from {
            return Err(moved(shard, found, from));
        }
        let Some(last) = new.last() else {
            return Ok(from);
        };
        let to = ArchiveMark {
            next_sequence: last.next_sequence(),
            position: last.position,
        };
        let items: Vec<Item<'_>> = new
            .iter()
            .flat_map(|entry| [Item::Entry(entry), Item::Place(entry)])
            .collect();
        let bytes = |item: &Item<'_>| match item {
            Item::Entry(entry) => entry.body.len() + 192,
            Item::Place(_) => 128,
        };
        let make = |item: &Item<'_>| self.new_row(shard, *item);
        match self.client.write(Table::Archive, &items, bytes, make).await {
            Err(BigtableError::Lost) => return Err(moved(shard, None, from)),
            written => written?,
        }
        self.move_mark(shard, from, to).await?;
        self.marks.learn(shard, Some(to));
        Ok(Some(to))
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        Arc::new(ArchiveReader {
            client: Arc::clone(&self.client),
            keys: self.keys,
            marks: Arc::clone(&self.marks),
        })
    }
}
