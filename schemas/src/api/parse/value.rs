//! Values that many commands share.

use std::collections::BTreeMap;

use ledger_core::account::AccountNumber;
use ledger_core::amount::Amount;
use ledger_core::command::AccountRef;
use ledger_core::invalid::Invalid;
use ledger_core::limits::{METADATA_KEY_BYTES_MAX, METADATA_KEYS_MAX};
use ledger_core::name::AccountName;
use ledger_core::text::{Metadata, MetadataChange, Sealed, Text};
use ledger_core::time::Timestamp;

use super::super::malformed::{Path, Violations};
use crate::proto::v1;

pub(super) fn timestamp(
    value: &prost_types::Timestamp,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Timestamp> {
    let micros = || {
        if !(0..1_000_000_000).contains(&value.nanos) {
            return Err(Invalid::new(format!(
                "{} nanoseconds are not within 0 to 999999999",
                value.nanos
            )));
        }
        value
            .seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(value.nanos / 1_000)))
            .and_then(Timestamp::from_micros)
            .ok_or_else(|| {
                Invalid::new(format!(
                    "{} seconds since 1970 are outside of the years 1 to 9999",
                    value.seconds
                ))
            })
    };
    out.check(path, micros())
}

/// `Some(None)` where it is left out.
pub(super) fn timestamp_or_none(
    value: Option<&prost_types::Timestamp>,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Option<Timestamp>> {
    match value {
        None => Some(None),
        Some(value) => timestamp(value, path, out).map(Some),
    }
}

pub(super) fn account_ref(
    value: &str,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<AccountRef> {
    let account = match value.strip_prefix('#') {
        None => AccountName::new(value).map(AccountRef::Name),
        Some(digits) => account_number(digits)
            .map(AccountRef::Number)
            .ok_or_else(|| {
                Invalid::new(format!(
                    "{value:?} is not an account number such as #7 (1 to {})",
                    u32::MAX
                ))
            }),
    };
    out.check(path, account)
}

fn account_number(digits: &str) -> Option<AccountNumber> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| canonical)?;
    Some(AccountNumber(number))
}

pub(super) fn amount(value: &str, path: &Path<'_>, out: &mut Violations) -> Option<Amount> {
    out.check(path, Amount::parse(value))
}

/// `Some(None)` where it is empty.
pub(super) fn amount_or_none(
    value: &str,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Option<Amount>> {
    if value.is_empty() {
        return Some(None);
    }
    amount(value, path, out).map(Some)
}

pub(super) fn signed(value: &str, path: &Path<'_>, out: &mut Violations) -> Option<i128> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        out.add(
            path,
            &format_args!("{value:?} is not a whole number of minor units in decimal digits"),
        );
        return None;
    }
    let number = value.parse::<i128>();
    let number = number.map_err(|_| {
        Invalid::new(format!(
            "{value} is outside of {} to {}",
            i128::MIN,
            i128::MAX
        ))
    });
    out.check(path, number)
}

/// A text of any length that its place allows.
fn any_text(value: v1::Text, path: &Path<'_>, out: &mut Violations) -> Option<Text> {
    match value.text {
        None => {
            out.add(path, &"says neither plain nor sealed");
            None
        }
        Some(v1::text::Text::Plain(plain)) => {
            if plain.contains('\0') {
                out.add(path, &"contains the character U+0000, which cannot be kept");
                return None;
            }
            Some(Text::Plain(plain.into_boxed_str()))
        }
        Some(v1::text::Text::Sealed(sealed)) => {
            if sealed.key_id.is_empty() || sealed.key_id.contains('\0') {
                out.add(
                    &path.field("sealed").field("key_id"),
                    &"must name the key, without the character U+0000",
                );
                return None;
            }
            Some(Text::Sealed(Box::new(Sealed {
                key_id: sealed.key_id.into_boxed_str(),
                nonce: sealed.nonce.into(),
                ciphertext: sealed.ciphertext.into(),
            })))
        }
    }
}

/// A description or a reason.
pub(super) fn text(value: v1::Text, path: &Path<'_>, out: &mut Violations) -> Option<Text> {
    let text = any_text(value, path, out)?;
    out.check(path, text.check_description())?;
    Some(text)
}

/// `Some(None)` where it is left out.
pub(super) fn text_or_none(
    value: Option<v1::Text>,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Option<Text>> {
    match value {
        None => Some(None),
        Some(value) => text(value, path, out).map(Some),
    }
}

pub(super) fn metadata(
    value: BTreeMap<String, v1::Text>,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Metadata> {
    if value.is_empty() {
        return Some(Metadata::default());
    }
    let mut entries = BTreeMap::new();
    let mut whole = true;
    for (key, value) in value {
        if key.contains('\0') {
            let field = path.key(&key);
            out.add(
                &field,
                &"contains the character U+0000, which cannot be kept",
            );
            whole = false;
            continue;
        }
        match any_text(value, &path.key(&key), out) {
            Some(text) => {
                entries.insert(key.into_boxed_str(), text);
            }
            None => whole = false,
        }
    }
    let metadata = out.check(path, Metadata::new(entries))?;
    whole.then_some(metadata)
}

pub(super) fn metadata_change(
    value: Option<v1::MetadataChange>,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<MetadataChange> {
    let Some(change) = value else {
        return Some(MetadataChange::default());
    };
    let set = metadata(change.set, &path.field("set"), out);
    let remove = removed_keys(change.remove, &path.field("remove"), out);
    Some(MetadataChange {
        set: set?,
        remove: remove?,
    })
}

fn removed_keys(keys: Vec<String>, path: &Path<'_>, out: &mut Violations) -> Option<Vec<Box<str>>> {
    if keys.len() > METADATA_KEYS_MAX {
        out.add(
            path,
            &format_args!(
                "{} keys; at most {METADATA_KEYS_MAX} are allowed",
                keys.len()
            ),
        );
        return None;
    }
    let mut whole = true;
    for (index, key) in keys.iter().enumerate() {
        if key.is_empty() || key.len() > METADATA_KEY_BYTES_MAX {
            out.add(
                &path.index(index),
                &format_args!(
                    "the key has {} bytes; 1 to {METADATA_KEY_BYTES_MAX} are allowed",
                    key.len()
                ),
            );
            whole = false;
        }
    }
    whole.then(|| keys.into_iter().map(String::into_boxed_str).collect())
}

/// The new description, where it is to change: replaced, or taken away.
pub(super) fn description_change(
    description: Option<v1::Text>,
    clear: bool,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Option<Option<Text>>> {
    if clear && description.is_some() {
        out.add(
            &path.field("clear_description"),
            &"a description cannot be replaced and taken away at once",
        );
        return None;
    }
    if clear {
        return Some(Some(None));
    }
    let text = text_or_none(description, &path.field("description"), out)?;
    Some(text.map(Some))
}

/// An unknown or unsaid value of an enumeration.
pub(super) fn not_one_of<T>(
    value: i32,
    known: &str,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<T> {
    if value == 0 {
        out.add(path, &format_args!("must be one of {known}"));
    } else {
        out.add(path, &format_args!("{value} is not one of {known}"));
    }
    None
}
