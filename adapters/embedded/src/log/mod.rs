//! The event log on SQLite: one row per committed batch, one file and one fsync for all shards.

mod committer;
mod entry;
mod reader;
mod schema;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::log::{Batch, CommitOutcome, EventLog, LogError, LogReader, LogWriter};
use schemas::record::LogId;
use sqlx::Connection as _;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{mpsc, oneshot, watch};

use crate::folder::FolderLock;
use crate::sqlite;
use committer::{Committer, Request, Sealed};
use reader::Reader;
use schema::Meta;

/// Connections that read the log.
const READERS: u32 = 4;

/// How the log is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogOptions {
    /// Shards of a new log, and what an existing one must have; `None` is 1 for a new log and
    /// anything for an existing one.
    pub(crate) shards: Option<u32>,
    /// Whether a missing log is made.
    pub(crate) create: bool,
    /// Id of a new log; at random without.
    pub(crate) log_id: Option<LogId>,
}

/// The log of a folder.
pub(crate) struct SqliteLog {
    meta: Meta,
    requests: Option<mpsc::Sender<Request>>,
    reader: Arc<Reader>,
    pool: SqlitePool,
}

impl SqliteLog {
    /// Opens or makes the log in `file`, whose folder is locked; `lock` is kept until the file
    /// is closed, even where that happens by dropping every handle.
    pub(crate) async fn open(
        file: &Path,
        options: LogOptions,
        lock: Arc<FolderLock>,
    ) -> Result<Self, LogError> {
        if !options.create && !file.exists() {
            return Err(LogError::Unusable(format!(
                "{} does not exist",
                file.display()
            )));
        }
        if options.shards == Some(0) {
            return Err(LogError::Unusable(
                "a log has at least one shard".to_owned(),
            ));
        }
        if !file.exists() {
            let meta = Meta {
                log_id: options
                    .log_id
                    .unwrap_or_else(|| LogId(*uuid::Uuid::new_v4().as_bytes())),
                shard_count: options.shards.unwrap_or(1),
            };
            schema::make(file, meta).await?;
        }
        let mut connection = schema::connect(&schema::writer_options(file), file).await?;
        let meta = schema::read_meta(&mut connection, file).await?;
        check(meta, options)?;
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for shard in 0..meta.shard_count {
            let end = schema::end_of(&mut connection, shard).await?;
            let (sender, receiver) = watch::channel(end.next_sequence);
            senders.push(sender);
            receivers.push(receiver);
        }
        let pool = sqlite::readers(sqlite::options(file), READERS, "daybook-log-read");
        let reader = Arc::new(Reader::new(pool.clone(), receivers));
        // What was acknowledged last is what a torn write would hit first.
        for shard in 0..meta.shard_count {
            let next = *reader.watch(shard).borrow();
            if next > 1 {
                reader.entry_of(shard, next - 1).await?;
            }
        }
        // Every shard has one commit or claim in flight, and a close may wait beside them.
        let (requests, received) = mpsc::channel(meta.shard_count as usize * 2 + 8);
        let committer = Committer::new(connection, received, senders, file.to_owned());
        tokio::spawn(async move {
            let done = committer.run().await;
            drop(lock);
            if let Some(done) = done {
                let _ = done.send(());
            }
        });
        Ok(Self {
            meta,
            requests: Some(requests),
            reader,
            pool,
        })
    }

    /// Opens the log in `file` for reading alone, beside whoever serves it.
    pub(crate) async fn open_read_only(file: &Path) -> Result<Self, LogError> {
        if !file.exists() {
            return Err(LogError::Unusable(format!(
                "{} does not exist",
                file.display()
            )));
        }
        let mut options = sqlite::options(file).read_only(true);
        let opened = async |options: &_| -> Result<_, LogError> {
            let mut connection = schema::connect(options, file).await?;
            let meta = schema::read_meta(&mut connection, file).await;
            Ok((connection, meta?))
        };
        let (mut connection, meta) = match opened(&options).await {
            Err(LogError::Unavailable(_)) if !crate::folder::beside(file, "-wal").exists() => {
                // A folder that cannot be written to, and that nobody serves: SQLite cannot make
                // its shared memory there, and needs none.
                options = options.immutable(true);
                opened(&options).await?
            }
            other => other?,
        };
        let mut receivers = Vec::new();
        for shard in 0..meta.shard_count {
            let end = schema::end_of(&mut connection, shard).await?;
            receivers.push(watch::channel(end.next_sequence).1);
        }
        connection
            .close()
            .await
            .map_err(|error| schema::unreadable(&error))?;
        let pool = sqlite::readers(options, READERS, "daybook-log-read");
        Ok(Self {
            meta,
            requests: None,
            reader: Arc::new(Reader::new(pool.clone(), receivers)),
            pool,
        })
    }

    /// Ends reading and writing, and waits until the file is closed.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
        if let Some(requests) = &self.requests {
            let (answer, done) = oneshot::channel();
            if requests.send(Request::Close(answer)).await.is_ok() {
                let _ = done.await;
            }
        }
    }

    /// What SQLite's own check of all pages finds; nothing where the file is sound.
    pub(crate) async fn page_check(&self) -> Result<Vec<String>, LogError> {
        let found: Result<Vec<String>, _> = sqlx::query_scalar("PRAGMA integrity_check(20)")
            .fetch_all(&self.pool)
            .await;
        match found {
            Ok(found) => Ok(found.into_iter().filter(|line| line != "ok").collect()),
            Err(error) => match schema::unreadable(&error) {
                LogError::Damaged { what, .. } => Ok(vec![what]),
                other => Err(other),
            },
        }
    }
}

fn check(meta: Meta, options: LogOptions) -> Result<(), LogError> {
    if let Some(shards) = options.shards
        && shards != meta.shard_count
    {
        return Err(LogError::Unusable(format!(
            "it was made with {} shards, which never changes, and {shards} were asked for",
            meta.shard_count
        )));
    }
    if let Some(log_id) = options.log_id
        && log_id != meta.log_id
    {
        return Err(LogError::Unusable(format!(
            "it is log {}, and {log_id} was asked for",
            meta.log_id
        )));
    }
    Ok(())
}

#[async_trait]
impl EventLog for SqliteLog {
    fn log_id(&self) -> LogId {
        self.meta.log_id
    }

    fn shard_count(&self) -> u32 {
        self.meta.shard_count
    }

    async fn claim(&self, shard: u32, barrier: Bytes) -> Result<Box<dyn LogWriter>, LogError> {
        let Some(requests) = &self.requests else {
            return Err(LogError::Unusable(
                "it was opened for reading alone".to_owned(),
            ));
        };
        if shard >= self.meta.shard_count {
            return Err(LogError::Unusable(format!(
                "there is no shard {shard}: the log has {}",
                self.meta.shard_count
            )));
        }
        let (answer, answered) = oneshot::channel();
        requests
            .send(Request::Claim(shard, barrier, answer))
            .await
            .map_err(|_| closed())?;
        let claim = answered.await.map_err(|_| closed())??;
        Ok(Box::new(Writer {
            shard,
            claim,
            requests: requests.clone(),
        }))
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.reader.clone()
    }
}

fn closed() -> LogError {
    LogError::Unusable("it was closed".to_owned())
}

/// The right to commit to one shard.
struct Writer {
    shard: u32,
    claim: i64,
    requests: mpsc::Sender<Request>,
}

#[async_trait]
impl LogWriter for Writer {
    async fn commit(&mut self, batch: Batch) -> CommitOutcome {
        let (Ok(epoch), Ok(first_sequence)) = (
            i64::try_from(batch.epoch),
            i64::try_from(batch.first_sequence),
        ) else {
            return CommitOutcome::Aborted("a number of the batch is out of range".to_owned());
        };
        if batch.record_count == 0 {
            return CommitOutcome::Aborted("a batch has at least one record".to_owned());
        }
        let sealed = Sealed {
            shard: self.shard,
            epoch,
            first_sequence,
            record_count: batch.record_count,
            claim: self.claim,
            hash: entry::hash(
                self.shard,
                batch.first_sequence,
                batch.record_count,
                batch.epoch,
                &batch.body,
            ),
            body: batch.body,
        };
        let (answer, answered) = oneshot::channel();
        if self
            .requests
            .send(Request::Commit(sealed, answer))
            .await
            .is_err()
        {
            return CommitOutcome::Fenced("the log was closed".to_owned());
        }
        answered.await.unwrap_or_else(|_| {
            CommitOutcome::Indeterminate("the log's writer ended in the commit".to_owned())
        })
    }
}
