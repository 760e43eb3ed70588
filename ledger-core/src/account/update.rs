//! Changing an account's limits and metadata. A closed account can be updated too: its words
//! outlive it.

use crate::account::AccountTerms;
use crate::command::UpdateAccount;
use crate::event::{AccountUpdated, Event};
use crate::ledger::case::Case;
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};

/// Decides [`UpdateAccount`]. New limits are not held against the present balance: they judge
/// what moves it from now on.
pub(crate) fn decide<B: Books>(
    case: &Case<'_, B>,
    asked: &UpdateAccount,
) -> Result<Event, Rejection> {
    let account = case.account(&asked.account)?;
    case.judge_conditions()?;
    let metadata = case.change_metadata(&asked.metadata, &account.terms.metadata)?;
    let limits = asked.limits.apply_to(&account.terms.limits);
    limits
        .check()
        .map_err(|invalid| Rejection::new(Code::LimitsInvalid).with("problem", invalid))?;
    Ok(Event::AccountUpdated(AccountUpdated {
        number: account.number,
        version: account.version + 1,
        terms: AccountTerms {
            limits,
            metadata,
            ..account.terms.clone()
        },
    }))
}
