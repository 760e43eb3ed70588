//! API messages to core types. Every malformed thing gives a [`Violation`] with the full path
//! of its field; as many as there are, up to a bound.
//!
//! [`Violation`]: super::Violation

mod account;
mod command;
mod ledger;
mod transaction;
mod transfers;
mod value;

pub use command::{Parsed, command};
pub use transfers::{PackedTransfers, transfers};

use ledger_core::account::{AccountStatus, AccountType, Limits};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::command::{AccountRef, UpdateAccount};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::{Metadata, Text};
use ledger_core::time::Timestamp;
use ledger_core::transaction::TransactionStatus;
use std::collections::BTreeMap;

use super::malformed::{Malformed, Path, Violations};
use crate::proto::v1;

fn one<T>(
    field: &str,
    parse: impl FnOnce(&Path<'_>, &mut Violations) -> Option<T>,
) -> Result<T, Malformed> {
    let mut violations = Violations::default();
    let value = parse(&Path::Text(field), &mut violations);
    violations.finish(value)
}

/// An instant, truncated to microseconds.
///
/// # Errors
/// [`Malformed`] outside of the years 1 to 9999, or with nanoseconds below 0 or of a second
/// and more.
pub fn timestamp(value: &prost_types::Timestamp, field: &str) -> Result<Timestamp, Malformed> {
    one(field, |path, out| value::timestamp(value, path, out))
}

/// An instant that may be left out.
///
/// # Errors
/// As [`timestamp`].
pub fn timestamp_or_none(
    value: Option<&prost_types::Timestamp>,
    field: &str,
) -> Result<Option<Timestamp>, Malformed> {
    value.map(|value| timestamp(value, field)).transpose()
}

/// A user's ledger name.
///
/// # Errors
/// [`Malformed`].
pub fn ledger_name(value: &str, field: &str) -> Result<LedgerName, Malformed> {
    one(field, |path, out| out.check(path, LedgerName::new(value)))
}

/// The name of a ledger, or of a shard's own chain (`daybook:shard:0`), as audits read both.
///
/// # Errors
/// [`Malformed`].
pub fn chain_name(value: &str, field: &str) -> Result<LedgerName, Malformed> {
    one(field, |path, out| {
        out.check(path, LedgerName::from_record(value))
    })
}

/// An account's name.
///
/// # Errors
/// [`Malformed`].
pub fn account_name(value: &str, field: &str) -> Result<AccountName, Malformed> {
    one(field, |path, out| out.check(path, AccountName::new(value)))
}

/// An account by its name, or by its number (`#7`).
///
/// # Errors
/// [`Malformed`].
pub fn account_ref(value: &str, field: &str) -> Result<AccountRef, Malformed> {
    one(field, |path, out| value::account_ref(value, path, out))
}

/// An asset, `USD/2`.
///
/// # Errors
/// [`Malformed`].
pub fn asset(value: &str, field: &str) -> Result<Asset, Malformed> {
    one(field, |path, out| out.check(path, Asset::parse(value)))
}

/// An amount in decimal digits.
///
/// # Errors
/// [`Malformed`].
pub fn amount(value: &str, field: &str) -> Result<Amount, Malformed> {
    one(field, |path, out| out.check(path, Amount::parse(value)))
}

/// A number of minor units in decimal digits, which may be negative.
///
/// # Errors
/// [`Malformed`].
pub fn signed_amount(value: &str, field: &str) -> Result<i128, Malformed> {
    one(field, |path, out| value::signed(value, path, out))
}

/// An account's limits.
///
/// # Errors
/// [`Malformed`].
pub fn limits(value: v1::Limits, field: &str) -> Result<Limits, Malformed> {
    one(field, |path, out| account::limits(value, path, out))
}

/// Narrows `update`, as it was parsed, to what `mask` names; an absent or empty mask leaves it.
///
/// # Errors
/// [`Malformed`] for an unknown path.
pub fn update_mask(
    mask: Option<&prost_types::FieldMask>,
    update: &mut UpdateAccount,
    field: &str,
) -> Result<(), Malformed> {
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else {
        return Ok(());
    };
    one(field, |path, out| {
        account::update_mask(mask, update, path, out);
        Some(())
    })
}

/// Metadata.
///
/// # Errors
/// [`Malformed`] names the key or the limit.
pub fn metadata(value: BTreeMap<String, v1::Text>, field: &str) -> Result<Metadata, Malformed> {
    one(field, |path, out| value::metadata(value, path, out))
}

/// A description or a reason.
///
/// # Errors
/// [`Malformed`] when it says nothing or is too long.
pub fn text(value: v1::Text, field: &str) -> Result<Text, Malformed> {
    one(field, |path, out| value::text(value, path, out))
}

/// A transaction's id.
///
/// # Errors
/// [`Malformed`].
pub fn transaction_id(value: &str, field: &str) -> Result<TransactionId, Malformed> {
    one(field, |path, out| {
        out.check(path, TransactionId::parse(value))
    })
}

/// A key, the engine's own included (those can be asked for, not used).
///
/// # Errors
/// [`Malformed`].
pub fn any_key(value: &str, field: &str) -> Result<IdempotencyKey, Malformed> {
    one(field, |path, out| {
        let key = if value.starts_with(IdempotencyKey::RESERVED_PREFIX) {
            IdempotencyKey::text(value)
        } else {
            IdempotencyKey::parse(value)
        };
        out.check(path, key)
    })
}

/// An account's type, where one is said.
///
/// # Errors
/// [`Malformed`] for an unknown value.
pub fn account_type_or_none(value: i32, field: &str) -> Result<Option<AccountType>, Malformed> {
    if value == 0 {
        return Ok(None);
    }
    one(field, |path, out| account::account_type(value, path, out)).map(Some)
}

/// An account's status, where one is said.
///
/// # Errors
/// [`Malformed`] for an unknown value.
pub fn account_status_or_none(value: i32, field: &str) -> Result<Option<AccountStatus>, Malformed> {
    if value == 0 {
        return Ok(None);
    }
    one(field, |path, out| account::account_status(value, path, out)).map(Some)
}

/// A transaction's status, where one is said.
///
/// # Errors
/// [`Malformed`] for an unknown value.
pub fn transaction_status_or_none(
    value: i32,
    field: &str,
) -> Result<Option<TransactionStatus>, Malformed> {
    if value == 0 {
        return Ok(None);
    }
    one(field, |path, out| {
        transaction::transaction_status(value, path, out)
    })
    .map(Some)
}
