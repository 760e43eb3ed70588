//! The driver against faults of the log: nothing acknowledged is lost, and service comes back.

mod common;

use std::sync::Arc;
use std::time::Duration;

use command_handler::{Bounds, Condition, Config, QueueBounds};
use common::*;
use ledger_core::name::LedgerName;
use ports::memory::Fault;
use ports::strong::StrongQuery;
use schemas::proto::v1;
use shard_state::MemoryBounds;
use tonic::{Code, Request};

/// Repeats until it is answered, as clients do.
async fn insist(server: &Server, key: &str, amount: u64) -> v1::Receipt {
    for _ in 0..500 {
        match server.transfer("bank", key, "cash", "a", amount).await {
            Ok(receipt) => return receipt,
            Err(status) => {
                let expected = [Code::Unavailable, Code::ResourceExhausted];
                assert!(expected.contains(&status.code()), "{status:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    panic!("the shard does not come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_any_commit_of_unknown_outcome_the_shard_recovers() {
    let server = start(1).await;
    server.bank("bank").await;
    let faults = [
        Fault::Aborted,
        Fault::Torn(0),
        Fault::Torn(1),
        Fault::Torn(100),
    ];
    for (number, fault) in (0..).zip(faults) {
        server.log.fail_next(0, fault.clone());
        let key = format!("f{number}");
        let lost = server.transfer("bank", &key, "cash", "a", 5).await;
        assert_eq!(lost.unwrap_err().code(), Code::Unavailable, "{fault:?}");
        let receipt = insist(&server, &key, 5).await;
        let written = matches!(fault, Fault::Torn(1..));
        assert_eq!(receipt.repeated, written, "{fault:?}");
    }
    let bookings = records(&server.log, 0)
        .iter()
        .filter(|sealed| sealed.record.key.to_string().starts_with('f'))
        .count();
    assert_eq!(bookings, 4, "each once");
    assert_eq!(server.handler.status()[0].epoch, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_answers_reads_and_comes_back() {
    let server = start(1).await;
    server.bank("bank").await;
    server.log.fail_next(0, Fault::Full);
    let full = server.transfer("bank", "full", "cash", "a", 5).await;
    let full = full.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert_eq!(reason(&full), "DISK_FULL");
    let ledger = LedgerName::new("bank").unwrap();
    let strong = server.handler.strong();
    let mut read = strong.read(&ledger, StrongQuery::Position).await;
    for _ in 0..100 {
        if read.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        read = strong.read(&ledger, StrongQuery::Position).await;
    }
    assert_eq!(
        read.unwrap().ledger_sequence,
        4,
        "what was not durable is not seen"
    );
    let receipt = insist(&server, "full", 5).await;
    assert!(!receipt.repeated);
    assert_eq!(server.handler.status()[0].condition, Condition::Serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposed_writer_gives_the_shard_up() {
    let server = start(1).await;
    server.bank("bank").await;
    server.log.fail_next(0, Fault::Fenced);
    let lost = server.transfer("bank", "x", "cash", "a", 5).await;
    assert!(lost.is_err());
    for _ in 0..100 {
        if matches!(server.handler.status()[0].condition, Condition::Stopped(_)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = &server.handler.status()[0];
    assert!(matches!(&status.condition, Condition::Stopped(why) if why.contains("another writer")));
    assert!(server.transfer("bank", "y", "cash", "a", 5).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_answers_what_was_taken_and_a_restart_knows_it_all() {
    let server = start(1).await;
    server.bank("bank").await;
    let commands = (0..2_000)
        .map(|n| command("bank", &format!("c{n}"), "cash", "a", 1))
        .collect();
    let api = Arc::clone(&server.api);
    let batch = tokio::spawn(async move {
        api.batch_write(Request::new(v1::BatchWriteRequest { commands }))
            .await
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (log, store, clock) = (
        server.log.clone(),
        Arc::clone(&server.store),
        server.clock.clone(),
    );
    server.handler.stop().await;
    let outcomes = batch.await.unwrap();
    let acknowledged = match outcomes {
        Ok(response) => response.outcomes.iter().filter(|o| said(o) == "OK").count(),
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            0
        }
    };
    let stopped = server
        .api
        .write(Request::new(command("bank", "z", "cash", "a", 1)));
    assert_eq!(stopped.await.unwrap_err().code(), Code::Unavailable);
    let again = start_on(config(), log, store, clock).await.unwrap();
    for n in 0..2_000 {
        let receipt = again
            .transfer("bank", &format!("c{n}"), "cash", "a", 1)
            .await
            .unwrap();
        assert!(receipt.repeated || n >= acknowledged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_made_by_records_and_on_stop_and_are_started_from() {
    let config = || Config {
        snapshot_every_records: 100,
        snapshot_on_stop_records: 10,
        ..config()
    };
    let server = start_on(config(), log(1), Arc::default(), TestClock::new())
        .await
        .unwrap();
    server.bank("bank").await;
    for n in 0..150 {
        server
            .transfer("bank", &format!("s{n}"), "cash", "a", 1)
            .await
            .unwrap();
    }
    for _ in 0..200 {
        if server.handler.status()[0].snapshot_sequence >= 100 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let first = server.handler.status()[0].snapshot_sequence;
    assert!(first >= 100, "{first}");
    for n in 150..200 {
        server
            .transfer("bank", &format!("s{n}"), "cash", "a", 1)
            .await
            .unwrap();
    }
    let (log, store, clock) = (
        server.log.clone(),
        Arc::clone(&server.store),
        server.clock.clone(),
    );
    server.handler.stop().await;
    let kept = ports::snapshot::SnapshotStore::list(&*store, 0)
        .await
        .unwrap();
    assert!(kept.len() >= 2);
    let again = start_on(config(), log, store, clock).await.unwrap();
    let receipt = again.transfer("bank", "s0", "cash", "a", 1).await.unwrap();
    assert!(receipt.repeated);
    assert!(again.handler.status()[0].epoch == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_hold_after_their_records_left_memory_and_after_a_restart() {
    let config = || Config {
        bounds: Bounds {
            memory: MemoryBounds {
                records_least: 10,
                step: 1,
                ..MemoryBounds::default()
            },
            ..Bounds::default()
        },
        ..config()
    };
    let server = start_on(config(), log(1), Arc::default(), TestClock::new())
        .await
        .unwrap();
    server.bank("bank").await;
    for n in 0..100 {
        server
            .transfer("bank", &format!("m{n}"), "cash", "a", 1)
            .await
            .unwrap();
    }
    let (log, store, clock) = (
        server.log.clone(),
        Arc::clone(&server.store),
        server.clock.clone(),
    );
    for n in 0..100 {
        let again = server
            .transfer("bank", &format!("m{n}"), "cash", "a", 1)
            .await;
        assert!(again.unwrap().repeated, "{n}");
        let reused = server
            .transfer("bank", &format!("m{n}"), "cash", "a", 2)
            .await;
        assert_eq!(reason(&reused.unwrap_err()), "IDEMPOTENCY_KEY_REUSED");
    }
    server.handler.snapshot().await.unwrap();
    server.handler.stop().await;
    let server = start_on(config(), log, store, clock).await.unwrap();
    for n in 0..100 {
        let again = server
            .transfer("bank", &format!("m{n}"), "cash", "a", 1)
            .await;
        assert!(again.unwrap().repeated, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_declines_at_once() {
    let config = Config {
        queue: QueueBounds {
            commands: 100,
            bytes: 1 << 20,
        },
        ..config()
    };
    let server = start_on(config, log(1), Arc::default(), TestClock::new())
        .await
        .unwrap();
    server.bank("bank").await;
    let (mut taken, mut declined) = (0, 0);
    let begun = std::time::Instant::now();
    // On a busy machine the writer may keep up with a whole wave.
    for wave in 0.. {
        let mut calls = Vec::new();
        for n in 0..50 {
            let api = Arc::clone(&server.api);
            let commands = (0..60)
                .map(|m| command("bank", &format!("q{wave}-{n}-{m}"), "cash", "a", 1))
                .collect();
            calls.push(tokio::spawn(async move {
                api.batch_write(Request::new(v1::BatchWriteRequest { commands }))
                    .await
            }));
        }
        for call in calls {
            match call.await.unwrap() {
                Ok(response) => {
                    assert!(
                        response
                            .outcomes
                            .iter()
                            .all(|outcome| said(outcome) == "OK")
                    );
                    taken += 1;
                }
                Err(status) => {
                    assert_eq!(reason(&status), "RESOURCE_EXHAUSTED");
                    declined += 1;
                }
            }
        }
        if taken > 0 && declined > 0 {
            break;
        }
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(60),
            "{taken} taken, {declined} declined"
        );
    }
    assert_eq!(server.handler.status()[0].waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_cannot_be_right_does_not_serve() {
    let server = start(1).await;
    server.bank("bank").await;
    let (log, store, clock) = (
        server.log.clone(),
        Arc::clone(&server.store),
        server.clock.clone(),
    );
    server.handler.stop().await;
    clock.advance(-600_000_000);
    let behind = start_on(config(), log.clone(), Arc::clone(&store), clock.clone()).await;
    assert_eq!(behind.err().unwrap().code(), "CLOCK_BEHIND_LOG");
    clock.advance(600_000_000 + 25 * 3_600_000_000);
    let ahead = start_on(config(), log.clone(), Arc::clone(&store), clock.clone()).await;
    assert_eq!(ahead.err().unwrap().code(), "CLOCK_AHEAD_OF_LOG");
    let accepted = Config {
        accept_clock: true,
        ..config()
    };
    let server = start_on(accepted, log, store, clock).await.unwrap();
    server
        .transfer("bank", "late", "cash", "a", 1)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_writer_wakes_up_for_an_expiry() {
    let server = start(1).await;
    server.bank("bank").await;
    server
        .transfer("bank", "fund", "cash", "a", 10)
        .await
        .unwrap();
    let mut hold = create("a", "b", 10);
    hold.hold = Some(v1::HoldSpec {
        expires_at: Some(prost_types::Timestamp {
            seconds: START / 1_000_000 + 1,
            nanos: 0,
        }),
        ..v1::HoldSpec::default()
    });
    let request = v1::CreateTransactionRequest {
        options: options("hold"),
        ledger: "bank".to_owned(),
        create: Some(hold),
    };
    server
        .api
        .create_transaction(Request::new(request))
        .await
        .unwrap();
    let before = records(&server.log, 0).len();
    server.clock.advance(1_000_000);
    for _ in 0..300 {
        if records(&server.log, 0).len() > before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let expiry = records(&server.log, 0).pop().unwrap();
    assert!(expiry.record.key.to_string().starts_with("daybook:expire:"));
}
