//! How fast the adapter alone is: rows of history (two a transfer) and batches of the log are
//! written to an emulator and read back.
//!
//! `cargo run --release -p adapter-bigtable --example bigtable_speed -- HOST:PORT [TRANSFERS] [STRETCH]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use adapter_bigtable::{Bigtable, BigtableConfig};
use ledger_core::account::{AccountNumber, Totals};
use ledger_core::amount::Amount;
use ledger_core::key::TransactionId;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Posting, TransactionStatus};
use ports::archive::Archive;
use ports::history::History;
use ports::log::{LogEntry, Position};
use ports::projection::{Checkpoint, HistoryRow, LedgerIndex, Movement};
use ports::views::HistoryRange;
use schemas::record::{LogId, RecordHash};

const ACCOUNTS: u64 = 10_000;
/// Reads of each kind.
const READS: u64 = 500;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().expect("give the emulator's HOST:PORT");
    let transfers = number(arguments.next(), 500_000);
    let stretch = number(arguments.next(), 16_000);
    let stamp = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let log_id = LogId(stamp.as_nanos().to_be_bytes());
    let config = BigtableConfig {
        table_prefix: format!("speed{}", stamp.as_millis()),
        ..BigtableConfig::emulator(address)
    };
    Bigtable::setup(&config).await.unwrap();
    let bigtable = Bigtable::open(config, log_id).await;
    write_history(&*bigtable.history(), log_id, transfers, stretch).await;
    read_history(&*bigtable.history(), transfers).await;
    archive(&*bigtable.archive(), transfers).await;
}

fn number(argument: Option<String>, usual: u64) -> u64 {
    argument.map_or(usual, |text| text.parse().expect("a number"))
}

/// CPU time of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|text| text.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn row(transfer: u64, account: u64, other: u64) -> HistoryRow {
    let at = Timestamp::from_micros(1_750_000_000_000_000 + transfer as i64 * 50).unwrap();
    HistoryRow {
        ledger: LedgerIndex(0),
        account: AccountNumber(account as u32),
        ledger_sequence: transfer,
        recorded_at: at,
        version: transfer,
        totals: Totals {
            debits_posted: Amount::new(u128::from(transfer) * 50).unwrap(),
            credits_posted: Amount::new(u128::from(transfer) * 20).unwrap(),
            ..Totals::default()
        },
        movements: vec![Movement {
            transaction: TransactionId(u128::from(transfer) << 64),
            effective_at: at,
            effect: TransactionStatus::Posted,
            posting: Posting {
                debit: AccountNumber(account as u32),
                credit: AccountNumber(other as u32),
                amount: Amount::new(1_250).unwrap(),
            },
        }],
    }
}

fn accounts(transfer: u64) -> (u64, u64) {
    let mixed = transfer.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    (
        mixed % ACCOUNTS + 1,
        mixed / ACCOUNTS % ACCOUNTS + ACCOUNTS + 1,
    )
}

fn checkpoint(log_id: LogId, sequence: u64) -> Checkpoint {
    Checkpoint {
        log_id,
        sequence,
        record_hash: RecordHash([7; 32]),
        position: Position(sequence),
        recorded_at: Timestamp::from_micros(sequence as i64).unwrap(),
    }
}

fn bank() -> LedgerName {
    LedgerName::new("bank").unwrap()
}

async fn write_history(history: &dyn History, log_id: LogId, transfers: u64, stretch: u64) {
    let (mut spent, mut worked) = (Duration::ZERO, Duration::ZERO);
    let mut done = 0;
    while done < transfers {
        let through = (done + stretch).min(transfers);
        let mut rows = Vec::new();
        for transfer in done + 1..=through {
            let (debit, credit) = accounts(transfer);
            rows.push(row(transfer, debit, credit));
            rows.push(row(transfer, credit, debit));
        }
        rows.sort_by_key(|row| row.account);
        let from = (done > 0).then(|| checkpoint(log_id, done));
        let to = checkpoint(log_id, through);
        let (started, before) = (Instant::now(), cpu());
        history
            .append(0, from.as_ref(), &to, &[bank()], &rows)
            .await
            .unwrap();
        spent += started.elapsed();
        worked += cpu() - before;
        done = through;
    }
    let rows = transfers * 2;
    println!(
        "history: {rows} rows in {spent:?}: {:.0} rows/s; {:.2} µs of CPU a row here",
        rows as f64 / spent.as_secs_f64(),
        worked.as_secs_f64() * 1e6 / rows as f64
    );
}

async fn timed<F: Future<Output = usize>>(what: &str, mut read: impl FnMut(u64) -> F) {
    let mut times = Vec::new();
    let mut found = 0;
    for n in 0..READS {
        let started = Instant::now();
        found += read(n).await;
        times.push(started.elapsed());
    }
    times.sort();
    println!(
        "{what}: p50 {:?}, p99 {:?} ({found} rows)",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

async fn read_history(history: &dyn History, transfers: u64) {
    let bank = &bank();
    timed("balance as of a moment", |n| async move {
        let account = AccountNumber((n * 17 % ACCOUNTS) as u32 + 1);
        let at = Timestamp::from_micros(1_750_000_000_000_000 + (transfers * 25) as i64).unwrap();
        let row = history.row_at(bank, account, at, u64::MAX).await.unwrap();
        usize::from(row.is_some())
    })
    .await;
    timed("last 20 rows", |n| async move {
        let account = AccountNumber((n * 17 % ACCOUNTS) as u32 + 1);
        let range = HistoryRange {
            from: 0,
            through: transfers,
            newest_first: true,
        };
        history.rows(bank, account, range, 20).await.unwrap().len()
    })
    .await;
}

async fn archive(archive: &dyn Archive, transfers: u64) {
    const RECORDS: u64 = 1_000;
    let body: Vec<u8> = (0..RECORDS * 178)
        .map(|at| ((at * at) >> 7) as u8)
        .collect();
    let entries: Vec<LogEntry> = (0..transfers / RECORDS)
        .map(|n| LogEntry {
            position: Position(n * 1_001),
            first_sequence: n * RECORDS + 1,
            record_count: RECORDS as u32,
            body: body.clone().into(),
        })
        .collect();
    let (started, before) = (Instant::now(), cpu());
    let mut mark = None;
    for some in entries.chunks(23) {
        mark = archive.append(0, mark, some).await.unwrap();
    }
    let (spent, worked) = (started.elapsed(), cpu() - before);
    println!(
        "archive: {transfers} records in {spent:?}: {:.0} records/s; {:.2} µs of CPU a record here",
        transfers as f64 / spent.as_secs_f64(),
        worked.as_secs_f64() * 1e6 / transfers as f64
    );
    let started = Instant::now();
    let reader = archive.reader();
    let mut from = Position(0);
    let mut records = 0;
    loop {
        let read = reader.read(0, from, 4 << 20).await.unwrap();
        let Some(last) = read.last() else { break };
        from = Position(last.position.0 + 1);
        records += read
            .iter()
            .map(|entry| u64::from(entry.record_count))
            .sum::<u64>();
    }
    println!(
        "read back: {:.0} records/s",
        records as f64 / started.elapsed().as_secs_f64()
    );
}
