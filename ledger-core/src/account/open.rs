//! Opening an account.

use crate::account::{AccountNumber, AccountTerms};
use crate::command::OpenAccount;
use crate::event::{AccountOpened, Event};
use crate::ledger::case::Case;
use crate::ledger::view::Books;
use crate::limits::ACCOUNTS_MAX;
use crate::rejection::{Code, Rejection};

/// Decides [`OpenAccount`].
pub(crate) fn decide<B: Books>(
    case: &Case<'_, B>,
    asked: &OpenAccount,
) -> Result<Event, Rejection> {
    case.judge_conditions()?;
    if let Some(number) = case.books.number_of(&asked.name) {
        return Err(Rejection::new(Code::AccountAlreadyExists)
            .with("account", &asked.name)
            .with("number", number.0));
    }
    case.judge_exponent(&asked.asset)?;
    asked
        .limits
        .check()
        .map_err(|invalid| Rejection::new(Code::LimitsInvalid).with("problem", invalid))?;
    let count = case.books.account_count();
    if count >= ACCOUNTS_MAX {
        return Err(Rejection::new(Code::TooManyAccounts).with("limit", ACCOUNTS_MAX));
    }
    Ok(Event::AccountOpened(AccountOpened {
        number: AccountNumber(count as u32 + 1),
        terms: AccountTerms {
            name: asked.name.clone(),
            asset: asked.asset,
            account_type: asked.account_type,
            limits: asked.limits.clone(),
            metadata: asked.metadata.clone(),
        },
    }))
}
