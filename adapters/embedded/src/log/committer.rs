//! The one task that writes to `log.db`: it takes what all shards' writers are waiting with, and
//! commits it in one transaction, with one fsync.

use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use ports::log::{CommitOutcome, LogError, Position};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};
use tokio::sync::{mpsc, oneshot, watch};

use super::entry;
use crate::sqlite::{self, Cause};

/// WAL bytes after which a checkpoint is taken when nobody is waiting.
const CHECKPOINT_IDLE_BYTES: u64 = 4 << 20;
/// WAL bytes after which a checkpoint is taken though someone is waiting.
const CHECKPOINT_BYTES: u64 = 32 << 20;
/// WAL bytes of one commit beyond its body, about: the leaf pages of table and index.
const COMMIT_EXTRA_BYTES: u64 = 3 * 8_192;

/// A batch, hashed and ready to be stored.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) shard: u32,
    pub(crate) epoch: i64,
    pub(crate) first_sequence: i64,
    pub(crate) record_count: u32,
    /// Position of the control entry that the writer claimed with.
    pub(crate) claim: i64,
    pub(crate) hash: [u8; 32],
    pub(crate) body: Bytes,
}

/// What the committer is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Store a batch.
    Commit(Sealed, oneshot::Sender<CommitOutcome>),
    /// Store a control entry and make it the shard's claim; answers its position.
    Claim(u32, Bytes, oneshot::Sender<Result<i64, LogError>>),
    /// Checkpoint, close the file, and answer.
    Close(oneshot::Sender<()>),
}

/// Why a transaction was rolled back, for all that were in it.
#[derive(Debug, Clone)]
enum Failure {
    Full(String),
    Aborted(String),
    Indeterminate(String),
}

/// What became of one request within the transaction.
#[derive(Debug)]
enum Stored {
    Batch(i64),
    Refused(CommitOutcome),
    Claim(i64),
}

/// See the module.
pub(crate) struct Committer {
    connection: SqliteConnection,
    requests: mpsc::Receiver<Request>,
    sequences: Vec<watch::Sender<u64>>,
    path: PathBuf,
    /// Set by an I/O error: what stands on the disk is not known any more, and only opening
    /// again, which makes the WAL durable first, can tell.
    ended: Option<String>,
    wal_bytes: u64,
    /// A checkpoint is tried again only beyond this.
    checkpoint_after: u64,
}

impl Committer {
    /// Writes through `connection`, and tells `sequences` of each shard.
    pub(crate) fn new(
        connection: SqliteConnection,
        requests: mpsc::Receiver<Request>,
        sequences: Vec<watch::Sender<u64>>,
        path: PathBuf,
    ) -> Self {
        Self {
            connection,
            requests,
            sequences,
            path,
            ended: None,
            wal_bytes: 0,
            checkpoint_after: 0,
        }
    }

    /// Serves until asked to close, or until everyone who could ask is gone, and closes the file.
    /// Gives back whom to tell.
    pub(crate) async fn run(mut self) -> Option<oneshot::Sender<()>> {
        let mut done = None;
        'serve: while let Some(first) = self.requests.recv().await {
            let mut group = vec![first];
            // One request per shard can wait, so this ends.
            while let Ok(next) = self.requests.try_recv() {
                group.push(next);
            }
            let mut work = Vec::with_capacity(group.len());
            for request in group {
                match request {
                    Request::Close(answer) => done = Some(answer),
                    other => work.push(other),
                }
            }
            if !work.is_empty() {
                self.serve(work).await;
            }
            if done.is_some() {
                break 'serve;
            }
            self.checkpoint_if_due().await;
        }
        // A reader that was dropped in the middle of a read may still be closing, and then this is
        // not the last connection, which would move the WAL into the database by itself.
        if self.ended.is_none()
            && let Err(error) = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&mut self.connection)
                .await
        {
            tracing::warn!(%error, "log.db keeps its WAL; nothing is lost");
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "log.db was not closed cleanly; nothing is lost");
        }
        done
    }

    async fn serve(&mut self, work: Vec<Request>) {
        if let Some(why) = &self.ended {
            let why = Failure::Indeterminate(why.clone());
            for request in work {
                answer_failure(request, &why);
            }
            return;
        }
        let bytes: u64 = work.iter().map(body_bytes).sum();
        match self.store(&work).await {
            Ok(stored) => {
                self.wal_bytes += bytes + COMMIT_EXTRA_BYTES;
                for (request, stored) in work.into_iter().zip(stored) {
                    self.answer(request, stored);
                }
            }
            Err(failure) => {
                // SQLite has mostly rolled back by itself then, and says so.
                let _ = sqlx::raw_sql("ROLLBACK")
                    .execute(&mut self.connection)
                    .await;
                for request in work {
                    answer_failure(request, &failure);
                }
            }
        }
    }

    /// Stores `work` in one transaction. A refused batch takes nobody else with it.
    async fn store(&mut self, work: &[Request]) -> Result<Vec<Stored>, Failure> {
        // One batch alone needs no BEGIN and COMMIT: a statement is a transaction by itself,
        // and two turns of SQLite's thread are saved.
        let alone = matches!(work, [Request::Commit(..)]);
        if !alone {
            self.execute("BEGIN IMMEDIATE").await?;
        }
        let mut stored = Vec::with_capacity(work.len());
        for request in work {
            stored.push(match request {
                Request::Commit(sealed, _) => self.insert(sealed).await?,
                Request::Claim(shard, barrier, _) => {
                    Stored::Claim(self.insert_claim(*shard, barrier.clone()).await?)
                }
                Request::Close(_) => continue,
            });
        }
        if !alone {
            self.execute("COMMIT").await?;
        }
        Ok(stored)
    }

    async fn insert(&mut self, sealed: &Sealed) -> Result<Stored, Failure> {
        let inserted = sqlx::query(
            "INSERT INTO entries
               (shard, first_sequence, record_count, epoch, claim, entry_hash, body)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(i64::from(sealed.shard))
        .bind(sealed.first_sequence)
        .bind(i64::from(sealed.record_count))
        .bind(sealed.epoch)
        .bind(sealed.claim)
        .bind(sealed.hash.to_vec())
        .bind(Vec::from(sealed.body.clone()))
        .execute(&mut self.connection)
        .await;
        let error = match inserted {
            Ok(done) => return Ok(Stored::Batch(done.last_insert_rowid())),
            Err(error) => error,
        };
        let Cause::Refused(word) = sqlite::cause(&error) else {
            return Err(self.failed(&error));
        };
        let first = sealed.first_sequence;
        Ok(Stored::Refused(match word.as_str() {
            "FENCED" => CommitOutcome::Fenced(format!(
                "another writer has claimed shard {} since",
                sealed.shard
            )),
            "EPOCH" => CommitOutcome::Fenced(format!(
                "the log of shard {} has records of a later epoch than {}",
                sealed.shard, sealed.epoch
            )),
            _ => CommitOutcome::Aborted(format!(
                "a batch from sequence {first} does not follow the last record of shard {}",
                sealed.shard
            )),
        }))
    }

    async fn insert_claim(&mut self, shard: u32, barrier: Bytes) -> Result<i64, Failure> {
        let next = self
            .sequences
            .get(shard as usize)
            .map_or(1, |sequence| *sequence.borrow());
        let hash = entry::hash(shard, next, 0, 0, &barrier);
        let inserted = sqlx::query(
            "INSERT INTO entries
               (shard, first_sequence, record_count, epoch, claim, entry_hash, body)
             VALUES (?, ?, 0, 0, 0, ?, ?)",
        )
        .bind(i64::from(shard))
        .bind(next as i64)
        .bind(hash.to_vec())
        .bind(Vec::from(barrier))
        .execute(&mut self.connection)
        .await
        .map_err(|error| self.failed(&error))?;
        let position = inserted.last_insert_rowid();
        sqlx::query("INSERT OR REPLACE INTO claims (shard, position) VALUES (?, ?)")
            .bind(i64::from(shard))
            .bind(position)
            .execute(&mut self.connection)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(position)
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), Failure> {
        match sqlx::query(sql).execute(&mut self.connection).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// What an error in a transaction means, and whether it ends service.
    fn failed(&mut self, error: &sqlx::Error) -> Failure {
        let path = self.path.display();
        match sqlite::cause(error) {
            Cause::Full => Failure::Full(format!("no room on the disk of {path}")),
            Cause::Busy => Failure::Aborted(format!("another program holds {path}: {error}")),
            Cause::IndexFull => Failure::Indeterminate(format!(
                "no room on the disk for the index of {path}'s WAL: {error}"
            )),
            Cause::Refused(word) => Failure::Aborted(word),
            Cause::Io | Cause::Damaged | Cause::Constraint | Cause::Other => {
                let why = format!(
                    "{path} failed ({error}): what was being committed may or may not stand in \
                     the log; no more is committed until the folder is opened again"
                );
                tracing::error!(%error, log = %path, "the log ends its service");
                self.ended = Some(why.clone());
                Failure::Indeterminate(why)
            }
        }
    }

    fn answer(&self, request: Request, stored: Stored) {
        match (request, stored) {
            (Request::Commit(sealed, answer), Stored::Batch(position)) => {
                let next = sealed.first_sequence as u64 + u64::from(sealed.record_count);
                if let Some(sequence) = self.sequences.get(sealed.shard as usize) {
                    sequence.send_replace(next);
                }
                let _ = answer.send(CommitOutcome::Committed(Position(position as u64)));
            }
            (Request::Commit(_, answer), Stored::Refused(outcome)) => {
                let _ = answer.send(outcome);
            }
            (Request::Claim(_, _, answer), Stored::Claim(position)) => {
                let _ = answer.send(Ok(position));
            }
            // `store` answers each kind of request with its own kind.
            _ => {}
        }
    }

    /// Moves what the WAL holds into the database, between commits. Readers are never waited for.
    async fn checkpoint_if_due(&mut self) {
        let due = match self.requests.is_empty() {
            true => CHECKPOINT_IDLE_BYTES,
            false => CHECKPOINT_BYTES,
        };
        if self.ended.is_some() || self.wal_bytes < due.max(self.checkpoint_after) {
            return;
        }
        let started = Instant::now();
        let result = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(&mut self.connection)
            .await;
        match result {
            Ok(row) => {
                let (frames, moved): (i64, i64) =
                    (row.try_get(1).unwrap_or(0), row.try_get(2).unwrap_or(0));
                metrics::histogram!("daybook_log_checkpoint_seconds").record(started.elapsed());
                if frames == moved {
                    self.wal_bytes = 0;
                    self.checkpoint_after = 0;
                } else {
                    // A reader stood in the way: it is gone soon.
                    self.checkpoint_after = self.wal_bytes + CHECKPOINT_IDLE_BYTES;
                }
            }
            Err(error) => match sqlite::cause(&error) {
                Cause::Io | Cause::Damaged => {
                    let _ = self.failed(&error);
                }
                _ => {
                    // Nothing is lost: the WAL keeps what could not be moved (a full disk).
                    tracing::warn!(%error, "log.db could not be checkpointed now");
                    self.checkpoint_after = self.wal_bytes + CHECKPOINT_IDLE_BYTES;
                }
            },
        }
    }
}

fn body_bytes(request: &Request) -> u64 {
    match request {
        Request::Commit(sealed, _) => sealed.body.len() as u64,
        Request::Claim(_, barrier, _) => barrier.len() as u64,
        Request::Close(_) => 0,
    }
}

fn answer_failure(request: Request, failure: &Failure) {
    match request {
        Request::Commit(_, answer) => {
            let _ = answer.send(match failure.clone() {
                Failure::Full(why) => CommitOutcome::Full(why),
                Failure::Aborted(why) => CommitOutcome::Aborted(why),
                Failure::Indeterminate(why) => CommitOutcome::Indeterminate(why),
            });
        }
        Request::Claim(_, _, answer) => {
            let _ = answer.send(Err(match failure.clone() {
                Failure::Full(why) | Failure::Aborted(why) => LogError::Unavailable(why),
                Failure::Indeterminate(why) => LogError::Unusable(why),
            }));
        }
        Request::Close(answer) => {
            let _ = answer.send(());
        }
    }
}

#[cfg(test)]
mod tests;
