//! How far the archive has got: as it was last seen, and telling those who watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ports::archive::ArchiveMark;
use ports::log::LogError;
use tokio::sync::watch;

use super::{FORM, Keys, value};
use crate::client::{Client, Table};
use crate::error::BigtableError;
use crate::key;
use crate::rows::Scan;

/// Others may move the marks: while anybody watches they are looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shards whose marks are read at once.
const PAGE: usize = 1_000;

/// See the module.
pub(super) struct Marks {
    client: Arc<Client>,
    keys: Keys,
    known: Mutex<Known>,
    /// To look at the marks from time to time, as long as somebody has them.
    runtime: tokio::runtime::Handle,
    this: Weak<Marks>,
}

#[derive(Default)]
struct Known {
    shards: HashMap<u32, Shard>,
    looking: bool,
}

struct Shard {
    mark: Option<ArchiveMark>,
    next: watch::Sender<u64>,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            mark: None,
            next: watch::Sender::new(1),
        }
    }
}

impl Marks {
    pub(super) fn new(client: Arc<Client>, keys: Keys) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            client,
            keys,
            known: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
            this: this.clone(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mark of `shard` as it was last seen.
    pub(super) fn last_seen(&self, shard: u32) -> Option<ArchiveMark> {
        self.known().shards.get(&shard).and_then(|of| of.mark)
    }

    pub(super) fn learn(&self, shard: u32, mark: Option<ArchiveMark>) {
        let mut known = self.known();
        let of = known.shards.entry(shard).or_default();
        of.mark = mark;
        let next = mark.map_or(1, |mark| mark.next_sequence);
        of.next.send_if_modified(|told| {
            let moved = *told != next;
            *told = next;
            moved
        });
    }

    /// The mark of `shard` as it stands.
    pub(super) async fn look(&self, shard: u32) -> Result<Option<ArchiveMark>, LogError> {
        let key = self.keys.mark(shard);
        let row = match self.client.row(Table::Archive, &key).await {
            Err(BigtableError::Lost) => None,
            found => found?,
        };
        let mark = row.as_ref().and_then(|row| row.cell(FORM)).map(read);
        let mark = mark.transpose()?;
        self.learn(shard, mark);
        Ok(mark)
    }

    /// Looks at the marks of all shards.
    pub(super) async fn load(&self) -> Result<(), LogError> {
        let mut scan = Scan {
            from: self.keys.marks().first_of(),
            to: self.keys.marks().after_all_of(),
            reversed: false,
            most: PAGE,
        };
        let mut found = HashMap::new();
        loop {
            let rows = match self.client.scan(Table::Archive, &scan).await {
                Err(BigtableError::Lost) => Vec::new(),
                rows => rows?,
            };
            for row in &rows {
                let shard = key::last_u32(&row.key);
                if let (Some(shard), Some(bytes)) = (shard, row.cell(FORM)) {
                    found.insert(shard, read(bytes)?);
                }
            }
            match rows.last() {
                Some(last) if rows.len() == PAGE => scan.go_on_after(&last.key),
                _ => break,
            }
        }
        let shards: Vec<u32> = self.known().shards.keys().copied().collect();
        for shard in shards {
            if !found.contains_key(&shard) {
                self.learn(shard, None);
            }
        }
        for (shard, mark) in found {
            self.learn(shard, Some(mark));
        }
        Ok(())
    }

    /// See [`ports::log::LogReader::watch`].
    pub(super) fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        let mut known = self.known();
        let receiver = known.shards.entry(shard).or_default().next.subscribe();
        if !known.looking {
            known.looking = true;
            let this = self.this.clone();
            self.runtime.spawn(async move {
                while keep_looking(&this).await {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            });
        }
        receiver
    }

    /// False, and nobody looks any more, where nobody watches.
    fn is_watched(&self) -> bool {
        let mut known = self.known();
        let watched = known.shards.values().any(|of| of.next.receiver_count() > 0);
        known.looking = watched;
        watched
    }
}

async fn keep_looking(marks: &Weak<Marks>) -> bool {
    let Some(marks) = marks.upgrade() else {
        return false;
    };
    if !marks.is_watched() {
        return false;
    }
    if let Err(error) = marks.load().await {
        tracing::debug!(%error, "the archive's marks cannot be read now");
    }
    true
}

fn read(bytes: &[u8]) -> Result<ArchiveMark, LogError> {
    value::decode_mark(bytes)
        .ok_or_else(|| LogError::Unusable("a mark of the archive is damaged".to_owned()))
}
