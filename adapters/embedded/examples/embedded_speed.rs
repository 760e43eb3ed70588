//! How fast the adapter alone is: commits to the log, and simple transfers applied to the read
//! models (one row of transactions, its place in the order, two rows of history each).
//!
//! `cargo run --release -p adapter-embedded --example embedded_speed -- FOLDER [TRANSFERS] [STRETCH]`

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

use adapter_embedded::{Embedded, Options};
use bytes::Bytes;
use ports::conformance::transfers::Transfers;
use ports::log::{Batch, CommitOutcome};

const ACCOUNTS: u32 = 10_000;

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

async fn apply(opened: &Embedded, transfers: u64, stretch: u64) {
    let projection = opened.projection();
    let mut made = Transfers::new(opened.log().log_id(), ACCOUNTS, 1);
    let (mut at, changes) = made.open();
    projection.apply(0, None, &at, changes).await.unwrap();
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < transfers {
        let (to, changes) = made.stretch(stretch.min(transfers - done));
        let started = Instant::now();
        projection.apply(0, Some(&at), &to, changes).await.unwrap();
        let one = started.elapsed();
        spent += one;
        at = to;
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
