//! The state of one ledger: the aggregate that decides and evolves.

mod image;

pub use image::{AccountImage, HoldImage, LedgerImage};

use crate::account::{Account, AccountNumber};
use crate::command::{AccountRef, Command, Operation};
use crate::event::{Event, LedgerTerms};
use crate::facts::{Facts, FactsNeeded, KeyEntry, RequestHash};
use crate::key::{IdempotencyKey, TransactionId};
use crate::name::LedgerName;
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
}

#[allow(unused_variables)]
impl LedgerState {
    /// A ledger that was not created yet: `decide` accepts `CreateLedger` alone. `hash_seed`
    /// keeps users from choosing names that collide in memory; it changes no outcome.
    pub fn new(name: LedgerName, hash_seed: u64) -> Self {
        Self { name }
    }
    /// The ledger's name.
    pub fn name(&self) -> &LedgerName {
        &self.name
    }
    /// Its terms, once it was created.
    pub fn terms(&self) -> Option<&LedgerTerms> {
        unimplemented!()
    }
    /// When it was created.
    pub fn created_at(&self) -> Option<Timestamp> {
        unimplemented!()
    }
    /// Effective times before this are refused.
    pub fn closed_through(&self) -> Option<Timestamp> {
        unimplemented!()
    }
    /// Looks `account` up.
    pub fn account(&self, account: &AccountRef) -> Option<&Account> {
        unimplemented!()
    }
    /// All accounts by number: index 0 is number 1.
    pub fn accounts(&self) -> &[Account] {
        unimplemented!()
    }
    /// The open hold of this id.
    pub fn open_hold(&self, id: TransactionId) -> Option<&Transaction> {
        unimplemented!()
    }
    /// Open holds in order of id.
    pub fn open_holds(&self) -> Vec<&Transaction> {
        unimplemented!()
    }
    /// Open holds that touch `account`, in order of id.
    pub fn open_holds_of(&self, account: AccountNumber) -> Vec<&Transaction> {
        unimplemented!()
    }
    /// The hold that is due first (by `expires_at`, then id), where its time has come.
    pub fn due_hold(&self, at: Timestamp) -> Option<TransactionId> {
        unimplemented!()
    }
    /// When the next hold expires, for a timer.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        unimplemented!()
    }
    /// What must be loaded before `operation` under `key` can be decided.
    pub fn facts_needed(&self, key: &IdempotencyKey, operation: &Operation) -> FactsNeeded {
        unimplemented!()
    }
    /// What `key` stands for.
    pub fn lookup_key(
        &self,
        key: &IdempotencyKey,
        request_hash: &RequestHash,
        facts: &Facts,
    ) -> KeyLookup {
        unimplemented!()
    }
    /// What `command` gives on this state. Never changes state; `lookup_key` said `New` before.
    ///
    /// # Errors
    /// The [`Rejection`] of the first rule that says no, in the order of [`crate::rejection::Code`].
    pub fn decide(&self, command: &Command, facts: &Facts, at: Moment) -> Result<Event, Rejection> {
        unimplemented!()
    }
    /// Moves the state by what happened.
    ///
    /// # Panics
    /// When the event cannot follow this state (a broken invariant: the shard must stop).
    pub fn evolve(&mut self, event: &Event, at: Moment) {
        unimplemented!()
    }
    /// Remembers that `key` was decided by the record of `entry.sequence`, be it event or rejection.
    pub fn remember_key(&mut self, key: IdempotencyKey, entry: KeyEntry) {
        unimplemented!()
    }
    /// Lets go of keys and ended transactions of records up to shard sequence `through`, which
    /// the on-disk index has safely passed.
    pub fn forget_through(&mut self, through: u64) {
        unimplemented!()
    }
    /// Every record up to this shard sequence may have left memory.
    pub fn forgotten_through(&self) -> u64 {
        unimplemented!()
    }
    /// Records whose keys are in memory.
    pub fn remembered(&self) -> usize {
        unimplemented!()
    }
    /// Everything that the state holds, for a snapshot.
    pub fn to_image(&self) -> LedgerImage {
        unimplemented!()
    }
    /// The state that `image` was made of.
    ///
    /// # Errors
    /// [`crate::invalid::Invalid`] says what contradicts itself: the snapshot is damaged.
    pub fn from_image(image: LedgerImage, hash_seed: u64) -> Result<Self, crate::invalid::Invalid> {
        unimplemented!()
    }
}
