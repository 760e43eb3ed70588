//! What an event does to accounts: the balances that it says, proved and set, and what flows
//! through velocity counters.

use crate::event::ResultingBalance;
use crate::ledger::evolve::{Inconsistent, ensure};
use crate::ledger::holds::{accounts_of, reserved_on};
use crate::ledger::velocity::flow;
use crate::ledger::view::BooksMut;
use crate::time::Moment;
use crate::transaction::Transaction;
use crate::transaction::moves::Moves;

/// Checks that the event says the balances that were computed, and sets them.
pub(super) fn settle<B: BooksMut>(
    books: &mut B,
    moves: &Moves,
    said: &[ResultingBalance],
    open_holds: impl Fn(u32) -> u32,
) -> Result<(), Inconsistent> {
    ensure!(
        said.len() == moves.list().len() && said.is_sorted_by(|a, b| a.account < b.account),
        "the event names {} resulting balances, {} accounts move",
        said.len(),
        moves.list().len()
    );
    for moved in moves.list() {
        let Ok(place) = said.binary_search_by_key(&moved.number, |balance| balance.account) else {
            return Err(Inconsistent(format!(
                "the event moves account #{} and does not say its balance",
                moved.number.0
            )));
        };
        let (totals, version) = (said[place].totals, said[place].version);
        ensure!(
            totals == moved.after && version == moved.version + 1,
            "the event says {totals:?}, version {version} of account #{}; computed is {:?}, \
             version {}",
            moved.number.0,
            moved.after,
            moved.version + 1
        );
    }
    for moved in moves.list() {
        if let Some((account, _)) = books.account_mut(moved.number) {
            account.totals = moved.after;
            account.version = moved.version + 1;
            account.open_holds = open_holds(account.open_holds);
        }
    }
    Ok(())
}

/// Counts new flow in the velocity counters of the accounts.
pub(super) fn count_flow<B: BooksMut>(books: &mut B, moves: &Moves, at: Moment) {
    for moved in moves.list() {
        let Some((account, velocity)) = books.account_mut(moved.number) else {
            continue;
        };
        if account.terms.limits.velocity.is_empty() {
            continue;
        }
        for (limit, counter) in account.terms.limits.velocity.iter().zip(velocity) {
            let amount = flow(moved.side, limit.direction, moved.debited, moved.credited);
            if !amount.is_zero() {
                counter.count(limit.window, at, at, amount);
            }
        }
    }
}

/// Gives what `hold` did not capture back to the buckets that counted it.
pub(super) fn give_back<B: BooksMut>(books: &mut B, hold: &Transaction, made: Moment) {
    for number in accounts_of(hold) {
        let reserved = reserved_on(hold, made, number);
        let Some((account, velocity)) = books.account_mut(number) else {
            continue;
        };
        let side = account.normal_side();
        for (limit, counter) in account.terms.limits.velocity.iter().zip(velocity) {
            let amount = flow(side, limit.direction, reserved.debits, reserved.credits);
            counter.give_back(limit.window, made, amount);
        }
    }
}
