//! What rules read and events move: the state of a ledger, or the draft of one inside of an
//! atomic batch. Both are decided and moved by the same code.

use crate::account::{Account, AccountNumber};
use crate::command::AccountRef;
use crate::event::LedgerTerms;
use crate::key::TransactionId;
use crate::ledger::holds::Hold;
use crate::ledger::velocity::Counter;
use crate::name::{AccountName, LedgerName};
use crate::time::{Moment, Timestamp};
use crate::transaction::Transaction;

/// What rules read.
pub(crate) trait Books {
    fn name(&self) -> &LedgerName;
    /// `None` before the ledger was created.
    fn terms(&self) -> Option<&LedgerTerms>;
    fn closed_through(&self) -> Option<Timestamp>;
    fn account_count(&self) -> usize;
    fn number_of(&self, name: &AccountName) -> Option<AccountNumber>;
    fn account(&self, number: AccountNumber) -> Option<&Account>;
    /// The counters of the account's velocity limits, in their order.
    fn velocity(&self, number: AccountNumber) -> &[Counter];
    /// The exponent that an account of this asset code has.
    fn exponent_of(&self, code: &str) -> Option<u8>;
    fn hold(&self, id: TransactionId) -> Option<&Hold>;
    /// Open holds that touch the account, in order of id.
    fn holds_of(&self, number: AccountNumber) -> Vec<&Hold>;
    /// A transaction in memory that is no open hold.
    fn remembered(&self, id: TransactionId) -> Option<Transaction>;
    /// See [`crate::ledger::LedgerState::forgotten_through`].
    fn forgotten_through(&self) -> u64;

    /// The number that `account` says, where it is one of an account.
    fn resolve(&self, account: &AccountRef) -> Option<AccountNumber> {
        match account {
            AccountRef::Name(name) => self.number_of(name),
            AccountRef::Number(number) => self.account(*number).map(|_| *number),
        }
    }
}

/// How events move it.
pub(crate) trait BooksMut: Books {
    fn set_terms(&mut self, terms: LedgerTerms);
    fn set_created_at(&mut self, at: Timestamp);
    /// Sets the closing, and the version of the ledger's terms.
    fn set_closed_through(&mut self, through: Option<Timestamp>, version: u64);
    fn add_account(&mut self, account: Account, velocity: Vec<Counter>);
    fn account_mut(&mut self, number: AccountNumber) -> Option<(&mut Account, &mut Vec<Counter>)>;
    fn open_hold(&mut self, transaction: &Transaction, made: Moment);
    fn update_hold(&mut self, transaction: &Transaction);
    /// Takes the hold out of the open ones.
    fn end_hold(&mut self, id: TransactionId);
    /// Remembers a transaction that is no open hold.
    fn touch(&mut self, transaction: &Transaction);
}
