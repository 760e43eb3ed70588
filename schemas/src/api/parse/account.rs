//! Commands about accounts.

use ledger_core::account::{
    AccountStatus, AccountType, Direction, FreezeScope, Limits, LimitsChange, VelocityLimit,
    VelocityWindow,
};
use ledger_core::asset::Asset;
use ledger_core::command::{ChangeAccount, FreezeAccount, OpenAccount, UpdateAccount};
use ledger_core::limits::VELOCITY_LIMITS_MAX;
use ledger_core::name::AccountName;

use super::super::malformed::{Path, Violations};
use super::value::{
    account_ref, amount, amount_or_none, metadata, metadata_change, not_one_of, signed,
    text_or_none,
};
use crate::proto::v1;

pub(super) fn open(
    open: v1::OpenAccount,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<OpenAccount> {
    let name = out.check(&path.field("name"), AccountName::new(&open.name));
    let asset = out.check(&path.field("asset"), Asset::parse(&open.asset));
    let account_type = account_type(open.r#type, &path.field("type"), out);
    let limits = limits(open.limits.unwrap_or_default(), &path.field("limits"), out);
    let metadata = metadata(open.metadata, &path.field("metadata"), out);
    Some(OpenAccount {
        name: name?,
        asset: asset?,
        account_type: account_type?,
        limits: limits?,
        metadata: metadata?,
    })
}

pub(super) fn update(
    update: v1::UpdateAccount,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<UpdateAccount> {
    let account = account_ref(&update.account, &path.field("account"), out);
    let limits = match update.limits {
        None => Some(LimitsChange::default()),
        Some(new) => limits(new, &path.field("limits"), out).map(LimitsChange::replace_all),
    };
    let metadata = metadata_change(update.metadata, &path.field("metadata"), out);
    Some(UpdateAccount {
        account: account?,
        limits: limits?,
        metadata: metadata?,
    })
}

/// See [`super::update_mask`].
pub(super) fn update_mask(
    mask: &prost_types::FieldMask,
    update: &mut UpdateAccount,
    path: &Path<'_>,
    out: &mut Violations,
) {
    let given = std::mem::take(&mut update.limits);
    let metadata = std::mem::take(&mut update.metadata);
    let limits = &mut update.limits;
    for (index, name) in mask.paths.iter().enumerate() {
        // A limit that the mask names and the message leaves out has no bound from now on.
        let minimum = Some(given.minimum.flatten());
        let maximum = Some(given.maximum.flatten());
        let per_transaction = Some(given.per_transaction.flatten());
        let velocity = || Some(given.velocity.clone().unwrap_or_default());
        match name.as_str() {
            "limits" => {
                *limits = LimitsChange {
                    minimum,
                    maximum,
                    per_transaction,
                    velocity: velocity(),
                }
            }
            "limits.minimum" => limits.minimum = minimum,
            "limits.maximum" => limits.maximum = maximum,
            "limits.per_transaction" => limits.per_transaction = per_transaction,
            "limits.velocity" => limits.velocity = velocity(),
            "metadata" => update.metadata.clone_from(&metadata),
            _ => out.add(
                &path.field("paths").index(index),
                &format_args!(
                    "{name:?} is not one of limits, limits.minimum, limits.maximum, \
                     limits.per_transaction, limits.velocity, metadata"
                ),
            ),
        }
    }
}

pub(super) fn freeze(
    freeze: v1::FreezeAccount,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<FreezeAccount> {
    use v1::freeze_account::Scope;
    let account = account_ref(&freeze.account, &path.field("account"), out);
    let scope = match Scope::try_from(freeze.scope) {
        Ok(Scope::Debits) => Some(FreezeScope::Debits),
        Ok(Scope::Credits) => Some(FreezeScope::Credits),
        Ok(Scope::All) => Some(FreezeScope::All),
        Ok(Scope::Unspecified) | Err(_) => not_one_of(
            freeze.scope,
            "SCOPE_DEBITS, SCOPE_CREDITS, SCOPE_ALL",
            &path.field("scope"),
            out,
        ),
    };
    let reason = text_or_none(freeze.reason, &path.field("reason"), out);
    Some(FreezeAccount {
        account: account?,
        scope: scope?,
        reason: reason?,
    })
}

pub(super) fn change(
    change: v1::ChangeAccount,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<ChangeAccount> {
    let account = account_ref(&change.account, &path.field("account"), out);
    let reason = text_or_none(change.reason, &path.field("reason"), out);
    Some(ChangeAccount {
        account: account?,
        reason: reason?,
    })
}

pub(super) fn account_type(
    value: i32,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<AccountType> {
    match v1::AccountType::try_from(value) {
        Ok(v1::AccountType::Asset) => Some(AccountType::Asset),
        Ok(v1::AccountType::Liability) => Some(AccountType::Liability),
        Ok(v1::AccountType::Equity) => Some(AccountType::Equity),
        Ok(v1::AccountType::Income) => Some(AccountType::Income),
        Ok(v1::AccountType::Expense) => Some(AccountType::Expense),
        Ok(v1::AccountType::Memo) => Some(AccountType::Memo),
        Ok(v1::AccountType::Unspecified) | Err(_) => not_one_of(
            value,
            "ACCOUNT_TYPE_ASSET, _LIABILITY, _EQUITY, _INCOME, _EXPENSE, _MEMO",
            path,
            out,
        ),
    }
}

pub(super) fn account_status(
    value: i32,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<AccountStatus> {
    match v1::AccountStatus::try_from(value) {
        Ok(v1::AccountStatus::Open) => Some(AccountStatus::Open),
        Ok(v1::AccountStatus::FrozenDebits) => Some(AccountStatus::Frozen(FreezeScope::Debits)),
        Ok(v1::AccountStatus::FrozenCredits) => Some(AccountStatus::Frozen(FreezeScope::Credits)),
        Ok(v1::AccountStatus::FrozenAll) => Some(AccountStatus::Frozen(FreezeScope::All)),
        Ok(v1::AccountStatus::Closed) => Some(AccountStatus::Closed),
        Ok(v1::AccountStatus::Unspecified) | Err(_) => not_one_of(
            value,
            "ACCOUNT_STATUS_OPEN, _FROZEN_DEBITS, _FROZEN_CREDITS, _FROZEN_ALL, _CLOSED",
            path,
            out,
        ),
    }
}

/// Whether they contradict each other is a rule of core's (`LIMITS_INVALID`).
pub(super) fn limits(value: v1::Limits, path: &Path<'_>, out: &mut Violations) -> Option<Limits> {
    let bound = |text: &str, path: &Path<'_>, out: &mut Violations| match text {
        "" => Some(None),
        text => signed(text, path, out).map(Some),
    };
    let minimum = bound(&value.minimum, &path.field("minimum"), out);
    let maximum = bound(&value.maximum, &path.field("maximum"), out);
    let per_transaction =
        amount_or_none(&value.per_transaction, &path.field("per_transaction"), out);
    let velocity = velocity(value.velocity, &path.field("velocity"), out);
    Some(Limits {
        minimum: minimum?,
        maximum: maximum?,
        per_transaction: per_transaction?,
        velocity: velocity?,
    })
}

fn velocity(
    limits: Vec<v1::VelocityLimit>,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Vec<VelocityLimit>> {
    if limits.len() > VELOCITY_LIMITS_MAX {
        out.add(
            path,
            &format_args!(
                "{} velocity limits; at most {VELOCITY_LIMITS_MAX} are allowed",
                limits.len()
            ),
        );
        return None;
    }
    let mut parsed = Some(Vec::with_capacity(limits.len()));
    for (index, limit) in limits.into_iter().enumerate() {
        let limit = velocity_limit(limit, &path.index(index), out);
        parsed = parsed.zip(limit).map(|(mut all, limit)| {
            all.push(limit);
            all
        });
    }
    parsed
}

fn velocity_limit(
    limit: v1::VelocityLimit,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<VelocityLimit> {
    use v1::velocity_limit as of;
    let direction = match of::Direction::try_from(limit.direction) {
        Ok(of::Direction::Outflow) => Some(Direction::Outflow),
        Ok(of::Direction::Inflow) => Some(Direction::Inflow),
        Ok(of::Direction::Unspecified) | Err(_) => not_one_of(
            limit.direction,
            "DIRECTION_OUTFLOW, DIRECTION_INFLOW",
            &path.field("direction"),
            out,
        ),
    };
    let amount = amount(&limit.amount, &path.field("amount"), out);
    let window = match limit.window {
        Some(of::Window::CalendarDay(true)) => Some(VelocityWindow::CalendarDay),
        Some(of::Window::CalendarMonth(true)) => Some(VelocityWindow::CalendarMonth),
        Some(of::Window::RollingSeconds(seconds)) => {
            let window = VelocityWindow::Rolling { seconds };
            let judged = Limits {
                velocity: vec![VelocityLimit {
                    direction: Direction::Outflow,
                    window,
                    amount: ledger_core::amount::Amount::ZERO,
                }],
                ..Limits::default()
            };
            out.check(&path.field("rolling_seconds"), judged.check())
                .map(|()| window)
        }
        Some(of::Window::CalendarDay(false) | of::Window::CalendarMonth(false)) | None => {
            out.add(
                path,
                &"needs a window: calendar_day, calendar_month or rolling_seconds",
            );
            None
        }
    };
    Some(VelocityLimit {
        direction: direction?,
        window: window?,
        amount: amount?,
    })
}
