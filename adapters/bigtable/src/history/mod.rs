//! Account history in Bigtable.
//!
//! One table, one column family, one cell a row; the column's name is the version of the cell's
//! form. Rows:
//!
//! - `<log>#<ledger>#<account>#<recorded_at>#<ledger sequence>`: all that one record did to one
//!   account, and the balance after it;
//! - `<log>#!time#<ledger>#<ledger sequence / 1024>`: when one record of those 1,024 was
//!   recorded, so that a range of sequences becomes a range of keys (see [`times`]);
//! - `<log>#!checkpoint#<shard>`: how far it has got, moved last.
//!
//! The time of a ledger's records never falls along their sequence, so within an account keys
//! are in order of the ledger sequence too.

mod times;
mod value;

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::account::AccountNumber;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::history::{History, may_append};
use ports::projection::{Checkpoint, HistoryRow, ProjectionError};
use ports::views::HistoryRange;
use schemas::record::LogId;

use crate::assemble::Row;
use crate::client::{Client, Table};
use crate::error::BigtableError;
use crate::key::{self, Key};
use crate::rows::{NewRow, Scan};
use times::TimeMark;

/// The column of every cell: the version of its form.
const FORM: &[u8] = b"1";

/// Rows that are read at once, at least and at most.
const PAGE_MIN: usize = 16;
const PAGE_MAX: usize = 1_000;

/// Times that a checkpoint is looked at again when somebody else moved it in between.
const ATTEMPTS: usize = 8;

/// See the module.
pub(crate) struct BigtableHistory {
    pub(crate) client: Arc<Client>,
    pub(crate) log_id: LogId,
}

/// A row to be written.
enum Item<'a> {
    Row(&'a LedgerName, &'a HistoryRow),
    Time(&'a LedgerName, TimeMark),
}

impl BigtableHistory {
    fn account_key(&self, ledger: &LedgerName, account: AccountNumber) -> Key {
        Key::new(self.log_id).text(ledger.as_str()).u32(account.0)
    }

    fn checkpoint_key(&self, shard: u32) -> Key {
        Key::new(self.log_id).text("!checkpoint").u32(shard)
    }

    fn new_row(&self, item: &Item<'_>) -> NewRow {
        match item {
            Item::Row(ledger, row) => NewRow {
                key: self
                    .account_key(ledger, row.account)
                    .time(row.recorded_at)
                    .u64(row.ledger_sequence)
                    .0,
                cells: vec![(FORM.to_vec(), value::encode_row(row))],
            },
            Item::Time(ledger, mark) => NewRow {
                key: self.time_key(ledger).u64(mark.bucket()).0,
                cells: vec![(FORM.to_vec(), mark.encode())],
            },
        }
    }

    fn read_row(&self, account: AccountNumber, row: &Row) -> Result<HistoryRow, ProjectionError> {
        let place =
            key::numbers(&row.key).and_then(|[at, sequence]| Some((key::unbiased(at)?, sequence)));
        match (place, row.cell(FORM)) {
            (Some((at, sequence)), Some(bytes)) => value::decode_row(account, at, sequence, bytes),
            _ => Err(value::unusable(
                "a row of the account history was made by another version, or is damaged",
            )),
        }
    }

    /// Moves the checkpoint to `to`, unless it is there or beyond.
    async fn move_up(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        mut found: Option<Checkpoint>,
    ) -> Result<(), ProjectionError> {
        let (key, after) = (self.checkpoint_key(shard).0, value::encode_checkpoint(to));
        for _ in 0..ATTEMPTS {
            if found.is_some_and(|found| found.sequence >= to.sequence) {
                return Ok(());
            }
            let before = found.as_ref().map(value::encode_checkpoint);
            let swapped = self
                .client
                .swap(Table::History, &key, FORM, before.as_deref(), &after)
                .await;
            match swapped {
                Ok(true) => return Ok(()),
                // Somebody moved it, or a lost answer hides that it was this very call.
                Ok(false) | Err(BigtableError::Unavailable(_) | BigtableError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let now = self.checkpoint(shard).await?;
            may_append(shard, now.as_ref(), from, to)?;
            // What was there when the rows were written is gone, and rows may be with it.
            if now.map_or(0, |now| now.sequence) < found.map_or(0, |found| found.sequence) {
                return Err(ProjectionError::HistoryBehind {
                    shard,
                    found: now.map(Box::new),
                });
            }
            found = now;
        }
        Err(ProjectionError::Unavailable(
            "others move the checkpoint of the account history again and again".to_owned(),
        ))
    }
}

#[async_trait]
impl History for BigtableHistory {
    async fn checkpoint(&self, shard: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        let key = self.checkpoint_key(shard).0;
        let row = match self.client.row(Table::History, &key).await {
            Err(BigtableError::Lost) => None,
            found => found?,
        };
        row.as_ref()
            .and_then(|row| row.cell(FORM))
            .map(value::decode_checkpoint)
            .transpose()
    }

    async fn append(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        ledgers: &[LedgerName],
        rows: &[HistoryRow],
    ) -> Result<(), ProjectionError> {
        if to.log_id != self.log_id {
            return Err(ProjectionError::Unusable(format!(
                "the account history is log {}'s, not log {}'s",
                self.log_id, to.log_id
            )));
        }
        let found = self.checkpoint(shard).await?;
        may_append(shard, found.as_ref(), from, to)?;
        let ledger_of = |index: u32| {
            ledgers
                .get(index as usize)
                .ok_or_else(|| value::unusable("a row of the account history has no ledger"))
        };
        let mut items = Vec::with_capacity(rows.len() + 16);
        for row in rows {
            items.push(Item::Row(ledger_of(row.ledger.0)?, row));
        }
        for (ledger, mark) in times::marks(rows) {
            items.push(Item::Time(ledger_of(ledger)?, mark));
        }
        let bytes = |item: &Item<'_>| match item {
            Item::Row(_, row) => value::bytes_about(row),
            Item::Time(..) => 128,
        };
        let make = |item: &Item<'_>| self.new_row(item);
        match self.client.write(Table::History, &items, bytes, make).await {
            Err(BigtableError::Lost) => {
                return Err(ProjectionError::HistoryBehind { shard, found: None });
            }
            written => written?,
        }
        self.move_up(shard, from, to, found).await
    }

    async fn rows(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError> {
        if most == 0 || range.from > range.through {
            return Ok(Vec::new());
        }
        let (earliest, latest) = tokio::try_join!(
            self.time_at_or_before(ledger, range.from),
            self.time_after(ledger, range.through)
        )?;
        let of_account = self.account_key(ledger, account);
        let mut scan = Scan {
            from: match earliest {
                Some(at) => of_account.clone().time(at).u64(range.from).0,
                None => of_account.clone().first_of(),
            },
            to: match latest {
                Some(at) => of_account.time(at).u64(range.through).next(),
                None => of_account.after_all_of(),
            },
            reversed: range.newest_first,
            most: 0,
        };
        let mut found = Vec::new();
        loop {
            scan.most = (most - found.len()).clamp(PAGE_MIN, PAGE_MAX);
            let rows = self.client.scan(Table::History, &scan).await;
            let rows = rows.map_err(ProjectionError::from)?;
            for row in &rows {
                let row = self.read_row(account, row)?;
                let (beyond, before) = match range.newest_first {
                    false => (
                        row.ledger_sequence > range.through,
                        row.ledger_sequence < range.from,
                    ),
                    true => (
                        row.ledger_sequence < range.from,
                        row.ledger_sequence > range.through,
                    ),
                };
                if beyond {
                    return Ok(found);
                }
                if !before {
                    found.push(row);
                    if found.len() == most {
                        return Ok(found);
                    }
                }
            }
            let Some(last) = rows.last().filter(|_| rows.len() == scan.most) else {
                return Ok(found);
            };
            scan.go_on_after(&last.key);
        }
    }

    async fn row_at(
        &self,
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp,
        through: u64,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        let of_account = self.account_key(ledger, account);
        let mut scan = Scan {
            from: of_account.clone().first_of(),
            to: of_account.clone().time(at).u64(u64::MAX).next(),
            reversed: true,
            most: 1,
        };
        loop {
            let rows = self.client.scan(Table::History, &scan).await;
            let rows = rows.map_err(ProjectionError::from)?;
            for row in &rows {
                let row = self.read_row(account, row)?;
                if row.ledger_sequence <= through {
                    return Ok(Some(row));
                }
            }
            let Some(last) = rows.last().filter(|_| rows.len() == scan.most) else {
                return Ok(None);
            };
            // The history is ahead of who asks: what is beyond `through` is stepped over.
            scan.go_on_after(&last.key);
            if scan.most == 1 {
                scan.most = PAGE_MAX;
                if let Some(after) = self.time_after(ledger, through).await? {
                    let to = of_account.clone().time(after).u64(through).next();
                    scan.to = scan.to.min(to);
                }
            }
        }
    }
}
