//! Topics are made, checked, and agreed on.

#![allow(clippy::unwrap_used)]

mod stack;

use adapter_kafka::setup::{SetupError, SetupOptions, setup};
use adapter_kafka::{Connection, KafkaConfig, KafkaLog};
use ports::log::{EventLog as _, LogError};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use schemas::record::LogId;

fn findings(error: SetupError) -> Vec<String> {
    match error {
        SetupError::Refused(findings) => findings.iter().map(ToString::to_string).collect(),
        SetupError::Log(error) => panic!("no findings: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_run_again_and_several_at_once_agree() {
    let connection = stack::connection();
    let mut runs = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let connection = connection.clone();
        runs.spawn(async move { setup(&connection, stack::options(2)).await.unwrap() });
    }
    let reports = runs.join_all().await;
    let made: usize = reports.iter().map(|report| report.created.len()).sum();
    assert_eq!(made, 9, "each topic once");
    assert!(
        reports
            .iter()
            .all(|report| report.log_id == reports[0].log_id)
    );
    assert!(reports[0].unchecked.is_empty());
    let again = setup(&connection, stack::options(2)).await.unwrap();
    assert_eq!(again.created, Vec::<String>::new());
    let log = KafkaLog::open(connection, None).await.unwrap();
    assert_eq!((log.log_id(), log.shard_count()), (again.log_id, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_plainly() {
    let connection = stack::connection();
    let admin: AdminClient<DefaultClientContext> = connection.client().create().unwrap();
    let topic = |name| {
        NewTopic::new(name, 3, TopicReplication::Fixed(1))
            .set("retention.ms", "1000")
            // The brokers' own default may be large enough.
            .set("max.message.bytes", "100000")
    };
    let events = connection.topics().events.to_string();
    admin
        .create_topics(&[topic(&events)], &AdminOptions::new())
        .await
        .unwrap();
    let found = findings(setup(&connection, stack::options(2)).await.unwrap_err());
    for part in [
        "has 3 partition(s), and must have 2",
        "retention.ms is 1000, and must be -1",
        "message.timestamp.type is CreateTime, and must be LogAppendTime",
        "max.message.bytes is",
    ] {
        let line = found.iter().find(|line| line.contains(part));
        assert!(
            line.is_some_and(|line| line.starts_with(&events)),
            "{part}: {found:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_log_or_number_of_shards_is_refused() {
    let connection = stack::connection();
    let wished = LogId([0xab; 16]);
    let options = SetupOptions {
        log_id: Some(wished),
        ..stack::options(2)
    };
    assert_eq!(setup(&connection, options).await.unwrap().log_id, wished);
    let other = SetupOptions {
        log_id: Some(LogId([0xcd; 16])),
        ..options
    };
    let found = findings(setup(&connection, other).await.unwrap_err());
    assert!(
        found[0].contains("abababab") && found[0].contains("cdcdcdcd"),
        "{found:?}"
    );
    let found = findings(setup(&connection, stack::options(3)).await.unwrap_err());
    assert!(
        found[0].contains("2 partition(s), and must have 3"),
        "{found:?}"
    );
    assert!(setup(&connection, stack::options(0)).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broker_is_refused_unless_asked_for() {
    let connection = stack::connection();
    let options = SetupOptions {
        single_broker: false,
        ..stack::options(1)
    };
    let found = findings(setup(&connection, options).await.unwrap_err());
    for part in [
        "--single-broker",
        "transaction.state.log.min.isr is 1, and 2",
    ] {
        assert!(
            found.iter().any(|line| line.contains(part)),
            "{part}: {found:?}"
        );
    }
    // Nothing was made.
    match KafkaLog::open(connection, None).await {
        Err(LogError::Unusable(what)) => assert!(what.contains("daybook setup"), "{what}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_where_nobody_listens_is_unavailable() {
    let connection = Connection::new(KafkaConfig {
        bootstrap_servers: "127.0.0.1:1".to_owned(),
        ..KafkaConfig::default()
    });
    match KafkaLog::open(connection, None).await {
        Err(LogError::Unavailable(_)) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was opened"),
    }
}
