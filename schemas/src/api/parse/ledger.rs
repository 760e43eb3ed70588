//! Commands about ledgers and their books.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use ledger_core::asset::Asset;
use ledger_core::command::{CloseBooks, CreateLedger, ReopenBooks, UpdateLedger};
use ledger_core::invalid::Invalid;
use ledger_core::limits::{SETTLEMENT_ACCOUNTS_MAX, TIME_ZONE_BYTES_MAX};
use ledger_core::name::AccountName;

use super::super::malformed::{Path, Violations};
use super::value::{
    description_change, metadata, metadata_change, text, text_or_none, timestamp, timestamp_or_none,
};
use crate::proto::v1;

pub(super) fn create(
    create: v1::CreateLedger,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<CreateLedger> {
    let time_zone = out.check(&path.field("time_zone"), time_zone(&create.time_zone));
    let cut_off_seconds = out.check(&path.field("cut_off"), cut_off(&create.cut_off));
    let description = text_or_none(create.description, &path.field("description"), out);
    let metadata = metadata(create.metadata, &path.field("metadata"), out);
    let settlement_accounts = settlement_accounts(
        &create.settlement_accounts,
        &path.field("settlement_accounts"),
        out,
    );
    Some(CreateLedger {
        time_zone: time_zone?,
        cut_off_seconds: cut_off_seconds?,
        description: description?,
        metadata: metadata?,
        settlement_accounts: settlement_accounts?,
    })
}

pub(super) fn update(
    update: v1::UpdateLedger,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<UpdateLedger> {
    let description = description_change(update.description, update.clear_description, path, out);
    let metadata = metadata_change(update.metadata, &path.field("metadata"), out);
    let settlement_accounts = match update.settlement_accounts {
        None => Some(None),
        Some(new) => {
            let path = path.field("settlement_accounts");
            settlement_accounts(&new.accounts, &path.field("accounts"), out).map(Some)
        }
    };
    Some(UpdateLedger {
        description: description?,
        metadata: metadata?,
        settlement_accounts: settlement_accounts?,
    })
}

pub(super) fn close_books(
    close: v1::CloseBooks,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<CloseBooks> {
    let through = match &close.through {
        Some(through) => timestamp(through, &path.field("through"), out),
        None => {
            out.add(
                &path.field("through"),
                &"is required: effective times before it are refused from then on",
            );
            None
        }
    };
    let reason = text_or_none(close.reason, &path.field("reason"), out);
    Some(CloseBooks {
        through: through?,
        reason: reason?,
    })
}

pub(super) fn reopen_books(
    reopen: v1::ReopenBooks,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<ReopenBooks> {
    let through = timestamp_or_none(reopen.through.as_ref(), &path.field("through"), out);
    let reason = match reopen.reason {
        Some(reason) => text(reason, &path.field("reason"), out),
        None => {
            out.add(
                &path.field("reason"),
                &"is required: reopening always says why",
            );
            None
        }
    };
    Some(ReopenBooks {
        through: through?,
        reason: reason?,
    })
}

/// The canonical name of a time zone of the IANA database; UTC for none.
fn time_zone(name: &str) -> Result<Arc<str>, Invalid> {
    if name.is_empty() {
        return Ok(Arc::from("UTC"));
    }
    let unknown = || {
        Invalid::new(format!(
            "{name:?} is not a time zone of the IANA database such as Europe/Prague"
        ))
    };
    if name.len() > TIME_ZONE_BYTES_MAX {
        return Err(unknown());
    }
    let zone = TimeZone::get(name).map_err(|_| unknown())?;
    zone.iana_name().map(Arc::from).ok_or_else(unknown)
}

/// Seconds after midnight of `HH:MM` or `HH:MM:SS`; midnight for none.
fn cut_off(text: &str) -> Result<u32, Invalid> {
    if text.is_empty() {
        return Ok(0);
    }
    let two_digits = |part: &str, below: u32| -> Option<u32> {
        if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        part.parse().ok().filter(|number| *number < below)
    };
    let seconds = || {
        let mut parts = text.split(':');
        let hours = two_digits(parts.next()?, 24)?;
        let minutes = two_digits(parts.next()?, 60)?;
        let seconds = parts.next().map_or(Some(0), |part| two_digits(part, 60))?;
        parts
            .next()
            .is_none()
            .then_some(hours * 3_600 + minutes * 60 + seconds)
    };
    seconds().ok_or_else(|| {
        Invalid::new(format!(
            "{text:?} is not a time of day, HH:MM or HH:MM:SS, from 00:00 to 23:59:59"
        ))
    })
}

/// Sorted by asset.
fn settlement_accounts(
    accounts: &BTreeMap<String, String>,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Vec<(Asset, AccountName)>> {
    if accounts.len() > SETTLEMENT_ACCOUNTS_MAX {
        out.add(
            path,
            &format_args!(
                "{} accounts; at most {SETTLEMENT_ACCOUNTS_MAX} are allowed",
                accounts.len()
            ),
        );
        return None;
    }
    let mut parsed = Vec::with_capacity(accounts.len());
    for (asset, account) in accounts {
        let field = path.key(asset);
        let asset = out.check(&field, Asset::parse(asset));
        let account = out.check(&field, AccountName::new(account));
        if let (Some(asset), Some(account)) = (asset, account) {
            parsed.push((asset, account));
        }
    }
    parsed.sort();
    (parsed.len() == accounts.len()).then_some(parsed)
}
