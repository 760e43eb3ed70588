//! The server is out of reach, or comes back without what it had.

use std::time::{Duration, Instant};

use adapter_bigtable::{Bigtable, BigtableConfig};
use ledger_core::account::{AccountNumber, Totals};
use ledger_core::amount::Amount;
use ledger_core::key::TransactionId;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Posting, TransactionStatus};
use ports::history::History;
use ports::log::{LogEntry, LogError, Position};
use ports::projection::{Checkpoint, HistoryRow, LedgerIndex, Movement, ProjectionError};
use ports::views::HistoryRange;
use schemas::record::{LogId, RecordHash};

use crate::server::{self, Proxy};

const ACCOUNT: AccountNumber = AccountNumber(7);

const ALL: HistoryRange = HistoryRange {
    from: 0,
    through: u64::MAX,
    newest_first: false,
};

fn bank() -> LedgerName {
    LedgerName::new("bank").unwrap()
}

fn checkpoint(log_id: LogId, sequence: u64) -> Checkpoint {
    Checkpoint {
        log_id,
        sequence,
        record_hash: RecordHash([sequence as u8; 32]),
        position: Position(sequence),
        recorded_at: Timestamp::from_micros(sequence as i64).unwrap(),
    }
}

fn row(sequence: u64) -> HistoryRow {
    HistoryRow {
        ledger: LedgerIndex(0),
        account: ACCOUNT,
        ledger_sequence: sequence,
        recorded_at: Timestamp::from_micros(sequence as i64).unwrap(),
        version: sequence,
        totals: Totals::default(),
        movements: vec![Movement {
            transaction: TransactionId(sequence.into()),
            effective_at: Timestamp::MIN,
            effect: TransactionStatus::Posted,
            posting: Posting {
                debit: ACCOUNT,
                credit: AccountNumber(8),
                amount: Amount::new(5).unwrap(),
            },
        }],
    }
}

/// Appends the records after `from` up to `to`.
async fn append(
    history: &dyn History,
    log_id: LogId,
    from: u64,
    to: u64,
) -> Result<(), ProjectionError> {
    let before = (from > 0).then(|| checkpoint(log_id, from));
    let rows: Vec<_> = (from + 1..=to).map(row).collect();
    let to = checkpoint(log_id, to);
    history
        .append(0, before.as_ref(), &to, &[bank()], &rows)
        .await
}

fn entry(sequence: u64) -> LogEntry {
    LogEntry {
        position: Position(sequence),
        first_sequence: sequence,
        record_count: 1,
        body: vec![7; 100].into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_reach_is_unavailable_and_mends_by_itself() {
    let mut proxy = Proxy::start().await;
    let direct = server::config();
    Bigtable::setup(&direct).await.unwrap();
    let config = BigtableConfig {
        table_prefix: direct.table_prefix.clone(),
        ..BigtableConfig::emulator(proxy.address())
    };
    let log_id = server::log_id();
    // Opened while nobody is there.
    proxy.cut().await;
    let bigtable = Bigtable::open(config, log_id).await;
    let (history, archive) = (bigtable.history(), bigtable.archive());
    for round in 0..3 {
        let started = Instant::now();
        let refused = append(&*history, log_id, round * 10, round * 10 + 10).await;
        assert!(
            matches!(refused, Err(ProjectionError::Unavailable(_))),
            "{refused:?}"
        );
        let refused = history.row_at(&bank(), ACCOUNT, Timestamp::MAX, 9).await;
        assert!(
            matches!(refused, Err(ProjectionError::Unavailable(_))),
            "{refused:?}"
        );
        let refused = archive.mark(0).await;
        assert!(
            matches!(refused, Err(LogError::Unavailable(_))),
            "{refused:?}"
        );
        let took = started.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}");

        proxy.mend().await;
        append(&*history, log_id, round * 10, round * 10 + 10)
            .await
            .unwrap();
        let mark = archive.mark(0).await.unwrap();
        let sequence = mark.map_or(1, |mark| mark.next_sequence);
        archive.append(0, mark, &[entry(sequence)]).await.unwrap();
        proxy.cut().await;
    }
    proxy.mend().await;
    let rows = history.rows(&bank(), ACCOUNT, ALL, 100).await.unwrap();
    assert_eq!(rows, (1..=30).map(row).collect::<Vec<_>>());
    let read = archive
        .reader()
        .read(0, Position(0), 1 << 20)
        .await
        .unwrap();
    assert_eq!(read, (1..=3).map(entry).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_in_mid_write_lose_nothing() {
    let mut proxy = Proxy::start().await;
    let config = BigtableConfig {
        table_prefix: server::config().table_prefix,
        ..BigtableConfig::emulator(proxy.address())
    };
    let log_id = server::log_id();
    Bigtable::setup(&config).await.unwrap();
    let history = Bigtable::open(config, log_id).await.history();
    let writing = {
        let history = std::sync::Arc::clone(&history);
        tokio::spawn(async move {
            let mut faults = 0;
            for step in 0..20 {
                while let Err(error) =
                    append(&*history, log_id, step * 2_500, (step + 1) * 2_500).await
                {
                    assert!(
                        matches!(error, ProjectionError::Unavailable(_)),
                        "{error:?}"
                    );
                    faults += 1;
                }
            }
            faults
        })
    };
    let mut pause = 7;
    while !writing.is_finished() {
        pause = pause * 31 % 97;
        tokio::time::sleep(Duration::from_millis(20 + pause)).await;
        proxy.cut().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        proxy.mend().await;
    }
    writing.await.unwrap();
    let rows = history.rows(&bank(), ACCOUNT, ALL, 100_000).await.unwrap();
    assert!(rows == (1..=50_000).map(row).collect::<Vec<_>>());
    let reached = history.checkpoint(0).await.unwrap();
    assert_eq!(reached, Some(checkpoint(log_id, 50_000)));
}

#[tokio::test]
async fn what_came_back_empty_says_so() {
    let (bigtable, config, log_id) = server::opened().await;
    let (history, archive) = (bigtable.history(), bigtable.archive());
    append(&*history, log_id, 0, 10).await.unwrap();
    let mark = archive.append(0, None, &[entry(1)]).await.unwrap();

    // Met first by who writes.
    server::lose(&config).await;
    let behind = append(&*history, log_id, 10, 20).await;
    assert!(
        matches!(
            behind,
            Err(ProjectionError::HistoryBehind {
                shard: 0,
                found: None
            })
        ),
        "{behind:?}"
    );
    append(&*history, log_id, 0, 20).await.unwrap();
    let refused = archive.append(0, mark, &[entry(2)]).await;
    assert!(matches!(refused, Err(LogError::Unusable(_))), "{refused:?}");
    assert_eq!(archive.mark(0).await.unwrap(), None);
    let both = [entry(1), entry(2)];
    archive.append(0, None, &both).await.unwrap();

    // Met first by who reads: not as if there were nothing to read.
    server::lose(&config).await;
    let refused = history.rows(&bank(), ACCOUNT, ALL, 10).await;
    assert!(
        matches!(refused, Err(ProjectionError::Unavailable(_))),
        "{refused:?}"
    );
    let refused = archive.reader().read(0, Position(0), 100).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(history.checkpoint(0).await.unwrap(), None);
    assert_eq!(archive.mark(0).await.unwrap(), None);
    append(&*history, log_id, 0, 30).await.unwrap();
    let rows = history.rows(&bank(), ACCOUNT, ALL, 100).await.unwrap();
    assert_eq!(rows.len(), 30);
}
