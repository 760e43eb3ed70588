//! What records of topics ask for, and what they are answered.

use std::sync::Arc;

use command_handler::Condition;
use ports::ingestion::CommandTopic;
use ports::log::SideTopic;
use ports::memory::{MemoryGroup, MemoryLog, MemorySource};
use schemas::proto::ingest::v1 as form;
use schemas::proto::v1;
use schemas::record::{LogId, Origin};
use serde_json::{Value, json};
use tonic::Request;

use crate::common::*;
use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn deposits_withdrawals_and_transfers_move_money_and_are_told_of() {
    let world = World::new().await;
    let deposit = world.deposit("d1", 100);
    let outcome = world.outcome("deposits", deposit).await;
    assert_eq!(
        (&outcome["code"], &outcome["repeated"]),
        (&json!("OK"), &json!(false))
    );
    assert_eq!(
        (&outcome["key"], &outcome["ledger"]),
        (&json!("d1"), &json!("bank"))
    );
    let record = records(&world.log, 0).pop().unwrap();
    assert_eq!(outcome["record_hash"], json!(record.hash.to_string()));
    let sequence = record.record.ledger_sequence.to_string();
    assert_eq!(outcome["ledger_sequence"], json!(sequence));
    assert!(matches!(
        &record.record.origin,
        Origin::Kafka { topic, partition: 0, offset: 0, resume: 0 } if &**topic == "deposits"
    ));
    assert_eq!(
        (world.balance("a").await, world.balance("cash").await),
        (100, 100)
    );

    let withdrawal = world.withdrawal("w1", 30);
    assert_eq!(world.outcome("withdrawals", withdrawal).await["code"], "OK");
    let transfer = world.push(
        CommandTopic::Transfers,
        json!({"ledger": "bank", "key": "t1", "debit_account": "a", "credit_account": "b",
               "amount": "20", "asset": "USD/2", "description": "rent",
               "metadata": {"month": "May"}, "effective_at": "2026-05-01T00:00:00Z"}),
    );
    assert_eq!(world.outcome("transfers", transfer).await["code"], "OK");
    assert_eq!(
        (world.balance("a").await, world.balance("b").await),
        (50, 20)
    );

    // A refusal is an outcome.
    let refused = world.withdrawal("w2", 51);
    let outcome = world.outcome("withdrawals", refused).await;
    assert_eq!(outcome["code"], "INSUFFICIENT_FUNDS");
    assert_eq!(outcome["figures"]["available"], "50");
    assert!(outcome["message"].as_str().unwrap().len() > 10);
    assert!(world.messages(SideTopic::DeadLetters).is_empty());
    let consumed = world.log.attached(0).pop().unwrap().consumed;
    assert_eq!(consumed[0].next_offset, refused + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_and_a_call_are_the_same_command() {
    let world = World::new().await;
    let id = "01970000-0000-7000-8000-000000000001";
    let first = world.deposit(id, 7);
    assert_eq!(world.outcome("deposits", first).await["code"], "OK");
    // The same in protobuf.
    let message = form::Deposit {
        ledger: "bank".to_owned(),
        key: id.to_owned(),
        account: "a".to_owned(),
        counter_account: "cash".to_owned(),
        amount: "7".to_owned(),
        asset: "USD/2".to_owned(),
        ..form::Deposit::default()
    };
    let second = world.source.push(
        CommandTopic::Deposits,
        0,
        "bank",
        &[("Content-Type", "application/x-protobuf")],
        prost::Message::encode_to_vec(&message),
    );
    let outcome = world.outcome("deposits", second).await;
    assert_eq!(
        (&outcome["code"], &outcome["repeated"]),
        (&json!("OK"), &json!(true))
    );
    assert_eq!(outcome["transaction_id"], json!(id));
    let hash = world.outcome("deposits", first).await["record_hash"].clone();
    assert_eq!(outcome["record_hash"], hash);
    // The same by a call.
    let mut command = command("bank", id, "cash", "a", 7);
    if let Some(v1::command::Operation::CreateTransaction(create)) = &mut command.operation {
        create.postings[0].asset = "USD/2".to_owned();
    }
    let receipt = world.server.api.write(Request::new(command)).await.unwrap();
    assert!(receipt.repeated);
    // Another under its key.
    let reused = world.deposit(id, 8);
    assert_eq!(
        world.outcome("deposits", reused).await["code"],
        "IDEMPOTENCY_KEY_REUSED"
    );
    assert_eq!(world.balance("a").await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_account_that_is_left_out_is_the_ledgers_settlement_account() {
    let world = World::new().await;
    let bare = |key: &str| json!({"ledger": "bank", "key": key, "account": "a", "amount": "5", "asset": "USD/2"});
    world.push(CommandTopic::Deposits, bare("none"));
    until("a dead letter", || {
        world.messages(SideTopic::DeadLetters).len() == 1
    })
    .await;
    let dead = &world.messages(SideTopic::DeadLetters)[0];
    assert_eq!(header(dead, "daybook-reason"), "INVALID_ARGUMENT");
    assert!(header(dead, "daybook-message").contains("counter_account"));

    let update = v1::UpdateLedgerRequest {
        options: options("settle"),
        ledger: "bank".to_owned(),
        update: Some(v1::UpdateLedger {
            settlement_accounts: Some(v1::SettlementAccounts {
                accounts: [("USD/2".to_owned(), "cash".to_owned())].into(),
            }),
            ..v1::UpdateLedger::default()
        }),
    };
    world
        .server
        .api
        .update_ledger(Request::new(update))
        .await
        .unwrap();
    let deposit = world.push(CommandTopic::Deposits, bare("d"));
    assert_eq!(world.outcome("deposits", deposit).await["code"], "OK");
    let withdrawal = world.push(CommandTopic::Withdrawals, bare("w"));
    assert_eq!(world.outcome("withdrawals", withdrawal).await["code"], "OK");
    assert_eq!(
        (world.balance("a").await, world.balance("cash").await),
        (0, 0)
    );
    // The same command with the account named.
    let named = world.deposit("d", 5);
    let outcome = world.outcome("deposits", named).await;
    assert_eq!(
        (&outcome["code"], &outcome["repeated"]),
        (&json!("OK"), &json!(true))
    );
}

/// Key, headers, payload and reason.
type Case = (
    &'static str,
    &'static [(&'static str, &'static str)],
    String,
    &'static str,
);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_becomes_a_dead_letter_as_it_was() {
    let world = World::new().await;
    let good = json!({"ledger": "bank", "key": "k", "account": "a", "counter_account": "cash", "amount": "5", "asset": "USD/2"});
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed.to_string()
    };
    let cases: Vec<Case> = vec![
        ("bank", JSON, "{".to_owned(), "UNDECODABLE"),
        ("bank", JSON, with("amount", json!(5)), "UNDECODABLE"),
        ("bank", JSON, with("surprise", json!("x")), "UNDECODABLE"),
        ("bank", &[], good.to_string(), "UNDECODABLE"),
        (
            "bank",
            &[("content-type", "text/csv")],
            good.to_string(),
            "UNDECODABLE",
        ),
        (
            "bank",
            &[("content-type", "application/x-protobuf")],
            good.to_string(),
            "UNDECODABLE",
        ),
        (
            "bank",
            JSON,
            with("amount", json!("-5")),
            "INVALID_ARGUMENT",
        ),
        (
            "bank",
            JSON,
            with("amount", json!("5.00")),
            "INVALID_ARGUMENT",
        ),
        ("bank", JSON, with("asset", json!("")), "INVALID_ARGUMENT"),
        ("bank", JSON, with("key", json!("")), "INVALID_ARGUMENT"),
        (
            "bank",
            JSON,
            with("account", json!("not a name!")),
            "INVALID_ARGUMENT",
        ),
        ("other", JSON, good.to_string(), "KEY_NOT_LEDGER"),
        (
            "unknown",
            JSON,
            with("ledger", json!("unknown")),
            "LEDGER_NOT_FOUND",
        ),
    ];
    for (key, headers, payload, _) in &cases {
        let kind = CommandTopic::Deposits;
        world.source.push(kind, 0, key, headers, payload.clone());
    }
    let all = cases.len();
    until("all dead", || {
        world.messages(SideTopic::DeadLetters).len() >= all
    })
    .await;
    let mut letters = world.messages(SideTopic::DeadLetters);
    letters.sort_by_key(|letter| {
        header(letter, "daybook-source-offset")
            .parse::<u64>()
            .unwrap()
    });
    assert_eq!(letters.len(), all);
    for (offset, ((key, headers, payload, reason), letter)) in
        cases.iter().zip(&letters).enumerate()
    {
        let offset = offset.to_string();
        assert_eq!(&header(letter, "daybook-reason"), reason, "{payload}");
        assert!(!header(letter, "daybook-message").is_empty());
        assert_eq!(header(letter, "daybook-source-topic"), "deposits");
        assert_eq!(header(letter, "daybook-source-offset"), offset);
        assert_eq!(letter.key.as_deref(), Some(key.as_bytes()));
        assert_eq!(letter.payload.as_deref(), Some(payload.as_bytes()));
        for (index, (name, value)) in headers.iter().enumerate() {
            let (kept, was) = &letter.headers[index];
            assert_eq!(
                (kept.as_ref(), was.as_deref()),
                (*name, Some(value.as_bytes()))
            );
        }
    }
    assert!(world.outcomes().is_empty());
    // One that is too large leaves its payload where it is.
    let huge = "x".repeat(1_000_001);
    world
        .source
        .push(CommandTopic::Deposits, 0, "bank", JSON, huge);
    until("dead too", || {
        world.messages(SideTopic::DeadLetters).len() > all
    })
    .await;
    let letter = world.messages(SideTopic::DeadLetters).pop().unwrap();
    assert_eq!(
        header(&letter, "daybook-reason"),
        "INGESTION_RECORD_TOO_LARGE"
    );
    assert_eq!(header(&letter, "daybook-source-offset"), all.to_string());
    assert_eq!(
        (letter.payload, letter.key.as_deref()),
        (None, Some(&b"bank"[..]))
    );
    // And the topic goes on.
    let after = world.deposit("after", 1);
    assert_eq!(world.outcome("deposits", after).await["code"], "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_another_shards_ledger_is_a_dead_letter() {
    let log = MemoryLog::shared(LogId([3; 16]), 4);
    let group = MemoryGroup::default();
    let member = group.join("a:1");
    let source = MemorySource::default();
    let server = join(config(), &log, &member, Some(&source), &Arc::default()).await;
    group.give(0, &[0, 1, 2, 3], &[]);
    until("serving", || {
        let status = server.handler.status();
        status
            .iter()
            .all(|shard| shard.condition == Condition::Serving)
    })
    .await;
    server.bank("bank").await;
    let bank = ledger_core::name::LedgerName::new("bank").unwrap();
    let own = ports::routing::shard_of(&bank, 4);
    let wrong = (own + 1) % 4;
    let deposit = json!({"ledger": "bank", "key": "k", "account": "a", "counter_account": "cash", "amount": "5", "asset": "USD/2"});
    let kind = CommandTopic::Deposits;
    source.push(kind, wrong, "bank", JSON, deposit.to_string());
    source.push(kind, own, "bank", JSON, deposit.to_string());
    until("told", || {
        !log.attached(wrong).is_empty() && !log.attached(own).is_empty()
    })
    .await;
    let letter = &log.attached(wrong)[0].messages[0];
    assert_eq!(header(letter, "daybook-reason"), "WRONG_PARTITION");
    let outcome = &log.attached(own)[0].messages[0];
    assert_eq!(outcome.topic, SideTopic::Outcomes);
}
