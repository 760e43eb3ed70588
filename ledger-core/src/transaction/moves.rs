//! What a transaction does to the totals of its accounts: one arithmetic for deciding and for
//! replay.

use std::collections::BTreeMap;

use crate::account::{Account, AccountNumber, Column, NormalSide, Totals};
use crate::amount::Amount;
use crate::asset::Asset;
use crate::event::{ResultingBalance, ResultingBalances};
use crate::ledger::view::Books;
use crate::transaction::{Posting, Transaction, TransactionStatus};

/// Why totals cannot move so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unmovable {
    #[error("account #{} was never opened", .0.0)]
    NoAccount(AccountNumber),
    #[error("a total of account #{} would pass i128::MAX", .0.0)]
    Overflow(AccountNumber),
    #[error("account #{} has less pending than is released", .0.0)]
    NothingPending(AccountNumber),
    #[error("accounts #{} and #{} have different assets", .0.0, .1.0)]
    Assets(AccountNumber, AccountNumber),
    #[error("a capture names posting {0}, which its hold has not")]
    NoSource(u32),
}

/// One account that is moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    pub(crate) number: AccountNumber,
    pub(crate) asset: Asset,
    pub(crate) side: NormalSide,
    /// Its version before.
    pub(crate) version: u64,
    pub(crate) before: Totals,
    pub(crate) after: Totals,
    /// New debits, gross: what per-transaction and velocity limits judge.
    pub(crate) debited: Amount,
    /// New credits, gross.
    pub(crate) credited: Amount,
}

impl Moved {
    fn of(account: &Account) -> Self {
        Self {
            number: account.number,
            asset: account.terms.asset,
            side: account.normal_side(),
            version: account.version,
            before: account.totals,
            after: account.totals,
            debited: Amount::ZERO,
            credited: Amount::ZERO,
        }
    }

    /// Adds to `column`. Posted and pending together stay within the largest amount, so that
    /// no capture and no balance can pass it later.
    fn add(&mut self, column: Column, stage: Stage, amount: Amount) -> Result<(), Unmovable> {
        let (posted, pending) = self.after.column_mut(column);
        let sum = match stage {
            Stage::Posted => &mut *posted,
            Stage::Pending => &mut *pending,
        };
        *sum = sum
            .checked_add(amount)
            .ok_or(Unmovable::Overflow(self.number))?;
        posted
            .checked_add(*pending)
            .map(drop)
            .ok_or(Unmovable::Overflow(self.number))
    }

    fn release(&mut self, column: Column, amount: Amount) -> Result<(), Unmovable> {
        let (_, pending) = self.after.column_mut(column);
        *pending = pending
            .checked_sub(amount)
            .ok_or(Unmovable::NothingPending(self.number))?;
        Ok(())
    }

    /// Counts `amount` as new flow. Flow is part of the column's sum, which was checked.
    fn flows(&mut self, column: Column, amount: Amount) -> Result<(), Unmovable> {
        let gross = match column {
            Column::Debits => &mut self.debited,
            Column::Credits => &mut self.credited,
        };
        *gross = gross
            .checked_add(amount)
            .ok_or(Unmovable::Overflow(self.number))?;
        Ok(())
    }
}

/// Whether postings count at once or are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Posted,
    Pending,
}

impl Stage {
    /// The stage of the postings of a new transaction.
    pub(crate) fn of(transaction: &Transaction) -> Self {
        match transaction.status {
            TransactionStatus::Pending => Self::Pending,
            _ => Self::Posted,
        }
    }
}

/// The accounts that one event moves, in the order in which they were touched.
#[derive(Debug)]
pub(crate) struct Moves {
    list: Vec<Moved>,
    /// Places in the list by account, once it is too long to be searched through.
    places: BTreeMap<AccountNumber, usize>,
}

/// Accounts that are found by looking through the list.
const SEARCHED_MAX: usize = 16;

fn sides(posting: &Posting) -> [(AccountNumber, Column); 2] {
    [
        (posting.debit, Column::Debits),
        (posting.credit, Column::Credits),
    ]
}

impl Moves {
    /// Room for the accounts of `postings` postings.
    pub(crate) fn new(postings: usize) -> Self {
        Self {
            list: Vec::with_capacity((postings * 2).min(SEARCHED_MAX)),
            places: BTreeMap::new(),
        }
    }

    pub(crate) fn list(&self) -> &[Moved] {
        &self.list
    }

    fn place_of(&self, number: AccountNumber) -> Option<usize> {
        if self.list.len() > SEARCHED_MAX {
            self.places.get(&number).copied()
        } else {
            self.list.iter().position(|moved| moved.number == number)
        }
    }

    /// The account's entry, made now where it was not touched yet.
    pub(crate) fn entry(
        &mut self,
        books: &impl Books,
        number: AccountNumber,
    ) -> Result<&mut Moved, Unmovable> {
        let place = match self.place_of(number) {
            Some(place) => place,
            None => {
                let account = books.account(number).ok_or(Unmovable::NoAccount(number))?;
                let place = self.list.len();
                self.list.push(Moved::of(account));
                if place == SEARCHED_MAX {
                    self.places = (self.list.iter().enumerate())
                        .map(|(place, moved)| (moved.number, place))
                        .collect();
                } else if place > SEARCHED_MAX {
                    self.places.insert(number, place);
                }
                place
            }
        };
        Ok(&mut self.list[place])
    }

    /// Adds `posting`; `new_flow` of it is counted as gross flow.
    fn posting(
        &mut self,
        books: &impl Books,
        posting: &Posting,
        stage: Stage,
        new_flow: Amount,
    ) -> Result<(), Unmovable> {
        let mut assets = [None; 2];
        for ((number, column), asset) in sides(posting).into_iter().zip(&mut assets) {
            let moved = self.entry(books, number)?;
            moved.add(column, stage, posting.amount)?;
            moved.flows(column, new_flow)?;
            *asset = Some(moved.asset);
        }
        if assets[0] != assets[1] {
            return Err(Unmovable::Assets(posting.debit, posting.credit));
        }
        Ok(())
    }

    /// Adds a posting of a created transaction or hold.
    pub(crate) fn create(
        &mut self,
        books: &impl Books,
        posting: &Posting,
        stage: Stage,
    ) -> Result<(), Unmovable> {
        self.posting(books, posting, stage, posting.amount)
    }

    /// Adds a posting of a reversal, which is no new flow.
    pub(crate) fn reverse(
        &mut self,
        books: &impl Books,
        posting: &Posting,
    ) -> Result<(), Unmovable> {
        self.posting(books, posting, Stage::Posted, Amount::ZERO)
    }

    /// Moves what `capture` takes from the hold, which was `before` and is `after`. Only what is
    /// taken over the hold is new flow.
    pub(crate) fn capture(
        &mut self,
        books: &impl Books,
        before: &Transaction,
        capture: &Transaction,
        after: &Transaction,
    ) -> Result<(), Unmovable> {
        for (posting, source) in capture.postings.iter().zip(&capture.sources) {
            if *source as usize >= before.postings.len() {
                return Err(Unmovable::NoSource(*source));
            }
            let reserved = posting.amount.min(before.remaining(*source as usize));
            for (number, column) in sides(posting) {
                self.entry(books, number)?.release(column, reserved)?;
            }
            let excess = posting.amount.checked_sub(reserved).unwrap_or_default();
            self.posting(books, posting, Stage::Posted, excess)?;
        }
        if after.status != TransactionStatus::Pending {
            self.release(books, after)?;
        }
        Ok(())
    }

    /// Gives back what `hold` still reserves, and touches all of its accounts: each has one open
    /// hold less.
    pub(crate) fn release(
        &mut self,
        books: &impl Books,
        hold: &Transaction,
    ) -> Result<(), Unmovable> {
        for (index, posting) in hold.postings.iter().enumerate() {
            let left = hold.remaining(index);
            for (number, column) in sides(posting) {
                self.entry(books, number)?.release(column, left)?;
            }
        }
        Ok(())
    }

    /// The accounts after it, sorted by number.
    pub(crate) fn balances(&self) -> ResultingBalances {
        let mut balances: ResultingBalances = self
            .list
            .iter()
            .map(|moved| ResultingBalance {
                account: moved.number,
                version: moved.version + 1,
                totals: moved.after,
            })
            .collect();
        balances.sort_unstable_by_key(|balance| balance.account);
        balances
    }
}
