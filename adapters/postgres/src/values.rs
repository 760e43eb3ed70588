//! Values in columns: how they are stored, and reading them back.

use std::borrow::Cow;

use ledger_core::account::{
    Account, AccountNumber, AccountStatus, AccountType, FreezeScope, Totals,
};
use ledger_core::amount::Amount;
use ledger_core::facts::{KeyEntry, RequestHash};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::text::{Metadata, Text};
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::{Transaction, TransactionKind, TransactionStatus};
use ports::projection::ProjectionError;
use prost::Message as _;
use schemas::proto::record::v1 as proto;
use schemas::record::convert::{decode_transaction, to_core};
use schemas::record::{RecordError, RecordHash};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueFormat, PgValueRef, Postgres,
};
use sqlx::{Decode, Encode, Row as _, Type};

use crate::failure::unusable;
use crate::wire;

/// A `timestamptz`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Timestamp);

/// A `date`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Date(pub(crate) Day);

/// A `uuid`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uuid(pub(crate) u128);

/// A whole `numeric` that is not negative.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numeric(pub(crate) u128);

/// A whole `numeric`; it is written only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed(pub(crate) i128);

/// JSON text, for a `jsonb`; it is written only.
#[derive(Debug, Clone)]
pub(crate) struct Json(pub(crate) String);

macro_rules! sql_type {
    ($type:ident, $oid:literal, $array_oid:literal, |$value:ident, $out:ident| $put:expr) => {
        impl Type<Postgres> for $type {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($oid))
            }
        }

        impl PgHasArrayType for $type {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::with_oid(Oid($array_oid))
            }
        }

        impl Encode<'_, Postgres> for $type {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let $value = self;
                let $out: &mut Vec<u8> = buffer;
                $put;
                Ok(IsNull::No)
            }
        }
    };
}

sql_type!(Time, 1184, 1185, |value, out| wire::put_time(out, value.0));
sql_type!(Date, 1082, 1182, |value, out| wire::put_day(out, value.0));
sql_type!(Uuid, 2950, 2951, |value, out| out
    .extend_from_slice(&value.0.to_be_bytes()));
sql_type!(Numeric, 1700, 1231, |value, out| wire::put_numeric(
    out, false, value.0
));
sql_type!(Signed, 1700, 1231, |value, out| wire::put_numeric(
    out,
    value.0 < 0,
    value.0.unsigned_abs()
));
sql_type!(Json, 3802, 3807, |value, out| {
    // The version of jsonb's binary form.
    out.push(1);
    out.extend_from_slice(value.0.as_bytes());
});

fn binary<'r>(value: &PgValueRef<'r>) -> Result<&'r [u8], BoxDynError> {
    match value.format() {
        PgValueFormat::Binary => value.as_bytes(),
        PgValueFormat::Text => Err("a value in text form".into()),
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let found = wire::get_time(binary(&value)?);
        found.map(Self).ok_or_else(|| "no instant".into())
    }
}

impl<'r> Decode<'r, Postgres> for Date {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let found = wire::get_day(binary(&value)?);
        found.map(Self).ok_or_else(|| "no day".into())
    }
}

impl<'r> Decode<'r, Postgres> for Uuid {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(u128::from_be_bytes(binary(&value)?.try_into()?)))
    }
}

impl<'r> Decode<'r, Postgres> for Numeric {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let found = wire::get_numeric(binary(&value)?);
        found.map(Self).ok_or_else(|| "no amount".into())
    }
}

/// A stored message is not what it must be.
pub(crate) fn damaged(error: RecordError) -> ProjectionError {
    unusable(format!("a stored message is damaged: {error}"))
}

/// A sequence, version or position as it is stored. No sequence reaches the end of `i64`; what
/// is asked for beyond it is not there.
pub(crate) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A sequence, version or position, to be stored.
pub(crate) fn stored(value: u64) -> Result<i64, ProjectionError> {
    i64::try_from(value).map_err(|_| unusable(format!("{value} cannot be stored")))
}

/// Column `index` of `row`.
pub(crate) fn get<'r, T>(row: &'r PgRow, index: usize) -> Result<T, ProjectionError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(index)
        .map_err(|error| unusable(format!("a column cannot be read: {error}")))
}

/// A count or sequence.
pub(crate) fn get_u64(row: &PgRow, index: usize) -> Result<u64, ProjectionError> {
    let value: i64 = get(row, index)?;
    u64::try_from(value).map_err(|_| unusable(format!("{value} is no sequence")))
}

/// A shard or a small count.
pub(crate) fn get_u32(row: &PgRow, index: usize) -> Result<u32, ProjectionError> {
    let value: i32 = get(row, index)?;
    u32::try_from(value).map_err(|_| unusable(format!("{value} is negative")))
}

/// An account's number.
pub(crate) fn get_number(row: &PgRow, index: usize) -> Result<AccountNumber, ProjectionError> {
    let value: i64 = get(row, index)?;
    let number = u32::try_from(value);
    let number = number.map_err(|_| unusable(format!("{value} is no account number")))?;
    Ok(AccountNumber(number))
}

/// An instant.
pub(crate) fn get_time(row: &PgRow, index: usize) -> Result<Timestamp, ProjectionError> {
    Ok(get::<Time>(row, index)?.0)
}

/// An instant or none.
pub(crate) fn get_time_or_none(
    row: &PgRow,
    index: usize,
) -> Result<Option<Timestamp>, ProjectionError> {
    Ok(get::<Option<Time>>(row, index)?.map(|time| time.0))
}

/// A fixed number of bytes.
pub(crate) fn get_bytes<const N: usize>(
    row: &PgRow,
    index: usize,
) -> Result<[u8; N], ProjectionError> {
    let bytes: &[u8] = get(row, index)?;
    bytes
        .try_into()
        .map_err(|_| unusable(format!("{} bytes where {N} belong", bytes.len())))
}

/// A record's hash.
pub(crate) fn get_hash(row: &PgRow, index: usize) -> Result<RecordHash, ProjectionError> {
    Ok(RecordHash(get_bytes(row, index)?))
}

/// A transaction's id.
pub(crate) fn get_id(row: &PgRow, index: usize) -> Result<TransactionId, ProjectionError> {
    Ok(TransactionId(get::<Uuid>(row, index)?.0))
}

/// A whole number of minor units.
pub(crate) fn get_minor_units(row: &PgRow, index: usize) -> Result<u128, ProjectionError> {
    Ok(get::<Numeric>(row, index)?.0)
}

fn get_amount(row: &PgRow, index: usize) -> Result<Amount, ProjectionError> {
    let minor_units = get_minor_units(row, index)?;
    Amount::new(minor_units).ok_or_else(|| unusable(format!("{minor_units} is no amount")))
}

/// What a key stands for: the columns request_hash and sequence from `index`.
pub(crate) fn get_key_entry(row: &PgRow, index: usize) -> Result<KeyEntry, ProjectionError> {
    let request_hash: RequestHash = get_bytes(row, index)?;
    Ok(KeyEntry {
        request_hash,
        sequence: get_u64(row, index + 1)?,
    })
}

/// Stands before a text key that reads as a UUIDv7; no key has it.
const TEXT_MARK: &str = "\u{7f}";

/// A key as text: a UUID in its text form; a text as it is, unless it could be taken for one.
pub(crate) fn key_text(key: &IdempotencyKey) -> Cow<'_, str> {
    match key {
        IdempotencyKey::Uuid(_) => Cow::Owned(key.to_string()),
        IdempotencyKey::Text(text) => match IdempotencyKey::parse(text) {
            Ok(IdempotencyKey::Uuid(_)) => Cow::Owned(format!("{TEXT_MARK}{text}")),
            _ => Cow::Borrowed(text),
        },
    }
}

/// See [`key_text`].
pub(crate) fn parse_key(text: &str) -> Result<IdempotencyKey, ProjectionError> {
    if let Ok(key @ IdempotencyKey::Uuid(_)) = IdempotencyKey::parse(text) {
        return Ok(key);
    }
    let text = text.strip_prefix(TEXT_MARK).unwrap_or(text);
    IdempotencyKey::text(text).map_err(|error| unusable(error.to_string()))
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
pub(crate) fn get_account(row: &PgRow) -> Result<Account, ProjectionError> {
    let terms: &[u8] = get(row, 1)?;
    let terms = proto::AccountTerms::decode(terms)
        .map_err(RecordError::from)
        .and_then(to_core::account_terms)
        .map_err(damaged)?;
    Ok(Account {
        number: get_number(row, 0)?,
        terms,
        status: parse_account_status(get(row, 2)?)?,
        opened_at: get_time(row, 3)?,
        version: get_u64(row, 4)?,
        totals: Totals {
            debits_posted: get_amount(row, 5)?,
            credits_posted: get_amount(row, 6)?,
            debits_pending: get_amount(row, 7)?,
            credits_pending: get_amount(row, 8)?,
        },
        open_holds: get_u32(row, 9)?,
    })
}

/// A transaction's body.
pub(crate) fn get_transaction(row: &PgRow, index: usize) -> Result<Transaction, ProjectionError> {
    decode_transaction(get(row, index)?).map_err(damaged)
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

/// How a transaction's status is written.
pub(crate) fn transaction_status(status: TransactionStatus) -> &'static str {
    match status {
        TransactionStatus::Posted => "POSTED",
        TransactionStatus::Pending => "PENDING",
        TransactionStatus::Voided => "VOIDED",
        TransactionStatus::Expired => "EXPIRED",
    }
}

/// How a transaction's kind is written.
pub(crate) fn transaction_kind(kind: &TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Direct => "DIRECT",
        TransactionKind::Hold(_) => "HOLD",
        TransactionKind::Capture(_) => "CAPTURE",
        TransactionKind::Reversal(_) => "REVERSAL",
    }
}

/// A text for a column that people read: `None` where there is none or it is sealed. Postgres
/// has no NUL in texts; what is exact stands in the message beside it.
pub(crate) fn readable(text: Option<&Text>) -> Option<Cow<'_, str>> {
    match text? {
        Text::Plain(text) if text.contains('\0') => {
            Some(Cow::Owned(text.replace('\0', "\u{fffd}")))
        }
        Text::Plain(text) => Some(Cow::Borrowed(text)),
        Text::Sealed(_) => None,
    }
}

/// Metadata as JSON, for people; `None` where there is none. Of a sealed value it says with
/// which key.
pub(crate) fn json(metadata: &Metadata) -> Option<Json> {
    if metadata.is_empty() {
        return None;
    }
    let mut out = String::from("{");
    for (key, value) in metadata.entries() {
        if out.len() > 1 {
            out.push(',');
        }
        push_json_text(&mut out, key);
        out.push(':');
        match value {
            Text::Plain(text) => push_json_text(&mut out, text),
            Text::Sealed(sealed) => {
                out.push_str("{\"sealed_with\":");
                push_json_text(&mut out, &sealed.key_id);
                out.push('}');
            }
        }
    }
    out.push('}');
    Some(Json(out))
}

fn push_json_text(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push('\u{fffd}'),
            c if c < ' ' => {
                // A `String` takes whatever is written to it.
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_text_key_is_never_taken_for_a_uuid() {
        let uuid = "018f2b6e-7a2c-7d3e-9b1a-0123456789ab";
        let keys = [
            IdempotencyKey::parse(uuid).unwrap(),
            IdempotencyKey::text(uuid).unwrap(),
            IdempotencyKey::text(&uuid.to_uppercase()).unwrap(),
            IdempotencyKey::text("daybook:claim:1").unwrap(),
            IdempotencyKey::text("an invoice 42").unwrap(),
        ];
        for key in &keys {
            assert_eq!(&parse_key(&key_text(key)).unwrap(), key);
        }
        let texts: std::collections::HashSet<_> = keys.iter().map(key_text).collect();
        assert_eq!(texts.len(), keys.len());
    }

    #[test]
    fn metadata_is_json_whatever_is_in_it() {
        let entries = BTreeMap::from([
            (Box::from("a\"b\\"), Text::plain("line\nNUL\0 ü")),
            (
                Box::from("card"),
                Text::Sealed(Box::new(ledger_core::text::Sealed {
                    key_id: "k1".into(),
                    nonce: Box::from([1u8]),
                    ciphertext: Box::from([2u8]),
                })),
            ),
        ]);
        let json = json(&Metadata::new(entries).unwrap()).unwrap().0;
        assert_eq!(
            json,
            "{\"a\\\"b\\\\\":\"line\\u000aNUL\u{fffd} ü\",\"card\":{\"sealed_with\":\"k1\"}}"
        );
        assert!(super::json(&Metadata::default()).is_none());
    }
}
