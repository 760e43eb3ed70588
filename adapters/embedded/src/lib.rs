//! Event log, read models and facts on SQLite in one directory.
//!
//! [`Embedded::open`] takes the folder's lock and gives the ports. The files:
//!
//! | file | what |
//! |---|---|
//! | `daybook.lock` | locked while a process serves the folder; holds its process id |
//! | `log.db` | the event log: the only truth; made as a whole under another name first |
//! | `views.db` | the read models; can be rebuilt from the log |
//! | `views.current` | names another file of read models after a switch |
//!
//! Everything goes through SQLite by `sqlx`, at least version 3.51.3.

mod folder;
mod log;
mod sqlite;
mod views;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ports::log::{EventLog, LogError};
use ports::projection::{Projection, ProjectionError, ProjectionSwitch};
use ports::views::{FactsSource, Views};
use schemas::record::LogId;

use folder::{FolderLock, LockError};
use log::{LogOptions, SqliteLog};
use views::{ReadModels, Switch};

/// How a folder is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Shards of a new log, and what an existing one must have. `None`: one for a new log,
    /// whatever it has for an existing one.
    pub shards: Option<u32>,
    /// Whether the folder and the log are made where there are none.
    pub create: bool,
    /// Id of a new log (a restore gives it); at random without.
    pub log_id: Option<LogId>,
    /// Whether to begin with empty read models, whatever stands there (they are built again from
    /// the log): the way out where they are damaged.
    pub discard_views: bool,
}

/// Why a folder was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves it (`LOG_LOCKED`).
    #[error(
        "{dir} is in use by {holder}: a folder is served by one process at a time. Stop that \
         process, or give another folder"
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// The folder or a file in it cannot be made or reached.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The SQLite that is linked is too old to be safe.
    #[error("SQLite {found} is linked, and at least 3051003 is needed")]
    SqliteTooOld {
        /// Its version.
        found: i32,
    },
    /// The log is gone (`LOG_UNUSABLE`). No new one is made in its place.
    #[error(
        "{dir} holds {beside} and no log.db: the log is gone. Put log.db back, with log.db-wal if \
         there was one; or restore a copy to a new folder"
    )]
    LogGone {
        /// The folder.
        dir: PathBuf,
        /// What shows that there was one.
        beside: &'static str,
    },
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The read models cannot be used (`READ_MODELS_UNUSABLE`); the log can.
    #[error(transparent)]
    Views(#[from] ProjectionError),
}

/// A folder, opened.
pub struct Embedded {
    log: Arc<SqliteLog>,
    views: Arc<ReadModels>,
    lock: Option<Arc<FolderLock>>,
}

impl Embedded {
    /// Takes the folder's lock, makes durable what a crash may have left, and opens the log and
    /// the read models. Needs a tokio runtime. End with [`Self::close`].
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then, but that a folder without a log may have been made.
    pub async fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        if sqlite::version() < sqlite::VERSION_MIN {
            return Err(OpenError::SqliteTooOld {
                found: sqlite::version(),
            });
        }
        let dir = std::path::absolute(dir).map_err(io(dir))?;
        if options.create {
            std::fs::create_dir_all(&dir).map_err(io(&dir))?;
        }
        let lock = FolderLock::take(&dir).map_err(|error| match error {
            LockError::Held(holder) => OpenError::Locked {
                dir: dir.clone(),
                holder,
            },
            LockError::Io(path, error) => OpenError::Io { path, error },
        })?;
        let log_file = dir.join(folder::LOG_FILE);
        if !log_file.exists()
            && let Some(beside) = [folder::VIEWS_FILE, folder::CURRENT_FILE]
                .into_iter()
                .find(|name| dir.join(name).exists())
        {
            return Err(OpenError::LogGone { dir, beside });
        }
        folder::make_durable(&log_file).map_err(io(&log_file))?;
        let lock = Arc::new(lock);
        let log = SqliteLog::open(
            &log_file,
            LogOptions {
                shards: options.shards,
                create: options.create,
                log_id: options.log_id,
            },
            Arc::clone(&lock),
        )
        .await?;
        let opened =
            ReadModels::open(&dir, log.log_id(), log.shard_count(), options.discard_views).await;
        let views = match opened {
            Ok(views) => Arc::new(views),
            Err(error) => {
                // The lock is given back before the caller hears of it, so that it can try again.
                drop(lock);
                log.close().await;
                return Err(error.into());
            }
        };
        Ok(Self {
            log: Arc::new(log),
            views,
            lock: Some(lock),
        })
    }

    /// Whether no log was ever made in `dir`: it is not there, is empty, or holds nothing but what
    /// is left of a process that ended before it had made one.
    ///
    /// # Errors
    /// [`OpenError::Io`]: the folder cannot be read.
    pub fn is_new(dir: &Path) -> Result<bool, OpenError> {
        folder::is_new(dir).map_err(io(dir))
    }

    /// Opens the folder for reading alone, without its lock, beside whoever serves it. Read
    /// models that cannot be used are no error here; see [`Self::has_views`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_read_only(dir: &Path) -> Result<Self, OpenError> {
        let dir = std::path::absolute(dir).map_err(io(dir))?;
        let log = SqliteLog::open_read_only(&dir.join(folder::LOG_FILE)).await?;
        let views = ReadModels::open_read_only(&dir, log.log_id(), log.shard_count()).await;
        Ok(Self {
            log: Arc::new(log),
            views: Arc::new(views),
            lock: None,
        })
    }

    /// The event log.
    pub fn log(&self) -> Arc<dyn EventLog> {
        self.log.clone()
    }

    /// The live read models, to be written.
    pub fn projection(&self) -> Arc<dyn Projection> {
        self.views.clone()
    }

    /// Rebuilds of the read models.
    pub fn switch(&self) -> Arc<dyn ProjectionSwitch> {
        Arc::new(Switch(self.views.clone()))
    }

    /// The live read models, to be read.
    pub fn views(&self) -> Arc<dyn Views> {
        self.views.clone()
    }

    /// Whether there are read models that can be used. Always so but in a folder that was opened
    /// for reading alone.
    pub fn has_views(&self) -> bool {
        self.views.usable()
    }

    /// What is wrong with the read models that are there: why they cannot be read at all, or what
    /// SQLite's own check of every page finds. Empty where they are sound, or there are none yet.
    ///
    /// # Errors
    /// [`ProjectionError`] when they cannot be reached.
    pub async fn check_view_pages(&self) -> Result<Vec<String>, ProjectionError> {
        match self.views.fault() {
            Some(fault) => Ok(vec![fault.to_owned()]),
            None => match self.views.page_check().await {
                Err(ProjectionError::Unusable(what)) => Ok(vec![what]),
                other => other,
            },
        }
    }

    /// Old keys and transactions, for the writer.
    pub fn facts(&self) -> Arc<dyn FactsSource> {
        self.views.clone()
    }

    /// What SQLite's own check of every page of `log.db` finds; empty where it is sound.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn check_log_pages(&self) -> Result<Vec<String>, LogError> {
        self.log.page_check().await
    }

    /// Ends all reading and writing, waits until the files are closed, and gives the lock back.
    /// Handles that were given out answer with errors from then on.
    pub async fn close(mut self) {
        self.views.close().await;
        // Before the log is closed, whose task gives the lock back.
        drop(self.lock.take());
        self.log.close().await;
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |error| OpenError::Io { path, error }
}
