//! Read models in memory: plain maps, so plain that the other ones can be held against them.

mod read;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ledger_core::account::{Account, AccountNumber, Totals};
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::time::{Day, Timestamp};
use tokio::sync::watch;

use crate::projection::{
    AccountRow, Changes, Checkpoint, HeadRow, HistoryRow, LedgerIndex, PlaceRow, Projection,
    ProjectionError, ProjectionSwitch, Rebuild,
};
use crate::views::{DayBucket, LedgerView, TransactionView};

/// Read models in memory. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct MemoryViews {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    models: Mutex<Models>,
    moved: Vec<watch::Sender<u64>>,
    faults: Mutex<u32>,
    drops_keys: AtomicBool,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Models {
    checkpoints: BTreeMap<u32, Checkpoint>,
    ledgers: BTreeMap<LedgerName, Ledger>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Ledger {
    shard: u32,
    view: Option<LedgerView>,
    head: Option<HeadRow>,
    accounts: BTreeMap<AccountNumber, Account>,
    names: BTreeMap<String, AccountNumber>,
    transactions: BTreeMap<TransactionId, (TransactionView, Option<KeyEntry>)>,
    history: BTreeMap<(AccountNumber, u64), HistoryRow>,
    days: BTreeMap<(AccountNumber, Day), DayBucket>,
    keys: BTreeMap<IdempotencyKey, KeyEntry>,
    places: BTreeMap<u64, PlaceRow>,
}

impl MemoryViews {
    /// Empty read models of a log with so many shards.
    pub fn new(shard_count: u32) -> Self {
        Self {
            inner: Arc::new(Inner {
                models: Mutex::default(),
                moved: (0..shard_count).map(|_| watch::Sender::new(0)).collect(),
                faults: Mutex::default(),
                drops_keys: AtomicBool::new(false),
            }),
        }
    }

    /// Lets the next so many calls of `apply` fail as [`ProjectionError::Unavailable`].
    pub fn fail_next(&self, times: u32) {
        *self
            .inner
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = times;
    }

    /// Whether it loses the keys that are written from now on, as broken read models might.
    pub fn drop_keys(&self, drops: bool) {
        self.inner.drops_keys.store(drops, Ordering::SeqCst);
    }

    fn models(&self) -> MutexGuard<'_, Models> {
        self.inner
            .models
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn of<T>(&self, ledger: &LedgerName, read: impl FnOnce(&Ledger) -> T) -> Option<T> {
        self.models().ledgers.get(ledger).map(read)
    }
}

/// Two hold the same rows and checkpoints.
impl PartialEq for MemoryViews {
    fn eq(&self, other: &Self) -> bool {
        let mine = self.models().clone();
        mine == *other.models()
    }
}

#[async_trait]
impl Projection for MemoryViews {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        Ok(self.models().checkpoints.get(&shard).copied())
    }

    async fn heads(
        &self,
        _shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<Vec<Option<HeadRow>>, ProjectionError> {
        let asked = ledgers.iter().enumerate();
        Ok(asked
            .map(|(index, ledger)| {
                let head = self.of(ledger, |ledger| ledger.head).flatten()?;
                Some(HeadRow {
                    ledger: LedgerIndex(index as u32),
                    ..head
                })
            })
            .collect())
    }

    async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        mut changes: Changes,
    ) -> Result<(), ProjectionError> {
        if self.inner.drops_keys.load(Ordering::SeqCst) {
            changes.keys.clear();
        }
        {
            let mut faults = self
                .inner
                .faults
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if *faults > 0 {
                *faults -= 1;
                return Err(ProjectionError::Unavailable("as the test wants".to_owned()));
            }
        }
        {
            let mut models = self.models();
            let found = models.checkpoints.get(&shard);
            if found != from {
                return Err(ProjectionError::CheckpointMoved {
                    shard,
                    expected: from.copied().map(Box::new),
                    found: found.copied().map(Box::new),
                });
            }
            if let Some(found) = found.filter(|found| found.log_id != to.log_id) {
                return Err(ProjectionError::Unusable(format!(
                    "they were made from log {}, and the changes are of log {}",
                    found.log_id, to.log_id
                )));
            }
            let mut after = models.clone();
            after
                .write(shard, changes)
                .map_err(ProjectionError::Unusable)?;
            after.checkpoints.insert(shard, *to);
            *models = after;
        }
        self.inner.moved[shard as usize].send_replace(to.sequence);
        Ok(())
    }

    fn watch(&self, shard: u32) -> watch::Receiver<u64> {
        self.inner.moved[shard as usize].subscribe()
    }
}

impl Models {
    fn write(&mut self, shard: u32, changes: Changes) -> Result<(), String> {
        let names = changes.ledgers;
        for name in &names {
            self.ledgers.entry(name.clone()).or_default().shard = shard;
        }
        for row in changes.ledger_rows {
            let ledger = of(&mut self.ledgers, &names, row.ledger);
            if let Some(created_at) = row.created_at {
                ledger.view = Some(LedgerView {
                    name: names[row.ledger.0 as usize].clone(),
                    terms: Default::default(),
                    created_at,
                    closed_through: None,
                    shard,
                });
            }
            let view = ledger
                .view
                .as_mut()
                .ok_or("a ledger changed before it was made")?;
            if let Some(terms) = row.terms {
                view.terms = terms;
            }
            if let Some(closed_through) = row.closed_through {
                view.closed_through = closed_through;
            }
            view.terms.version = row.version;
        }
        for row in changes.heads {
            of(&mut self.ledgers, &names, row.ledger).head = Some(HeadRow {
                ledger: LedgerIndex(0),
                ..row
            });
        }
        for row in changes.accounts {
            of(&mut self.ledgers, &names, row.ledger).account(row)?;
        }
        for row in changes.balances {
            let ledger = of(&mut self.ledgers, &names, row.ledger);
            let account = ledger
                .accounts
                .get_mut(&row.account)
                .ok_or("an account moved before it was opened")?;
            account.version = row.version;
            account.totals = row.totals;
            account.open_holds = account
                .open_holds
                .checked_add_signed(row.open_holds_delta as i32)
                .ok_or("an account has fewer holds than none")?;
        }
        for row in changes.transactions {
            let ledger = of(&mut self.ledgers, &names, row.ledger);
            match row.made {
                Some(made) => {
                    let view = TransactionView {
                        transaction: row.transaction,
                        ledger_sequence: made.ledger_sequence,
                        recorded_at: made.recorded_at,
                        key: made.key,
                    };
                    ledger
                        .transactions
                        .insert(view.transaction.id, (view, made.key_entry));
                }
                None => {
                    let (view, _) = ledger
                        .transactions
                        .get_mut(&row.transaction.id)
                        .ok_or("a transaction changed before it was made")?;
                    view.transaction = row.transaction;
                }
            }
        }
        for row in changes.history {
            let ledger = of(&mut self.ledgers, &names, row.ledger);
            let row = HistoryRow {
                ledger: LedgerIndex(0),
                ..row
            };
            ledger
                .history
                .insert((row.account, row.ledger_sequence), row);
        }
        for row in changes.days {
            let bucket = of(&mut self.ledgers, &names, row.ledger)
                .days
                .entry((row.account, row.day))
                .or_insert(DayBucket {
                    day: row.day,
                    debits: 0,
                    credits: 0,
                    first_ledger_sequence: row.first_ledger_sequence,
                    last_ledger_sequence: 0,
                });
            bucket.debits += row.debits.minor_units();
            bucket.credits += row.credits.minor_units();
            bucket.last_ledger_sequence = row.last_ledger_sequence;
        }
        for row in changes.keys {
            if of(&mut self.ledgers, &names, row.ledger)
                .keys
                .insert(row.key, row.entry)
                .is_some()
            {
                return Err("a key was used twice".to_owned());
            }
        }
        for row in changes.places {
            of(&mut self.ledgers, &names, row.ledger).places.insert(
                row.ledger_sequence,
                PlaceRow {
                    ledger: LedgerIndex(0),
                    ..row
                },
            );
        }
        Ok(())
    }
}

fn of<'a>(
    ledgers: &'a mut BTreeMap<LedgerName, Ledger>,
    names: &[LedgerName],
    index: LedgerIndex,
) -> &'a mut Ledger {
    ledgers
        .get_mut(&names[index.0 as usize])
        .expect("`write` made one for every name first")
}

impl Ledger {
    fn account(&mut self, row: AccountRow) -> Result<(), String> {
        match (row.opened_at, self.accounts.get_mut(&row.number)) {
            (Some(opened_at), None) => {
                let (Some(terms), Some(status)) = (row.terms, row.status) else {
                    return Err("an account was opened without terms or status".to_owned());
                };
                self.names
                    .insert(terms.name.as_str().to_owned(), row.number);
                let account = Account {
                    number: row.number,
                    terms,
                    status,
                    totals: Totals::default(),
                    version: row.version,
                    open_holds: 0,
                    opened_at,
                };
                self.accounts.insert(row.number, account);
            }
            (None, Some(account)) => {
                if let Some(terms) = row.terms {
                    account.terms = terms;
                }
                if let Some(status) = row.status {
                    account.status = status;
                }
                account.version = row.version;
            }
            (Some(_), Some(_)) => return Err("an account was opened twice".to_owned()),
            (None, None) => return Err("an account changed before it was opened".to_owned()),
        }
        Ok(())
    }

    fn key(&self, key: &IdempotencyKey) -> Option<KeyEntry> {
        let own = match key {
            IdempotencyKey::Uuid(uuid) => self.transactions.get(&TransactionId(*uuid)),
            IdempotencyKey::Text(_) => None,
        };
        let of_row = own.and_then(|(_, entry)| *entry);
        of_row.or_else(|| self.keys.get(key).copied())
    }

    fn place_before(&self, at: Timestamp) -> Option<PlaceRow> {
        let places = self.places.values().rev();
        places.copied().find(|place| place.recorded_at <= at)
    }
}

/// Rebuilding in memory.
#[async_trait]
impl ProjectionSwitch for MemoryViews {
    async fn begin_rebuild(&self) -> Result<Box<dyn Rebuild>, ProjectionError> {
        Ok(Box::new(Rebuilding {
            live: self.clone(),
            new: Self::new(self.inner.moved.len() as u32),
        }))
    }
}

struct Rebuilding {
    live: MemoryViews,
    new: MemoryViews,
}

#[async_trait]
impl Rebuild for Rebuilding {
    fn projection(&self) -> Arc<dyn Projection> {
        Arc::new(self.new.clone())
    }

    async fn differences(&self) -> Result<Vec<String>, ProjectionError> {
        Ok(if self.live == self.new {
            Vec::new()
        } else {
            vec!["the read models differ".to_owned()]
        })
    }

    async fn switch(self: Box<Self>) -> Result<(), ProjectionError> {
        let new = self.new.models().clone();
        *self.live.models() = new;
        for (shard, moved) in self.live.inner.moved.iter().enumerate() {
            let applied = self.live.models().checkpoints.get(&(shard as u32)).copied();
            moved.send_replace(applied.map_or(0, |at| at.sequence));
        }
        Ok(())
    }
}
