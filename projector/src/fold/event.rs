//! What one event changes.

use ledger_core::account::{AccountNumber, AccountStatus};
use ledger_core::amount::Amount;
use ledger_core::event::{Event, ResultingBalances};
use ledger_core::key::IdempotencyKey;
use ledger_core::transaction::{Posting, Transaction, TransactionKind, TransactionStatus};
use ports::projection::{
    AccountRow, BalanceRow, HistoryRow, LedgerRow, Movement, TransactionMade, TransactionRow,
};

use super::{Fold, Source, Unfit};

impl Fold {
    /// Collects the rows of `event`. True where the record's key stands in a transaction's row.
    pub(super) fn event(&mut self, source: &Source, event: Event, member: bool) -> bool {
        match event {
            Event::LedgerCreated(terms) => self.ledger_rows.push(LedgerRow {
                ledger: source.ledger,
                version: terms.version,
                terms: Some(terms),
                created_at: Some(source.recorded_at),
                closed_through: None,
            }),
            Event::LedgerUpdated(terms) => self.ledger_rows.push(LedgerRow {
                ledger: source.ledger,
                version: terms.version,
                terms: Some(terms),
                created_at: None,
                closed_through: None,
            }),
            Event::BooksChanged(books) => self.ledger_rows.push(LedgerRow {
                ledger: source.ledger,
                version: books.version,
                terms: None,
                created_at: None,
                closed_through: Some(books.closed_through),
            }),
            Event::AccountOpened(opened) => self.accounts.push(AccountRow {
                ledger: source.ledger,
                number: opened.number,
                terms: Some(opened.terms),
                status: Some(AccountStatus::Open),
                opened_at: Some(source.recorded_at),
                version: 1,
            }),
            Event::AccountUpdated(updated) => self.accounts.push(AccountRow {
                ledger: source.ledger,
                number: updated.number,
                terms: Some(updated.terms),
                status: None,
                opened_at: None,
                version: updated.version,
            }),
            Event::AccountStatusChanged(changed) => self.accounts.push(AccountRow {
                ledger: source.ledger,
                number: changed.number,
                terms: None,
                status: Some(changed.status),
                opened_at: None,
                version: changed.version,
            }),
            Event::TransactionCreated(created) => {
                let transaction = created.transaction;
                self.moved(&transaction);
                if transaction.status == TransactionStatus::Pending {
                    self.hold_count(source, &transaction, 1);
                }
                self.resulting(created.balances);
                let keyed = !member && is_own_id(&source.key, &transaction);
                self.made(source, transaction, keyed);
                return keyed;
            }
            Event::TransactionCaptured(captured) => {
                self.moved(&captured.capture);
                self.hold_ended(source, &captured.hold, TransactionStatus::Voided);
                self.resulting(captured.balances);
                self.made(source, captured.capture, false);
                self.changed(source, captured.hold);
            }
            Event::TransactionReleased(released) => {
                let effect = if released.expired {
                    TransactionStatus::Expired
                } else {
                    TransactionStatus::Voided
                };
                self.hold_ended(source, &released.hold, effect);
                self.resulting(released.balances);
                self.changed(source, released.hold);
            }
            Event::TransactionReversed(reversed) => {
                self.moved(&reversed.reversal);
                self.resulting(reversed.balances);
                self.made(source, reversed.reversal, false);
                self.changed(source, reversed.original);
            }
            Event::TransactionUpdated(updated) => self.changed(source, updated.transaction),
            Event::Atomic(events) => {
                for event in events {
                    self.event(source, event, true);
                }
            }
        }
        false
    }

    /// Turns the movements and resulting balances of a whole record into rows: one per account,
    /// with the balance after the record's last member.
    pub(super) fn settle(&mut self, source: &Source) -> Result<(), Unfit> {
        // Stable, so that movements keep their order and the last balance of an account wins.
        self.moves.sort_by_key(|(account, _)| *account);
        self.after.sort_by_key(|balance| balance.account);
        let mut moves = self.moves.drain(..).peekable();
        let mut after = self.after.drain(..).peekable();
        while let Some(mut balance) = after.next() {
            while let Some(later) = after.next_if(|next| next.account == balance.account) {
                balance = later;
            }
            if let Some((account, _)) = moves.next_if(|(account, _)| *account < balance.account) {
                return Err(Unfit::NoBalance(account));
            }
            let Some((_, first)) = moves.next_if(|(account, _)| *account == balance.account) else {
                self.unmoved.push(BalanceRow {
                    ledger: source.ledger,
                    account: balance.account,
                    version: balance.version,
                    totals: balance.totals,
                    open_holds_delta: 0,
                });
                continue;
            };
            // Nearly always the only one: room for exactly one, where `Vec::new` and a push
            // would take room for four.
            let mut movements = Vec::with_capacity(1);
            movements.push(first);
            while let Some((_, next)) = moves.next_if(|(account, _)| *account == balance.account) {
                movements.push(next);
            }
            self.history.push(HistoryRow {
                ledger: source.ledger,
                account: balance.account,
                ledger_sequence: source.ledger_sequence,
                recorded_at: source.recorded_at,
                version: balance.version,
                totals: balance.totals,
                movements,
            });
        }
        if let Some((account, _)) = moves.next() {
            return Err(Unfit::NoBalance(account));
        }
        Ok(())
    }

    fn made(&mut self, source: &Source, transaction: Transaction, keyed: bool) {
        self.transactions.push(TransactionRow {
            ledger: source.ledger,
            transaction,
            made: Some(TransactionMade {
                ledger_sequence: source.ledger_sequence,
                recorded_at: source.recorded_at,
                key: source.key.clone(),
                key_entry: keyed.then_some(source.entry),
            }),
        });
    }

    fn changed(&mut self, source: &Source, transaction: Transaction) {
        self.transactions.push(TransactionRow {
            ledger: source.ledger,
            transaction,
            made: None,
        });
    }

    fn resulting(&mut self, balances: ResultingBalances) {
        self.after.extend(balances);
    }

    /// A new transaction moves (or reserves) its postings.
    fn moved(&mut self, transaction: &Transaction) {
        for posting in &transaction.postings {
            self.movement(transaction, transaction.status, *posting);
        }
    }

    /// What ends a hold releases what is left of it.
    fn hold_ended(&mut self, source: &Source, hold: &Transaction, effect: TransactionStatus) {
        if hold.status == TransactionStatus::Pending {
            return;
        }
        self.hold_count(source, hold, -1);
        for (index, posting) in hold.postings.iter().enumerate() {
            // Nothing is left where more than the hold was captured.
            let left = posting
                .amount
                .checked_sub(hold.progress_of(index).captured)
                .unwrap_or(Amount::ZERO);
            if !left.is_zero() {
                let posting = Posting {
                    amount: left,
                    ..*posting
                };
                self.movement(hold, effect, posting);
            }
        }
    }

    fn movement(&mut self, of: &Transaction, effect: TransactionStatus, posting: Posting) {
        let movement = Movement {
            transaction: of.id,
            effective_at: of.effective_at,
            effect,
            posting,
        };
        self.moves.push((posting.debit, movement));
        self.moves.push((posting.credit, movement));
    }

    /// Counts a hold on each of its accounts, once.
    fn hold_count(&mut self, source: &Source, hold: &Transaction, change: i64) {
        let mut accounts: Vec<AccountNumber> = hold
            .postings
            .iter()
            .flat_map(|posting| [posting.debit, posting.credit])
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        self.open_holds.extend(
            accounts
                .into_iter()
                .map(|account| (source.ledger, account, change)),
        );
    }
}

/// Whether the read models keep the key in the transaction's own row.
fn is_own_id(key: &IdempotencyKey, transaction: &Transaction) -> bool {
    let direct_or_hold = matches!(
        transaction.kind,
        TransactionKind::Direct | TransactionKind::Hold(_)
    );
    direct_or_hold && *key == IdempotencyKey::Uuid(transaction.id.0)
}
