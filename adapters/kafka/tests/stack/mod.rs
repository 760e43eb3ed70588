//! A log of its own on the broker that the tests were given.

use adapter_kafka::setup::{SetupOptions, setup};
use adapter_kafka::{Connection, KafkaConfig};

/// The broker's address.
pub fn broker() -> String {
    std::env::var("DAYBOOK_KAFKA").expect(
        "these tests need a Kafka broker: set DAYBOOK_KAFKA to its host:port, as cargo xtask \
         test does",
    )
}

/// A connection to `broker` whose topics nobody else has.
pub fn connection_to(broker: &str) -> Connection {
    Connection::new(KafkaConfig {
        bootstrap_servers: broker.to_owned(),
        client_id: "daybook-test".to_owned(),
        prefix: format!("t{}.", uuid::Uuid::new_v4().simple()),
        ..KafkaConfig::default()
    })
}

/// A connection whose topics nobody else has.
pub fn connection() -> Connection {
    connection_to(&broker())
}

/// As the broker of the tests can have it.
pub fn options(shard_count: u32) -> SetupOptions {
    SetupOptions {
        shard_count,
        single_broker: true,
        log_id: None,
    }
}

/// Makes the topics.
#[allow(dead_code)]
pub async fn make(connection: &Connection, shard_count: u32) {
    setup(connection, options(shard_count))
        .await
        .expect("the topics are made");
}
