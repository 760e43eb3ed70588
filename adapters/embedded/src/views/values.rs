//! Values in columns: how they are stored, and reading them back.

use std::sync::Arc;

use ledger_core::account::{
    Account, AccountNumber, AccountStatus, AccountType, FreezeScope, Totals,
};
use ledger_core::amount::Amount;
use ledger_core::facts::{KeyEntry, RequestHash};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Transaction, TransactionStatus};
use ports::projection::ProjectionError;
use prost::Message as _;
use schemas::proto::record::v1 as proto;
use schemas::record::convert::{decode_transaction, to_core};
use schemas::record::{RecordError, RecordHash};
use sqlx::error::BoxDynError;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Decode, Row as _, Type, TypeInfo as _, ValueRef as _};

use crate::sqlite::{self, Cause};

/// What an error of SQLite means to whoever uses the read models.
pub(crate) fn failed(error: sqlx::Error) -> ProjectionError {
    match sqlite::cause(&error) {
        Cause::Damaged => unusable(format!("the file is damaged: {error}")),
        Cause::Constraint | Cause::Refused(_) => {
            unusable(format!("a row contradicts what stands there: {error}"))
        }
        Cause::Full => ProjectionError::Unavailable(format!("the disk is full: {error}")),
        _ => ProjectionError::Unavailable(error.to_string()),
    }
}

/// The read models are not what they must be.
pub(crate) fn unusable(what: impl Into<String>) -> ProjectionError {
    ProjectionError::Unusable(format!("{}; run `daybook replay`", what.into()))
}

/// A stored message is not what it must be.
pub(crate) fn damaged(error: RecordError) -> ProjectionError {
    unusable(format!("a stored message is damaged: {error}"))
}

/// Column `index` of `row`.
pub(crate) fn get<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T, ProjectionError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(index)
        .map_err(|error| unusable(format!("a column cannot be read: {error}")))
}

/// A count or sequence.
pub(crate) fn get_u64(row: &SqliteRow, index: usize) -> Result<u64, ProjectionError> {
    let value: i64 = get(row, index)?;
    u64::try_from(value).map_err(|_| unusable(format!("{value} is no sequence")))
}

/// An account's number.
pub(crate) fn get_number(row: &SqliteRow, index: usize) -> Result<AccountNumber, ProjectionError> {
    let value: i64 = get(row, index)?;
    let number =
        u32::try_from(value).map_err(|_| unusable(format!("{value} is no account number")))?;
    Ok(AccountNumber(number))
}

/// An instant.
pub(crate) fn get_time(row: &SqliteRow, index: usize) -> Result<Timestamp, ProjectionError> {
    let value: i64 = get(row, index)?;
    Timestamp::from_micros(value).ok_or_else(|| unusable(format!("{value} is no instant")))
}

/// An instant or none.
pub(crate) fn get_time_or_none(
    row: &SqliteRow,
    index: usize,
) -> Result<Option<Timestamp>, ProjectionError> {
    match get::<Option<i64>>(row, index)? {
        Some(_) => get_time(row, index).map(Some),
        None => Ok(None),
    }
}

/// A fixed number of bytes.
pub(crate) fn get_bytes<const N: usize>(
    row: &SqliteRow,
    index: usize,
) -> Result<[u8; N], ProjectionError> {
    let bytes: &[u8] = get(row, index)?;
    bytes
        .try_into()
        .map_err(|_| unusable(format!("{} bytes where {N} belong", bytes.len())))
}

/// A record's hash.
pub(crate) fn get_hash(row: &SqliteRow, index: usize) -> Result<RecordHash, ProjectionError> {
    Ok(RecordHash(get_bytes(row, index)?))
}

/// A transaction's id.
pub(crate) fn get_id(row: &SqliteRow, index: usize) -> Result<TransactionId, ProjectionError> {
    Ok(TransactionId(u128::from_be_bytes(get_bytes(row, index)?)))
}

/// An amount: INTEGER where it fits 63 bits, decimal TEXT beyond.
pub(crate) fn get_minor_units(row: &SqliteRow, index: usize) -> Result<u128, ProjectionError> {
    let is_text = row
        .try_get_raw(index)
        .is_ok_and(|value| value.type_info().name() == "TEXT");
    if is_text {
        let text: &str = get(row, index)?;
        return text
            .parse()
            .map_err(|_| unusable(format!("{text:?} is no amount")));
    }
    let value: i64 = get(row, index)?;
    u128::try_from(value).map_err(|_| unusable(format!("{value} is no amount")))
}

/// See [`get_minor_units`]; at most `i128::MAX`.
pub(crate) fn get_amount(row: &SqliteRow, index: usize) -> Result<Amount, ProjectionError> {
    let minor_units = get_minor_units(row, index)?;
    Amount::new(minor_units).ok_or_else(|| unusable(format!("{minor_units} is no amount")))
}

/// Four columns from `index`: debits and credits posted, debits and credits pending.
pub(crate) fn get_totals(row: &SqliteRow, index: usize) -> Result<Totals, ProjectionError> {
    Ok(Totals {
        debits_posted: get_amount(row, index)?,
        credits_posted: get_amount(row, index + 1)?,
        debits_pending: get_amount(row, index + 2)?,
        credits_pending: get_amount(row, index + 3)?,
    })
}

/// What a key stands for: the columns request_hash and sequence from `index`.
pub(crate) fn get_key_entry(row: &SqliteRow, index: usize) -> Result<KeyEntry, ProjectionError> {
    let request_hash: RequestHash = get_bytes(row, index)?;
    Ok(KeyEntry {
        request_hash,
        sequence: get_u64(row, index + 1)?,
    })
}

/// A key: 16 bytes of a UUID, or TEXT; `None` where the column is NULL.
pub(crate) fn get_key(
    row: &SqliteRow,
    index: usize,
) -> Result<Option<IdempotencyKey>, ProjectionError> {
    let kind = row.try_get_raw(index).map_err(failed)?;
    if kind.is_null() {
        return Ok(None);
    }
    if kind.type_info().name() == "BLOB" {
        let uuid = u128::from_be_bytes(get_bytes(row, index)?);
        return Ok(Some(IdempotencyKey::Uuid(uuid)));
    }
    let text: &str = get(row, index)?;
    IdempotencyKey::text(text)
        .map(Some)
        .map_err(|error| unusable(error.to_string()))
}

/// The columns that [`get_account`] reads, of `accounts AS a` and `balances AS b`.
macro_rules! account_columns {
    () => {
        "a.number, a.terms, a.status, a.opened_at, b.version, b.debits_posted,
         b.credits_posted, b.debits_pending, b.credits_pending, b.open_holds"
    };
}
pub(crate) use account_columns;

/// An account, from [`account_columns`].
pub(crate) fn get_account(row: &SqliteRow) -> Result<Account, ProjectionError> {
    let terms: &[u8] = get(row, 1)?;
    let terms = proto::AccountTerms::decode(terms)
        .map_err(RecordError::from)
        .and_then(to_core::account_terms)
        .map_err(damaged)?;
    let open_holds: i64 = get(row, 9)?;
    Ok(Account {
        number: get_number(row, 0)?,
        terms,
        status: parse_account_status(get(row, 2)?)?,
        opened_at: get_time(row, 3)?,
        version: get_u64(row, 4)?,
        totals: get_totals(row, 5)?,
        open_holds: u32::try_from(open_holds)
            .map_err(|_| unusable(format!("{open_holds} open holds")))?,
    })
}

/// A transaction's body.
pub(crate) fn get_transaction(
    row: &SqliteRow,
    index: usize,
) -> Result<Transaction, ProjectionError> {
    decode_transaction(get(row, index)?).map_err(damaged)
}

/// The values of one statement's parameters, in order.
pub(crate) struct Values {
    arguments: SqliteArguments,
    failed: Option<BoxDynError>,
}

impl Values {
    /// Room for `count` values.
    pub(crate) fn with_capacity(count: usize) -> Self {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(count, 0);
        Self {
            arguments,
            failed: None,
        }
    }

    /// Adds `value`.
    pub(crate) fn add<'t, T>(&mut self, value: T)
    where
        T: sqlx::Encode<'t, Sqlite> + Type<Sqlite>,
    {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
    }

    /// Adds a count, a sequence or a version. Above `i64::MAX`, which no sequence reaches, it is
    /// refused.
    pub(crate) fn add_u64(&mut self, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.add(value),
            Err(error) => {
                self.failed.get_or_insert(Box::new(error));
            }
        }
    }

    /// Adds an amount; see [`get_minor_units`].
    pub(crate) fn add_minor_units(&mut self, minor_units: u128) {
        match i64::try_from(minor_units) {
            Ok(value) => self.add(value),
            Err(_) => self.add(minor_units.to_string()),
        }
    }

    /// Adds four columns; see [`get_totals`].
    pub(crate) fn add_totals(&mut self, totals: &Totals) {
        for amount in [
            totals.debits_posted,
            totals.credits_posted,
            totals.debits_pending,
            totals.credits_pending,
        ] {
            self.add_minor_units(amount.minor_units());
        }
    }

    /// Adds an id.
    pub(crate) fn add_id(&mut self, id: TransactionId) {
        self.add(id.0.to_be_bytes().to_vec());
    }

    /// Adds a key; see [`get_key`].
    pub(crate) fn add_key(&mut self, key: &IdempotencyKey) {
        match key {
            IdempotencyKey::Uuid(uuid) => self.add(uuid.to_be_bytes().to_vec()),
            IdempotencyKey::Text(text) => self.add(text.to_string()),
        }
    }

    /// The arguments of a statement.
    pub(crate) fn into_arguments(self) -> Result<SqliteArguments, ProjectionError> {
        match self.failed {
            None => Ok(self.arguments),
            Some(error) => Err(unusable(format!("a value cannot be stored: {error}"))),
        }
    }
}

/// How a type of account is written.
pub(crate) fn account_type(account_type: AccountType) -> &'static str {
    match account_type {
        AccountType::Asset => "ASSET",
        AccountType::Liability => "LIABILITY",
        AccountType::Equity => "EQUITY",
        AccountType::Income => "INCOME",
        AccountType::Expense => "EXPENSE",
        AccountType::Memo => "MEMO",
    }
}

/// How an account's status is written.
pub(crate) fn account_status(status: AccountStatus) -> &'static str {
    match status {
        AccountStatus::Open => "OPEN",
        AccountStatus::Frozen(FreezeScope::Debits) => "FROZEN_DEBITS",
        AccountStatus::Frozen(FreezeScope::Credits) => "FROZEN_CREDITS",
        AccountStatus::Frozen(FreezeScope::All) => "FROZEN_ALL",
        AccountStatus::Closed => "CLOSED",
    }
}

fn parse_account_status(text: &str) -> Result<AccountStatus, ProjectionError> {
    Ok(match text {
        "OPEN" => AccountStatus::Open,
        "FROZEN_DEBITS" => AccountStatus::Frozen(FreezeScope::Debits),
        "FROZEN_CREDITS" => AccountStatus::Frozen(FreezeScope::Credits),
        "FROZEN_ALL" => AccountStatus::Frozen(FreezeScope::All),
        "CLOSED" => AccountStatus::Closed,
        other => return Err(unusable(format!("{other:?} is no status of an account"))),
    })
}

/// The number that a transaction's status is stored as (that of `daybook.record.v1`).
pub(crate) fn transaction_status(status: TransactionStatus) -> i64 {
    match status {
        TransactionStatus::Posted => 1,
        TransactionStatus::Pending => 2,
        TransactionStatus::Voided => 3,
        TransactionStatus::Expired => 4,
    }
}

/// Texts of statements that are made at run time, from constant parts alone.
pub(crate) type Sql = Arc<str>;
