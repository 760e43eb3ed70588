//! A made-up life of a few ledgers, as the stretches of changes that a projector would make of
//! it. It judges no rules; it only tells rows of every kind, and the same ones for a seed.

use std::collections::BTreeMap;

use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, FreezeScope, Limits, Totals,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::{Metadata, Text};
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::{
    HoldTerms, LimitsMode, Posting, Progress, Transaction, TransactionKind, TransactionStatus,
};
use schemas::record::{LogId, RecordHash};

use super::samples::{at, ledger, terms};
use crate::log::Position;
use crate::projection::{
    AccountRow, BalanceRow, Changes, Checkpoint, DayRow, HeadRow, HistoryRow, KeyRow, LedgerIndex,
    LedgerRow, Movement, PlaceRow, TransactionMade, TransactionRow,
};

mod rows;

pub use rows::uuid;
use rows::{account_terms, add_day, change, entry, hash, metadata, remember};

/// Begins in the evening of 2023-11-14.
pub const BEGIN: i64 = 1_700_000_000_000_000;

/// One step of a projector.
#[derive(Debug, Clone)]
pub struct Step {
    /// The checkpoint before.
    pub from: Option<Checkpoint>,
    /// The checkpoint after.
    pub to: Checkpoint,
    /// What changed.
    pub changes: Changes,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Story {
    log_id: LogId,
    seed: u64,
    checkpoint: Option<Checkpoint>,
    now: i64,
    ledgers: Vec<Ledger>,
}

#[derive(Debug, Clone)]
struct Ledger {
    name: LedgerName,
    created: bool,
    version: u64,
    ledger_sequence: u64,
    accounts: Vec<(u64, Totals)>,
    holds: Vec<Transaction>,
}

/// Rows of a stretch, folded by key.
#[derive(Default)]
struct Fold {
    ledger_rows: BTreeMap<LedgerIndex, LedgerRow>,
    heads: BTreeMap<LedgerIndex, HeadRow>,
    accounts: BTreeMap<(LedgerIndex, AccountNumber), AccountRow>,
    balances: BTreeMap<(LedgerIndex, AccountNumber), BalanceRow>,
    transactions: BTreeMap<(LedgerIndex, TransactionId), TransactionRow>,
    history: BTreeMap<(LedgerIndex, AccountNumber, u64), HistoryRow>,
    days: BTreeMap<(LedgerIndex, AccountNumber, Day), DayRow>,
    keys: BTreeMap<(LedgerIndex, IdempotencyKey), KeyRow>,
    places: BTreeMap<(LedgerIndex, u64), PlaceRow>,
}

/// The record that is being told.
#[derive(Clone, Copy)]
struct Now {
    index: LedgerIndex,
    sequence: u64,
    ledger_sequence: u64,
    recorded_at: Timestamp,
}

impl Story {
    /// The story of ledgers with these names, all of one shard.
    pub fn new(log_id: LogId, seed: u64, names: &[&str]) -> Self {
        let ledgers = names.iter().map(|name| Ledger {
            name: ledger(name),
            created: false,
            version: 0,
            ledger_sequence: 0,
            accounts: Vec::new(),
            holds: Vec::new(),
        });
        Self {
            log_id,
            seed: seed | 1,
            checkpoint: None,
            now: BEGIN,
            ledgers: ledgers.collect(),
        }
    }

    /// Where the story has got.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint
    }

    /// Its time.
    pub fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift64*: the same on every machine.
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        (self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    /// Tells `entries` entries of the log with about `records` records each, as one stretch.
    pub fn step(&mut self, entries: u32, records: u32) -> Step {
        let from = self.checkpoint;
        let mut fold = Fold::default();
        let mut sequence = from.map_or(0, |checkpoint| checkpoint.sequence);
        let mut position = from.map_or(0, |checkpoint| checkpoint.position.0);
        for _ in 0..entries {
            position += 1 + self.random(3);
            let mut seen = Vec::new();
            for _ in 0..1 + self.random(u64::from(records)) {
                sequence += 1;
                self.now += self.random(3) as i64 * 40_000_000;
                let which = self.random(self.ledgers.len() as u64) as usize;
                self.ledgers[which].ledger_sequence += 1;
                let now = Now {
                    index: LedgerIndex(which as u32),
                    sequence,
                    ledger_sequence: self.ledgers[which].ledger_sequence,
                    recorded_at: at(self.now),
                };
                if !seen.contains(&which) {
                    seen.push(which);
                    fold.places.insert(
                        (now.index, now.ledger_sequence),
                        PlaceRow {
                            ledger: now.index,
                            ledger_sequence: now.ledger_sequence,
                            sequence,
                            position: Position(position),
                            recorded_at: now.recorded_at,
                        },
                    );
                }
                fold.heads.insert(
                    now.index,
                    HeadRow {
                        ledger: now.index,
                        ledger_sequence: now.ledger_sequence,
                        record_hash: hash(sequence),
                        recorded_at: now.recorded_at,
                    },
                );
                self.record(&mut fold, now);
            }
        }
        let to = Checkpoint {
            log_id: self.log_id,
            sequence,
            record_hash: hash(sequence),
            position: Position(position),
            recorded_at: at(self.now),
        };
        self.checkpoint = Some(to);
        Step {
            from,
            to,
            changes: Changes {
                ledgers: self.ledgers.iter().map(|l| l.name.clone()).collect(),
                ledger_rows: fold.ledger_rows.into_values().collect(),
                heads: fold.heads.into_values().collect(),
                accounts: fold.accounts.into_values().collect(),
                balances: fold.balances.into_values().collect(),
                transactions: fold.transactions.into_values().collect(),
                history: fold.history.into_values().collect(),
                days: fold.days.into_values().collect(),
                keys: fold.keys.into_values().collect(),
                places: fold.places.into_values().collect(),
            },
        }
    }

    fn record(&mut self, fold: &mut Fold, now: Now) {
        let which = now.index.0 as usize;
        if !self.ledgers[which].created || self.random(20) == 0 {
            self.change_ledger(fold, now);
            return remember(
                fold,
                now,
                IdempotencyKey::text(&format!("k{}", now.sequence)),
            );
        }
        let accounts = self.ledgers[which].accounts.len() as u64;
        if accounts < 3 || (accounts < 40 && self.random(6) == 0) {
            self.open_account(fold, now);
            return remember(fold, now, IdempotencyKey::from_uuid(uuid(now.sequence)));
        }
        match self.random(12) {
            0 => self.change_account(fold, now),
            // A refusal: nothing but its key.
            1 => remember(
                fold,
                now,
                IdempotencyKey::text(&format!("no {}", now.sequence)),
            ),
            2..=4 => self.hold(fold, now),
            5..=7 if !self.ledgers[which].holds.is_empty() => self.end_hold(fold, now),
            _ => self.transfer(fold, now),
        }
    }

    fn change_ledger(&mut self, fold: &mut Fold, now: Now) {
        let closed = match self.random(3) {
            0 => Some(Some(at(BEGIN - 1_000_000))),
            1 => Some(None),
            _ => None,
        };
        let size = self.random(30) as usize;
        let ledger = &mut self.ledgers[now.index.0 as usize];
        ledger.version += 1;
        let mut terms = terms(size);
        terms.version = ledger.version;
        let row = fold.ledger_rows.entry(now.index).or_insert(LedgerRow {
            ledger: now.index,
            terms: None,
            created_at: None,
            closed_through: None,
            version: 0,
        });
        row.version = ledger.version;
        if !ledger.created {
            ledger.created = true;
            row.created_at = Some(now.recorded_at);
            row.closed_through = Some(None);
            row.terms = Some(terms);
        } else if closed.is_some() {
            row.closed_through = closed;
        } else {
            row.terms = Some(terms);
        }
    }

    fn open_account(&mut self, fold: &mut Fold, now: Now) {
        let assets = ["USD/2", "EUR/2", "X_POINTS/0"];
        let asset = assets[self.random(3) as usize];
        let types = [
            AccountType::Asset,
            AccountType::Liability,
            AccountType::Equity,
            AccountType::Income,
            AccountType::Expense,
            AccountType::Memo,
        ];
        let account_type = types[self.random(6) as usize];
        let accounts = &mut self.ledgers[now.index.0 as usize].accounts;
        accounts.push((1, Totals::default()));
        let number = AccountNumber(accounts.len() as u32);
        let group = ["customers", "fees", "customers:vip"][number.0 as usize % 3];
        let row = AccountRow {
            ledger: now.index,
            number,
            terms: Some(account_terms(
                &format!("{group}:{}", number.0),
                asset,
                account_type,
                now.sequence,
            )),
            status: Some(AccountStatus::Open),
            opened_at: Some(now.recorded_at),
            version: 1,
        };
        fold.accounts.insert((now.index, number), row);
    }

    fn change_account(&mut self, fold: &mut Fold, now: Now) {
        let statuses = [
            AccountStatus::Open,
            AccountStatus::Frozen(FreezeScope::Debits),
            AccountStatus::Frozen(FreezeScope::Credits),
            AccountStatus::Frozen(FreezeScope::All),
            AccountStatus::Closed,
        ];
        let status = statuses[self.random(5) as usize];
        let accounts = self.ledgers[now.index.0 as usize].accounts.len() as u64;
        let number = AccountNumber(self.random(accounts) as u32 + 1);
        let account = &mut self.ledgers[now.index.0 as usize].accounts[number.0 as usize - 1];
        account.0 += 1;
        let row = fold
            .accounts
            .entry((now.index, number))
            .or_insert(AccountRow {
                ledger: now.index,
                number,
                terms: None,
                status: None,
                opened_at: None,
                version: 0,
            });
        row.status = Some(status);
        row.version = account.0;
        if let Some(balance) = fold.balances.get_mut(&(now.index, number)) {
            balance.version = account.0;
        }
        remember(
            fold,
            now,
            IdempotencyKey::text(&format!("c{}", now.sequence)),
        );
    }

    fn postings(&mut self, which: LedgerIndex) -> Vec<Posting> {
        let accounts = self.ledgers[which.0 as usize].accounts.len() as u64;
        let count = 1 + self.random(3);
        (0..count)
            .map(|_| {
                let debit = self.random(accounts);
                let credit = (debit + 1 + self.random(accounts - 1)) % accounts;
                let amount = match self.random(8) {
                    // Beyond 63 bits, which SQLite's integers end with.
                    0 => u128::from(self.random(1_000)) << 80,
                    1 => i64::MAX as u128 - u128::from(self.random(2)),
                    _ => u128::from(self.random(100_000)),
                };
                Posting {
                    debit: AccountNumber(debit as u32 + 1),
                    credit: AccountNumber(credit as u32 + 1),
                    amount: Amount::new(amount + 1).expect("far below the largest amount"),
                }
            })
            .collect()
    }

    fn transaction(&mut self, now: Now, key: &IdempotencyKey) -> Transaction {
        let back = self.random(40) as i64 * 3_600_000_000;
        let postings = self.postings(now.index);
        Transaction {
            id: key.transaction_id(&self.ledgers[now.index.0 as usize].name),
            status: TransactionStatus::Posted,
            kind: TransactionKind::Direct,
            effective_at: now.recorded_at.saturating_add(-back),
            postings,
            progress: Vec::new(),
            sources: Vec::new(),
            description: Some(Text::plain(format!("told in {}", now.sequence))),
            metadata: metadata(now.sequence),
            limits: match now.sequence % 5 {
                0 => LimitsMode::RecordOnly(Text::plain("a card clearing")),
                _ => LimitsMode::Enforce,
            },
            version: 1,
        }
    }

    fn key(&mut self, now: Now) -> IdempotencyKey {
        let key = match self.random(3) {
            0 => IdempotencyKey::text(&format!("t{}", now.sequence)),
            _ => IdempotencyKey::from_uuid(uuid(now.sequence)),
        };
        key.expect("a right key")
    }

    fn make(&mut self, fold: &mut Fold, now: Now, key: IdempotencyKey, made: Transaction) {
        let entry = entry(now.sequence);
        let is_id = matches!(key, IdempotencyKey::Uuid(uuid) if uuid == made.id.0);
        if !is_id {
            remember(
                fold,
                now,
                Ok::<_, ledger_core::invalid::Invalid>(key.clone()),
            );
        }
        fold.transactions.insert(
            (now.index, made.id),
            TransactionRow {
                ledger: now.index,
                transaction: made,
                made: Some(TransactionMade {
                    ledger_sequence: now.ledger_sequence,
                    recorded_at: now.recorded_at,
                    key,
                    key_entry: is_id.then_some(entry),
                }),
            },
        );
    }

    fn transfer(&mut self, fold: &mut Fold, now: Now) {
        let key = self.key(now);
        let made = self.transaction(now, &key);
        self.moved(fold, now, &made, TransactionStatus::Posted, 0);
        self.make(fold, now, key, made);
    }

    fn hold(&mut self, fold: &mut Fold, now: Now) {
        let key = self.key(now);
        let mut made = self.transaction(now, &key);
        made.status = TransactionStatus::Pending;
        made.kind = TransactionKind::Hold(HoldTerms {
            expires_at: now
                .sequence
                .is_multiple_of(2)
                .then(|| now.recorded_at.saturating_add(1)),
            over_capture_up_to: now.sequence.is_multiple_of(3).then_some(Amount::MAX),
        });
        self.moved(fold, now, &made, TransactionStatus::Pending, 1);
        self.ledgers[now.index.0 as usize].holds.push(made.clone());
        self.make(fold, now, key, made);
    }

    /// A hold is captured whole, voided, or expires.
    fn end_hold(&mut self, fold: &mut Fold, now: Now) {
        let count = self.ledgers[now.index.0 as usize].holds.len() as u64;
        let which = self.random(count) as usize;
        let mut hold = self.ledgers[now.index.0 as usize].holds.swap_remove(which);
        let captured = self.random(2) == 0;
        hold.version += 1;
        if captured {
            let key = self.key(now);
            let mut capture = self.transaction(now, &key);
            capture.kind = TransactionKind::Capture(hold.id);
            capture.postings = hold.postings.clone();
            capture.sources = (0..hold.postings.len() as u32).collect();
            hold.status = TransactionStatus::Posted;
            hold.progress = hold
                .postings
                .iter()
                .map(|posting| Progress {
                    captured: posting.amount,
                    reversed: Amount::ZERO,
                })
                .collect();
            self.moved(fold, now, &capture, TransactionStatus::Posted, -1);
            self.make(fold, now, key, capture);
        } else {
            hold.status = match now.sequence % 2 {
                0 => TransactionStatus::Voided,
                _ => TransactionStatus::Expired,
            };
            self.moved(fold, now, &hold, hold.status, -1);
            remember(
                fold,
                now,
                IdempotencyKey::text(&format!("v{}", now.sequence)),
            );
        }
        let row = fold
            .transactions
            .entry((now.index, hold.id))
            .or_insert_with(|| TransactionRow {
                ledger: now.index,
                transaction: hold.clone(),
                made: None,
            });
        row.transaction = hold;
    }

    /// Rows of what `transaction` does to each account that it touches.
    fn moved(
        &mut self,
        fold: &mut Fold,
        now: Now,
        transaction: &Transaction,
        effect: TransactionStatus,
        holds: i64,
    ) {
        let mut movements = BTreeMap::<AccountNumber, Vec<Movement>>::new();
        for posting in &transaction.postings {
            for account in [posting.debit, posting.credit] {
                movements.entry(account).or_default().push(Movement {
                    transaction: transaction.id,
                    effective_at: transaction.effective_at,
                    effect,
                    posting: *posting,
                });
            }
        }
        for (account, movements) in movements {
            let (version, totals) =
                &mut self.ledgers[now.index.0 as usize].accounts[account.0 as usize - 1];
            *version += 1;
            let released = holds < 0;
            for movement in &movements {
                change(totals, account, movement, released);
                if effect == TransactionStatus::Posted {
                    add_day(fold, now, account, movement);
                }
            }
            let balance = fold
                .balances
                .entry((now.index, account))
                .or_insert(BalanceRow {
                    ledger: now.index,
                    account,
                    version: 0,
                    totals: Totals::default(),
                    open_holds_delta: 0,
                });
            balance.version = *version;
            balance.totals = *totals;
            balance.open_holds_delta += holds;
            if let Some(row) = fold.accounts.get_mut(&(now.index, account)) {
                row.version = *version;
            }
            fold.history.insert(
                (now.index, account, now.ledger_sequence),
                HistoryRow {
                    ledger: now.index,
                    account,
                    ledger_sequence: now.ledger_sequence,
                    recorded_at: now.recorded_at,
                    version: *version,
                    totals: *totals,
                    movements,
                },
            );
        }
    }
}
