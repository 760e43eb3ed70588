//! Commands that come by topics: each decided once, told of at least once, in order.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use command_handler::{Condition, Config, IngestionConfig};
use common::*;
use ports::ingestion::CommandTopic;
use ports::log::{SideMessage, SideTopic};
use ports::memory::{Fault, MemoryGroup, MemoryLog, MemoryMember, MemorySnapshots, MemorySource};
use schemas::proto::ingest::v1 as form;
use schemas::proto::v1;
use schemas::record::{LogId, Origin, Payload};
use serde_json::{Value, json};
use tonic::Request;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

struct World {
    log: MemoryLog,
    source: MemorySource,
    group: MemoryGroup,
    store: Arc<MemorySnapshots>,
    server: Server,
    member: MemoryMember,
}

impl World {
    async fn new() -> Self {
        let world = Self::with(config(), MemorySource::default()).await;
        world.server.bank("bank").await;
        world
    }

    async fn with(config: Config, source: MemorySource) -> Self {
        let log = MemoryLog::shared(LogId([3; 16]), 1);
        let group = MemoryGroup::default();
        let store = Arc::default();
        let member = group.join("a:1");
        let server = join(config, &log, &member, Some(&source), &store).await;
        group.give(0, &[0], &[]);
        serves(&server).await;
        Self {
            log,
            source,
            group,
            store,
            server,
            member,
        }
    }

    /// The same log and topics, after a stop.
    async fn restart(self, config: Config) -> Self {
        self.server.handler.stop().await;
        let member = self.group.join("a:2");
        let server = join(config, &self.log, &member, Some(&self.source), &self.store).await;
        self.group.give(member.number(), &[0], &[]);
        until("an end of the claim", || {
            let status = &server.handler.status()[0];
            status.condition != Condition::Recovering && status.condition != Condition::NotOwner
        })
        .await;
        Self {
            server,
            member,
            ..self
        }
    }

    fn push(&self, kind: CommandTopic, value: Value) -> u64 {
        let ledger = value["ledger"].as_str().unwrap_or("bank").to_owned();
        self.source.push(kind, 0, &ledger, JSON, value.to_string())
    }

    fn deposit(&self, key: &str, amount: u64) -> u64 {
        self.push(
            CommandTopic::Deposits,
            json!({"ledger": "bank", "key": key, "account": "a", "counter_account": "cash",
                   "amount": amount.to_string(), "asset": "USD/2"}),
        )
    }

    fn withdrawal(&self, key: &str, amount: u64) -> u64 {
        self.push(
            CommandTopic::Withdrawals,
            json!({"ledger": "bank", "key": key, "account": "a", "counter_account": "cash",
                   "amount": amount.to_string(), "asset": "USD/2"}),
        )
    }

    fn messages(&self, topic: SideTopic) -> Vec<SideMessage> {
        let attached = self.log.attached(0).into_iter();
        let messages = attached.flat_map(|attached| attached.messages);
        messages.filter(|message| message.topic == topic).collect()
    }

    /// All outcomes that were committed, by source, in order.
    fn outcomes(&self) -> BTreeMap<(String, u64), Vec<Value>> {
        let mut by_source = BTreeMap::<_, Vec<Value>>::new();
        for message in self.messages(SideTopic::Outcomes) {
            let outcome: Value = serde_json::from_slice(message.payload.as_ref().unwrap()).unwrap();
            let topic = outcome["source"]["topic"].as_str().unwrap().to_owned();
            let offset = outcome["source"]["offset"].as_str().unwrap();
            assert_eq!(header(&message, "daybook-source-topic"), topic);
            assert_eq!(header(&message, "daybook-source-partition"), "0");
            assert_eq!(header(&message, "daybook-source-offset"), offset);
            assert_eq!(header(&message, "content-type"), "application/json");
            assert_eq!(message.key.as_deref(), Some(&b"bank"[..]));
            let place = (topic, offset.parse().unwrap());
            by_source.entry(place).or_default().push(outcome);
        }
        by_source
    }

    /// The outcome of one record.
    async fn outcome(&self, topic: &str, offset: u64) -> Value {
        let place = (topic.to_owned(), offset);
        until("an outcome", || self.outcomes().contains_key(&place)).await;
        self.outcomes()[&place][0].clone()
    }

    async fn balance(&self, account: &str) -> i128 {
        use ledger_core::command::AccountRef;
        use ledger_core::name::{AccountName, LedgerName};
        use ports::strong::{StrongAnswer, StrongQuery};
        let account = AccountRef::Name(AccountName::new(account).unwrap());
        let bank = LedgerName::new("bank").unwrap();
        let query = StrongQuery::Accounts(vec![account]);
        let read = self
            .server
            .handler
            .strong()
            .read(&bank, query)
            .await
            .unwrap();
        let StrongAnswer::Accounts(accounts) = read.answer else {
            panic!("accounts were asked for");
        };
        let account = accounts[0].as_ref().unwrap();
        account.totals.posted(account.normal_side())
    }
}

async fn serves(server: &Server) {
    until("serving", || {
        server.handler.status()[0].condition == Condition::Serving
    })
    .await;
}

fn header(message: &SideMessage, name: &str) -> String {
    let header = message.headers.iter().find(|(header, _)| header == name);
    let value = header
        .unwrap_or_else(|| panic!("no header {name}"))
        .1
        .clone();
    String::from_utf8(value.unwrap().to_vec()).unwrap()
}

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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_becomes_a_dead_letter_as_it_was() {
    let world = World::new().await;
    let good = json!({"ledger": "bank", "key": "k", "account": "a", "counter_account": "cash", "amount": "5", "asset": "USD/2"});
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed.to_string()
    };
    let cases: Vec<(&str, &[(&str, &str)], String, &str)> = vec![
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
