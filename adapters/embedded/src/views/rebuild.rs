//! Rebuilding the read models beside the live ones, and switching.
//!
//! The live file is `views.db`, or the one that `views.current` names. A rebuild fills a file of
//! its own; the switch makes that file durable, then replaces `views.current` by a rename, which
//! is the one moment that counts: before it, a crash leaves the old read models live and the new
//! file is removed at the next start; after it, the other way round. No database file is ever
//! renamed, since a WAL left behind by another file of the same name would be taken for its own.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use ledger_core::name::LedgerName;
use ports::projection::{Changes, Checkpoint, HeadRow, Projection, ProjectionError, Rebuild};
use tokio::sync::watch;

use super::compare::compare;
use super::generation::{Found, Generation, read_checkpoint, read_heads};
use super::values::{failed, unusable};
use super::{ReadModels, Sequences, sequence_of};
use crate::folder::{CURRENT_FILE, VIEWS_FILE, sync_directory};

/// The file of the live read models in `dir`.
pub(super) fn current_file(dir: &Path) -> io::Result<PathBuf> {
    let name = match std::fs::read_to_string(dir.join(CURRENT_FILE)) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let name = name.trim();
    // Where the named file is gone, read models are made anew under the first name.
    if is_rebuilt(name) && dir.join(name).exists() {
        return Ok(dir.join(name));
    }
    Ok(dir.join(VIEWS_FILE))
}

/// Whether `name` is that of a rebuilt file: `views-N.db`.
fn is_rebuilt(name: &str) -> bool {
    name.strip_prefix("views-")
        .and_then(|rest| rest.strip_suffix(".db"))
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Removes what a rebuild or a switch left behind when it was cut off: every file of read models
/// but `live`.
pub(super) fn remove_leftovers(dir: &Path, live: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let file = dir.join(name);
        if (name == VIEWS_FILE || is_rebuilt(name)) && file != live {
            Generation::remove(&file)?;
        }
    }
    Ok(())
}

/// Makes `file` the live one, durably.
fn point_at(dir: &Path, file: &Path) -> io::Result<()> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(VIEWS_FILE);
    let written = dir.join(format!("{CURRENT_FILE}.new"));
    let mut pointer = std::fs::File::create(&written)?;
    writeln!(pointer, "{name}")?;
    pointer.sync_all()?;
    std::fs::rename(&written, dir.join(CURRENT_FILE))?;
    sync_directory(dir)
}

/// Begins a rebuild of `live`.
pub(super) async fn begin(live: &Arc<ReadModels>) -> Result<SqliteRebuild, ProjectionError> {
    let free = (1u64..)
        .map(|n| live.dir.join(format!("views-{n}.db")))
        .find(|file| !file.exists());
    let Some(file) = free else {
        return Err(unusable("there is no free name for a rebuild"));
    };
    let generation = match Generation::open(&file, live.log_id, live.shard_count).await? {
        Found::Usable(generation) => generation,
        Found::Outdated => return Err(unusable("a new file is of an earlier version")),
    };
    let sequences = Sequences::of(&generation, live.shard_count).await?;
    Ok(SqliteRebuild {
        live: Arc::clone(live),
        rebuilt: Arc::new(Rebuilt {
            generation: Arc::new(generation),
            sequences,
        }),
        switched: false,
    })
}

/// Read models that are being rebuilt.
struct Rebuilt {
    generation: Arc<Generation>,
    sequences: Sequences,
}

#[async_trait]
impl Projection for Rebuilt {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        let mut connection = self.generation.readers.acquire().await.map_err(failed)?;
        read_checkpoint(&mut connection, self.generation.log_id, shard).await
    }

    async fn heads(
        &self,
        _shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
        let mut connection = self.generation.readers.acquire().await.map_err(failed)?;
        read_heads(&self.generation, &mut connection, ledgers).await
    }

    async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        changes: Changes,
    ) -> Result<(), ProjectionError> {
        self.generation.apply(shard, from, to, changes).await?;
        self.sequences.tell(shard, to.sequence);
        Ok(())
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.sequences.watch(shard)
    }
}

/// See [`Rebuild`].
pub(super) struct SqliteRebuild {
    live: Arc<ReadModels>,
    rebuilt: Arc<Rebuilt>,
    switched: bool,
}

impl Drop for SqliteRebuild {
    /// A rebuild that was given up leaves nothing behind; what is still open is unlinked.
    fn drop(&mut self) {
        if !self.switched
            && let Err(error) = Generation::remove(self.rebuilt.generation.file())
        {
            tracing::warn!(%error, "a rebuild that was given up could not be removed");
        }
    }
}

#[async_trait]
impl Rebuild for SqliteRebuild {
    fn projection(&self) -> Arc<dyn Projection> {
        self.rebuilt.clone()
    }

    async fn differences(&self) -> Result<Vec<String>, ProjectionError> {
        let mut writer = self.rebuilt.generation.writer.lock().await;
        let Some(writer) = writer.as_mut() else {
            return Err(ProjectionError::Unavailable(
                "the rebuild is closed".to_owned(),
            ));
        };
        let connection = &mut writer.connection;
        let live = self.live.current()?;
        let name = live.file().to_str().unwrap_or_default().to_owned();
        sqlx::query("ATTACH DATABASE ? AS live")
            .bind(name)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let found = compare(connection).await;
        // Detached whatever was found, so that the live file can be given up.
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
        sqlx::raw_sql("DETACH DATABASE live")
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        found
    }

    async fn switch(mut self: Box<Self>) -> Result<(), ProjectionError> {
        let new = Arc::clone(&self.rebuilt.generation);
        {
            let mut writer = new.writer.lock().await;
            let Some(writer) = writer.as_mut() else {
                return Err(ProjectionError::Unavailable(
                    "the rebuild is closed".to_owned(),
                ));
            };
            for statement in [
                "PRAGMA synchronous = FULL",
                "PRAGMA wal_checkpoint(TRUNCATE)",
                "PRAGMA synchronous = NORMAL",
            ] {
                sqlx::raw_sql(statement)
                    .execute(&mut writer.connection)
                    .await
                    .map_err(failed)?;
            }
        }
        let unavailable = |error: io::Error| ProjectionError::Unavailable(error.to_string());
        sync_directory(&self.live.dir).map_err(unavailable)?;
        point_at(&self.live.dir, new.file()).map_err(unavailable)?;
        self.switched = true;
        let old = {
            let mut current = self
                .live
                .current
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, Ok(Arc::clone(&new)))
        };
        for shard in 0..self.live.shard_count {
            let sequence = sequence_of(&new, shard).await?;
            self.live.sequences.tell(shard, sequence);
        }
        let Ok(old) = old else { return Ok(()) };
        old.close().await;
        if let Err(error) = Generation::remove(old.file()) {
            tracing::warn!(%error, "the old read models could not be removed; the next start will");
        }
        Ok(())
    }
}
