//! Following the checkpoints, which another process may move.
//!
//! Each commit of a stretch tells its sequence on a channel of Postgres (LISTEN, NOTIFY), which
//! comes after some milliseconds; a look at the checkpoints every now and then makes good what
//! a broken connection missed, and finds those that went back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::failure::Failure;
use crate::models::Shared;

/// How often the checkpoints are looked at beside.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long to wait before connecting again.
const CONNECT_AFTER: Duration = Duration::from_millis(250);

/// The sequence of each shard's checkpoint, told to whoever watches.
pub(crate) struct Sequences(Vec<Shard>);

struct Shard {
    sender: watch::Sender<u64>,
    /// Counts what was told.
    told: Mutex<u64>,
}

impl Sequences {
    pub(crate) fn new(shard_count: u32, found: &[(u32, u64)]) -> Self {
        let sequence = |shard| {
            let found = found.iter().find(|(of, _)| *of == shard);
            found.map_or(0, |(_, sequence)| *sequence)
        };
        let shard = |shard| Shard {
            sender: watch::Sender::new(sequence(shard)),
            told: Mutex::new(0),
        };
        Self((0..shard_count).map(shard).collect())
    }

    /// Tells that `shard` stands at `sequence` now.
    pub(crate) fn tell(&self, shard: u32, sequence: u64) {
        self.told(shard, |_, _| Some(sequence));
    }

    /// Tells that `shard` has got to `sequence`, which may be known already.
    pub(crate) fn tell_reached(&self, shard: u32, sequence: u64) {
        self.told(shard, |_, known| (known < sequence).then_some(sequence));
    }

    /// How much was told of each shard: to be asked for before checkpoints are read.
    pub(crate) fn marks(&self) -> Vec<u64> {
        let told = self.0.iter().map(|shard| &shard.told);
        told.map(|told| *told.lock().unwrap_or_else(PoisonError::into_inner))
            .collect()
    }

    /// Tells that `shard` stood at `sequence` after `mark`: not where it was told something
    /// newer since, which may be older than what is known, though.
    pub(crate) fn tell_read(&self, shard: u32, sequence: u64, marks: &[u64]) {
        let mark = marks.get(shard as usize).copied();
        self.told(shard, |told, known| {
            (mark == Some(told) && known != sequence).then_some(sequence)
        });
    }

    fn told(&self, shard: u32, tell: impl FnOnce(u64, u64) -> Option<u64>) {
        let Some(shard) = self.0.get(shard as usize) else {
            return;
        };
        let mut told = shard.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = *shard.sender.borrow();
        if let Some(sequence) = tell(*told, known) {
            *told += 1;
            shard.sender.send_replace(sequence);
        }
    }

    pub(crate) fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        match self.0.get(shard as usize) {
            Some(shard) => shard.sender.subscribe(),
            // A shard that does not exist never moves.
            None => watch::channel(0).1,
        }
    }
}

/// Follows the checkpoints until it is dropped.
pub(crate) struct Follower(AbortHandle);

impl Follower {
    pub(crate) fn start(shared: &Arc<Shared>) -> Self {
        let following = Arc::clone(shared);
        let task = shared.database.home.spawn(follow(following));
        Self(task.abort_handle())
    }

    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn follow(shared: Arc<Shared>) {
    let mut said = false;
    loop {
        let Err(failure) = listen(&shared, &mut said).await else {
            continue;
        };
        // Said once, not every time: it may take long.
        if !said {
            let error = failure.into_error();
            tracing::warn!(%error, "the checkpoints in Postgres cannot be followed now");
            said = true;
        }
        tokio::time::sleep(CONNECT_AFTER).await;
    }
}

/// Listens until the connection breaks.
async fn listen(shared: &Shared, said: &mut bool) -> Result<(), Failure> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(shared.database.options().clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(shared.database.channel()).await?;
    let mut looking = tokio::time::interval(LOOK_EVERY);
    looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            told = listener.try_recv() => match told? {
                Some(told) => heard(shared, told.payload()).await?,
                None => return Ok(()),
            },
            _ = looking.tick() => {
                look(shared).await?;
                if *said {
                    tracing::info!("the checkpoints in Postgres are followed again");
                    *said = false;
                }
            }
        }
    }
}

/// `generation shard sequence`, or that something else happened.
async fn heard(shared: &Shared, told: &str) -> Result<(), Failure> {
    let mut words = told.split(' ');
    let mut word = || words.next();
    let number = word().and_then(|word| word.parse().ok());
    let shard = word().and_then(|word| word.parse().ok());
    let sequence = word().and_then(|word| word.parse().ok());
    match (number, shard, sequence) {
        (Some(number), Some(shard), Some(sequence)) => {
            if shared.is_live(number) {
                shared.sequences.tell_reached(shard, sequence);
            }
            Ok(())
        }
        _ => look(shared).await,
    }
}

/// Looks at what is live, and at its checkpoints.
async fn look(shared: &Shared) -> Result<(), Failure> {
    shared.refresh().await?;
    shared.read_sequences().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_does_not_take_back_what_was_told_since() {
        let sequences = Sequences::new(2, &[(1, 5)]);
        let watch = sequences.watch(1);
        assert_eq!(*watch.borrow(), 5);
        let marks = sequences.marks();
        sequences.tell(1, 9);
        sequences.tell_read(1, 5, &marks);
        assert_eq!(*watch.borrow(), 9, "read before it moved");
        sequences.tell_reached(1, 7);
        assert_eq!(*watch.borrow(), 9, "told late");
        let marks = sequences.marks();
        sequences.tell_read(1, 3, &marks);
        assert_eq!(*watch.borrow(), 3, "it went back");
        sequences.tell(7, 1);
        assert_eq!(*sequences.watch(7).borrow(), 0);
    }
}
