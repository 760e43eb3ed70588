//! Stretches of simple transfers, to measure how fast read models and history take them.

use std::collections::BTreeMap;

use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, Limits, Totals,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::LedgerTerms;
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::AccountName;
use ledger_core::text::Metadata;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{
    LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus,
};
use schemas::record::{LogId, RecordHash};

use super::samples::{at, ledger};
use super::story::BEGIN;
use crate::log::Position;
use crate::projection::{
    AccountRow, BalanceRow, Changes, Checkpoint, DayRow, HeadRow, HistoryRow, LedgerIndex,
    LedgerRow, Movement, PlaceRow, TransactionMade, TransactionRow,
};

const LEDGER: LedgerIndex = LedgerIndex(0);
/// Records of an entry.
const ENTRY: u64 = 8_000;

/// Transfers between the accounts of one ledger, drawn at random.
#[derive(Debug)]
pub struct Transfers {
    seed: u64,
    sequence: u64,
    now: i64,
    accounts: Vec<(u64, Totals)>,
    postings: usize,
    log_id: LogId,
}

impl Transfers {
    /// Between so many accounts, with so many postings each.
    pub fn new(log_id: LogId, accounts: u32, postings: usize) -> Self {
        Self {
            seed: 88_172_645_463_325_252,
            sequence: 0,
            now: BEGIN,
            accounts: vec![(1, Totals::default()); accounts as usize],
            postings,
            log_id,
        }
    }

    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn to(&self) -> Checkpoint {
        Checkpoint {
            log_id: self.log_id,
            sequence: self.sequence,
            record_hash: RecordHash([1; 32]),
            position: Position(self.sequence / ENTRY + 1),
            recorded_at: at(self.now),
        }
    }

    /// The first stretch: opens the ledger and its accounts, as if by one record.
    pub fn open(&mut self) -> (Checkpoint, Changes) {
        self.sequence += 1;
        let now = at(self.now);
        let account = |n: u32| AccountRow {
            ledger: LEDGER,
            number: AccountNumber(n),
            terms: Some(AccountTerms {
                name: AccountName::new(&format!("customers:{n}")).expect("a right name"),
                asset: Asset::parse("USD/2").expect("a right asset"),
                account_type: AccountType::Liability,
                limits: Limits::default(),
                metadata: Metadata::default(),
            }),
            status: Some(AccountStatus::Open),
            opened_at: Some(now),
            version: 1,
        };
        let changes = Changes {
            ledgers: vec![ledger("bench")],
            ledger_rows: vec![LedgerRow {
                ledger: LEDGER,
                terms: Some(LedgerTerms::default()),
                created_at: Some(now),
                closed_through: Some(None),
                version: 1,
            }],
            accounts: (1..=self.accounts.len() as u32).map(account).collect(),
            ..Changes::default()
        };
        (self.to(), changes)
    }

    /// The next stretch, of `count` transfers.
    pub fn stretch(&mut self, count: u64) -> (Checkpoint, Changes) {
        let mut changes = Changes {
            ledgers: vec![ledger("bench")],
            ..Changes::default()
        };
        let mut moved = Moved::default();
        for _ in 0..count {
            self.sequence += 1;
            self.now += 4;
            self.transfer(&mut changes, &mut moved);
        }
        changes.balances = moved.balances.into_values().collect();
        changes.days = moved.days.into_values().collect();
        changes.history = moved.history.into_values().collect();
        changes.transactions.sort_by_key(|row| row.transaction.id);
        let to = self.to();
        changes.heads.push(HeadRow {
            ledger: LEDGER,
            ledger_sequence: self.sequence,
            record_hash: to.record_hash,
            recorded_at: to.recorded_at,
        });
        (to, changes)
    }

    fn transfer(&mut self, changes: &mut Changes, moved: &mut Moved) {
        let now = at(self.now);
        if self.sequence.is_multiple_of(ENTRY) {
            changes.places.push(PlaceRow {
                ledger: LEDGER,
                ledger_sequence: self.sequence,
                sequence: self.sequence,
                position: Position(self.sequence / ENTRY + 1),
                recorded_at: now,
            });
        }
        let uuid = (self.now as u128 / 1_000) << 80
            | 7 << 76
            | u128::from(self.random() & 0xfff) << 64
            | 0b10 << 62
            | u128::from(self.random() >> 2);
        let id = TransactionId(uuid);
        let postings: Vec<_> = (0..self.postings).map(|_| self.posting()).collect();
        for posting in &postings {
            for account in [posting.debit, posting.credit] {
                self.posted(moved, id, now, account, *posting);
            }
        }
        changes.transactions.push(TransactionRow {
            ledger: LEDGER,
            transaction: Transaction {
                id,
                status: TransactionStatus::Posted,
                kind: TransactionKind::Direct,
                effective_at: now,
                postings,
                progress: Vec::new(),
                sources: Vec::new(),
                description: None,
                metadata: Metadata::default(),
                limits: LimitsMode::Enforce,
                version: 1,
            },
            made: Some(TransactionMade {
                ledger_sequence: self.sequence,
                recorded_at: now,
                key: IdempotencyKey::Uuid(uuid),
                key_entry: Some(KeyEntry {
                    request_hash: [self.random() as u8; 16],
                    sequence: self.sequence,
                }),
            }),
        });
    }

    fn posting(&mut self) -> Posting {
        let accounts = self.accounts.len() as u64;
        let debit = self.random() % accounts;
        let credit = (debit + 1 + self.random() % (accounts - 1)) % accounts;
        Posting {
            debit: AccountNumber(debit as u32 + 1),
            credit: AccountNumber(credit as u32 + 1),
            amount: Amount::new(u128::from(self.random() % 100_000 + 1))
                .expect("far below the largest amount"),
        }
    }

    fn posted(
        &mut self,
        moved: &mut Moved,
        id: TransactionId,
        now: Timestamp,
        account: AccountNumber,
        posting: Posting,
    ) {
        let (version, totals) = &mut self.accounts[account.0 as usize - 1];
        let movement = Movement {
            transaction: id,
            effective_at: now,
            effect: TransactionStatus::Posted,
            posting,
        };
        let row = moved
            .history
            .entry((account, self.sequence))
            .or_insert_with(|| {
                *version += 1;
                HistoryRow {
                    ledger: LEDGER,
                    account,
                    ledger_sequence: self.sequence,
                    recorded_at: now,
                    version: *version,
                    totals: *totals,
                    movements: Vec::new(),
                }
            });
        let day = moved.days.entry(account).or_insert(DayRow {
            ledger: LEDGER,
            account,
            day: now.utc_day(),
            debits: Amount::ZERO,
            credits: Amount::ZERO,
            first_ledger_sequence: self.sequence,
            last_ledger_sequence: self.sequence,
        });
        day.last_ledger_sequence = self.sequence;
        let (total, sum) = match account == posting.debit {
            true => (&mut totals.debits_posted, &mut day.debits),
            false => (&mut totals.credits_posted, &mut day.credits),
        };
        for sum in [total, sum] {
            *sum = sum
                .checked_add(posting.amount)
                .expect("sums of small amounts");
        }
        row.totals = *totals;
        row.movements.push(movement);
        moved.balances.insert(
            account,
            BalanceRow {
                ledger: LEDGER,
                account,
                version: *version,
                totals: *totals,
                open_holds_delta: 0,
            },
        );
    }
}

/// What a stretch moves.
#[derive(Default)]
struct Moved {
    balances: BTreeMap<AccountNumber, BalanceRow>,
    days: BTreeMap<AccountNumber, DayRow>,
    history: BTreeMap<(AccountNumber, u64), HistoryRow>,
}
