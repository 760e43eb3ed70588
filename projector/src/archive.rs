//! Copies the log into its archive.
//!
//! An archiver follows one shard like a projector, but keeps nothing back and makes nothing of
//! what it reads. It is never in a hurry: the log keeps what is not archived yet.

use std::sync::Arc;
use std::time::Duration;

use ports::archive::{Archive, ArchiveMark};
use ports::log::{LogError, LogReader, Position};
use tokio::sync::watch;

use crate::failure::Failure;
use crate::heard::heard;
use crate::priority;
use crate::status::State;

/// Bytes that are read at once; an entry is never split.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Pause after a write while little waits, so that what is committed meanwhile is written with
/// it.
const GATHER: Duration = Duration::from_millis(250);

/// Waits after something could not be reached.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// How far an archiver has got.
#[derive(Debug, Clone)]
pub struct ArchiveStatus {
    /// The shard.
    pub shard: u32,
    /// What it is doing; it is never paused and fills nothing.
    pub state: State,
    /// What is archived.
    pub mark: Option<ArchiveMark>,
    /// The last record that the log is known to have.
    pub committed: u64,
}

impl ArchiveStatus {
    /// The last record that is archived; 0 before the first.
    pub fn archived(&self) -> u64 {
        self.mark.map_or(0, |mark| mark.next_sequence - 1)
    }

    /// Records that wait.
    pub fn lag_records(&self) -> u64 {
        self.committed.saturating_sub(self.archived())
    }

    /// True while it follows, or will by itself.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, State::Stopped | State::Failed(_))
    }
}

/// A handle to an archiver; all clones speak of the same one. It follows on when all are gone.
#[derive(Debug, Clone)]
pub struct Archiver {
    stop: Arc<watch::Sender<bool>>,
    status: watch::Receiver<ArchiveStatus>,
}

/// Starts to copy `shard` of the log that `reader` reads into `archive`, on a thread of its own
/// with lower priority than the writer's. `reader` reads the log's own medium: what was trimmed
/// there is not read back from the archive.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    shard: u32,
    reader: Arc<dyn LogReader>,
    archive: Arc<dyn Archive>,
) -> std::io::Result<Archiver> {
    let (stop, stopped) = watch::channel(false);
    let (told, status) = watch::channel(ArchiveStatus {
        shard,
        state: State::Starting,
        mark: None,
        committed: 0,
    });
    std::thread::Builder::new()
        .name(format!("archive-{shard}"))
        .spawn(move || {
            priority::lower();
            let follower = Follower {
                shard,
                reader,
                archive,
                status: told.clone(),
                label: shard.to_string(),
            };
            let ended = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::Internal(format!("no runtime: {error}")))
                .and_then(|runtime| runtime.block_on(follower.run(stopped)));
            told.send_modify(|status| {
                status.state = match ended {
                    Ok(()) => State::Stopped,
                    Err(failure) => {
                        tracing::error!(
                            shard,
                            code = failure.code(),
                            %failure,
                            "the archiver stopped; the log must not be trimmed until it follows \
                             again"
                        );
                        State::Failed(Arc::new(failure))
                    }
                };
            });
        })?;
    Ok(Archiver {
        stop: Arc::new(stop),
        status,
    })
}

impl Archiver {
    /// How it is doing.
    pub fn status(&self) -> ArchiveStatus {
        self.status.borrow().clone()
    }

    /// How it is doing, as it changes.
    pub fn watch(&self) -> watch::Receiver<ArchiveStatus> {
        self.status.clone()
    }

    /// Ends it after the write at hand, and gives how it stands.
    pub async fn stop(&self) -> ArchiveStatus {
        self.stop.send_replace(true);
        let mut status = self.status.clone();
        // The sender is gone only when the thread has ended, and its last word stays.
        match status.wait_for(|status| !status.is_alive()).await {
            Ok(status) => status.clone(),
            Err(_) => self.status(),
        }
    }
}

/// Where it goes on.
struct Place {
    mark: Option<ArchiveMark>,
    position: Position,
}

/// What a step came to.
enum Step {
    Idle,
    /// Something was written; true where more waits already.
    Written(bool),
    /// Somebody else moved the mark, or the archive lost what it had.
    Moved,
}

struct Follower {
    shard: u32,
    reader: Arc<dyn LogReader>,
    archive: Arc<dyn Archive>,
    status: watch::Sender<ArchiveStatus>,
    label: String,
}

impl Follower {
    async fn run(self, mut stopped: watch::Receiver<bool>) -> Result<(), Failure> {
        let mut committed = self.reader.watch(self.shard);
        let mut place = None;
        let mut retry = RETRY_FIRST;
        loop {
            if *stopped.borrow() {
                return Ok(());
            }
            let pause = match self.step(&mut place, &mut committed).await {
                Ok(Step::Idle) => {
                    retry = RETRY_FIRST;
                    tokio::select! {
                        moved = committed.changed() => if moved.is_err() {
                            return Err(Failure::Internal("the log is closed".to_owned()));
                        },
                        () = told(&mut stopped) => {}
                    }
                    continue;
                }
                Ok(Step::Written(more)) => {
                    retry = RETRY_FIRST;
                    if more { Duration::ZERO } else { GATHER }
                }
                Ok(Step::Moved) => GATHER,
                Err(failure) if failure.is_transient() => {
                    tracing::warn!(
                        shard = self.shard,
                        %failure,
                        retry_ms = retry.as_millis() as u64,
                        "the archiver waits"
                    );
                    self.say(State::Retrying(Arc::new(failure)));
                    place = None;
                    let pause = retry;
                    retry = (retry * 2).min(RETRY_MAX);
                    pause
                }
                Err(failure) => return Err(failure),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut stopped) => {}
            }
        }
    }

    async fn step(
        &self,
        place: &mut Option<Place>,
        committed: &mut watch::Receiver<u64>,
    ) -> Result<Step, Failure> {
        let log_next = *committed.borrow_and_update();
        let Place { mark, position } = match place.take() {
            Some(place) => place,
            None => self.resume().await?,
        };
        let entries = self
            .reader
            .read(self.shard, position, READ_BYTES)
            .await
            .map_err(Failure::Log)?;
        let Some(last) = entries.last() else {
            self.standing(mark, log_next);
            *place = Some(Place { mark, position });
            return Ok(Step::Idle);
        };
        let position = Position(last.position.0 + 1);
        let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
        let after = match self.archive.append(self.shard, mark, &entries).await {
            Ok(after) => after,
            Err(LogError::Unusable(what)) => {
                let found = self.archive.mark(self.shard).await;
                let found = found.map_err(Failure::Archive)?;
                if found == mark {
                    return Err(Failure::Archive(LogError::Unusable(what)));
                }
                tracing::warn!(
                    shard = self.shard,
                    what,
                    "the archive does not stand where it was; it is looked up"
                );
                return Ok(Step::Moved);
            }
            Err(error) => return Err(Failure::Archive(error)),
        };
        self.standing(after, *committed.borrow());
        *place = Some(Place {
            mark: after,
            position,
        });
        Ok(Step::Written(bytes >= READ_BYTES / 2))
    }

    /// Finds where the archive stands, and whether the log goes on from there.
    async fn resume(&self) -> Result<Place, Failure> {
        let shard = self.shard;
        let mark = self.archive.mark(shard).await.map_err(Failure::Archive)?;
        let begin = self.reader.begins(shard).await.map_err(Failure::Log)?;
        let next = mark.map_or(1, |mark| mark.next_sequence);
        if begin.sequence > next {
            return Err(Failure::LogTrimmed {
                shard,
                sequence: next,
                begins: begin.sequence,
            });
        }
        let Some(at) = mark else {
            return Ok(Place {
                mark,
                position: begin.position,
            });
        };
        let last = next - 1;
        if begin.sequence <= last {
            heard(self.reader.as_ref(), shard, last).await;
            let in_log = self.reader.entry_of(shard, last).await;
            let in_log = in_log.map_err(Failure::Log)?;
            let archived = self.archive.reader().entry_of(shard, last).await;
            if in_log != archived.map_err(Failure::Archive)? {
                return Err(match in_log {
                    None => Failure::ArchiveAhead {
                        shard,
                        sequence: last,
                    },
                    Some(_) => Failure::ArchiveDiverged {
                        shard,
                        sequence: last,
                    },
                });
            }
        }
        Ok(Place {
            mark,
            position: Position(at.position.0 + 1),
        })
    }

    fn standing(&self, mark: Option<ArchiveMark>, log_next: u64) {
        let archived = mark.map_or(0, |mark| mark.next_sequence - 1);
        let committed = log_next.saturating_sub(1).max(archived);
        let label = || self.label.clone();
        metrics::gauge!("daybook_archive_lag_records", "shard" => label())
            .set((committed - archived) as f64);
        metrics::gauge!("daybook_archive_sequence", "shard" => label()).set(archived as f64);
        self.status.send_modify(|status| {
            status.state = State::Following;
            status.mark = mark;
            status.committed = committed;
        });
    }

    fn say(&self, state: State) {
        self.status.send_modify(|status| status.state = state);
    }
}

/// Waits until it is told to stop; for ever where nobody can tell any more.
async fn told(stopped: &mut watch::Receiver<bool>) {
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        std::future::pending::<()>().await;
    }
}
