//! A ledger's state to its image and back. Whatever can be checked of an image is checked: a
//! damaged snapshot must not become a state that decides.

use std::collections::BTreeMap;

use crate::account::{Account, AccountNumber, AccountStatus, Totals};
use crate::amount::Amount;
use crate::asset::Asset;
use crate::invalid::Invalid;
use crate::ledger::holds::{Hold, accounts_of};
use crate::ledger::memory::Memory;
use crate::ledger::velocity::Counter;
use crate::ledger::view::{Books, BooksMut};
use crate::ledger::{AccountImage, HoldImage, LedgerImage, LedgerState};
use crate::transaction::{Transaction, TransactionKind, TransactionStatus};

impl LedgerState {
    /// Everything that the state holds, for a snapshot.
    pub fn to_image(&self) -> LedgerImage {
        let image_of = |(account, counters): (&Account, &Vec<Counter>)| AccountImage {
            account: account.clone(),
            velocity: counters.iter().map(|c| c.buckets().to_vec()).collect(),
        };
        LedgerImage {
            name: self.name.clone(),
            terms: self.terms.clone(),
            created_at: self.created_at,
            closed_through: self.closed_through,
            accounts: (self.accounts.iter().zip(&self.velocity))
                .map(image_of)
                .collect(),
            holds: self
                .holds
                .all()
                .map(|hold| HoldImage {
                    hold: hold.transaction.clone(),
                    made: hold.made,
                })
                .collect(),
            keys: self.memory.keys(),
            transactions: self.memory.transactions(),
            forgotten_through: self.memory.forgotten_through(),
            forgotten_stamp: self.memory.forgotten_stamp(),
        }
    }

    /// The state that `image` was made of.
    ///
    /// # Errors
    /// [`Invalid`] says what contradicts itself: the snapshot is damaged.
    pub fn from_image(image: LedgerImage, hash_seed: u64) -> Result<Self, Invalid> {
        let name = image.name;
        let damaged = |what: Invalid| Invalid::new(format!("the image of ledger {name}: {what}"));
        let mut state = Self::new(name.clone(), hash_seed);
        if image.terms.is_none()
            && (image.created_at.is_some()
                || image.closed_through.is_some()
                || !image.accounts.is_empty())
        {
            return Err(damaged(Invalid::new("it has a past but was not created")));
        }
        if image.terms.is_some() && image.created_at.is_none() {
            return Err(damaged(Invalid::new("it was created at no time")));
        }
        state.terms = image.terms;
        state.created_at = image.created_at;
        state.closed_through = image.closed_through;
        for account in image.accounts {
            state.restore_account(account).map_err(damaged)?;
        }
        let mut expected = BTreeMap::new();
        for HoldImage { hold, made } in image.holds {
            state
                .check_hold(&hold, &mut expected)
                .map_err(|what| damaged(Invalid::new(format!("hold {}: {what}", hold.id))))?;
            state.holds.put(Hold {
                transaction: hold,
                made,
            });
        }
        state.check_books(&expected).map_err(damaged)?;
        for (transaction, _) in &image.transactions {
            state.check_ended(transaction).map_err(damaged)?;
        }
        state.memory = Memory::restore(
            hash_seed,
            image.keys,
            image.transactions,
            image.forgotten_through,
            image.forgotten_stamp,
        )
        .map_err(damaged)?;
        Ok(state)
    }

    fn restore_account(&mut self, image: AccountImage) -> Result<(), Invalid> {
        let AccountImage { account, velocity } = image;
        let said = |what: &str| {
            Invalid::new(format!(
                "account #{} ({}) {what}",
                account.number.0, account.terms.name
            ))
        };
        if account.number.0 as usize != self.accounts.len() + 1 {
            return Err(said("is out of order"));
        }
        if self.number_of(&account.terms.name).is_some() {
            return Err(said("has a name that is taken"));
        }
        let asset = account.terms.asset;
        if self
            .exponent_of(asset.code())
            .is_some_and(|known| known != asset.exponent())
        {
            return Err(said("has an asset with another exponent"));
        }
        if account.status == AccountStatus::Closed
            && (!account.totals.is_settled() || account.open_holds > 0)
        {
            return Err(said("is closed with a balance or holds"));
        }
        if velocity.len() != account.terms.limits.velocity.len() {
            return Err(said("has other velocity counters than limits"));
        }
        let velocity = velocity
            .into_iter()
            .map(Counter::from_buckets)
            .collect::<Option<Vec<Counter>>>()
            .ok_or_else(|| said("has velocity buckets out of order"))?;
        self.add_account(account, velocity);
        Ok(())
    }

    /// Checks that `hold` is an open one of known accounts, and adds up what it reserves.
    fn check_hold(
        &self,
        hold: &Transaction,
        expected: &mut BTreeMap<AccountNumber, Reserving>,
    ) -> Result<(), Invalid> {
        if hold.status != TransactionStatus::Pending || hold.hold_terms().is_none() {
            return Err(Invalid::new("is not an open hold"));
        }
        if self.holds.get(hold.id).is_some() {
            return Err(Invalid::new("stands there twice"));
        }
        for number in accounts_of(hold) {
            expected.entry(number).or_default().holds += 1;
        }
        for (index, posting) in hold.postings.iter().enumerate() {
            let left = hold.remaining(index);
            let add = |sum: &mut Amount| -> Result<(), Invalid> {
                *sum = sum
                    .checked_add(left)
                    .ok_or_else(|| Invalid::new("reserves too much"))?;
                Ok(())
            };
            add(&mut expected.entry(posting.debit).or_default().debits)?;
            add(&mut expected.entry(posting.credit).or_default().credits)?;
        }
        Ok(())
    }

    /// Checks that accounts reserve what holds say, and that debits equal credits per asset.
    fn check_books(&self, expected: &BTreeMap<AccountNumber, Reserving>) -> Result<(), Invalid> {
        if let Some(number) = expected
            .keys()
            .find(|n| Books::account(self, **n).is_none())
        {
            return Err(Invalid::new(format!(
                "a hold names account #{}, which is not there",
                number.0
            )));
        }
        // Sums of differences, for sums of totals can pass any integer.
        let mut sums: BTreeMap<Asset, (i128, i128)> = BTreeMap::new();
        for account in &self.accounts {
            let Totals {
                debits_posted,
                credits_posted,
                debits_pending,
                credits_pending,
            } = account.totals;
            let reserving = expected.get(&account.number).copied().unwrap_or_default();
            if (debits_pending, credits_pending, account.open_holds)
                != (reserving.debits, reserving.credits, reserving.holds)
            {
                return Err(Invalid::new(format!(
                    "account #{} does not reserve what its open holds say",
                    account.number.0
                )));
            }
            let (posted, pending) = sums.entry(account.terms.asset).or_default();
            *posted = posted.wrapping_add(debits_posted.signed_sub(credits_posted));
            *pending = pending.wrapping_add(debits_pending.signed_sub(credits_pending));
        }
        match sums.into_iter().find(|(_, sums)| *sums != (0, 0)) {
            Some((asset, _)) => Err(Invalid::new(format!(
                "debits and credits of {asset} are not equal"
            ))),
            None => Ok(()),
        }
    }

    fn check_ended(&self, transaction: &Transaction) -> Result<(), Invalid> {
        let is_hold = matches!(transaction.kind, TransactionKind::Hold(_));
        let known = transaction
            .postings
            .iter()
            .flat_map(|posting| [posting.debit, posting.credit])
            .all(|number| Books::account(self, number).is_some());
        if transaction.status == TransactionStatus::Pending
            || self.holds.get(transaction.id).is_some()
            || !is_hold && transaction.status != TransactionStatus::Posted
            || !known
        {
            return Err(Invalid::new(format!(
                "transaction {} has not ended, or is none of this ledger",
                transaction.id
            )));
        }
        Ok(())
    }
}

/// What the open holds on an account reserve.
#[derive(Debug, Clone, Copy, Default)]
struct Reserving {
    debits: Amount,
    credits: Amount,
    holds: u32,
}
