//! How fast the adapter alone is: commits to the log, and simple transfers applied to the read
//! models (one row of transactions, its place in the order, two rows of history each).
//!
//! `cargo run --release -p adapter-embedded --example speed -- FOLDER [TRANSFERS] [STRETCH]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use adapter_embedded::{Embedded, Options};
use bytes::Bytes;
use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, Limits, Totals,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::LedgerTerms;
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::text::Metadata;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{
    LimitsMode, Posting, Transaction, TransactionKind, TransactionStatus,
};
use ports::log::{Batch, CommitOutcome, Position};
use ports::projection::{
    AccountRow, BalanceRow, Changes, Checkpoint, DayRow, HeadRow, HistoryRow, LedgerIndex,
    LedgerRow, Movement, PlaceRow, TransactionMade, TransactionRow,
};
use schemas::record::{LogId, RecordHash};

const ACCOUNTS: u64 = 10_000;
const LEDGER: LedgerIndex = LedgerIndex(0);
/// Records of an entry.
const ENTRY: u64 = 8_000;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("give a folder");
    let transfers = number(arguments.next(), 1_000_000);
    let stretch = number(arguments.next(), 64_000);
    let options = Options {
        create: true,
        ..Options::default()
    };
    let opened = Embedded::open(Path::new(&dir), options).await.unwrap();
    commits(&opened, 150, 3_000).await;
    commits(&opened, 1_200_000, 100).await;
    apply(&opened, transfers, stretch).await;
    let started = Instant::now();
    opened.close().await;
    println!("closed in {:?}", started.elapsed());
    for file in ["log.db", "views.db"] {
        let bytes = std::fs::metadata(Path::new(&dir).join(file)).unwrap().len();
        println!("{file}: {} MB", bytes / 1_000_000);
    }
}

fn number(argument: Option<String>, default: u64) -> u64 {
    argument.map_or(default, |argument| argument.parse().expect("a number"))
}

async fn commits(opened: &Embedded, bytes: usize, count: u64) {
    let log = opened.log();
    let next = *log.reader().watch(0).borrow();
    let mut writer = log.claim(0, Bytes::from_static(b"barrier")).await.unwrap();
    let body = Bytes::from((0..bytes).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>());
    let mut times = Vec::new();
    let started = Instant::now();
    for n in 0..count {
        let batch = Batch {
            epoch: 1,
            first_sequence: next + n,
            record_count: 1,
            body: Bytes::from(body.to_vec()),
            attached: Default::default(),
        };
        let one = Instant::now();
        let outcome = writer.commit(batch).await;
        assert!(
            matches!(outcome, CommitOutcome::Committed(_)),
            "{outcome:?}"
        );
        times.push(one.elapsed());
    }
    let all = started.elapsed();
    times.sort();
    let at = |share: usize| times[times.len() * share / 100];
    let most = times[times.len() - 1];
    println!(
        "commits of {bytes} B: p50 {:?} p90 {:?} p99 {:?} max {most:?}, {:.0}/s",
        at(50),
        at(90),
        at(99),
        count as f64 / all.as_secs_f64()
    );
}

struct World {
    seed: u64,
    sequence: u64,
    now: i64,
    accounts: Vec<(u64, Totals)>,
    checkpoint: Option<Checkpoint>,
    log_id: LogId,
}

async fn apply(opened: &Embedded, transfers: u64, stretch: u64) {
    let projection = opened.projection();
    let mut world = World {
        seed: 88_172_645_463_325_252,
        sequence: 0,
        now: 1_700_000_000_000_000,
        accounts: vec![(1, Totals::default()); ACCOUNTS as usize],
        checkpoint: None,
        log_id: opened.log().log_id(),
    };
    let (to, changes) = world.open();
    projection.apply(0, None, &to, changes).await.unwrap();
    world.checkpoint = Some(to);
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < transfers {
        let (to, changes) = world.stretch(stretch.min(transfers - done));
        let started = Instant::now();
        projection
            .apply(0, world.checkpoint.as_ref(), &to, changes)
            .await
            .unwrap();
        let one = started.elapsed();
        spent += one;
        world.checkpoint = Some(to);
        done += stretch.min(transfers - done);
        if done % (transfers / 10).max(stretch) < stretch {
            println!(
                "{done} transfers applied: {:.0}/s in all, {:.0}/s in the last stretch, {}",
                done as f64 / spent.as_secs_f64(),
                stretch as f64 / one.as_secs_f64(),
                memory()
            );
        }
    }
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .map(str::to_owned)
    };
    line("VmHWM").unwrap_or_default()
}

impl World {
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
            recorded_at: Timestamp::from_micros(self.now).unwrap(),
        }
    }

    fn open(&mut self) -> (Checkpoint, Changes) {
        self.sequence += 1;
        let now = Timestamp::from_micros(self.now).unwrap();
        let changes = Changes {
            ledgers: vec![LedgerName::new("bench").unwrap()],
            ledger_rows: vec![LedgerRow {
                ledger: LEDGER,
                terms: Some(LedgerTerms::default()),
                created_at: Some(now),
                closed_through: Some(None),
                version: 1,
            }],
            accounts: (1..=ACCOUNTS as u32)
                .map(|n| AccountRow {
                    ledger: LEDGER,
                    number: AccountNumber(n),
                    terms: Some(AccountTerms {
                        name: AccountName::new(&format!("customers:{n}")).unwrap(),
                        asset: Asset::parse("USD/2").unwrap(),
                        account_type: AccountType::Liability,
                        limits: Limits::default(),
                        metadata: Metadata::default(),
                    }),
                    status: Some(AccountStatus::Open),
                    opened_at: Some(now),
                    version: 1,
                })
                .collect(),
            ..Changes::default()
        };
        (self.to(), changes)
    }

    fn stretch(&mut self, count: u64) -> (Checkpoint, Changes) {
        let mut changes = Changes {
            ledgers: vec![LedgerName::new("bench").unwrap()],
            ..Changes::default()
        };
        let mut balances = BTreeMap::new();
        let mut days = BTreeMap::new();
        for _ in 0..count {
            self.sequence += 1;
            self.now += 4;
            self.transfer(&mut changes, &mut balances, &mut days);
        }
        changes.balances = balances.into_values().collect();
        changes.days = days.into_values().collect();
        changes.transactions.sort_by_key(|row| row.transaction.id);
        changes
            .history
            .sort_by_key(|row| (row.account, row.ledger_sequence));
        let to = self.to();
        changes.heads.push(HeadRow {
            ledger: LEDGER,
            ledger_sequence: self.sequence,
            record_hash: to.record_hash,
            recorded_at: to.recorded_at,
        });
        (to, changes)
    }

    fn transfer(
        &mut self,
        changes: &mut Changes,
        balances: &mut BTreeMap<AccountNumber, BalanceRow>,
        days: &mut BTreeMap<AccountNumber, DayRow>,
    ) {
        let now = Timestamp::from_micros(self.now).unwrap();
        if self.sequence.is_multiple_of(ENTRY) {
            changes.places.push(PlaceRow {
                ledger: LEDGER,
                ledger_sequence: self.sequence,
                sequence: self.sequence,
                position: Position(self.sequence / ENTRY + 1),
                recorded_at: now,
            });
        }
        let debit = self.random() % ACCOUNTS;
        let credit = (debit + 1 + self.random() % (ACCOUNTS - 1)) % ACCOUNTS;
        let amount = Amount::new(u128::from(self.random() % 100_000 + 1)).unwrap();
        let uuid = (self.now as u128 / 1_000) << 80
            | 7 << 76
            | u128::from(self.random() & 0xfff) << 64
            | 0b10 << 62
            | u128::from(self.random() >> 2);
        let posting = Posting {
            debit: AccountNumber(debit as u32 + 1),
            credit: AccountNumber(credit as u32 + 1),
            amount,
        };
        let id = TransactionId(uuid);
        for account in [posting.debit, posting.credit] {
            let (version, totals) = &mut self.accounts[account.0 as usize - 1];
            *version += 1;
            let day = days.entry(account).or_insert(DayRow {
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
            *total = total.checked_add(amount).unwrap();
            *sum = sum.checked_add(amount).unwrap();
            balances.insert(
                account,
                BalanceRow {
                    ledger: LEDGER,
                    account,
                    version: *version,
                    totals: *totals,
                    open_holds_delta: 0,
                },
            );
            changes.history.push(HistoryRow {
                ledger: LEDGER,
                account,
                ledger_sequence: self.sequence,
                recorded_at: now,
                version: *version,
                totals: *totals,
                movements: vec![Movement {
                    transaction: id,
                    effective_at: now,
                    effect: TransactionStatus::Posted,
                    posting,
                }],
            });
        }
        changes.transactions.push(TransactionRow {
            ledger: LEDGER,
            transaction: Transaction {
                id,
                status: TransactionStatus::Posted,
                kind: TransactionKind::Direct,
                effective_at: now,
                postings: vec![posting],
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
}
