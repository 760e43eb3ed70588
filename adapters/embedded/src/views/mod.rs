//! The read models on SQLite: what the projector writes and queries read.

mod accounts;
mod apply;
mod bulk;
mod chunk;
mod compare;
mod days;
mod generation;
mod history;
mod places;
mod rebuild;
mod schema;
mod transactions;
mod values;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use ledger_core::account::{Account, AccountNumber};
use ledger_core::facts::{Facts, FactsNeeded, KeyEntry};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::time::{Day, Timestamp};
use ports::projection::{
    Changes, Checkpoint, HeadRow, HistoryRow, PlaceRow, Projection, ProjectionError,
    ProjectionSwitch, Rebuild,
};
use ports::views::{
    AccountFilter, DayBucket, FactsSource, HistoryRange, LedgerProgress, LedgerView,
    TransactionFilter, TransactionView, Views,
};
use schemas::record::LogId;
use sqlx::Connection as _;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::Sqlite;
use tokio::sync::watch;

use generation::{Found, Generation, LedgerRef, read_checkpoint, read_heads};
use values::failed;

use crate::folder;

/// The sequence of each shard's checkpoint, told to whoever watches.
struct Sequences(Vec<watch::Sender<u64>>);

impl Sequences {
    /// As the checkpoints of `generation` are.
    async fn of(generation: &Generation, shard_count: u32) -> Result<Self, ProjectionError> {
        let mut senders = Vec::new();
        for shard in 0..shard_count {
            senders.push(watch::Sender::new(sequence_of(generation, shard).await?));
        }
        Ok(Self(senders))
    }

    fn tell(&self, shard: u32, sequence: u64) {
        if let Some(sender) = self.0.get(shard as usize) {
            sender.send_replace(sequence);
        }
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        match self.0.get(shard as usize) {
            Some(sender) => sender.subscribe(),
            // A shard that does not exist never moves.
            None => watch::channel(0).1,
        }
    }
}

async fn sequence_of(generation: &Generation, shard: u32) -> Result<u64, ProjectionError> {
    let mut connection = generation.readers.acquire().await.map_err(failed)?;
    let checkpoint = read_checkpoint(&mut connection, generation.log_id, shard).await?;
    Ok(checkpoint.map_or(0, |checkpoint| checkpoint.sequence))
}

/// The live read models of a folder.
pub(crate) struct ReadModels {
    dir: PathBuf,
    log_id: LogId,
    shard_count: u32,
    /// What is live; or, in a folder that was opened for reading alone, why nothing is.
    current: RwLock<Result<Arc<Generation>, String>>,
    /// In a folder that was opened for reading alone: why what is there cannot be read.
    fault: Option<String>,
    sequences: Sequences,
}

/// A connection to the read models that were live when it was asked for.
struct Reading {
    generation: Arc<Generation>,
    connection: PoolConnection<Sqlite>,
}

impl Reading {
    async fn ledger(&mut self, ledger: &LedgerName) -> Result<Option<LedgerRef>, ProjectionError> {
        self.generation
            .ledger_ref(&mut self.connection, ledger)
            .await
    }
}

impl ReadModels {
    /// Opens the read models in `dir`; makes empty ones where there are none, or where an
    /// earlier version made them, or where `discard` says so.
    pub(crate) async fn open(
        dir: &Path,
        log_id: LogId,
        shard_count: u32,
        discard: bool,
    ) -> Result<Self, ProjectionError> {
        let io = |error: std::io::Error| ProjectionError::Unavailable(error.to_string());
        let file = rebuild::current_file(dir).map_err(io)?;
        rebuild::remove_leftovers(dir, &file).map_err(io)?;
        if discard {
            Generation::remove(&file).map_err(io)?;
        }
        folder::make_durable(&file).map_err(io)?;
        let generation = match Generation::open(&file, log_id, shard_count).await? {
            Found::Usable(generation) => generation,
            Found::Outdated => {
                tracing::info!("the read models of an earlier version are built anew");
                Generation::remove(&file).map_err(io)?;
                match Generation::open(&file, log_id, shard_count).await? {
                    Found::Usable(generation) => generation,
                    Found::Outdated => return Err(values::unusable("they cannot be made anew")),
                }
            }
        };
        Self::new(dir, log_id, shard_count, generation).await
    }

    /// Opens the read models in `dir` for reading alone. Where they cannot be used, everything
    /// that is asked of them says why.
    pub(crate) async fn open_read_only(dir: &Path, log_id: LogId, shard_count: u32) -> Self {
        let opened = async {
            let file = rebuild::current_file(dir)
                .map_err(|error| ProjectionError::Unavailable(error.to_string()))?;
            match Generation::open_read_only(&file, log_id, shard_count).await? {
                Some(generation) => Self::new(dir, log_id, shard_count, generation)
                    .await
                    .map(Some),
                None => Ok(None),
            }
        };
        let (why, fault) = match opened.await {
            Ok(Some(models)) => return models,
            Ok(None) => ("there are none of this version here".to_owned(), None),
            Err(error) => (error.to_string(), Some(error.to_string())),
        };
        Self {
            dir: dir.to_owned(),
            log_id,
            shard_count,
            current: RwLock::new(Err(why)),
            fault,
            sequences: Sequences(Vec::new()),
        }
    }

    /// Why those that are there cannot be read at all.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What SQLite's own check of the pages finds; empty where they are sound, or there are none.
    pub(crate) async fn page_check(&self) -> Result<Vec<String>, ProjectionError> {
        match self.current() {
            Ok(generation) => generation.page_check().await,
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Whether there are any that can be read.
    pub(crate) fn usable(&self) -> bool {
        self.current().is_ok()
    }

    async fn new(
        dir: &Path,
        log_id: LogId,
        shard_count: u32,
        generation: Generation,
    ) -> Result<Self, ProjectionError> {
        let sequences = Sequences::of(&generation, shard_count).await?;
        Ok(Self {
            dir: dir.to_owned(),
            log_id,
            shard_count,
            current: RwLock::new(Ok(Arc::new(generation))),
            fault: None,
            sequences,
        })
    }

    /// Ends all reading and writing, and waits until the file is closed.
    pub(crate) async fn close(&self) {
        if let Ok(current) = self.current() {
            current.close().await;
        }
    }

    fn current(&self) -> Result<Arc<Generation>, ProjectionError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone().map_err(ProjectionError::Unusable)
    }

    /// Whether `generation` is live no more.
    fn is_replaced(&self, generation: &Arc<Generation>) -> bool {
        self.current()
            .is_ok_and(|current| !Arc::ptr_eq(&current, generation))
    }

    async fn reading(&self) -> Result<Reading, ProjectionError> {
        loop {
            let generation = self.current()?;
            match generation.readers.acquire().await {
                Ok(connection) => {
                    return Ok(Reading {
                        generation,
                        connection,
                    });
                }
                // A switch closed them in between: the ones that are live now answer.
                Err(sqlx::Error::PoolClosed) if self.is_replaced(&generation) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

#[async_trait]
impl Projection for ReadModels {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        let mut reading = self.reading().await?;
        read_checkpoint(&mut reading.connection, self.log_id, shard).await
    }

    async fn heads(
        &self,
        _shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
        let mut reading = self.reading().await?;
        read_heads(&reading.generation, &mut reading.connection, ledgers).await
    }

    async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        changes: Changes,
    ) -> Result<(), ProjectionError> {
        self.current()?.apply(shard, from, to, changes).await?;
        self.sequences.tell(shard, to.sequence);
        Ok(())
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.sequences.watch(shard)
    }
}

/// Gives rebuilds that switch these read models.
pub(crate) struct Switch(pub(crate) Arc<ReadModels>);

#[async_trait]
impl ProjectionSwitch for Switch {
    async fn begin_rebuild(&self) -> Result<Box<dyn Rebuild>, ProjectionError> {
        Ok(Box::new(rebuild::begin(&self.0).await?))
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
        loop {
            let generation = self.current()?;
            let mut connection = match generation.facts.acquire().await {
                Ok(connection) => connection,
                Err(sqlx::Error::PoolClosed) if self.is_replaced(&generation) => {
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            let mut transaction = connection.begin().await.map_err(failed)?;
            let checkpoint = read_checkpoint(&mut transaction, self.log_id, shard).await?;
            let mut facts = Facts {
                through: checkpoint.map_or(0, |checkpoint| checkpoint.sequence),
                ..Facts::default()
            };
            if let Some(ledger) = generation.ledger_ref(&mut transaction, ledger).await? {
                transactions::load(&mut transaction, ledger, needed, &mut facts).await?;
            }
            transaction.commit().await.map_err(failed)?;
            return Ok(facts);
        }
    }
}

#[async_trait]
impl Views for ReadModels {
    async fn progress(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<LedgerProgress>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => accounts::progress(&mut reading.connection, self.log_id, ledger).await,
            None => Ok(None),
        }
    }

    async fn ledger(&self, ledger: &LedgerName) -> Result<Option<LedgerView>, ProjectionError> {
        accounts::ledger(&mut self.reading().await?.connection, ledger).await
    }

    async fn ledgers(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<LedgerView>, ProjectionError> {
        accounts::ledgers(&mut self.reading().await?.connection, after, most).await
    }

    async fn account(
        &self,
        ledger: &LedgerName,
        name: &str,
    ) -> Result<Option<Account>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => accounts::named(&mut reading.connection, ledger, name).await,
            None => Ok(None),
        }
    }

    async fn last_account(
        &self,
        ledger: &LedgerName,
    ) -> Result<Option<AccountNumber>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => accounts::last(&mut reading.connection, ledger).await,
            None => Ok(None),
        }
    }

    async fn accounts_by_name(
        &self,
        ledger: &LedgerName,
        names: &[AccountName],
    ) -> Result<Vec<Option<Account>>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => accounts::by_name(&mut reading.connection, ledger, names).await,
            None => Ok(vec![None; names.len()]),
        }
    }

    async fn accounts_by_number(
        &self,
        ledger: &LedgerName,
        numbers: &[AccountNumber],
    ) -> Result<Vec<Option<Account>>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => accounts::by_number(&mut reading.connection, ledger, numbers).await,
            None => Ok(vec![None; numbers.len()]),
        }
    }

    async fn accounts(
        &self,
        ledger: &LedgerName,
        filter: &AccountFilter,
        most: usize,
    ) -> Result<Vec<Account>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => accounts::list(&mut reading.connection, ledger, filter, most).await,
            None => Ok(Vec::new()),
        }
    }

    async fn transaction(
        &self,
        ledger: &LedgerName,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ProjectionError> {
        let mut found = self.transactions_by_id(ledger, &[id]).await?;
        Ok(found.pop().flatten())
    }

    async fn transactions_by_id(
        &self,
        ledger: &LedgerName,
        ids: &[TransactionId],
    ) -> Result<Vec<Option<TransactionView>>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => transactions::by_id(&mut reading.connection, ledger, ids).await,
            None => Ok(vec![None; ids.len()]),
        }
    }

    async fn key(
        &self,
        ledger: &LedgerName,
        key: &IdempotencyKey,
    ) -> Result<Option<KeyEntry>, ProjectionError> {
        let mut reading = self.reading().await?;
        let Some(ledger) = reading.ledger(ledger).await? else {
            return Ok(None);
        };
        let mut transaction = reading.connection.begin().await.map_err(failed)?;
        let found = transactions::keys(&mut transaction, ledger, std::slice::from_ref(key)).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(found.first().map(|(_, entry)| *entry))
    }

    async fn transactions(
        &self,
        ledger: &LedgerName,
        filter: &TransactionFilter,
        most: usize,
    ) -> Result<Vec<TransactionView>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => transactions::list(&mut reading.connection, ledger, filter, most).await,
            None => Ok(Vec::new()),
        }
    }

    async fn history(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => {
                history::range(&mut reading.connection, ledger, account, range, most).await
            }
            None => Ok(Vec::new()),
        }
    }

    async fn history_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => history::at(&mut reading.connection, ledger, account, at).await,
            None => Ok(None),
        }
    }

    async fn days(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        from: Day,
        through: Day,
        most: usize,
    ) -> Result<Vec<DayBucket>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => {
                let connection = &mut reading.connection;
                history::days(connection, ledger, account, from, through, most).await
            }
            None => Ok(Vec::new()),
        }
    }

    async fn place(
        &self,
        ledger: &LedgerName,
        ledger_sequence: u64,
    ) -> Result<Option<PlaceRow>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => places::of(&mut reading.connection, ledger, ledger_sequence).await,
            None => Ok(None),
        }
    }

    async fn place_at(
        &self,
        ledger: &LedgerName,
        at: Timestamp,
    ) -> Result<Option<PlaceRow>, ProjectionError> {
        let mut reading = self.reading().await?;
        match reading.ledger(ledger).await? {
            Some(ledger) => places::at(&mut reading.connection, ledger, at).await,
            None => Ok(None),
        }
    }

    async fn heads(&self, shard: u32) -> Result<Vec<(LedgerName, HeadRow)>, ProjectionError> {
        accounts::heads(&mut self.reading().await?.connection, shard).await
    }
}
