//! The state of one ledger: the aggregate that decides and evolves.

pub(crate) mod books;
pub(crate) mod case;
mod decide;
mod draft;
mod evolve;
pub(crate) mod holds;
mod image;
pub(crate) mod index;
mod memory;
mod restore;
mod settle;
pub(crate) mod terms;
pub(crate) mod velocity;
pub(crate) mod view;

pub use evolve::Inconsistent;
pub use image::{AccountImage, HoldImage, LedgerImage};

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use self::holds::{Hold, Holds};
use self::index::Index;
use self::memory::Memory;
use self::velocity::Counter;
use self::view::{Books, BooksMut};
use crate::account::{Account, AccountNumber};
use crate::command::{AccountRef, Command, Operation};
use crate::event::{Event, LedgerTerms};
use crate::facts::{Facts, FactsNeeded, KeyEntry, RequestHash};
use crate::key::{IdempotencyKey, TransactionId};
use crate::name::{AccountName, LedgerName};
use crate::rejection::Rejection;
use crate::time::{Moment, Timestamp};
use crate::transaction::Transaction;

/// What a key stands for, as far as memory and the loaded facts can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLookup {
    /// Never used: decide the command.
    New,
    /// The same request was decided by the record of this shard sequence: give its outcome again.
    Repeated(u64),
    /// Another request was decided under this key: `IDEMPOTENCY_KEY_REUSED`, not recorded.
    Reused,
    /// Memory cannot tell: load [`FactsNeeded::key`] first.
    Unknown,
}

/// The state of one ledger. Holds accounts, open holds, velocity counters, and the keys and
/// transactions of the records that the on-disk index has not safely passed yet.
#[derive(Debug, Clone)]
pub struct LedgerState {
    name: LedgerName,
    terms: Option<LedgerTerms>,
    created_at: Option<Timestamp>,
    closed_through: Option<Timestamp>,
    /// By number: index 0 is number 1.
    accounts: Vec<Account>,
    /// Beside `accounts`: most have no velocity limit.
    velocity: Vec<Vec<Counter>>,
    /// Numbers by name, which stands in the account.
    numbers: Index,
    hasher: FixedState,
    /// Exponents by asset code, of all accounts.
    exponents: BTreeMap<Box<str>, u8>,
    holds: Holds,
    memory: Memory,
}

impl LedgerState {
    /// A ledger that was not created yet: `decide` accepts `CreateLedger` alone. `hash_seed`
    /// keeps users from choosing names that collide in memory; it changes no outcome.
    pub fn new(name: LedgerName, hash_seed: u64) -> Self {
        Self {
            name,
            terms: None,
            created_at: None,
            closed_through: None,
            accounts: Vec::new(),
            velocity: Vec::new(),
            numbers: Index::new(),
            hasher: FixedState::with_seed(hash_seed),
            exponents: BTreeMap::new(),
            holds: Holds::default(),
            memory: Memory::new(hash_seed),
        }
    }

    /// The ledger's name.
    pub fn name(&self) -> &LedgerName {
        &self.name
    }

    /// Its terms, once it was created.
    pub fn terms(&self) -> Option<&LedgerTerms> {
        self.terms.as_ref()
    }

    /// When it was created.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    /// Effective times before this are refused.
    pub fn closed_through(&self) -> Option<Timestamp> {
        self.closed_through
    }

    /// Looks `account` up.
    pub fn account(&self, account: &AccountRef) -> Option<&Account> {
        Books::account(self, self.resolve(account)?)
    }

    /// All accounts by number: index 0 is number 1.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The open hold of this id.
    pub fn open_hold(&self, id: TransactionId) -> Option<&Transaction> {
        self.holds.get(id).map(|hold| &hold.transaction)
    }

    /// Open holds in order of id.
    pub fn open_holds(&self) -> Vec<&Transaction> {
        self.holds.all().map(|hold| &hold.transaction).collect()
    }

    /// Open holds that touch `account`, in order of id.
    pub fn open_holds_of(&self, account: AccountNumber) -> Vec<&Transaction> {
        self.holds
            .of(account)
            .map(|hold| &hold.transaction)
            .collect()
    }

    /// The hold that is due first (by `expires_at`, then id), where its time has come.
    pub fn due_hold(&self, at: Timestamp) -> Option<TransactionId> {
        self.holds
            .next_expiry()
            .and_then(|(expires_at, id)| (expires_at <= at).then_some(id))
    }

    /// When the next hold expires, for a timer.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.holds.next_expiry().map(|(expires_at, _)| expires_at)
    }

    /// A transaction that memory holds: an open hold, or one that a remembered record touched.
    pub fn remembered_transaction(&self, id: TransactionId) -> Option<Transaction> {
        match self.open_hold(id) {
            Some(hold) => Some(hold.clone()),
            None => self.memory.transaction(id),
        }
    }

    /// What must be loaded before `operation` under `key` can be decided. Facts that were loaded
    /// serve as long as their `through` is not before [`Self::forgotten_through`]: ask again
    /// after [`Self::forget_through`].
    pub fn facts_needed(&self, key: &IdempotencyKey, operation: &Operation) -> FactsNeeded {
        let mut needed = FactsNeeded::default();
        if self.forgotten_through() == 0 {
            return needed;
        }
        needed.key = self.memory.needs_key(key).then(|| key.clone());
        needed.transactions = decide::named_transactions(operation);
        needed
            .transactions
            .retain(|id| self.holds.get(*id).is_none() && !self.memory.holds(*id));
        needed.transactions.sort_unstable();
        needed.transactions.dedup();
        needed
    }

    /// What `key` stands for. Memory is asked first, and alone where it suffices; else `facts`,
    /// which must have been loaded for this key.
    pub fn lookup_key(
        &self,
        key: &IdempotencyKey,
        request_hash: &RequestHash,
        facts: &Facts,
    ) -> KeyLookup {
        self.memory.lookup_key(key, request_hash, facts)
    }

    /// What `command` gives on this state. Never changes state; `lookup_key` said `New` before.
    /// The order in which rules are judged stands at the top of `ledger/decide.rs`.
    ///
    /// # Errors
    /// The [`Rejection`] of the first rule that says no, in the order of [`crate::rejection::Code`].
    ///
    /// # Panics
    /// When `facts` are older than what memory has let go of, or contradict it: deciding on them
    /// could book twice.
    pub fn decide(&self, command: &Command, facts: &Facts, at: Moment) -> Result<Event, Rejection> {
        decide::decide(self, command, facts, at)
    }

    /// Moves the state by what happened. [`Self::remember_key`] follows at once.
    ///
    /// # Panics
    /// When the event cannot follow this state (a broken invariant: the shard must stop).
    pub fn evolve(&mut self, event: &Event, at: Moment) {
        if let Err(broken) = self.try_evolve(event, at) {
            panic!("ledger {}: the event cannot follow: {broken}", self.name);
        }
    }

    /// As [`Self::evolve`], for input that may be damaged.
    ///
    /// # Errors
    /// [`Inconsistent`] says what does not follow. The state may have moved in part then, and is
    /// not to be used any more.
    pub fn try_evolve(&mut self, event: &Event, at: Moment) -> Result<(), Inconsistent> {
        if self.memory.awaits_key() {
            return Err(Inconsistent(
                "the key of the event before was not remembered".to_owned(),
            ));
        }
        evolve::apply(self, event, at)
    }

    /// Remembers that `key` was decided by the record of `entry.sequence`, be it event or
    /// rejection; after an event also that the record touched its transactions.
    ///
    /// # Panics
    /// When sequences do not rise, or memory holds the key already.
    pub fn remember_key(&mut self, key: IdempotencyKey, entry: KeyEntry) {
        self.memory.remember(key, entry);
    }

    /// Lets go of keys and ended transactions of records up to shard sequence `through`, which
    /// the on-disk index has safely passed. Takes time by how much is let go of: letting go
    /// often keeps each call short.
    pub fn forget_through(&mut self, through: u64) {
        self.memory.forget_through(through);
    }

    /// Every record up to this shard sequence may have left memory: the last of this ledger's
    /// that did, 0 while none has.
    pub fn forgotten_through(&self) -> u64 {
        self.memory.forgotten_through()
    }

    /// Bytes, about, of the transactions in memory that take more than a plain transfer, whose
    /// size [`Self::remembered`] says enough of.
    pub fn remembered_bytes(&self) -> u64 {
        self.memory.bytes()
    }

    /// Records whose keys are in memory.
    pub fn remembered(&self) -> usize {
        self.memory.len()
    }
}

impl Books for LedgerState {
    fn name(&self) -> &LedgerName {
        &self.name
    }
    fn terms(&self) -> Option<&LedgerTerms> {
        self.terms.as_ref()
    }
    fn closed_through(&self) -> Option<Timestamp> {
        self.closed_through
    }
    fn account_count(&self) -> usize {
        self.accounts.len()
    }
    fn number_of(&self, name: &AccountName) -> Option<AccountNumber> {
        let is_it = |number| {
            Books::account(self, AccountNumber(number))
                .is_some_and(|account| account.terms.name == *name)
        };
        self.numbers
            .find(self.hasher.hash_one(name), is_it)
            .map(AccountNumber)
    }
    fn account(&self, number: AccountNumber) -> Option<&Account> {
        self.accounts.get((number.0 as usize).checked_sub(1)?)
    }
    fn velocity(&self, number: AccountNumber) -> &[Counter] {
        match (number.0 as usize).checked_sub(1) {
            Some(place) => self.velocity.get(place).map_or(&[], Vec::as_slice),
            None => &[],
        }
    }
    fn exponent_of(&self, code: &str) -> Option<u8> {
        self.exponents.get(code).copied()
    }
    fn hold(&self, id: TransactionId) -> Option<&Hold> {
        self.holds.get(id)
    }
    fn holds_of(&self, number: AccountNumber) -> Vec<&Hold> {
        self.holds.of(number).collect()
    }
    fn remembered(&self, id: TransactionId) -> Option<Transaction> {
        self.memory.transaction(id)
    }
    fn forgotten_through(&self) -> u64 {
        self.memory.forgotten_through()
    }
}

impl BooksMut for LedgerState {
    fn set_terms(&mut self, terms: LedgerTerms) {
        self.terms = Some(terms);
    }
    fn set_created_at(&mut self, at: Timestamp) {
        self.created_at = Some(at);
    }
    fn set_closed_through(&mut self, through: Option<Timestamp>, version: u64) {
        self.closed_through = through;
        if let Some(terms) = &mut self.terms {
            terms.version = version;
        }
    }
    fn add_account(&mut self, account: Account, velocity: Vec<Counter>) {
        let asset = account.terms.asset;
        self.exponents.insert(asset.code().into(), asset.exponent());
        self.numbers
            .insert(self.hasher.hash_one(&account.terms.name), account.number.0);
        self.accounts.push(account);
        self.velocity.push(velocity);
    }
    fn account_mut(&mut self, number: AccountNumber) -> Option<(&mut Account, &mut Vec<Counter>)> {
        let place = (number.0 as usize).checked_sub(1)?;
        self.accounts
            .get_mut(place)
            .zip(self.velocity.get_mut(place))
    }
    fn open_hold(&mut self, transaction: &Transaction, made: Moment) {
        self.holds.put(Hold {
            transaction: transaction.clone(),
            made,
        });
    }
    fn update_hold(&mut self, transaction: &Transaction) {
        self.holds.update(transaction);
    }
    fn end_hold(&mut self, id: TransactionId) {
        self.holds.take(id);
    }
    fn touch(&mut self, transaction: &Transaction) {
        self.memory.touch(transaction);
    }
}
