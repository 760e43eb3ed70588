//! A history that is lost is filled again by itself.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ledger_core::account::AccountNumber;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::archive::{Archive as _, Spliced};
use ports::history::History;
use ports::log::{EventLog, LogReader};
use ports::memory::{
    MemoryArchive, MemoryHistory, MemoryLog, MemoryViews, RandomBooks, Scribe, WithHistory,
};
use ports::projection::{Checkpoint, HistoryRow, Projection as _, ProjectionError};
use ports::views::HistoryRange;
use projector::{Config, Projector, State, Status, spawn, spawn_with_history};
use schemas::record::LogId;
use tokio::sync::Semaphore;

const LOG: LogId = LogId([3; 16]);

struct World {
    log: MemoryLog,
    books: RandomBooks,
    views: MemoryViews,
    history: MemoryHistory,
}

impl World {
    async fn new(seed: u64) -> Self {
        let scribe = Scribe::new(MemoryLog::new(LOG, 1)).await;
        let mut books = RandomBooks::new(scribe.clone(), "bank", seed);
        books.write(150).await;
        Self {
            log: scribe.log().clone(),
            books,
            views: MemoryViews::new(1),
            history: MemoryHistory::new(),
        }
    }

    fn follow_by(&self, reader: Arc<dyn LogReader>, records_max: u64) -> Projector {
        let history: Arc<MemoryHistory> = Arc::new(self.history.clone());
        let models = WithHistory::new(Arc::new(self.views.clone()), history.clone());
        let config = Config {
            records_max,
            ..Config::new(LOG, 0)
        };
        spawn_with_history(config, reader, Arc::new(models), Some(history)).unwrap()
    }

    fn follow(&self) -> Projector {
        self.follow_by(self.log.reader(), 20)
    }

    fn last(&self) -> u64 {
        *self.log.reader().watch(0).borrow() - 1
    }

    /// What the history must be: made from the log in one go.
    async fn expected(&self) -> MemoryHistory {
        let other = MemoryHistory::new();
        let models = WithHistory::new(Arc::new(MemoryViews::new(1)), Arc::new(other.clone()));
        let config = Config::new(LOG, 0);
        let projector = spawn(config, self.log.reader(), Arc::new(models)).unwrap();
        let last = self.last();
        until(&projector, |status| status.applied() == last).await;
        projector.stop().await;
        other
    }
}

async fn until(projector: &Projector, reached: impl FnMut(&Status) -> bool) -> Status {
    let mut watch = projector.watch();
    let waited = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(reached));
    waited.await.expect("in time").unwrap().clone()
}

#[tokio::test]
async fn a_lost_history_is_as_it_was() {
    let mut world = World::new(1).await;
    let projector = world.follow();
    for round in 0..3 {
        let last = world.last();
        until(&projector, |status| status.applied() == last).await;
        assert!(world.history == world.expected().await, "round {round}");
        let before = world.history.copied();
        let through = world.last();
        world.history.lose();
        if round == 2 {
            // And it is out of reach while it is to be filled.
            world.history.fail_next(2);
        }
        world.books.write(30).await;
        let last = world.last();
        let status = until(&projector, |status| status.applied() == last).await;
        assert!(status.is_alive());
        assert!(world.history == world.expected().await, "round {round}");
        let reached = world.history.checkpoint(0).await.unwrap();
        assert_eq!(reached.map(|at| at.sequence), Some(last));
        assert!(before.len() < world.history.len() && through < last);
    }
    projector.stop().await;
}

/// Nobody would read it before the next command otherwise, and there may be none for long.
#[tokio::test]
async fn a_lost_history_is_filled_while_nothing_is_written() {
    let world = World::new(5).await;
    let projector = world.follow();
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    world.history.lose();
    let expected = world.expected().await;
    let begun = tokio::time::Instant::now();
    loop {
        // Written by the projector, through another handle of it.
        let filled = world.history.copied();
        if filled == expected {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it is not filled"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    projector.stop().await;
}

#[tokio::test]
async fn read_models_that_never_had_a_history_get_one() {
    let mut world = World::new(2).await;
    let config = Config::new(LOG, 0);
    let views = Arc::new(world.views.clone());
    let projector = spawn(config, world.log.reader(), views).unwrap();
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
    assert!(world.history.is_empty());

    let projector = world.follow();
    world.books.write(10).await;
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
    assert!(world.history == world.expected().await);
}

#[tokio::test]
async fn without_a_history_to_fill_it_stops() {
    let mut world = World::new(3).await;
    let models = || {
        let history = Arc::new(world.history.clone());
        Arc::new(WithHistory::new(Arc::new(world.views.clone()), history))
    };
    let config = Config::new(LOG, 0);
    let projector = spawn(config, world.log.reader(), models()).unwrap();
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    let models = models();
    world.history.lose();
    world.books.write(10).await;
    let status = until(&projector, |status| !status.is_alive()).await;
    let State::Failed(failure) = status.state else {
        panic!("{:?}", status.state)
    };
    assert_eq!(failure.code(), "READ_MODELS_UNUSABLE", "{failure}");
    assert_eq!(models.checkpoint(0).await.unwrap().unwrap().sequence, last);
}

#[tokio::test]
async fn a_trimmed_log_is_read_from_the_archive_or_missed_loudly() {
    let mut world = World::new(4).await;
    let projector = world.follow();
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
    let archive = MemoryArchive::new(1);
    archive
        .append(0, None, &world.log.entries(0))
        .await
        .unwrap();
    let expected = world.expected().await;
    world.history.lose();
    world.log.trim(0, last / 2);
    let untrimmed = world.history.copied();
    world.books.write(10).await;

    let projector = world.follow();
    let status = until(&projector, |status| !status.is_alive()).await;
    let State::Failed(failure) = status.state else {
        panic!("{:?}", status.state)
    };
    assert_eq!(failure.code(), "LOG_TRIMMED", "{failure}");
    assert!(world.history == untrimmed, "nothing was written");

    let reader = Arc::new(Spliced::new(world.log.reader(), archive.reader()));
    let projector = world.follow_by(reader, 20);
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
    assert!(world.history.len() > expected.len());
    let of_views = MemoryHistory::new();
    let models = WithHistory::new(Arc::new(MemoryViews::new(1)), Arc::new(of_views.clone()));
    let whole = Arc::new(Spliced::new(world.log.reader(), archive.reader()));
    let projector = spawn(Config::new(LOG, 0), whole, Arc::new(models)).unwrap();
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
    assert!(world.history == of_views);
}

/// A history that is written only when the test lets it.
struct Gated {
    history: MemoryHistory,
    gate: Semaphore,
}

#[async_trait]
impl History for Gated {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        self.history.checkpoint(shard).await
    }

    async fn append(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        ledgers: &[LedgerName],
        rows: &[HistoryRow],
    ) -> Result<(), ProjectionError> {
        self.gate.acquire().await.expect("it is open").forget();
        self.history.append(shard, from, to, ledgers, rows).await
    }

    async fn rows(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError> {
        self.history.rows(ledger, account, range, most).await
    }

    async fn row_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
        through: u64,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        self.history.row_at(ledger, account, at, through).await
    }
}

const MANY: usize = 1_000_000;

/// A projector that is about to write the third stretch of the history that it fills.
async fn within_filling(world: &mut World) -> (Projector, Arc<Gated>) {
    let gated = Arc::new(Gated {
        history: world.history.clone(),
        gate: Semaphore::new(MANY),
    });
    let models = WithHistory::new(Arc::new(world.views.clone()), gated.clone());
    let config = Config {
        records_max: 20,
        ..Config::new(LOG, 0)
    };
    let reader = world.log.reader();
    let projector =
        spawn_with_history(config, reader, Arc::new(models), Some(gated.clone())).unwrap();
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    gated.gate.forget_permits(MANY);
    world.history.lose();
    world.books.write(10).await;
    // One that finds out, and two of the history.
    gated.gate.add_permits(3);
    let third = |status: &Status| matches!(status.state, State::Filling { sequence: 21.., .. });
    until(&projector, third).await;
    (projector, gated)
}

#[tokio::test]
async fn what_is_lost_again_while_it_is_filled_is_filled_again() {
    let mut world = World::new(5).await;
    let (projector, gated) = within_filling(&mut world).await;
    world.history.lose();
    gated.gate.add_permits(MANY);
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
    assert!(world.history == world.expected().await);
}

#[tokio::test]
async fn a_pause_and_a_stop_are_heard_while_it_is_filled() {
    let mut world = World::new(6).await;
    let (projector, gated) = within_filling(&mut world).await;
    let pausing = projector.clone();
    let pausing = tokio::spawn(async move { pausing.pause().await });
    tokio::task::yield_now().await;
    gated.gate.add_permits(1);
    let paused = pausing.await.unwrap();
    assert!(matches!(paused.state, State::Paused), "{paused:?}");
    let held = world.history.copied();
    gated.gate.add_permits(MANY);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(world.history == held, "it holds still");
    projector.resume();
    let last = world.last();
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
    assert!(world.history == world.expected().await);

    let (projector, gated) = within_filling(&mut world).await;
    let stopping = projector.clone();
    let stopping = tokio::spawn(async move { stopping.stop().await });
    tokio::task::yield_now().await;
    gated.gate.add_permits(1);
    let stopped = stopping.await.unwrap();
    assert!(matches!(stopped.state, State::Stopped), "{stopped:?}");
    assert!(world.history != world.expected().await, "it was within");
}
