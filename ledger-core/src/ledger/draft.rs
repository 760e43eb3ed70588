//! The state of a ledger as it would stand after the first members of an atomic batch. Only what
//! they touched is copied; the state itself never changes.

use std::collections::BTreeMap;

use crate::account::{Account, AccountNumber};
use crate::event::LedgerTerms;
use crate::key::TransactionId;
use crate::ledger::LedgerState;
use crate::ledger::holds::{Hold, accounts_of};
use crate::ledger::velocity::Counter;
use crate::ledger::view::{Books, BooksMut};
use crate::name::{AccountName, LedgerName};
use crate::time::{Moment, Timestamp};
use crate::transaction::Transaction;

/// See the module.
pub(super) struct Draft<'a> {
    state: &'a LedgerState,
    terms: Option<LedgerTerms>,
    closed_through: Option<Option<Timestamp>>,
    /// Accounts that were opened or touched.
    accounts: BTreeMap<AccountNumber, (Account, Vec<Counter>)>,
    opened: BTreeMap<AccountName, AccountNumber>,
    exponents: BTreeMap<Box<str>, u8>,
    /// Holds that were opened or touched; `None` where ended.
    holds: BTreeMap<TransactionId, Option<Hold>>,
    touched: BTreeMap<TransactionId, Transaction>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(state: &'a LedgerState) -> Self {
        Self {
            state,
            terms: None,
            closed_through: None,
            accounts: BTreeMap::new(),
            opened: BTreeMap::new(),
            exponents: BTreeMap::new(),
            holds: BTreeMap::new(),
            touched: BTreeMap::new(),
        }
    }
}

impl Books for Draft<'_> {
    fn name(&self) -> &LedgerName {
        self.state.name()
    }
    fn terms(&self) -> Option<&LedgerTerms> {
        self.terms.as_ref().or(self.state.terms())
    }
    fn closed_through(&self) -> Option<Timestamp> {
        self.closed_through.unwrap_or(self.state.closed_through())
    }
    fn account_count(&self) -> usize {
        self.state.account_count() + self.opened.len()
    }
    fn number_of(&self, name: &AccountName) -> Option<AccountNumber> {
        (self.opened.get(name).copied()).or_else(|| self.state.number_of(name))
    }
    fn account(&self, number: AccountNumber) -> Option<&Account> {
        match self.accounts.get(&number) {
            Some((account, _)) => Some(account),
            None => Books::account(self.state, number),
        }
    }
    fn velocity(&self, number: AccountNumber) -> &[Counter] {
        match self.accounts.get(&number) {
            Some((_, velocity)) => velocity,
            None => self.state.velocity(number),
        }
    }
    fn exponent_of(&self, code: &str) -> Option<u8> {
        (self.exponents.get(code).copied()).or_else(|| self.state.exponent_of(code))
    }
    fn hold(&self, id: TransactionId) -> Option<&Hold> {
        match self.holds.get(&id) {
            Some(hold) => hold.as_ref(),
            None => self.state.hold(id),
        }
    }
    fn holds_of(&self, number: AccountNumber) -> Vec<&Hold> {
        let mut holds = self.state.holds_of(number);
        holds.retain(|hold| !self.holds.contains_key(&hold.transaction.id));
        let here = |hold: &&Hold| accounts_of(&hold.transaction).contains(&number);
        holds.extend(self.holds.values().flatten().filter(here));
        holds.sort_by_key(|hold| hold.transaction.id);
        holds
    }
    fn remembered(&self, id: TransactionId) -> Option<Transaction> {
        (self.touched.get(&id).cloned()).or_else(|| Books::remembered(self.state, id))
    }
    fn forgotten_through(&self) -> u64 {
        self.state.forgotten_through()
    }
}

impl BooksMut for Draft<'_> {
    fn set_terms(&mut self, terms: LedgerTerms) {
        self.terms = Some(terms);
    }
    fn set_created_at(&mut self, _at: Timestamp) {
        unreachable!("a ledger is never created inside of an atomic batch: Command::check");
    }
    fn set_closed_through(&mut self, through: Option<Timestamp>, version: u64) {
        self.closed_through = Some(through);
        if let Some(mut terms) = Books::terms(self).cloned() {
            terms.version = version;
            self.terms = Some(terms);
        }
    }
    fn add_account(&mut self, account: Account, velocity: Vec<Counter>) {
        let asset = account.terms.asset;
        self.exponents.insert(asset.code().into(), asset.exponent());
        self.opened
            .insert(account.terms.name.clone(), account.number);
        self.accounts.insert(account.number, (account, velocity));
    }
    fn account_mut(&mut self, number: AccountNumber) -> Option<(&mut Account, &mut Vec<Counter>)> {
        if !self.accounts.contains_key(&number) {
            let account = Books::account(self.state, number)?.clone();
            let velocity = self.state.velocity(number).to_vec();
            self.accounts.insert(number, (account, velocity));
        }
        let (account, velocity) = self.accounts.get_mut(&number)?;
        Some((account, velocity))
    }
    fn open_hold(&mut self, transaction: &Transaction, made: Moment) {
        let hold = Hold {
            transaction: transaction.clone(),
            made,
        };
        self.holds.insert(transaction.id, Some(hold));
    }
    fn update_hold(&mut self, transaction: &Transaction) {
        if let Some(made) = self.hold(transaction.id).map(|hold| hold.made) {
            self.open_hold(transaction, made);
        }
    }
    fn end_hold(&mut self, id: TransactionId) {
        self.holds.insert(id, None);
    }
    fn touch(&mut self, transaction: &Transaction) {
        self.touched.insert(transaction.id, transaction.clone());
    }
}
