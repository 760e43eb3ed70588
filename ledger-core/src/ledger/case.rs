//! One operation that is being decided: what every rule needs at hand.

use crate::account::Account;
use crate::command::{AccountRef, Comparison, Condition};
use crate::facts::Facts;
use crate::key::{IdempotencyKey, TransactionId};
use crate::ledger::holds::Hold;
use crate::ledger::view::Books;
use crate::rejection::{Code, Rejection};
use crate::text::{Metadata, MetadataChange};
use crate::time::{Moment, Timestamp};
use crate::transaction::{Transaction, TransactionStatus};

/// See the module.
pub(crate) struct Case<'a, B> {
    pub(crate) books: &'a B,
    pub(crate) facts: &'a Facts,
    pub(crate) at: Moment,
    /// Of the command, or of this member of an atomic batch.
    pub(crate) conditions: &'a [Condition],
    pub(crate) key: &'a IdempotencyKey,
    /// Which member of an atomic batch this is.
    pub(crate) member: Option<u32>,
}

/// A transaction that a command names.
pub(crate) enum Found<'a> {
    Open(&'a Hold),
    /// Posted, or a hold that ended.
    Ended(Box<Transaction>),
}

impl<'a, B: Books> Case<'a, B> {
    /// The id of the transaction that this operation makes.
    pub(crate) fn transaction_id(&self) -> TransactionId {
        match self.member {
            None => self.key.transaction_id(self.books.name()),
            Some(index) => self.key.member_transaction_id(self.books.name(), index),
        }
    }

    /// The account that `account` names.
    pub(crate) fn account(&self, account: &AccountRef) -> Result<&'a Account, Rejection> {
        self.books
            .resolve(account)
            .and_then(|number| self.books.account(number))
            .ok_or_else(|| {
                let named = match account {
                    AccountRef::Name(name) => name.to_string(),
                    AccountRef::Number(number) => format!("#{}", number.0),
                };
                Rejection::new(Code::AccountNotFound).with("account", named)
            })
    }

    /// The transaction of this id, from memory or facts.
    ///
    /// # Panics
    /// When the facts that the decision needs were not loaded or are older than what memory has
    /// let go of: deciding on them could book twice.
    pub(crate) fn find(&self, id: TransactionId) -> Result<Found<'a>, Rejection> {
        if let Some(hold) = self.books.hold(id) {
            return Ok(Found::Open(hold));
        }
        if let Some(transaction) = self.books.remembered(id) {
            return Ok(Found::Ended(Box::new(transaction)));
        }
        let forgotten = self.books.forgotten_through();
        assert!(
            self.facts.through >= forgotten,
            "transaction {id} is decided on facts through record {}, but memory has let go of \
             records through {forgotten}: load facts_needed again",
            self.facts.through
        );
        match self.facts.transactions.get(&id) {
            Some(transaction) if forgotten > 0 => {
                assert!(
                    transaction.status != TransactionStatus::Pending,
                    "the index says that hold {id} is open, and the state does not hold it"
                );
                Ok(Found::Ended(Box::new(transaction.clone())))
            }
            _ => Err(Rejection::new(Code::TransactionNotFound).with("transaction", id)),
        }
    }

    /// The accounts that conditions name exist.
    pub(crate) fn find_condition_accounts(&self) -> Result<(), Rejection> {
        for condition in self.conditions {
            let (Condition::AccountVersion { account, .. } | Condition::Balance { account, .. }) =
                condition;
            self.account(account)?;
        }
        Ok(())
    }

    /// The conditions hold: versions first, then balances, each in the order given.
    pub(crate) fn judge_conditions(&self) -> Result<(), Rejection> {
        for condition in self.conditions {
            if let Condition::AccountVersion { account, version } = condition {
                let account = self.account(account)?;
                if account.version != *version {
                    return Err(Rejection::new(Code::VersionConflict)
                        .with("account", &account.terms.name)
                        .with("expected", version)
                        .with("actual", account.version));
                }
            }
        }
        for condition in self.conditions {
            if let Condition::Balance {
                account,
                kind,
                comparison,
                amount,
            } = condition
            {
                let account = self.account(account)?;
                let actual = account.balance(*kind);
                let (holds, demanded) = match comparison {
                    Comparison::AtLeast => (actual >= *amount, "at_least"),
                    Comparison::AtMost => (actual <= *amount, "at_most"),
                    Comparison::Equal => (actual == *amount, "equal"),
                };
                if !holds {
                    return Err(Rejection::new(Code::BalanceConditionFailed)
                        .with("account", &account.terms.name)
                        .with("balance", kind.as_str())
                        .with("comparison", demanded)
                        .with("demanded", amount)
                        .with("actual", actual));
                }
            }
        }
        Ok(())
    }

    /// `current` after `change`, within the limits of metadata.
    pub(crate) fn change_metadata(
        &self,
        change: &MetadataChange,
        current: &Metadata,
    ) -> Result<Metadata, Rejection> {
        change
            .apply_to(current)
            .map_err(|invalid| Rejection::new(Code::MetadataTooLarge).with("problem", invalid))
    }

    /// The business time asked for, or the engine's.
    pub(crate) fn effective_at(&self, asked: Option<Timestamp>) -> Timestamp {
        asked.unwrap_or(self.at.recorded_at)
    }

    /// The books are open at `effective_at`.
    pub(crate) fn judge_period(&self, effective_at: Timestamp) -> Result<(), Rejection> {
        match self.books.closed_through() {
            Some(closed) if effective_at < closed => Err(Rejection::new(Code::PeriodClosed)
                .with("effective_at", effective_at)
                .with("closed_through", closed)),
            _ => Ok(()),
        }
    }
}
