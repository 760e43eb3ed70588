//! A store of snapshots in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use schemas::proto::snapshot::v1::Manifest;

use crate::snapshot::{SnapshotEntry, SnapshotError, SnapshotStore};

type Kept = BTreeMap<(u32, String), (Manifest, Vec<Bytes>)>;

/// A store of snapshots in memory.
#[derive(Debug, Default)]
pub struct MemorySnapshots {
    kept: Mutex<Kept>,
}

impl MemorySnapshots {
    /// Changes what is kept under `name`: to damage it.
    pub fn tamper(
        &self,
        shard: u32,
        name: &str,
        change: impl FnOnce(&mut Manifest, &mut Vec<Bytes>),
    ) {
        if let Some((manifest, chunks)) = self.kept().get_mut(&(shard, name.to_owned())) {
            change(manifest, chunks);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SnapshotStore for MemorySnapshots {
    async fn put(&self, manifest: Manifest, chunks: Vec<Bytes>) -> Result<String, SnapshotError> {
        let mut kept = self.kept();
        let name = format!("{:020}-{:04}", manifest.sequence, kept.len());
        kept.insert((manifest.shard, name.clone()), (manifest, chunks));
        Ok(name)
    }

    async fn list(&self, shard: u32) -> Result<Vec<SnapshotEntry>, SnapshotError> {
        let kept = self.kept();
        let of_shard = kept.iter().filter(|((of, _), _)| *of == shard);
        let newest_first = of_shard.rev().map(|((_, name), (manifest, chunks))| {
            let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
            SnapshotEntry {
                has_manifest: true,
                name: name.clone(),
                manifest: Some(manifest.clone()),
                bytes,
            }
        });
        Ok(newest_first.collect())
    }

    async fn get(&self, shard: u32, name: &str) -> Result<(Manifest, Vec<Bytes>), SnapshotError> {
        let damaged = |what: String| SnapshotError::Damaged {
            name: name.to_owned(),
            what,
        };
        let found = self.kept().get(&(shard, name.to_owned())).cloned();
        let (manifest, chunks) = found.ok_or_else(|| SnapshotError::NotFound {
            name: name.to_owned(),
        })?;
        for (chunk, named) in chunks.iter().zip(&manifest.chunks) {
            if schemas::record::hash(chunk).0[..] != named.blake3[..] {
                return Err(damaged(format!("{} has another BLAKE3", named.name)));
            }
        }
        Ok((manifest, chunks))
    }

    async fn prune(&self, shard: u32, keep: usize) -> Result<(), SnapshotError> {
        let names: Vec<_> = self.list(shard).await?.into_iter().skip(keep).collect();
        let mut kept = self.kept();
        for entry in names {
            kept.remove(&(shard, entry.name));
        }
        Ok(())
    }
}
