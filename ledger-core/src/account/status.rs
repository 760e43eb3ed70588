//! Freezing, unfreezing, closing and reopening an account.

use crate::account::{Account, AccountStatus};
use crate::command::{ChangeAccount, FreezeAccount};
use crate::event::{AccountStatusChanged, Event};
use crate::ledger::case::Case;
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};
use crate::text::Text;

/// Decides [`FreezeAccount`]. Freezing a frozen account sets the new scope.
pub(crate) fn freeze<B: Books>(
    case: &Case<'_, B>,
    asked: &FreezeAccount,
) -> Result<Event, Rejection> {
    let account = case.account(&asked.account)?;
    case.judge_conditions()?;
    if account.status == AccountStatus::Closed {
        return Err(refused(Code::AccountAlreadyClosed, account));
    }
    Ok(changed(
        account,
        AccountStatus::Frozen(asked.scope),
        &asked.reason,
    ))
}

/// Decides `UnfreezeAccount`.
pub(crate) fn unfreeze<B: Books>(
    case: &Case<'_, B>,
    asked: &ChangeAccount,
) -> Result<Event, Rejection> {
    let account = case.account(&asked.account)?;
    case.judge_conditions()?;
    if !matches!(account.status, AccountStatus::Frozen(_)) {
        return Err(refused(Code::AccountNotFrozen, account));
    }
    Ok(changed(account, AccountStatus::Open, &asked.reason))
}

/// Decides `CloseAccount`: debits must equal credits, and nothing may be pending.
pub(crate) fn close<B: Books>(
    case: &Case<'_, B>,
    asked: &ChangeAccount,
) -> Result<Event, Rejection> {
    let account = case.account(&asked.account)?;
    case.judge_conditions()?;
    if account.status == AccountStatus::Closed {
        return Err(refused(Code::AccountAlreadyClosed, account));
    }
    if account.open_holds > 0 {
        return Err(refused(Code::AccountHasHolds, account).with("holds", account.open_holds));
    }
    if !account.totals.is_settled() {
        let balance = account.totals.posted(account.normal_side());
        return Err(refused(Code::AccountNotEmpty, account).with("balance", balance));
    }
    Ok(changed(account, AccountStatus::Closed, &asked.reason))
}

/// Decides `ReopenAccount`: the account is open afterwards, also where it was frozen before it
/// was closed.
pub(crate) fn reopen<B: Books>(
    case: &Case<'_, B>,
    asked: &ChangeAccount,
) -> Result<Event, Rejection> {
    let account = case.account(&asked.account)?;
    case.judge_conditions()?;
    if account.status != AccountStatus::Closed {
        return Err(refused(Code::AccountNotClosed, account));
    }
    Ok(changed(account, AccountStatus::Open, &asked.reason))
}

fn refused(code: Code, account: &Account) -> Rejection {
    Rejection::new(code).with("account", &account.terms.name)
}

fn changed(account: &Account, status: AccountStatus, reason: &Option<Text>) -> Event {
    Event::AccountStatusChanged(AccountStatusChanged {
        number: account.number,
        version: account.version + 1,
        status,
        reason: reason.clone(),
    })
}
