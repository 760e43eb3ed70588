//! A projector: the thread that follows one shard, and the handle to it.

use std::sync::Arc;
use std::time::Duration;

use ports::history::History;
use ports::log::LogReader;
use ports::projection::Projection;
use schemas::record::LogId;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::follow::Follower;
use crate::priority;
use crate::status::{State, Status};

/// What a projector follows and how much it takes at once.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// The log that is followed.
    pub log_id: LogId,
    /// The shard that is followed.
    pub shard: u32,
    /// Records of one stretch, at most (an entry is never split). Bigger ones are cheaper by
    /// the record and take more memory, about 1 KB a record.
    pub records_max: u64,
    /// Bytes of log of one stretch, at most (an entry is never split).
    pub bytes_max: usize,
}

impl Config {
    /// The usual bounds.
    pub fn new(log_id: LogId, shard: u32) -> Self {
        Self {
            log_id,
            shard,
            records_max: 128 * 1024,
            bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// What a projector is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Follow the log.
    Follow,
    /// Hold still, as long as somebody wants it.
    Pause(u32),
    /// End.
    Stop,
}

/// A handle to a projector; all clones speak of the same one. It follows on when all are gone.
#[derive(Debug, Clone)]
pub struct Projector {
    shard: u32,
    wish: Arc<watch::Sender<Wish>>,
    status: watch::Receiver<Status>,
}

/// Starts a projector on a thread of its own, with lower priority than the writer's.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(
    config: Config,
    reader: Arc<dyn LogReader>,
    projection: Arc<dyn Projection>,
) -> std::io::Result<Projector> {
    spawn_with_history(config, reader, projection, None)
}

/// As [`spawn`], where `projection` keeps its account history in a store of its own: should
/// `history` lose what it had, it is filled from the log, and the projector goes on by itself.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn_with_history(
    config: Config,
    reader: Arc<dyn LogReader>,
    projection: Arc<dyn Projection>,
    history: Option<Arc<dyn History>>,
) -> std::io::Result<Projector> {
    let (wish, wishes) = watch::channel(Wish::Follow);
    let (told, status) = watch::channel(Status {
        shard: config.shard,
        state: State::Starting,
        checkpoint: None,
        committed: 0,
        lag: Duration::ZERO,
    });
    std::thread::Builder::new()
        .name(format!("projector-{}", config.shard))
        .spawn(move || {
            priority::lower();
            let follower = Follower::new(config, reader, projection, history, told.clone());
            let ended = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Failure::Internal(format!("no runtime: {error}")))
                .and_then(|runtime| runtime.block_on(follower.run(wishes)));
            told.send_modify(|status| {
                status.state = match ended {
                    Ok(()) => State::Stopped,
                    Err(failure) => {
                        tracing::error!(
                            shard = config.shard,
                            code = failure.code(),
                            %failure,
                            "the projection stopped; the read models stay as they are until it \
                             is started again"
                        );
                        State::Failed(Arc::new(failure))
                    }
                };
            });
        })?;
    Ok(Projector {
        shard: config.shard,
        wish: Arc::new(wish),
        status,
    })
}

impl Projector {
    /// The shard that it follows.
    pub fn shard(&self) -> u32 {
        self.shard
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// How it is doing, as it changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Holds it still between two stretches until [`Self::resume`], and gives how it stands.
    /// Pauses add up: it follows again when each was taken back.
    pub async fn pause(&self) -> Status {
        self.wish.send_modify(|wish| {
            *wish = match *wish {
                Wish::Follow => Wish::Pause(1),
                Wish::Pause(count) => Wish::Pause(count + 1),
                Wish::Stop => Wish::Stop,
            }
        });
        self.until(|status| matches!(status.state, State::Paused) || !status.is_alive())
            .await
    }

    /// Takes one [`Self::pause`] back.
    pub fn resume(&self) {
        self.wish.send_modify(|wish| {
            *wish = match *wish {
                Wish::Pause(count) if count > 1 => Wish::Pause(count - 1),
                Wish::Pause(_) | Wish::Follow => Wish::Follow,
                Wish::Stop => Wish::Stop,
            }
        });
    }

    /// Ends it after the stretch at hand, and gives how it stands.
    pub async fn stop(&self) -> Status {
        self.wish.send_replace(Wish::Stop);
        self.until(|status| !status.is_alive()).await
    }

    async fn until(&self, reached: impl Fn(&Status) -> bool) -> Status {
        let mut status = self.status.clone();
        // The sender is gone only when the thread has ended, and its last word stays.
        match status.wait_for(|status| reached(status)).await {
            Ok(status) => status.clone(),
            Err(_) => self.status(),
        }
    }
}
