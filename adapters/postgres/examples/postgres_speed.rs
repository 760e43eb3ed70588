//! How fast the adapter alone applies simple transfers, without a history to write.
//!
//! `DAYBOOK_POSTGRES=postgres://… cargo run --release -p adapter-postgres --example postgres_speed --
//! [TRANSFERS] [STRETCH] [POSTINGS]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_postgres::{Postgres, PostgresConfig};
use async_trait::async_trait;
use ledger_core::account::AccountNumber;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::conformance::transfers::Transfers;
use ports::history::History;
use ports::projection::{Checkpoint, HistoryRow, ProjectionError};
use ports::views::HistoryRange;
use schemas::record::LogId;

const ACCOUNTS: u32 = 10_000;
const LOG: LogId = LogId([1; 16]);

/// A history that costs nothing.
struct Nowhere;

#[async_trait]
impl History for Nowhere {
    async fn checkpoint(&self, _: u32) -> Result<Option<Checkpoint>, ProjectionError> {
        Ok(None)
    }

    async fn append(
        &self,
        _: u32,
        _: Option<&Checkpoint>,
        _: &Checkpoint,
        _: &[LedgerName],
        _: &[HistoryRow],
    ) -> Result<(), ProjectionError> {
        Ok(())
    }

    async fn rows(
        &self,
        _: &LedgerName,
        _: AccountNumber,
        _: HistoryRange,
        _: usize,
    ) -> Result<Vec<HistoryRow>, ProjectionError> {
        Ok(Vec::new())
    }

    async fn row_at(
        &self,
        _: &LedgerName,
        _: AccountNumber,
        _: Timestamp,
        _: u64,
    ) -> Result<Option<HistoryRow>, ProjectionError> {
        Ok(None)
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        let argument = arguments.next();
        argument.map_or(default, |argument| argument.parse().expect("a number"))
    };
    let (transfers, stretch, postings) = (number(200_000), number(8_000), number(1) as usize);
    let url = std::env::var("DAYBOOK_POSTGRES").expect("DAYBOOK_POSTGRES says where Postgres is");
    let config = PostgresConfig::new(url).schema("daybook_speed");
    Postgres::remove(&config).await.unwrap();
    Postgres::setup(&config, LOG, 1).await.unwrap();
    let opened = Postgres::open(&config, LOG, 1, Arc::new(Nowhere))
        .await
        .unwrap();
    let projection = opened.projection();
    let mut made = Transfers::new(LOG, ACCOUNTS, postings);
    let (mut at, changes) = made.open();
    let started = Instant::now();
    projection.apply(0, None, &at, changes).await.unwrap();
    println!("{ACCOUNTS} accounts opened in {:?}", started.elapsed());
    let (mut spent, mut done, mut worst) = (Duration::ZERO, 0, Duration::ZERO);
    while done < transfers {
        let (to, changes) = made.stretch(stretch);
        let started = Instant::now();
        projection.apply(0, Some(&at), &to, changes).await.unwrap();
        let one = started.elapsed();
        spent += one;
        worst = worst.max(one);
        at = to;
        done += stretch;
        if done % (transfers / 5).max(stretch) < stretch {
            println!(
                "{done} transfers of {postings} postings, {stretch} a stretch: {:.0}/s in all, \
                 {:.1} ms a stretch, {:.1} ms at most",
                done as f64 / spent.as_secs_f64(),
                spent.as_secs_f64() * 1_000.0 / (done / stretch) as f64,
                worst.as_secs_f64() * 1_000.0
            );
        }
    }
    opened.close().await;
    Postgres::remove(&config).await.unwrap();
}
