//! Folds what was collected: sorts each list by its key and joins rows of the same key.

use std::cmp::Reverse;

use ledger_core::account::AccountNumber;
use ledger_core::amount::Amount;
use ledger_core::transaction::TransactionStatus;
use ports::projection::{
    AccountRow, BalanceRow, Changes, DayRow, HeadRow, HistoryRow, KeyRow, LedgerIndex, LedgerRow,
    Movement, TransactionRow,
};

use super::{Fold, Unfit};

pub(super) fn finish(mut fold: Fold) -> Result<Changes, Unfit> {
    let heads = fold
        .chains
        .iter()
        .enumerate()
        .map(|(index, chain)| HeadRow {
            ledger: LedgerIndex(index as u32),
            ledger_sequence: chain.head.ledger_sequence,
            record_hash: chain.head.record_hash,
            recorded_at: chain.head.recorded_at,
        })
        .collect();

    // Rows of a ledger and account come in order of the ledger sequence, and sorts are stable.
    fold.history = sorted_large(fold.history, |row: &HistoryRow| {
        (u64::from(row.ledger.0) << 32) | u64::from(row.account.0)
    });
    let mut balances = balances(&fold.history, fold.unmoved, fold.open_holds)?;

    let mut accounts = fold.accounts;
    accounts.sort_by_key(|row| (row.ledger, row.number));
    accounts.dedup_by(join_account);
    same_versions(&mut accounts, &mut balances);

    fold.ledger_rows.sort_by_key(|row| row.ledger);
    fold.ledger_rows.dedup_by(join_ledger);

    fold.transactions = sorted_large(fold.transactions, |row: &TransactionRow| {
        (row.ledger, row.transaction.id)
    });
    fold.transactions.dedup_by(join_transaction);

    let days = days(&fold.history)?;
    Ok(Changes {
        ledger_rows: fold.ledger_rows,
        heads,
        accounts,
        balances,
        transactions: fold.transactions,
        history: fold.history,
        days,
        keys: keys(fold.keys),
        places: {
            fold.places
                .sort_by_key(|row| (row.ledger, row.ledger_sequence));
            fold.places
        },
        ledgers: fold.ledgers,
    })
}

/// Sorts large rows stably by a small key: sorts an index, then moves each row once. The moves
/// do not wait for each other, as those of an exchange in place would.
fn sorted_large<T, K: Ord + Copy>(rows: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut order: Vec<(K, u32)> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| (key(row), index as u32))
        .collect();
    if order.is_sorted() {
        return rows;
    }
    order.sort_unstable();
    let mut slots: Vec<Option<T>> = rows.into_iter().map(Some).collect();
    order
        .into_iter()
        .map(|(_, index)| {
            slots[index as usize]
                .take()
                .expect("each index stands once")
        })
        .collect()
}

/// The last balance of each account that moved, with the change of its open holds.
fn balances(
    history: &[HistoryRow],
    mut rows: Vec<BalanceRow>,
    mut open_holds: Vec<(LedgerIndex, AccountNumber, i64)>,
) -> Result<Vec<BalanceRow>, Unfit> {
    let runs = history.chunk_by(|a, b| (a.ledger, a.account) == (b.ledger, b.account));
    rows.extend(runs.filter_map(<[_]>::last).map(|last| BalanceRow {
        ledger: last.ledger,
        account: last.account,
        version: last.version,
        totals: last.totals,
        open_holds_delta: 0,
    }));
    // Of an account that was changed both ways, the later version is the last word.
    rows.sort_unstable_by_key(|row| (row.ledger, row.account, Reverse(row.version)));
    rows.dedup_by_key(|row| (row.ledger, row.account));
    open_holds.sort_unstable_by_key(|(ledger, account, _)| (*ledger, *account));
    let mut changes = open_holds.into_iter().peekable();
    for row in &mut rows {
        let key = (row.ledger, row.account);
        while let Some((_, _, change)) =
            changes.next_if(|(ledger, account, _)| (*ledger, *account) == key)
        {
            row.open_holds_delta += change;
        }
        if let Some((_, account, _)) =
            changes.next_if(|(ledger, account, _)| (*ledger, *account) < key)
        {
            return Err(Unfit::NoBalance(account));
        }
    }
    // A hold that begins or ends changes each of its accounts, so each has its balance there.
    match changes.next() {
        Some((_, account, _)) => Err(Unfit::NoBalance(account)),
        None => Ok(rows),
    }
}

/// An account's version counts both kinds of change, and each list knows only its own.
fn same_versions(accounts: &mut [AccountRow], balances: &mut [BalanceRow]) {
    let mut balances = balances.iter_mut().peekable();
    for account in accounts {
        let key = (account.ledger, account.number);
        while balances
            .next_if(|row| (row.ledger, row.account) < key)
            .is_some()
        {}
        if let Some(balance) = balances.next_if(|row| (row.ledger, row.account) == key) {
            account.version = account.version.max(balance.version);
            balance.version = account.version;
        }
    }
}

fn join_account(later: &mut AccountRow, row: &mut AccountRow) -> bool {
    if (later.ledger, later.number) != (row.ledger, row.number) {
        return false;
    }
    row.version = later.version;
    replace(&mut row.terms, &mut later.terms);
    replace(&mut row.status, &mut later.status);
    replace(&mut row.opened_at, &mut later.opened_at);
    true
}

fn join_ledger(later: &mut LedgerRow, row: &mut LedgerRow) -> bool {
    if later.ledger != row.ledger {
        return false;
    }
    row.version = later.version;
    replace(&mut row.terms, &mut later.terms);
    replace(&mut row.created_at, &mut later.created_at);
    replace(&mut row.closed_through, &mut later.closed_through);
    true
}

fn join_transaction(later: &mut TransactionRow, row: &mut TransactionRow) -> bool {
    if (later.ledger, later.transaction.id) != (row.ledger, row.transaction.id) {
        return false;
    }
    std::mem::swap(&mut row.transaction, &mut later.transaction);
    replace(&mut row.made, &mut later.made);
    true
}

fn replace<T>(old: &mut Option<T>, new: &mut Option<T>) {
    if new.is_some() {
        *old = new.take();
    }
}

/// The POSTED movements of each account by day. History stands by account, and most movements
/// of an account lie on the day of the one before, so little is ever sorted.
fn days(history: &[HistoryRow]) -> Result<Vec<DayRow>, Unfit> {
    let mut rows: Vec<DayRow> = Vec::new();
    for run in history.chunk_by(|a, b| (a.ledger, a.account) == (b.ledger, b.account)) {
        let start = rows.len();
        for row in run {
            for movement in &row.movements {
                if movement.effect == TransactionStatus::Posted {
                    let of_movement = day_of(row, movement);
                    match rows[start..].last_mut() {
                        Some(last) if last.day == of_movement.day => join_day(last, &of_movement)?,
                        _ => rows.push(of_movement),
                    }
                }
            }
        }
        if !rows[start..].is_sorted_by(|a, b| a.day < b.day) {
            let mut of_account = rows.split_off(start);
            of_account.sort_by_key(|row| row.day);
            for row in of_account {
                match rows[start..].last_mut() {
                    Some(last) if last.day == row.day => join_day(last, &row)?,
                    _ => rows.push(row),
                }
            }
        }
    }
    Ok(rows)
}

/// Adds `later`, whose movements come after those of `row`.
fn join_day(row: &mut DayRow, later: &DayRow) -> Result<(), Unfit> {
    let overflow = Unfit::Overflow(row.account);
    let debits = row.debits.checked_add(later.debits);
    let credits = row.credits.checked_add(later.credits);
    (row.debits, row.credits) = debits.zip(credits).ok_or(overflow)?;
    row.last_ledger_sequence = later.last_ledger_sequence;
    Ok(())
}

fn day_of(row: &HistoryRow, movement: &Movement) -> DayRow {
    let amount = movement.posting.amount;
    let (debits, credits) = match movement.posting.debit == row.account {
        true => (amount, Amount::ZERO),
        false => (Amount::ZERO, amount),
    };
    DayRow {
        ledger: row.ledger,
        account: row.account,
        day: movement.effective_at.utc_day(),
        debits,
        credits,
        first_ledger_sequence: row.ledger_sequence,
        last_ledger_sequence: row.ledger_sequence,
    }
}

fn keys(mut rows: Vec<KeyRow>) -> Vec<KeyRow> {
    rows.sort_by(|a, b| (a.ledger, &a.key).cmp(&(b.ledger, &b.key)));
    rows
}
