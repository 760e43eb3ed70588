//! Applying changes: rows and their checkpoint in one transaction.

use std::sync::LazyLock;

use bytes::BytesMut;
use ledger_core::account::AccountStatus;
use ledger_core::name::LedgerName;
use ports::projection::{
    AccountRow, Changes, Checkpoint, LedgerIndex, LedgerRow, ProjectionError, TransactionMade,
    TransactionRow,
};
use prost::Message as _;
use schemas::record::convert::{encode_transaction, to_proto};
use sqlx::sqlite::SqliteConnection;

use super::bulk::Bulk;
use super::chunk::chunks;
use super::days;
use super::generation::{Generation, LedgerRef, find_ledger, read_checkpoint};
use super::values::{Values, account_status, account_type, failed, transaction_status, unusable};

/// The statements, made once.
struct Statements {
    heads: Bulk,
    accounts: Bulk,
    versions: Bulk,
    balances: Bulk,
    transactions: Bulk,
    transactions_changed: Bulk,
    history: Bulk,
    keys: Bulk,
    places: Bulk,
}

static STATEMENTS: LazyLock<Statements> = LazyLock::new(|| Statements {
    heads: Bulk::new(
        "INSERT INTO heads (ledger_id, ledger_sequence, record_hash, recorded_at) VALUES",
        4,
        "ON CONFLICT DO UPDATE SET ledger_sequence = excluded.ledger_sequence,
           record_hash = excluded.record_hash, recorded_at = excluded.recorded_at",
    ),
    accounts: Bulk::new(
        "INSERT INTO accounts
           (ledger_id, number, name, asset, type, status, opened_at, terms) VALUES",
        8,
        "",
    ),
    versions: Bulk::new(
        "INSERT INTO balances (ledger_id, account, version, debits_posted, credits_posted,
           debits_pending, credits_pending, open_holds)
         SELECT column1, column2, column3, 0, 0, 0, 0, 0 FROM (VALUES",
        3,
        ") WHERE true ON CONFLICT DO UPDATE SET version = excluded.version",
    ),
    balances: Bulk::new(
        "UPDATE balances SET version = v.column3, debits_posted = v.column4,
           credits_posted = v.column5, debits_pending = v.column6, credits_pending = v.column7,
           open_holds = open_holds + v.column8 FROM (VALUES",
        8,
        ") AS v WHERE ledger_id = v.column1 AND account = v.column2",
    ),
    transactions: Bulk::new(
        "INSERT INTO transactions (ledger_id, transaction_id, ledger_sequence, recorded_at,
           effective_at, status, key, request_hash, sequence, body) VALUES",
        10,
        "",
    ),
    transactions_changed: Bulk::new(
        "UPDATE transactions SET status = v.column3, body = v.column4 FROM (VALUES",
        4,
        ") AS v WHERE ledger_id = v.column1 AND transaction_id = v.column2",
    ),
    history: Bulk::new(
        "INSERT INTO history (ledger_id, account, first_sequence, last_sequence,
           first_recorded_at, records) VALUES",
        6,
        "",
    ),
    keys: Bulk::new(
        "INSERT INTO keys (ledger_id, key, request_hash, sequence) VALUES",
        4,
        "",
    ),
    places: Bulk::new(
        "INSERT INTO places (ledger_id, ledger_sequence, sequence, position, recorded_at) VALUES",
        5,
        "",
    ),
});

/// The ids of [`Changes::ledgers`], by index.
pub(super) struct Ids(Vec<i64>);

impl Ids {
    /// The id of `ledger`.
    pub(super) fn of(&self, ledger: LedgerIndex) -> i64 {
        self.0[ledger.0 as usize]
    }
}

impl Generation {
    /// See [`ports::projection::Projection::apply`].
    pub(crate) async fn apply(
        &self,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        changes: Changes,
    ) -> Result<(), ProjectionError> {
        if to.log_id != self.log_id {
            return Err(unusable(format!(
                "changes of log {} cannot be applied to read models of log {}",
                to.log_id, self.log_id
            )));
        }
        check_indexes(&changes)?;
        let mut writer = self.writer.lock().await;
        let Some(writer) = writer.as_mut() else {
            return Err(ProjectionError::Unavailable(
                "they are closed, or opened for reading alone".to_owned(),
            ));
        };
        writer.begin().await?;
        let written = self
            .write(&mut writer.connection, shard, from, to, changes)
            .await;
        let committed = match written {
            Ok(new) => writer.commit().await.map(|()| new),
            Err(error) => Err(error),
        };
        match committed {
            Ok(new) => {
                self.remember(new);
                Ok(())
            }
            Err(error) => {
                writer.roll_back().await;
                Err(error)
            }
        }
    }

    /// Writes everything, within a transaction. Gives the ledgers that memory should know when it
    /// has committed.
    async fn write(
        &self,
        connection: &mut SqliteConnection,
        shard: u32,
        from: Option<&Checkpoint>,
        to: &Checkpoint,
        changes: Changes,
    ) -> Result<Vec<(LedgerName, LedgerRef)>, ProjectionError> {
        let found = read_checkpoint(connection, self.log_id, shard).await?;
        if found.as_ref() != from {
            return Err(ProjectionError::CheckpointMoved {
                shard,
                expected: from.copied().map(Box::new),
                found: found.map(Box::new),
            });
        }
        let (ids, new) = self.ids(connection, shard, &changes.ledgers).await?;
        write(connection, &ids, changes).await?;
        move_checkpoint(connection, shard, to).await?;
        Ok(new)
    }

    /// Ids of `ledgers`; ledgers that were never seen get one. Gives those that memory should
    /// know when the transaction has committed.
    async fn ids(
        &self,
        connection: &mut SqliteConnection,
        shard: u32,
        ledgers: &[LedgerName],
    ) -> Result<(Ids, Vec<(LedgerName, LedgerRef)>), ProjectionError> {
        let mut ids = Vec::with_capacity(ledgers.len());
        let mut new = Vec::new();
        for ledger in ledgers {
            let known = match self.remembered(ledger) {
                Some(known) => known,
                None => {
                    let known = match find_ledger(connection, ledger).await? {
                        Some(known) => known,
                        None => insert_ledger(connection, shard, ledger).await?,
                    };
                    new.push((ledger.clone(), known));
                    known
                }
            };
            if known.shard != shard {
                return Err(unusable(format!(
                    "ledger {ledger} stands in shard {}, and shard {shard} has records of it",
                    known.shard
                )));
            }
            ids.push(known.id);
        }
        Ok((Ids(ids), new))
    }
}

/// Every index must point into the list of ledgers: a wrong one is a fault of the caller's, and
/// must not become a row of another ledger or a panic.
fn check_indexes(changes: &Changes) -> Result<(), ProjectionError> {
    let count = changes.ledgers.len();
    let right = |ledger: LedgerIndex| (ledger.0 as usize) < count;
    let all = changes.ledger_rows.iter().all(|row| right(row.ledger))
        && changes.heads.iter().all(|row| right(row.ledger))
        && changes.accounts.iter().all(|row| right(row.ledger))
        && changes.balances.iter().all(|row| right(row.ledger))
        && changes.transactions.iter().all(|row| right(row.ledger))
        && changes.history.iter().all(|row| right(row.ledger))
        && changes.days.iter().all(|row| right(row.ledger))
        && changes.keys.iter().all(|row| right(row.ledger))
        && changes.places.iter().all(|row| right(row.ledger));
    match all {
        true => Ok(()),
        false => Err(unusable("changes speak of a ledger that they do not name")),
    }
}

async fn insert_ledger(
    connection: &mut SqliteConnection,
    shard: u32,
    ledger: &LedgerName,
) -> Result<LedgerRef, ProjectionError> {
    let inserted = sqlx::query("INSERT INTO ledgers (name, shard) VALUES (?, ?)")
        .bind(ledger.as_str().to_owned())
        .bind(i64::from(shard))
        .execute(connection)
        .await
        .map_err(failed)?;
    Ok(LedgerRef {
        id: inserted.last_insert_rowid(),
        shard,
    })
}

async fn move_checkpoint(
    connection: &mut SqliteConnection,
    shard: u32,
    to: &Checkpoint,
) -> Result<(), ProjectionError> {
    let mut values = Values::with_capacity(5);
    values.add(i64::from(shard));
    values.add_u64(to.sequence);
    values.add(to.record_hash.0.to_vec());
    values.add_u64(to.position.0);
    values.add(to.recorded_at.micros());
    sqlx::query_with(
        "INSERT OR REPLACE INTO checkpoints (shard, sequence, record_hash, position, recorded_at)
         VALUES (?, ?, ?, ?, ?)",
        values.into_arguments()?,
    )
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Writes all rows. Lists are consumed one after another, so that memory falls as it goes.
async fn write(
    connection: &mut SqliteConnection,
    ids: &Ids,
    changes: Changes,
) -> Result<(), ProjectionError> {
    let statements = &*STATEMENTS;
    for row in changes.ledger_rows {
        write_ledger(connection, ids, row).await?;
    }
    let heads = changes.heads.into_iter();
    statements
        .heads
        .run(connection, heads, |values, row| {
            values.add(ids.of(row.ledger));
            values.add_u64(row.ledger_sequence);
            values.add(row.record_hash.0.to_vec());
            values.add(row.recorded_at.micros());
        })
        .await?;
    write_accounts(connection, ids, changes.accounts).await?;
    let balances = changes.balances.into_iter();
    let expected = balances.len() as u64;
    let found = statements
        .balances
        .run(connection, balances, |values, row| {
            values.add(ids.of(row.ledger));
            values.add(i64::from(row.account.0));
            values.add_u64(row.version);
            values.add_totals(&row.totals);
            values.add(row.open_holds_delta);
        })
        .await?;
    if found != expected {
        return Err(unusable("an account moved that was never opened"));
    }
    write_transactions(connection, ids, changes.transactions).await?;
    let history: Vec<_> = chunks(changes.history).collect();
    statements
        .history
        .run(connection, history.into_iter(), |values, chunk| {
            values.add(ids.of(chunk.ledger));
            values.add(i64::from(chunk.account.0));
            values.add_u64(chunk.first_sequence);
            values.add_u64(chunk.last_sequence);
            values.add(chunk.first_recorded_at.micros());
            values.add(chunk.records);
        })
        .await?;
    days::add(connection, ids, &changes.days).await?;
    let keys = changes.keys.into_iter();
    statements
        .keys
        .run(connection, keys, |values, row| {
            values.add(ids.of(row.ledger));
            values.add_key(&row.key);
            values.add(row.entry.request_hash.to_vec());
            values.add_u64(row.entry.sequence);
        })
        .await?;
    let places = changes.places.into_iter();
    statements
        .places
        .run(connection, places, |values, row| {
            values.add(ids.of(row.ledger));
            values.add_u64(row.ledger_sequence);
            values.add_u64(row.sequence);
            values.add_u64(row.position.0);
            values.add(row.recorded_at.micros());
        })
        .await?;
    Ok(())
}

async fn write_ledger(
    connection: &mut SqliteConnection,
    ids: &Ids,
    row: LedgerRow,
) -> Result<(), ProjectionError> {
    let terms = row
        .terms
        .map(|terms| to_proto::ledger_terms(&terms).encode_to_vec());
    let mut values = Values::with_capacity(6);
    values.add(row.created_at.map(|at| at.micros()));
    values.add(row.closed_through.is_some());
    values.add(row.closed_through.flatten().map(|at| at.micros()));
    values.add_u64(row.version);
    values.add(terms);
    values.add(ids.of(row.ledger));
    sqlx::query_with(
        "UPDATE ledgers SET created_at = coalesce(?, created_at),
                closed_through = CASE WHEN ? THEN ? ELSE closed_through END,
                version = ?, terms = coalesce(?, terms)
          WHERE ledger_id = ?",
        values.into_arguments()?,
    )
    .execute(connection)
    .await
    .map_err(failed)?;
    Ok(())
}

async fn write_accounts(
    connection: &mut SqliteConnection,
    ids: &Ids,
    rows: Vec<AccountRow>,
) -> Result<(), ProjectionError> {
    let versions: Vec<_> = rows
        .iter()
        .map(|row| (ids.of(row.ledger), row.number, row.version))
        .collect();
    let (opened, changed): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.opened_at.is_some());
    if opened.iter().any(|row| row.terms.is_none()) {
        return Err(unusable("an account was opened without terms"));
    }
    STATEMENTS
        .accounts
        .run(connection, opened.into_iter(), |values, row| {
            let (Some(terms), Some(opened_at)) = (row.terms, row.opened_at) else {
                return;
            };
            values.add(ids.of(row.ledger));
            values.add(i64::from(row.number.0));
            values.add(terms.name.as_str().to_owned());
            values.add(terms.asset.to_string());
            values.add(account_type(terms.account_type));
            values.add(account_status(row.status.unwrap_or(AccountStatus::Open)));
            values.add(opened_at.micros());
            values.add(to_proto::account_terms(&terms).encode_to_vec());
        })
        .await?;
    for row in changed {
        let terms = row
            .terms
            .map(|terms| to_proto::account_terms(&terms).encode_to_vec());
        let done = sqlx::query(
            "UPDATE accounts SET terms = coalesce(?, terms), status = coalesce(?, status)
              WHERE ledger_id = ? AND number = ?",
        )
        .bind(terms)
        .bind(row.status.map(account_status))
        .bind(ids.of(row.ledger))
        .bind(i64::from(row.number.0))
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
        if done.rows_affected() != 1 {
            return Err(unusable(format!(
                "account {} changed, and was never opened",
                row.number.0
            )));
        }
    }
    STATEMENTS
        .versions
        .run(
            connection,
            versions.into_iter(),
            |values, (id, number, version)| {
                values.add(id);
                values.add(i64::from(number.0));
                values.add_u64(version);
            },
        )
        .await?;
    Ok(())
}

async fn write_transactions(
    connection: &mut SqliteConnection,
    ids: &Ids,
    rows: Vec<TransactionRow>,
) -> Result<(), ProjectionError> {
    let (made, changed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.made.is_some());
    STATEMENTS
        .transactions
        .run(connection, made.into_iter(), |values, row| {
            if let Some(made) = &row.made {
                add_transaction(values, ids, &row, made);
            }
        })
        .await?;
    let expected = changed.len() as u64;
    let found = STATEMENTS
        .transactions_changed
        .run(connection, changed.into_iter(), |values, row| {
            values.add(ids.of(row.ledger));
            values.add_id(row.transaction.id);
            values.add(transaction_status(row.transaction.status));
            values.add(body(&row));
        })
        .await?;
    match found == expected {
        true => Ok(()),
        false => Err(unusable("a transaction changed that was never made")),
    }
}

fn add_transaction(values: &mut Values, ids: &Ids, row: &TransactionRow, made: &TransactionMade) {
    let transaction = &row.transaction;
    values.add(ids.of(row.ledger));
    values.add_id(transaction.id);
    values.add_u64(made.ledger_sequence);
    values.add(made.recorded_at.micros());
    values.add(transaction.effective_at.micros());
    values.add(transaction_status(transaction.status));
    match &made.key {
        ledger_core::key::IdempotencyKey::Uuid(uuid) if *uuid == transaction.id.0 => {
            values.add(None::<i64>);
        }
        key => values.add_key(key),
    }
    match made.key_entry {
        Some(entry) => {
            values.add(entry.request_hash.to_vec());
            values.add_u64(entry.sequence);
        }
        None => {
            values.add(None::<i64>);
            values.add(None::<i64>);
        }
    }
    values.add(body(row));
}

fn body(row: &TransactionRow) -> Vec<u8> {
    let mut body = BytesMut::with_capacity(128);
    encode_transaction(&row.transaction, &mut body);
    body.into()
}

#[cfg(test)]
mod tests;
