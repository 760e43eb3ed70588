//! Balances made from postings alone, apart from `evolve`: a second opinion.
//!
//! It knows nothing of limits, numbers of accounts or rules. It adds up what postings move and
//! what open holds reserve, and holds every resulting balance of the log against that.

use std::collections::{BTreeMap, HashMap};

use ledger_core::account::{AccountNumber, Totals};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::{Event, ResultingBalance};
use ledger_core::key::TransactionId;
use ledger_core::transaction::{Transaction, TransactionStatus};

/// A ledger's balances.
#[derive(Debug, Default)]
pub(super) struct Books {
    totals: HashMap<AccountNumber, Totals>,
    /// What each posting of each open hold still reserves.
    reserved: HashMap<TransactionId, Vec<Amount>>,
}

impl Books {
    /// Books `event`; gives the number of balances that were compared.
    pub(super) fn book(&mut self, event: &Event) -> Result<u64, String> {
        match event {
            Event::TransactionCreated(made) => {
                match made.transaction.status {
                    TransactionStatus::Posted => self.post(&made.transaction)?,
                    _ => self.reserve(&made.transaction)?,
                }
                self.compare(&made.balances)
            }
            Event::TransactionCaptured(captured) => {
                self.post(&captured.capture)?;
                self.reserve(&captured.hold)?;
                self.compare(&captured.balances)
            }
            Event::TransactionReleased(released) => {
                self.reserve(&released.hold)?;
                self.compare(&released.balances)
            }
            Event::TransactionReversed(reversed) => {
                self.post(&reversed.reversal)?;
                self.compare(&reversed.balances)
            }
            Event::Atomic(members) => {
                let mut compared = 0;
                for member in members {
                    compared += self.book(member)?;
                }
                Ok(compared)
            }
            Event::LedgerCreated(_)
            | Event::LedgerUpdated(_)
            | Event::AccountOpened(_)
            | Event::AccountUpdated(_)
            | Event::AccountStatusChanged(_)
            | Event::TransactionUpdated(_)
            | Event::BooksChanged(_) => Ok(0),
        }
    }

    /// The totals of `account` by postings.
    pub(super) fn totals(&self, account: AccountNumber) -> Totals {
        self.totals.get(&account).copied().unwrap_or_default()
    }

    fn post(&mut self, transaction: &Transaction) -> Result<(), String> {
        for posting in &transaction.postings {
            add(
                &mut self.totals.entry(posting.debit).or_default().debits_posted,
                posting.amount,
            )?;
            add(
                &mut self
                    .totals
                    .entry(posting.credit)
                    .or_default()
                    .credits_posted,
                posting.amount,
            )?;
        }
        Ok(())
    }

    /// Lets `hold` reserve what it has left now, instead of what it had before.
    fn reserve(&mut self, hold: &Transaction) -> Result<(), String> {
        let before = self.reserved.remove(&hold.id).unwrap_or_default();
        for (index, posting) in hold.postings.iter().enumerate() {
            let had = before.get(index).copied().unwrap_or_default();
            let left = left_of(hold, index);
            let debit = self.totals.entry(posting.debit).or_default();
            sub(&mut debit.debits_pending, had)?;
            add(&mut debit.debits_pending, left)?;
            let credit = self.totals.entry(posting.credit).or_default();
            sub(&mut credit.credits_pending, had)?;
            add(&mut credit.credits_pending, left)?;
        }
        if hold.status == TransactionStatus::Pending {
            let left = (0..hold.postings.len()).map(|index| left_of(hold, index));
            self.reserved.insert(hold.id, left.collect());
        }
        Ok(())
    }

    fn compare(&self, balances: &[ResultingBalance]) -> Result<u64, String> {
        for balance in balances {
            let totals = self.totals(balance.account);
            if totals != balance.totals {
                return Err(format!(
                    "it says that account {} has {} after it; the postings add up to {}",
                    balance.account.0,
                    said(&balance.totals),
                    said(&totals)
                ));
            }
        }
        Ok(balances.len() as u64)
    }
}

fn left_of(hold: &Transaction, index: usize) -> Amount {
    if hold.status != TransactionStatus::Pending {
        return Amount::ZERO;
    }
    // More may be captured than was held; nothing is reserved then.
    let posting = hold.postings[index];
    posting
        .amount
        .checked_sub(hold.progress_of(index).captured)
        .unwrap_or_default()
}

fn add(total: &mut Amount, amount: Amount) -> Result<(), String> {
    *total = total.checked_add(amount).ok_or("a total overflows")?;
    Ok(())
}

fn sub(total: &mut Amount, amount: Amount) -> Result<(), String> {
    *total = total
        .checked_sub(amount)
        .ok_or("a hold gives back more than is reserved")?;
    Ok(())
}

/// Totals in words.
pub(super) fn said(totals: &Totals) -> String {
    format!(
        "debits {} and credits {} posted, debits {} and credits {} pending",
        totals.debits_posted, totals.credits_posted, totals.debits_pending, totals.credits_pending
    )
}

/// Sums by asset, to be held against each other. Wider than any total, since those of many
/// accounts are added up.
#[derive(Debug, Default)]
pub(super) struct Sums {
    by_asset: BTreeMap<Asset, [Wide; 4]>,
}

/// A sum of up to 2^64 amounts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Wide {
    high: u64,
    low: u128,
}

impl Wide {
    fn add(&mut self, amount: Amount) {
        let (low, carry) = self.low.overflowing_add(amount.minor_units());
        self.low = low;
        self.high += u64::from(carry);
    }
}

impl Sums {
    pub(super) fn add(&mut self, asset: Asset, totals: &Totals) {
        let sums = self.by_asset.entry(asset).or_default();
        let columns = [
            totals.debits_posted,
            totals.credits_posted,
            totals.debits_pending,
            totals.credits_pending,
        ];
        for (sum, amount) in sums.iter_mut().zip(columns) {
            sum.add(amount);
        }
    }

    /// Assets whose debits are not their credits.
    pub(super) fn unbalanced(&self) -> impl Iterator<Item = String> {
        let differ = self.by_asset.iter().filter(|(_, sums)| {
            let [debits, credits, pending_debits, pending_credits] = sums;
            debits != credits || pending_debits != pending_credits
        });
        differ.map(|(asset, _)| format!("debits and credits of {asset} differ"))
    }

    pub(super) fn len(&self) -> u64 {
        self.by_asset.len() as u64
    }
}
