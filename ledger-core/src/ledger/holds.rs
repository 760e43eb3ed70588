//! Open holds: by id, by when they expire, and by the accounts that they touch.

use std::collections::{BTreeMap, BTreeSet};

use crate::account::AccountNumber;
use crate::amount::Amount;
use crate::key::TransactionId;
use crate::ledger::velocity::Reserved;
use crate::time::{Moment, Timestamp};
use crate::transaction::Transaction;

/// An open hold, and when it was made, which says the velocity buckets that count it.
#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) transaction: Transaction,
    pub(crate) made: Moment,
}

impl Hold {
    /// When it expires by itself.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.transaction
            .hold_terms()
            .and_then(|terms| terms.expires_at)
    }
}

/// What a hold still reserves on `account`.
pub(crate) fn reserved_on(hold: &Transaction, made: Moment, account: AccountNumber) -> Reserved {
    let mut reserved = Reserved {
        made,
        debits: Amount::ZERO,
        credits: Amount::ZERO,
    };
    for (index, posting) in hold.postings.iter().enumerate() {
        let left = hold.remaining(index);
        for (side, sum) in [
            (posting.debit, &mut reserved.debits),
            (posting.credit, &mut reserved.credits),
        ] {
            if side == account {
                *sum = sum.checked_add(left).unwrap_or(Amount::MAX);
            }
        }
    }
    reserved
}

/// The accounts of `transaction`, once each, in order.
pub(crate) fn accounts_of(transaction: &Transaction) -> Vec<AccountNumber> {
    let mut numbers: Vec<AccountNumber> = transaction
        .postings
        .iter()
        .flat_map(|posting| [posting.debit, posting.credit])
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The open holds of a ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holds {
    by_id: BTreeMap<TransactionId, Hold>,
    by_expiry: BTreeSet<(Timestamp, TransactionId)>,
    by_account: BTreeSet<(AccountNumber, TransactionId)>,
}

impl Holds {
    pub(crate) fn get(&self, id: TransactionId) -> Option<&Hold> {
        self.by_id.get(&id)
    }

    /// In order of id.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Hold> {
        self.by_id.values()
    }

    /// Those that touch `account`, in order of id.
    pub(crate) fn of(&self, account: AccountNumber) -> impl Iterator<Item = &Hold> {
        let from = (account, TransactionId(0));
        let to = (account, TransactionId(u128::MAX));
        self.by_account.range(from..=to).map(|(_, id)| {
            self.by_id
                .get(id)
                .expect("by_account names open holds only: put and take keep them together")
        })
    }

    /// The one that expires first.
    pub(crate) fn next_expiry(&self) -> Option<(Timestamp, TransactionId)> {
        self.by_expiry.first().copied()
    }

    /// Adds `hold`, or puts it in the place of the one with its id: postings and terms of a
    /// hold never change.
    pub(crate) fn put(&mut self, hold: Hold) {
        let id = hold.transaction.id;
        self.by_expiry.extend(hold.expires_at().map(|at| (at, id)));
        self.by_account
            .extend(accounts_of(&hold.transaction).into_iter().map(|n| (n, id)));
        self.by_id.insert(id, hold);
    }

    /// Replaces the transaction of an open hold; its postings and terms are the same.
    pub(crate) fn update(&mut self, transaction: &Transaction) {
        if let Some(hold) = self.by_id.get_mut(&transaction.id) {
            hold.transaction.clone_from(transaction);
        }
    }

    pub(crate) fn take(&mut self, id: TransactionId) -> Option<Hold> {
        let hold = self.by_id.remove(&id)?;
        if let Some(at) = hold.expires_at() {
            self.by_expiry.remove(&(at, id));
        }
        for number in accounts_of(&hold.transaction) {
            self.by_account.remove(&(number, id));
        }
        Some(hold)
    }
}
