//! The live read models: which generation is read, and what happens when a call fails.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use ledger_core::facts::{Facts, FactsNeeded};
use ledger_core::name::LedgerName;
use ports::history::History;
use ports::projection::{Changes, Checkpoint, HeadRow, Projection, ProjectionError};
use ports::views::FactsSource;
use schemas::record::LogId;
use sqlx::pool::PoolConnection;
use sqlx::postgres::Postgres;
use tokio::sync::watch;

use crate::apply::{self, Mode, Stretch};
use crate::database::{Database, Lane, Tries};
use crate::failure::{Cause, Failure, unusable};
use crate::follow::{Follower, Sequences};
use crate::generation::{Generation, find_live, read_checkpoint, read_sequences};
use crate::schema::FORMAT;
use crate::{facts, ledgers};

/// What the read models share with the task that follows them.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) log_id: LogId,
    pub(crate) shard_count: u32,
    pub(crate) history: Arc<dyn History>,
    pub(crate) writable: bool,
    /// The live generation; or why it cannot be used.
    live: RwLock<Result<Arc<Generation>, String>>,
    pub(crate) sequences: Sequences,
}

impl Shared {
    /// The live generation, as far as it is known.
    pub(crate) fn live(&self) -> Result<Arc<Generation>, ProjectionError> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.clone().map_err(unusable)
    }

    pub(crate) fn is_live(&self, number: i32) -> bool {
        self.live().is_ok_and(|live| live.number == number)
    }

    /// Makes `generation` the one that is read.
    pub(crate) fn set_live(&self, generation: Result<Arc<Generation>, String>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = generation;
    }

    /// Looks up which generation is live. Tells whether it is another one.
    pub(crate) async fn refresh(&self) -> Result<bool, Failure> {
        let mut connection = self.database.acquire(Lane::Queries, true).await?;
        let found = find_live(&mut connection, &self.database.schema).await?;
        let found = match found {
            Some(live) if live.format == FORMAT => Ok(live.generation),
            Some(live) => Err(format!(
                "they have format {}, and this build of Daybook has {FORMAT}",
                live.format
            )),
            None => Err("there is no live generation".to_owned()),
        };
        let known = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let same = match (&*known, &found) {
            (Ok(known), Ok(found)) => known.number == found.number,
            (Err(_), Err(_)) => true,
            _ => false,
        };
        drop(known);
        if !same {
            self.set_live(found.map(Arc::new));
        }
        Ok(!same)
    }

    /// Reads the checkpoints of the live generation, and tells of them.
    pub(crate) async fn read_sequences(&self) -> Result<(), Failure> {
        let Ok(live) = self.live() else { return Ok(()) };
        let marks = self.sequences.marks();
        let mut connection = self.database.acquire(Lane::Queries, false).await?;
        let found = read_sequences(&mut connection, &live).await?;
        if self.is_live(live.number) {
            for (shard, sequence) in found {
                self.sequences.tell_read(shard, sequence, &marks);
            }
        }
        Ok(())
    }

    /// What to read, and by what. It is given up when the call has ended.
    pub(crate) async fn reading(&self, lane: Lane, tries: &Tries) -> Result<Reading, Failure> {
        let generation = self.live()?;
        let connection = self.database.acquire(lane, tries.tested()).await?;
        Ok(Reading {
            generation,
            connection,
        })
    }

    /// What `asking` answers, if it does so in time: a server that is there and says nothing
    /// must not hold the caller for ever.
    pub(crate) async fn in_time<T>(
        &self,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let limit = self.database.answer_timeout;
        match tokio::time::timeout(limit, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Port(ProjectionError::Unavailable(format!(
                "Postgres did not answer in {limit:?}"
            )))),
        }
    }

    /// Whether a call that failed is to be made again: `Ok` if so.
    pub(crate) async fn retry(
        &self,
        tries: &mut Tries,
        failure: Failure,
    ) -> Result<(), ProjectionError> {
        let cause = failure.cause().unwrap_or(Cause::Other);
        if !tries.worth(cause) {
            return Err(failure.into_error());
        }
        if cause == Cause::Missing {
            // A switch renamed what was read; the one that is live now answers.
            match self.refresh().await {
                Ok(true) => {
                    self.read_sequences().await.map_err(Failure::into_error)?;
                }
                // Another call has looked already, or it is truly missing.
                Ok(false) => {}
                Err(failure) => return Err(failure.into_error()),
            }
        }
        Ok(())
    }
}

/// A connection to the generation that was live when it was asked for.
pub(crate) struct Reading {
    pub(crate) generation: Arc<Generation>,
    pub(crate) connection: PoolConnection<Postgres>,
}

/// Asks the live generation: `$call` names `$connection` and `$generation`, and is made again
/// where a switch or a lost connection was in the way. Each call sees one state, since it is one
/// statement or one transaction of isolation level REPEATABLE READ.
macro_rules! ask {
    ($shared:expr, $lane:expr, |$connection:ident, $generation:ident| $call:expr) => {{
        let shared = &$shared;
        let mut tries = $crate::database::Tries::default();
        loop {
            let asked = match shared.reading($lane, &tries).await {
                Ok(mut reading) => {
                    let $generation = &*reading.generation;
                    let $connection = &mut *reading.connection;
                    shared.in_time($call).await
                }
                Err(failure) => Err(failure),
            };
            match asked {
                Ok(answer) => break Ok(answer),
                Err(failure) => shared.retry(&mut tries, failure).await?,
            }
        }
    }};
}
pub(crate) use ask;

/// See the module.
pub(crate) struct ReadModels {
    pub(crate) shared: Arc<Shared>,
    follower: Follower,
}

impl ReadModels {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        database: Database,
        log_id: LogId,
        shard_count: u32,
        history: Arc<dyn History>,
        writable: bool,
        live: Result<Arc<Generation>, String>,
        sequences: Vec<(u32, u64)>,
    ) -> Self {
        let shared = Arc::new(Shared {
            database,
            log_id,
            shard_count,
            history,
            writable,
            live: RwLock::new(live),
            sequences: Sequences::new(shard_count, &sequences),
        });
        let follower = Follower::start(&shared);
        Self { shared, follower }
    }

    pub(crate) fn schema(&self) -> &str {
        &self.shared.database.schema
    }

    pub(crate) async fn reachable(&self) -> Result<(), ProjectionError> {
        let mut tries = Tries::default();
        loop {
            let asked = async {
                let database = &self.shared.database;
                let mut connection = database.acquire(Lane::Queries, tries.tested()).await?;
                sqlx::query("SELECT 1").execute(&mut *connection).await?;
                Ok::<_, Failure>(())
            };
            match asked.await {
                Ok(()) => return Ok(()),
                Err(failure) => self.shared.retry(&mut tries, failure).await?,
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.follower.stop();
        self.shared.database.close().await;
    }
}

/// Where a stretch is applied to.
pub(crate) enum Target {
    /// To what is live, whichever it is.
    Live,
    /// To a generation that is being rebuilt.
    Rebuilt(Arc<Generation>),
}

/// Applies a stretch. It is done on a task of its own, so that a caller who goes away does not
/// leave a connection in the middle of it.
pub(crate) async fn apply_to(
    shared: &Arc<Shared>,
    target: Target,
    stretch: Stretch,
    changes: Changes,
) -> Result<(), ProjectionError> {
    if !shared.writable {
        return Err(ProjectionError::Unavailable(
            "they are opened for reading alone".to_owned(),
        ));
    }
    apply::check(shared.log_id, &stretch.to, &changes)?;
    if stretch.shard >= shared.shard_count {
        return Err(unusable(format!("there is no shard {}", stretch.shard)));
    }
    let shared = Arc::clone(shared);
    let applying = tokio::spawn(async move {
        let mut tries = Tries::default();
        loop {
            let error = match apply_once(&shared, &target, &stretch, &changes, &tries).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match error {
                // The commit before had passed, and its answer was lost.
                Failure::Port(ProjectionError::CheckpointMoved {
                    found: Some(found), ..
                }) if tries.again() && *found == stretch.to => return Ok(()),
                failure => shared.retry(&mut tries, failure).await?,
            }
        }
    });
    match applying.await {
        Ok(applied) => applied,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ProjectionError::Unavailable(
            "the process is ending".to_owned(),
        )),
    }
}

async fn apply_once(
    shared: &Shared,
    target: &Target,
    stretch: &Stretch,
    changes: &Changes,
    tries: &Tries,
) -> Result<(), Failure> {
    let (generation, mode) = match target {
        Target::Live => (shared.live()?, Mode::Live),
        Target::Rebuilt(generation) => (Arc::clone(generation), Mode::Rebuild),
    };
    let mut connection = shared.database.acquire(Lane::Apply, tries.tested()).await?;
    apply::apply(
        &mut connection,
        &generation,
        shared.database.channel(),
        mode,
        stretch,
        changes,
        &*shared.history,
    )
    .await
}

#[async_trait]
impl Projection for ReadModels {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        let log_id = self.shared.log_id;
        ask!(self.shared, Lane::Queries, |connection, generation| {
            read_checkpoint(connection, generation, log_id, shard)
        })
    }

    async fn heads(
        &self,
        _shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
        ask!(self.shared, Lane::Queries, |connection, generation| {
            ledgers::heads_of(connection, generation, ledgers)
        })
    }

    async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        changes: Changes,
    ) -> Result<(), ProjectionError> {
        let stretch = Stretch {
            shard,
            from: from.copied(),
            to: *to,
        };
        apply_to(&self.shared, Target::Live, stretch, changes).await?;
        self.shared.sequences.tell(shard, to.sequence);
        Ok(())
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.shared.sequences.watch(shard)
    }
}

#[async_trait]
impl FactsSource for ReadModels {
    async fn load(
        &self,
        shard: u32,
        ledger: &LedgerName,
        needed: &[FactsNeeded],
    ) -> Result<Facts, ProjectionError> {
        ask!(self.shared, Lane::Facts, |connection, generation| {
            facts::load(connection, generation, shard, ledger, needed)
        })
    }
}
