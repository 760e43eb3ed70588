//! Rebuilding the read models beside the live ones, and switching.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ledger_core::name::LedgerName;
use ports::projection::{
    Changes, Checkpoint, HeadRow, Projection, ProjectionError, ProjectionSwitch, Rebuild,
};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;

use crate::apply::Stretch;
use crate::compare::compare;
use crate::copy::sql;
use crate::database::{Lane, close};
use crate::failure::{Cause, Failure, unusable};
use crate::follow::Sequences;
use crate::generation::{self, Generation, find_live, read_checkpoint};
use crate::ledgers;
use crate::models::{ReadModels, Shared, Target, apply_to};

/// How often a switch is tried while somebody's long query holds what it needs.
const SWITCH_TRIES: u32 = 20;
/// How long to wait in between.
const SWITCH_AFTER: Duration = Duration::from_millis(500);

/// Gives rebuilds that switch these read models.
pub(crate) struct Switch(pub(crate) Arc<ReadModels>);

#[async_trait]
impl ProjectionSwitch for Switch {
    async fn begin_rebuild(&self) -> Result<Box<dyn Rebuild>, ProjectionError> {
        let shared = Arc::clone(&self.0.shared);
        if !shared.writable {
            return Err(ProjectionError::Unavailable(
                "they are opened for reading alone".to_owned(),
            ));
        }
        match begin(shared).await {
            Ok(rebuild) => Ok(Box::new(rebuild)),
            Err(failure) => Err(failure.into_error()),
        }
    }
}

async fn begin(shared: Arc<Shared>) -> Result<PostgresRebuild, Failure> {
    let base = &shared.database.schema;
    let mut connection = shared.database.connect().await?;
    generation::sweep(&mut connection, base).await?;
    let mut transaction = connection.begin().await?;
    let made = generation::make(&mut transaction, base, shared.shard_count).await?;
    transaction.commit().await?;
    let sequences = Sequences::new(shared.shard_count, &[]);
    Ok(PostgresRebuild {
        rebuilt: Arc::new(Rebuilt {
            shared,
            generation: Arc::new(made),
            sequences,
        }),
        session: Some(connection),
    })
}

/// Read models that are being rebuilt.
struct Rebuilt {
    shared: Arc<Shared>,
    generation: Arc<Generation>,
    sequences: Sequences,
}

#[async_trait]
impl Projection for Rebuilt {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        let asked = async {
            let database = &self.shared.database;
            let mut connection = database.acquire(Lane::Queries, true).await?;
            read_checkpoint(&mut connection, &self.generation, self.shared.log_id, shard).await
        };
        asked.await.map_err(Failure::into_error)
    }

    async fn heads(
        &self,
        _shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
        let asked = async {
            let database = &self.shared.database;
            let mut connection = database.acquire(Lane::Queries, true).await?;
            ledgers::heads_of(&mut connection, &self.generation, ledgers).await
        };
        asked.await.map_err(Failure::into_error)
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
        let target = Target::Rebuilt(Arc::clone(&self.generation));
        apply_to(&self.shared, target, stretch, changes).await?;
        self.sequences.tell(shard, to.sequence);
        Ok(())
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.sequences.watch(shard)
    }
}

/// See [`Rebuild`].
struct PostgresRebuild {
    rebuilt: Arc<Rebuilt>,
    /// The session that made the generation. As long as it lives, nobody takes the generation
    /// for a leftover. `None` when the switch is made.
    session: Option<PgConnection>,
}

impl Drop for PostgresRebuild {
    /// A rebuild that was given up leaves nothing behind; what cannot be removed now, the next
    /// rebuild or start removes.
    fn drop(&mut self) {
        let Some(mut session) = self.session.take() else {
            return;
        };
        let rebuilt = Arc::clone(&self.rebuilt);
        let removing = async move {
            let base = &rebuilt.shared.database.schema;
            let number = rebuilt.generation.number;
            if let Err(failure) = generation::drop_generation(&mut session, base, number).await {
                let error = failure.into_error();
                tracing::warn!(%error, "a rebuild that was given up could not be removed yet");
            }
            close(session).await;
        };
        self.rebuilt.shared.database.home.spawn(removing);
    }
}

impl PostgresRebuild {
    /// Switches, in one transaction.
    async fn switch_once(&self, session: &mut PgConnection) -> Result<Option<Generation>, Failure> {
        let base = &self.rebuilt.shared.database.schema;
        let mut transaction = session.begin().await?;
        let text = format!(
            "SET LOCAL lock_timeout = '2s';
             LOCK TABLE \"{base}\".generations IN SHARE ROW EXCLUSIVE MODE"
        );
        sqlx::raw_sql(sql(text)).execute(&mut *transaction).await?;
        let live = find_live(&mut transaction, base).await?;
        let old = live.map(|live| live.generation);
        generation::make_live(
            &mut transaction,
            base,
            old.as_ref(),
            &self.rebuilt.generation,
        )
        .await?;
        transaction.commit().await?;
        Ok(old)
    }

    /// Switches; waits for queries that run on the views, each of which would be in the way.
    async fn switch_when_free(
        &self,
        session: &mut PgConnection,
    ) -> Result<Option<Generation>, ProjectionError> {
        let mut tries = 0;
        loop {
            match self.switch_once(session).await {
                Ok(old) => return Ok(old),
                Err(failure) => match failure.cause() {
                    Some(Cause::Locked | Cause::Conflict) if tries < SWITCH_TRIES => {
                        tries += 1;
                        tokio::time::sleep(SWITCH_AFTER).await;
                    }
                    Some(Cause::Missing) => {
                        return Err(unusable("the rebuilt tables are gone"));
                    }
                    _ => return Err(failure.into_error()),
                },
            }
        }
    }
}

#[async_trait]
impl Rebuild for PostgresRebuild {
    fn projection(&self) -> Arc<dyn Projection> {
        self.rebuilt.clone()
    }

    async fn differences(&self) -> Result<Vec<String>, ProjectionError> {
        let shared = &self.rebuilt.shared;
        let live = shared.live()?;
        let asked = async {
            let mut connection = shared.database.acquire(Lane::Apply, true).await?;
            compare(&mut connection, &live, &self.rebuilt.generation).await
        };
        asked.await.map_err(Failure::into_error)
    }

    async fn switch(mut self: Box<Self>) -> Result<(), ProjectionError> {
        let Some(mut session) = self.session.take() else {
            return Err(ProjectionError::Unavailable(
                "the rebuild is closed".to_owned(),
            ));
        };
        let old = match self.switch_when_free(&mut session).await {
            Ok(old) => old,
            Err(error) => {
                // Given up, as dropping it does.
                self.session = Some(session);
                return Err(error);
            }
        };
        let shared = &self.rebuilt.shared;
        shared.set_live(Ok(Arc::clone(&self.rebuilt.generation)));
        for shard in 0..shared.shard_count {
            let sequence = *self.rebuilt.sequences.watch(shard).borrow();
            shared.sequences.tell(shard, sequence);
        }
        if let Some(old) = old {
            let base = &shared.database.schema;
            let dropped = generation::drop_generation(&mut session, base, old.number).await;
            if let Err(failure) = dropped {
                let error = failure.into_error();
                tracing::warn!(%error, "the old read models could not be removed yet");
            }
        }
        close(session).await;
        Ok(())
    }
}
