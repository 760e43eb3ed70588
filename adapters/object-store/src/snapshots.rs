//! The store of snapshots.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};
use ports::snapshot::{SnapshotEntry, SnapshotError, SnapshotStore};
use prost::Message as _;
use schemas::proto::snapshot::v1::Manifest;
use tokio::sync::Mutex;

use crate::{latest, staging};

/// The last object of a snapshot to be written, and the first to be removed.
const MANIFEST: &str = "manifest";

/// Bytes of the BLAKE3 behind a manifest.
const SEAL_BYTES: usize = 32;

/// Keeps snapshots in an object store.
#[derive(Debug)]
pub struct ObjectSnapshots {
    store: Arc<dyn ObjectStore>,
    /// The folder, where it is one.
    dir: Option<PathBuf>,
    /// One change at a time: pruning must not see a snapshot half written.
    changing: Mutex<()>,
}

impl ObjectSnapshots {
    /// Keeps snapshots in `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            dir: None,
            changing: Mutex::new(()),
        }
    }

    /// Keeps snapshots in the folder `dir`, which is made where it is missing. Every object is
    /// synced, and so is its name, before a put counts: the log may one day be trimmed below
    /// what a snapshot holds.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`] when the folder cannot be made or opened.
    pub fn local(dir: &std::path::Path) -> Result<Self, SnapshotError> {
        let unavailable =
            |error: &dyn std::error::Error| SnapshotError::Unavailable(error.to_string());
        std::fs::create_dir_all(dir).map_err(|error| unavailable(&error))?;
        let store = LocalFileSystem::new_with_prefix(dir)
            .map_err(|error| unavailable(&error))?
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self {
            dir: Some(dir.to_owned()),
            ..Self::new(Arc::new(store))
        })
    }

    async fn manifest(&self, shard: u32, name: &str) -> Result<Manifest, SnapshotError> {
        let damaged = |what: &str| SnapshotError::Damaged {
            name: name.to_owned(),
            what: what.to_owned(),
        };
        let sealed = self.object(shard, name, MANIFEST).await?;
        let Some(at) = sealed.len().checked_sub(SEAL_BYTES) else {
            return Err(damaged("its manifest is cut off"));
        };
        let (bytes, seal) = sealed.split_at(at);
        if blake3::hash(bytes).as_bytes()[..] != *seal {
            return Err(damaged("its manifest has another BLAKE3"));
        }
        let manifest =
            Manifest::decode(bytes).map_err(|_| damaged("its manifest is no manifest"))?;
        if manifest.shard != shard || name_of(&manifest) != name {
            return Err(damaged("its manifest belongs to another snapshot"));
        }
        Ok(manifest)
    }

    async fn has_manifest(&self, shard: u32, name: &str) -> Result<bool, SnapshotError> {
        match self
            .store
            .head(&folder(shard).join(name).join(MANIFEST))
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(unavailable(&error)),
        }
    }

    async fn object(&self, shard: u32, name: &str, object: &str) -> Result<Bytes, SnapshotError> {
        let path = folder(shard).join(name).join(object);
        let found = match self.store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        found.map_err(|error| match error {
            // The manifest is the last to come and the first to go.
            Error::NotFound { .. } if object == MANIFEST => SnapshotError::NotFound {
                name: name.to_owned(),
            },
            Error::NotFound { .. } => SnapshotError::Damaged {
                name: name.to_owned(),
                what: format!("{object} is missing"),
            },
            error => unavailable(&error),
        })
    }

    /// Names of all snapshots, finished or not, newest first.
    async fn names(&self, shard: u32) -> Result<Vec<String>, SnapshotError> {
        let listed = self
            .store
            .list_with_delimiter(Some(&folder(shard)))
            .await
            .map_err(|error| unavailable(&error))?;
        let mut names: Vec<_> = listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort_by(|a, b| b.cmp(a));
        Ok(names)
    }

    async fn write(
        &self,
        name: &str,
        manifest: &Manifest,
        chunks: Vec<Bytes>,
    ) -> Result<(), SnapshotError> {
        let at = folder(manifest.shard).join(name);
        for (chunk, named) in chunks.into_iter().zip(&manifest.chunks) {
            self.store
                .put(&at.clone().join(named.name.as_str()), chunk.into())
                .await
                .map_err(|error| unavailable(&error))?;
        }
        let mut sealed = manifest.encode_to_vec();
        let seal = blake3::hash(&sealed);
        sealed.extend_from_slice(seal.as_bytes());
        self.store
            .put(&at.join(MANIFEST), sealed.into())
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(())
    }

    /// Removes the manifest first, so that what is half removed counts as never finished.
    async fn remove(&self, shard: u32, name: &str) -> Result<(), SnapshotError> {
        let at = folder(shard).join(name);
        let listed = self
            .store
            .list_with_delimiter(Some(&at))
            .await
            .map_err(|error| unavailable(&error))?;
        let chunks = listed.objects.into_iter().map(|object| object.location);
        for path in std::iter::once(at.join(MANIFEST)).chain(chunks) {
            match self.store.delete(&path).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(unavailable(&error)),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SnapshotStore for ObjectSnapshots {
    async fn put(&self, manifest: Manifest, chunks: Vec<Bytes>) -> Result<String, SnapshotError> {
        let name = name_of(&manifest);
        if chunks.len() != manifest.chunks.len() {
            return Err(SnapshotError::Damaged {
                what: format!(
                    "its manifest names {} chunks, {} are there",
                    manifest.chunks.len(),
                    chunks.len()
                ),
                name,
            });
        }
        let _changing = self.changing.lock().await;
        // The name tells the content: the same snapshot may be there already, whole.
        if self.get(manifest.shard, &name).await.is_err() {
            let written = match self.write(&name, &manifest, chunks).await {
                Ok(()) => self.get(manifest.shard, &name).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = written {
                // What is left would be listed as damaged; it may be gone already, or stay (a
                // disk that fails), and the next pruning takes it.
                let _ = self.remove(manifest.shard, &name).await;
                return Err(error);
            }
        }
        let path = folder(manifest.shard).join("latest.json");
        latest::move_up(&*self.store, &path, &name, manifest.sequence)
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(name)
    }

    async fn list(&self, shard: u32) -> Result<Vec<SnapshotEntry>, SnapshotError> {
        let mut entries = Vec::new();
        for name in self.names(shard).await? {
            let (manifest, has_manifest) = match self.manifest(shard, &name).await {
                Ok(manifest) => (Some(manifest), true),
                Err(SnapshotError::Damaged { .. }) => (None, true),
                Err(SnapshotError::NotFound { .. }) => (None, false),
                Err(error) => return Err(error),
            };
            let chunks = manifest.iter().flat_map(|manifest| &manifest.chunks);
            entries.push(SnapshotEntry {
                has_manifest,
                bytes: chunks.map(|chunk| chunk.bytes).sum(),
                name,
                manifest,
            });
        }
        Ok(entries)
    }

    async fn get(&self, shard: u32, name: &str) -> Result<(Manifest, Vec<Bytes>), SnapshotError> {
        let manifest = self.manifest(shard, name).await?;
        let mut chunks = Vec::with_capacity(manifest.chunks.len());
        for named in &manifest.chunks {
            let chunk = match self.object(shard, name, &named.name).await {
                // It may have been removed since its manifest was read.
                Err(SnapshotError::Damaged { .. }) if !self.has_manifest(shard, name).await? => {
                    return Err(SnapshotError::NotFound {
                        name: name.to_owned(),
                    });
                }
                found => found?,
            };
            if blake3::hash(&chunk).as_bytes()[..] != named.blake3[..] {
                return Err(SnapshotError::Damaged {
                    name: name.to_owned(),
                    what: format!("{} has another BLAKE3", named.name),
                });
            }
            chunks.push(chunk);
        }
        Ok((manifest, chunks))
    }

    async fn prune(&self, shard: u32, keep: usize) -> Result<(), SnapshotError> {
        let _changing = self.changing.lock().await;
        let mut kept = 0;
        for name in self.names(shard).await? {
            if kept < keep {
                match self.get(shard, &name).await {
                    Ok(_) => {
                        kept += 1;
                        continue;
                    }
                    Err(SnapshotError::Damaged { .. } | SnapshotError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            self.remove(shard, &name).await?;
        }
        if let Some(dir) = &self.dir {
            let dir = dir.join(folder(shard).as_ref());
            let swept = tokio::task::spawn_blocking(move || staging::sweep(&dir)).await;
            swept
                .map_err(|error| error.to_string())
                .and_then(|swept| swept.map_err(|error| error.to_string()))
                .map_err(SnapshotError::Unavailable)?;
        }
        Ok(())
    }
}

/// The name of a snapshot: its sequence, then what tells it from another of that sequence.
fn name_of(manifest: &Manifest) -> String {
    let id = blake3::hash(&manifest.encode_to_vec());
    format!("{:020}-{}", manifest.sequence, &id.to_hex()[..16])
}

fn folder(shard: u32) -> Path {
    Path::from(format!("shard-{shard:04}"))
}

fn unavailable(error: &Error) -> SnapshotError {
    SnapshotError::Unavailable(error.to_string())
}
