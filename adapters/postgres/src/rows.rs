//! Writing the rows of a stretch: new ones by `COPY`, changed ones by one `UPDATE` from arrays.

use bytes::BytesMut;
use ledger_core::account::AccountStatus;
use ledger_core::key::IdempotencyKey;
use ledger_core::transaction::TransactionKind;
use ports::projection::{
    AccountRow, BalanceRow, Changes, DayRow, HeadRow, KeyRow, LedgerRow, PlaceRow, ProjectionError,
    TransactionMade, TransactionRow,
};
use prost::Message as _;
use schemas::record::convert::{encode_transaction, to_proto};
use sqlx::postgres::PgConnection;

use crate::apply::Ids;
use crate::copy::{CopyRow, copy};
use crate::digest::{Digest, digests};
use crate::failure::{Failure, unusable};
use crate::generation::Generation;
use crate::values::{
    Date, Numeric, Signed, Time, Uuid, account_status, account_type, json, key_text, readable,
    stored, transaction_kind, transaction_status,
};

/// Rows that one statement takes as arrays.
const ROWS_AT_ONCE: usize = 16_384;

/// Writes all rows, within a transaction.
pub(crate) async fn write(
    connection: &mut PgConnection,
    generation: &Generation,
    ids: &Ids,
    changes: &Changes,
) -> Result<(), Failure> {
    let mut writing = Writing {
        connection,
        generation,
        ids,
    };
    for rows in changes.ledger_rows.chunks(ROWS_AT_ONCE) {
        writing.ledgers(rows).await?;
    }
    for rows in changes.heads.chunks(ROWS_AT_ONCE) {
        writing.heads(rows).await?;
    }
    writing.accounts(&changes.accounts).await?;
    let mut histories = digests(&changes.history);
    for rows in changes.balances.chunks(ROWS_AT_ONCE) {
        let digests: Vec<_> = rows
            .iter()
            .map(|row| histories.remove(&(row.ledger, row.account)))
            .map(Option::unwrap_or_default)
            .collect();
        writing.balances(rows, &digests).await?;
    }
    if !histories.is_empty() {
        return Err(unusable("history was made of an account whose balance did not move").into());
    }
    writing.transactions(&changes.transactions).await?;
    for rows in changes.days.chunks(ROWS_AT_ONCE) {
        writing.days(rows).await?;
    }
    writing.keys(&changes.keys).await?;
    writing.places(&changes.places).await
}

/// A transaction in which rows are written.
struct Writing<'a> {
    connection: &'a mut PgConnection,
    generation: &'a Generation,
    ids: &'a Ids,
}

fn map<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

fn try_map<R, T>(
    rows: &[R],
    of: impl Fn(&R) -> Result<T, ProjectionError>,
) -> Result<Vec<T>, ProjectionError> {
    rows.iter().map(of).collect()
}

impl Writing<'_> {
    async fn ledgers(&mut self, rows: &[LedgerRow]) -> Result<(), Failure> {
        let terms = |row: &LedgerRow| {
            let terms = row.terms.as_ref();
            terms.map(|terms| to_proto::ledger_terms(terms).encode_to_vec())
        };
        let description = |row: &LedgerRow| {
            let text = row.terms.as_ref()?.description.as_ref();
            readable(text).map(String::from)
        };
        let done = sqlx::query(self.generation.sql(
            "UPDATE $g.ledgers AS l
                SET version = v.version,
                    created_at = coalesce(v.created_at, l.created_at),
                    closed_through = CASE WHEN v.closes THEN v.closed_through
                                          ELSE l.closed_through END,
                    time_zone = coalesce(v.time_zone, l.time_zone),
                    description = CASE WHEN v.terms IS NULL THEN l.description
                                       ELSE v.description END,
                    metadata = CASE WHEN v.terms IS NULL THEN l.metadata ELSE v.metadata END,
                    terms = coalesce(v.terms, l.terms)
               FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[], $4::boolean[],
                           $5::timestamptz[], $6::text[], $7::text[], $8::jsonb[], $9::bytea[])
                 AS v (ledger_id, version, created_at, closes, closed_through, time_zone,
                       description, metadata, terms)
              WHERE l.ledger_id = v.ledger_id",
        ))
        .bind(map(rows, |row| self.ids.of(row.ledger)))
        .bind(try_map(rows, |row| stored(row.version))?)
        .bind(map(rows, |row| row.created_at.map(Time)))
        .bind(map(rows, |row| row.closed_through.is_some()))
        .bind(map(rows, |row| row.closed_through.flatten().map(Time)))
        .bind(map(rows, |row| {
            row.terms.as_ref().map(|terms| terms.time_zone.to_string())
        }))
        .bind(map(rows, description))
        .bind(map(rows, |row| {
            row.terms.as_ref().and_then(|terms| json(&terms.metadata))
        }))
        .bind(map(rows, terms))
        .execute(&mut *self.connection)
        .await?;
        all_found(done.rows_affected(), rows.len(), "a ledger")
    }

    async fn heads(&mut self, rows: &[HeadRow]) -> Result<(), Failure> {
        sqlx::query(self.generation.sql(
            "INSERT INTO $g.heads (ledger_id, ledger_sequence, recorded_at, record_hash)
             SELECT * FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[], $4::bytea[])
             ON CONFLICT (ledger_id) DO UPDATE SET ledger_sequence = excluded.ledger_sequence,
                 recorded_at = excluded.recorded_at, record_hash = excluded.record_hash",
        ))
        .bind(map(rows, |row| self.ids.of(row.ledger)))
        .bind(try_map(rows, |row| stored(row.ledger_sequence))?)
        .bind(map(rows, |row| Time(row.recorded_at)))
        .bind(map(rows, |row| row.record_hash.0))
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    async fn accounts(&mut self, rows: &[AccountRow]) -> Result<(), Failure> {
        let (opened, changed): (Vec<_>, Vec<_>) =
            rows.iter().partition(|row| row.opened_at.is_some());
        let ids = self.ids;
        copy(
            self.connection,
            &self.generation.text("$g.accounts"),
            &[
                "ledger_id",
                "number",
                "name",
                "asset",
                "exponent",
                "type",
                "status",
                "opened_at",
                "minimum",
                "maximum",
                "metadata",
                "terms",
            ],
            opened.iter(),
            |out, row| put_account(out, ids, row),
        )
        .await?;
        copy(
            self.connection,
            &self.generation.text("$g.balances"),
            &[
                "ledger_id",
                "account",
                "version",
                "open_holds",
                "history_rows",
                "history_digest",
                "debits_posted",
                "credits_posted",
                "debits_pending",
                "credits_pending",
            ],
            opened.iter(),
            |out, row| {
                out.i32(ids.of(row.ledger));
                out.i64(i64::from(row.number.0));
                out.u64(row.version)?;
                out.i32(0);
                out.i64(0);
                out.i64(0);
                for _ in 0..4 {
                    out.numeric(0);
                }
                Ok(())
            },
        )
        .await?;
        for rows in changed.chunks(ROWS_AT_ONCE) {
            self.changed_accounts(rows).await?;
        }
        Ok(())
    }

    async fn changed_accounts(&mut self, rows: &[&AccountRow]) -> Result<(), Failure> {
        let done = sqlx::query(self.generation.sql(
            "UPDATE $g.accounts AS a
                SET status = coalesce(v.status, a.status),
                    minimum = CASE WHEN v.terms IS NULL THEN a.minimum ELSE v.minimum END,
                    maximum = CASE WHEN v.terms IS NULL THEN a.maximum ELSE v.maximum END,
                    metadata = CASE WHEN v.terms IS NULL THEN a.metadata ELSE v.metadata END,
                    terms = coalesce(v.terms, a.terms)
               FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::numeric[],
                           $5::numeric[], $6::jsonb[], $7::bytea[])
                 AS v (ledger_id, number, status, minimum, maximum, metadata, terms)
              WHERE a.ledger_id = v.ledger_id AND a.number = v.number",
        ))
        .bind(map(rows, |row| self.ids.of(row.ledger)))
        .bind(map(rows, |row| i64::from(row.number.0)))
        .bind(map(rows, |row| row.status.map(account_status)))
        .bind(map(rows, |row| {
            let terms = row.terms.as_ref()?;
            terms.limits.minimum.map(Signed)
        }))
        .bind(map(rows, |row| {
            let terms = row.terms.as_ref()?;
            terms.limits.maximum.map(Signed)
        }))
        .bind(map(rows, |row| json(&row.terms.as_ref()?.metadata)))
        .bind(map(rows, |row| {
            let terms = row.terms.as_ref();
            terms.map(|terms| to_proto::account_terms(terms).encode_to_vec())
        }))
        .execute(&mut *self.connection)
        .await?;
        all_found(done.rows_affected(), rows.len(), "an account")?;
        let done = sqlx::query(self.generation.sql(
            "UPDATE $g.balances AS b SET version = v.version
               FROM unnest($1::integer[], $2::bigint[], $3::bigint[])
                 AS v (ledger_id, account, version)
              WHERE b.ledger_id = v.ledger_id AND b.account = v.account",
        ))
        .bind(map(rows, |row| self.ids.of(row.ledger)))
        .bind(map(rows, |row| i64::from(row.number.0)))
        .bind(try_map(rows, |row| stored(row.version))?)
        .execute(&mut *self.connection)
        .await?;
        all_found(done.rows_affected(), rows.len(), "a balance")
    }

    async fn balances(&mut self, rows: &[BalanceRow], digests: &[Digest]) -> Result<(), Failure> {
        let holds = |row: &BalanceRow| {
            i32::try_from(row.open_holds_delta)
                .map_err(|_| unusable(format!("{} more holds", row.open_holds_delta)))
        };
        let done = sqlx::query(self.generation.sql(
            "UPDATE $g.balances AS b
                SET version = v.version, debits_posted = v.debits_posted,
                    credits_posted = v.credits_posted, debits_pending = v.debits_pending,
                    credits_pending = v.credits_pending,
                    open_holds = b.open_holds + v.more_holds,
                    history_rows = b.history_rows + v.more_history,
                    history_digest = b.history_digest # v.history_digest
               FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::numeric[],
                           $5::numeric[], $6::numeric[], $7::numeric[], $8::integer[],
                           $9::bigint[], $10::bigint[])
                 AS v (ledger_id, account, version, debits_posted, credits_posted,
                       debits_pending, credits_pending, more_holds, more_history,
                       history_digest)
              WHERE b.ledger_id = v.ledger_id AND b.account = v.account",
        ))
        .bind(map(rows, |row| self.ids.of(row.ledger)))
        .bind(map(rows, |row| i64::from(row.account.0)))
        .bind(try_map(rows, |row| stored(row.version))?)
        .bind(map(rows, |row| {
            Numeric(row.totals.debits_posted.minor_units())
        }))
        .bind(map(rows, |row| {
            Numeric(row.totals.credits_posted.minor_units())
        }))
        .bind(map(rows, |row| {
            Numeric(row.totals.debits_pending.minor_units())
        }))
        .bind(map(rows, |row| {
            Numeric(row.totals.credits_pending.minor_units())
        }))
        .bind(try_map(rows, holds)?)
        .bind(map(digests, |digest| digest.rows))
        .bind(map(digests, |digest| digest.xor))
        .execute(&mut *self.connection)
        .await?;
        all_found(done.rows_affected(), rows.len(), "a balance")
    }

    async fn transactions(&mut self, rows: &[TransactionRow]) -> Result<(), Failure> {
        let made: Vec<_> = rows
            .iter()
            .filter_map(|row| Some((row, row.made.as_ref()?)))
            .collect();
        let ids = self.ids;
        let mut body = BytesMut::with_capacity(256);
        copy(
            self.connection,
            &self.generation.text("$g.transactions"),
            &[
                "ledger_sequence",
                "recorded_at",
                "effective_at",
                "sequence",
                "ledger_id",
                "transaction_id",
                "status",
                "kind",
                "of_transaction",
                "expires_at",
                "request_hash",
                "key",
                "debit_accounts",
                "credit_accounts",
                "amounts",
                "description",
                "metadata",
                "body",
            ],
            made.iter(),
            |out, (row, made)| put_transaction(out, ids, row, made, &mut body),
        )
        .await?;
        let changed: Vec<_> = rows.iter().filter(|row| row.made.is_none()).collect();
        for rows in changed.chunks(ROWS_AT_ONCE) {
            self.changed_transactions(rows).await?;
        }
        Ok(())
    }

    async fn changed_transactions(&mut self, rows: &[&TransactionRow]) -> Result<(), Failure> {
        let done = sqlx::query(self.generation.sql(
            "UPDATE $g.transactions AS t
                SET status = v.status, description = v.description, metadata = v.metadata,
                    body = v.body
               FROM unnest($1::integer[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[],
                           $6::bytea[])
                 AS v (ledger_id, transaction_id, status, description, metadata, body)
              WHERE t.ledger_id = v.ledger_id AND t.transaction_id = v.transaction_id",
        ))
        .bind(map(rows, |row| self.ids.of(row.ledger)))
        .bind(map(rows, |row| Uuid(row.transaction.id.0)))
        .bind(map(rows, |row| transaction_status(row.transaction.status)))
        .bind(map(rows, |row| {
            readable(row.transaction.description.as_ref()).map(String::from)
        }))
        .bind(map(rows, |row| json(&row.transaction.metadata)))
        .bind(map(rows, |row| {
            let mut body = BytesMut::with_capacity(128);
            encode_transaction(&row.transaction, &mut body);
            Vec::from(body)
        }))
        .execute(&mut *self.connection)
        .await?;
        all_found(done.rows_affected(), rows.len(), "a transaction")
    }

    async fn days(&mut self, rows: &[DayRow]) -> Result<(), Failure> {
        sqlx::query(self.generation.sql(
            "INSERT INTO $g.days AS d (ledger_id, account, day, debits, credits,
                                       first_ledger_sequence, last_ledger_sequence)
             SELECT * FROM unnest($1::integer[], $2::bigint[], $3::date[], $4::numeric[],
                                  $5::numeric[], $6::bigint[], $7::bigint[])
             ON CONFLICT (ledger_id, account, day) DO UPDATE
                SET debits = d.debits + excluded.debits, credits = d.credits + excluded.credits,
                    first_ledger_sequence =
                        least(d.first_ledger_sequence, excluded.first_ledger_sequence),
                    last_ledger_sequence =
                        greatest(d.last_ledger_sequence, excluded.last_ledger_sequence)",
        ))
        .bind(map(rows, |row| self.ids.of(row.ledger)))
        .bind(map(rows, |row| i64::from(row.account.0)))
        .bind(map(rows, |row| Date(row.day)))
        .bind(map(rows, |row| Numeric(row.debits.minor_units())))
        .bind(map(rows, |row| Numeric(row.credits.minor_units())))
        .bind(try_map(rows, |row| stored(row.first_ledger_sequence))?)
        .bind(try_map(rows, |row| stored(row.last_ledger_sequence))?)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    async fn keys(&mut self, rows: &[KeyRow]) -> Result<(), Failure> {
        let ids = self.ids;
        copy(
            self.connection,
            &self.generation.text("$g.keys"),
            &["sequence", "ledger_id", "request_hash", "key"],
            rows.iter(),
            |out, row| {
                out.u64(row.entry.sequence)?;
                out.i32(ids.of(row.ledger));
                out.bytes(&row.entry.request_hash);
                out.text(&key_text(&row.key));
                Ok(())
            },
        )
        .await
    }

    async fn places(&mut self, rows: &[PlaceRow]) -> Result<(), Failure> {
        let ids = self.ids;
        copy(
            self.connection,
            &self.generation.text("$g.places"),
            &[
                "ledger_sequence",
                "sequence",
                "recorded_at",
                "ledger_id",
                "position",
            ],
            rows.iter(),
            |out, row| {
                out.u64(row.ledger_sequence)?;
                out.u64(row.sequence)?;
                out.time(row.recorded_at);
                out.i32(ids.of(row.ledger));
                out.u64(row.position.0)
            },
        )
        .await
    }
}

/// Every row that was changed must have been there.
fn all_found(found: u64, expected: usize, what: &str) -> Result<(), Failure> {
    match found == expected as u64 {
        true => Ok(()),
        false => Err(unusable(format!("{what} changed that was never made")).into()),
    }
}

fn put_account(out: &mut CopyRow<'_>, ids: &Ids, row: &AccountRow) -> Result<(), ProjectionError> {
    let (Some(terms), Some(opened_at)) = (&row.terms, row.opened_at) else {
        return Err(unusable("an account was opened without terms"));
    };
    out.i32(ids.of(row.ledger));
    out.i64(i64::from(row.number.0));
    out.text(terms.name.as_str());
    out.text(&terms.asset.to_string());
    out.i16(i16::from(terms.asset.exponent()));
    out.text(account_type(terms.account_type));
    out.text(account_status(row.status.unwrap_or(AccountStatus::Open)));
    out.time(opened_at);
    out.signed_or_null(terms.limits.minimum);
    out.signed_or_null(terms.limits.maximum);
    out.json_or_null(json(&terms.metadata).as_ref());
    out.bytes(&to_proto::account_terms(terms).encode_to_vec());
    Ok(())
}

fn put_transaction(
    out: &mut CopyRow<'_>,
    ids: &Ids,
    row: &TransactionRow,
    made: &TransactionMade,
    body: &mut BytesMut,
) -> Result<(), ProjectionError> {
    let transaction = &row.transaction;
    out.u64(made.ledger_sequence)?;
    out.time(made.recorded_at);
    out.time(transaction.effective_at);
    match made.key_entry {
        Some(entry) => out.u64(entry.sequence)?,
        None => out.null(),
    }
    out.i32(ids.of(row.ledger));
    out.uuid(transaction.id.0);
    out.text(transaction_status(transaction.status));
    out.text(transaction_kind(&transaction.kind));
    match &transaction.kind {
        TransactionKind::Capture(of) | TransactionKind::Reversal(of) => out.uuid(of.0),
        TransactionKind::Direct | TransactionKind::Hold(_) => out.null(),
    }
    match transaction.hold_terms().and_then(|terms| terms.expires_at) {
        Some(at) => out.time(at),
        None => out.null(),
    }
    match made.key_entry {
        Some(entry) => out.bytes(&entry.request_hash),
        None => out.null(),
    }
    match &made.key {
        IdempotencyKey::Uuid(uuid) if *uuid == transaction.id.0 => out.null(),
        key => out.text(&key_text(key)),
    }
    let postings = &transaction.postings;
    out.i64s(postings.iter().map(|posting| i64::from(posting.debit.0)));
    out.i64s(postings.iter().map(|posting| i64::from(posting.credit.0)));
    out.numerics(postings.iter().map(|posting| posting.amount.minor_units()));
    out.text_or_null(readable(transaction.description.as_ref()).as_deref());
    out.json_or_null(json(&transaction.metadata).as_ref());
    body.clear();
    encode_transaction(transaction, body);
    out.bytes(body);
    Ok(())
}
