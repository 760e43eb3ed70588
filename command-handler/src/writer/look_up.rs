//! STRONG reads: what the writer's own state answers.

use ledger_core::name::LedgerName;
use ports::strong::{StrongAnswer, StrongError, StrongQuery, StrongRead};

use super::machine::Machine;

impl<T: Copy> Machine<T> {
    /// The answer to a read, as of everything decided up to now.
    pub(super) fn look_up(
        &self,
        name: &LedgerName,
        query: StrongQuery,
    ) -> Result<StrongRead, StrongError> {
        let found = self
            .state
            .ledger(name)
            .filter(|ledger| ledger.terms().is_some())
            .zip(self.state.head(name));
        let Some((ledger, head)) = found else {
            return Err(StrongError::LedgerNotFound(name.clone()));
        };
        let answer = match query {
            StrongQuery::Accounts(accounts) => StrongAnswer::Accounts(
                accounts
                    .iter()
                    .map(|account| ledger.account(account).cloned())
                    .collect(),
            ),
            StrongQuery::OpenHolds(holds) => StrongAnswer::OpenHolds(
                holds
                    .iter()
                    .map(|hold| ledger.open_hold(*hold).cloned())
                    .collect(),
            ),
            StrongQuery::OpenHoldsOf(account) => {
                StrongAnswer::OpenHoldsOf(ledger.account(&account).map(|account| {
                    ledger
                        .open_holds_of(account.number)
                        .into_iter()
                        .cloned()
                        .collect()
                }))
            }
            StrongQuery::Position => StrongAnswer::Position,
        };
        Ok(StrongRead {
            answer,
            sequence: self.state.next_sequence() - 1,
            ledger_sequence: head.ledger_sequence,
            record_hash: head.hash,
            recorded_at: head.recorded_at,
        })
    }
}
