//! Through faults, rebalances, restarts and gaps: each once, in order, none lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use command_handler::{Config, IngestionConfig};
use ports::ingestion::CommandTopic;
use ports::log::SideTopic;
use ports::memory::{Fault, MemorySource};
use schemas::record::{Origin, Payload};
use serde_json::json;

use crate::common::*;
use crate::world::*;

/// Every record of the topics has an outcome; all outcomes of one record tell the same, but for
/// whether it is a repeat; each key is in the log once; each topic was decided in its order.
fn check(world: &World, pushed: &BTreeMap<(String, u64), String>) {
    let outcomes = world.outcomes();
    for (place, key) in pushed {
        let told = outcomes
            .get(place)
            .unwrap_or_else(|| panic!("{place:?} has no outcome"));
        for outcome in told {
            assert_eq!(outcome["key"], json!(key));
            for same in [
                "code",
                "transaction_id",
                "ledger_sequence",
                "record_hash",
                "figures",
            ] {
                assert_eq!(outcome[same], told[0][same], "{place:?}");
            }
        }
    }
    let mut keys = BTreeMap::<String, u32>::new();
    let mut last = BTreeMap::<Arc<str>, u64>::new();
    for sealed in records(&world.log, 0) {
        let record = sealed.record;
        *keys.entry(record.key.to_string()).or_default() += 1;
        if let Origin::Kafka {
            topic,
            offset,
            resume,
            ..
        } = record.origin
        {
            assert!(resume <= offset);
            let before = last.insert(topic, offset);
            assert!(before < Some(offset), "{before:?} before {offset}");
        }
    }
    for key in pushed.values() {
        assert_eq!(keys.get(key), Some(&1), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn through_faults_of_every_kind_each_is_decided_once_and_in_order() {
    let world = World::new().await;
    let mut pushed = BTreeMap::new();
    for n in 0..2_000u64 {
        let (topic, key, offset) = match n % 3 {
            0 => (
                "deposits",
                format!("d{n}"),
                world.deposit(&format!("d{n}"), 10),
            ),
            // Some of them are refused.
            1 => (
                "withdrawals",
                format!("w{n}"),
                world.withdrawal(&format!("w{n}"), 11),
            ),
            // Repeats of an earlier one, by another record.
            _ => {
                let key = format!("d{}", n - 2);
                ("deposits", key.clone(), world.deposit(&key, 10))
            }
        };
        pushed.insert((topic.to_owned(), offset), key);
        if n % 100 == 50 {
            let fault = match n / 100 % 5 {
                0 => Fault::Torn(0),
                1 => Fault::Torn(7),
                2 => Fault::Torn(u32::MAX),
                3 => Fault::Aborted,
                _ => Fault::Full,
            };
            serves(&world.server).await;
            world.log.fail_next(0, fault);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    until("an outcome of every record", || {
        let outcomes = world.outcomes();
        pushed.keys().all(|place| outcomes.contains_key(place))
    })
    .await;
    check(&world, &pushed);
    assert!(
        world.server.handler.status()[0].epoch > 5,
        "faults there were"
    );
    let codes: Vec<_> = world
        .outcomes()
        .into_values()
        .map(|o| o[0]["code"].clone())
        .collect();
    assert!(codes.contains(&json!("OK")) && codes.contains(&json!("INSUFFICIENT_FUNDS")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_in_mid_stream_costs_nothing() {
    let world = World::new().await;
    let mut pushed = BTreeMap::new();
    for n in 0..1_500u64 {
        let key = format!("d{n}");
        pushed.insert(("deposits".to_owned(), world.deposit(&key, 10)), key);
        if n % 150 == 149 {
            assert!(world.group.revoke().await);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            world.group.give(world.member.number(), &[0], &[]);
        }
    }
    until("an outcome of every record", || {
        world.outcomes().len() == pushed.len()
    })
    .await;
    check(&world, &pushed);
    assert_eq!(world.server.handler.status()[0].epoch, 1);
    assert!(
        world.outcomes().values().all(|told| told.len() == 1),
        "each told once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_on_where_the_log_says_from_a_snapshot_too() {
    let config = || Config {
        snapshot_on_stop_records: 1,
        ..config()
    };
    let world = World::with(config(), MemorySource::default()).await;
    world.server.bank("bank").await;
    let mut pushed = BTreeMap::new();
    for n in 0..300 {
        let key = format!("d{n}");
        pushed.insert(("deposits".to_owned(), world.deposit(&key, 1)), key);
        world.withdrawal(&format!("w{n}"), 1);
        if n == 150 {
            until("half told", || world.outcomes().len() == 302).await;
        }
    }
    until("all told", || world.outcomes().len() == 600).await;
    let last = records(&world.log, 0)
        .into_iter()
        .filter_map(|r| match r.record.origin {
            Origin::Kafka { topic, resume, .. } if &*topic == "deposits" => Some(resume),
            _ => None,
        })
        .next_back()
        .unwrap();
    assert!(last > 0);
    let world = world.restart(config()).await;
    serves(&world.server).await;
    let claimed = records(&world.log, 0).pop().unwrap().record.payload;
    assert!(matches!(claimed, Payload::WriterClaimed(_)));
    // What was answered for good is not needed any more.
    world.source.lose_before(CommandTopic::Deposits, 0, last);
    let world = world.restart(config()).await;
    serves(&world.server).await;
    let key = "after".to_owned();
    pushed.insert(("deposits".to_owned(), world.deposit("after", 1)), key);
    world.outcome("deposits", 300).await;
    check(&world, &pushed);
    assert_eq!(world.server.handler.status()[0].ingestion_stopped, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_lost_before_they_were_read_stop_ingestion_until_that_is_accepted() {
    let world = World::new().await;
    let first = world.deposit("first", 1);
    world.outcome("deposits", first).await;
    world.server.handler.stop().await;
    for n in 0..10 {
        world.deposit(&format!("lost-{n}"), 1);
    }
    world.source.lose_before(CommandTopic::Deposits, 0, 5);
    let world = world.restart(config()).await;
    serves(&world.server).await;
    until("stopped", || {
        let status = world.server.handler.status();
        status[0]
            .ingestion_stopped
            .as_ref()
            .is_some_and(|why| why.contains("INGESTION_GAP"))
    })
    .await;
    world
        .server
        .transfer("bank", "call", "cash", "a", 1)
        .await
        .unwrap();
    let accepting = Config {
        ingestion: IngestionConfig {
            accept_gap: true,
            ..IngestionConfig::default()
        },
        ..config()
    };
    let world = world.restart(accepting).await;
    assert_eq!(world.outcome("deposits", 5).await["key"], "lost-4");
    assert_eq!(world.outcome("deposits", 10).await["code"], "OK");
    assert_eq!(world.server.handler.status()[0].ingestion_stopped, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decided_now_is_offered_again_and_reading_waits() {
    let config = Config {
        ingestion: IngestionConfig {
            in_flight_records: 40,
            chunk_records: 16,
            ..IngestionConfig::default()
        },
        ..config()
    };
    let world = World::with(config, MemorySource::default()).await;
    world.server.bank("bank").await;
    // The clock is far behind: nothing is decided.
    world.server.clock.advance(-600_000_000);
    let mut pushed = BTreeMap::new();
    for n in 0..200 {
        let key = format!("d{n}");
        pushed.insert(("deposits".to_owned(), world.deposit(&key, 1)), key);
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(world.outcomes().is_empty());
    assert!(world.server.handler.status()[0].waiting <= 40);
    world.server.clock.advance(600_000_000);
    until("all told", || world.outcomes().len() == 200).await;
    check(&world, &pushed);
    assert!(
        world.messages(SideTopic::DeadLetters).is_empty(),
        "nothing is given up"
    );
}
