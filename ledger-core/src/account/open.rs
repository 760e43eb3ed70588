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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Account, AccountType, Limits};
    use crate::asset::Asset;
    use crate::event::LedgerTerms;
    use crate::facts::Facts;
    use crate::key::{IdempotencyKey, TransactionId};
    use crate::ledger::holds::Hold;
    use crate::ledger::velocity::Counter;
    use crate::name::{AccountName, LedgerName};
    use crate::time::{Moment, Timestamp};
    use crate::transaction::Transaction;

    /// Books of so many accounts, none of which a test can look at.
    struct Many(LedgerName, usize);

    impl Books for Many {
        fn name(&self) -> &LedgerName {
            &self.0
        }
        fn terms(&self) -> Option<&LedgerTerms> {
            None
        }
        fn closed_through(&self) -> Option<Timestamp> {
            None
        }
        fn account_count(&self) -> usize {
            self.1
        }
        fn number_of(&self, _: &AccountName) -> Option<AccountNumber> {
            None
        }
        fn account(&self, _: AccountNumber) -> Option<&Account> {
            None
        }
        fn velocity(&self, _: AccountNumber) -> &[Counter] {
            &[]
        }
        fn exponent_of(&self, _: &str) -> Option<u8> {
            None
        }
        fn hold(&self, _: TransactionId) -> Option<&Hold> {
            None
        }
        fn holds_of(&self, _: AccountNumber) -> Vec<&Hold> {
            Vec::new()
        }
        fn remembered(&self, _: TransactionId) -> Option<Transaction> {
            None
        }
        fn forgotten_through(&self) -> u64 {
            0
        }
    }

    #[test]
    fn a_full_ledger_takes_no_more_accounts() {
        let asked = OpenAccount {
            name: AccountName::new("one:more").unwrap(),
            asset: Asset::parse("USD/2").unwrap(),
            account_type: AccountType::Memo,
            limits: Limits::default(),
            metadata: Default::default(),
        };
        let opened_after = |count| {
            let case = Case {
                books: &Many(LedgerName::new("bank").unwrap(), count),
                facts: &Facts::default(),
                at: Moment::default(),
                conditions: &[],
                key: &IdempotencyKey::Uuid(1),
                member: None,
            };
            decide(&case, &asked).map_err(|rejection| rejection.code)
        };
        assert_eq!(opened_after(ACCOUNTS_MAX), Err(Code::TooManyAccounts));
        match opened_after(ACCOUNTS_MAX - 1) {
            Ok(Event::AccountOpened(event)) => assert_eq!(event.number.0 as usize, ACCOUNTS_MAX),
            other => panic!("{other:?}"),
        }
    }
}
