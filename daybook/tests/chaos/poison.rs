//! A message in the events' topic that is no record: the projection stops before it and says so,
//! and nothing is skipped.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::cluster::variable;
use crate::killed::Running;
use crate::length::chances;
use crate::operations::eventually;
use crate::traffic::Plan;

/// Writes a message into a topic, past Daybook.
pub fn foreign(topic: &str, partition: i32, key: &str, payload: &[u8]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", variable("DAYBOOK_KAFKA"))
        .create()
        .unwrap();
    let record = BaseRecord::to(topic)
        .partition(partition)
        .key(key)
        .payload(payload);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
}

/// How far the read models are, once they go no further.
fn settled(running: &Running) -> u64 {
    let (mut found, mut since) = (running.books.projected(0), Instant::now());
    eventually(Duration::from_secs(60), "they go no further", || {
        let now = running.books.projected(0);
        if now != found {
            (found, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_secs(3)
    });
    found
}

pub fn poisoned(chances: &mut StdRng) {
    let mut running = Running::start(Plan::of(1), chances);
    let topic = format!("{}.daybook.events", running.cluster.name);
    foreign(&topic, 0, "", b"no record of anybody's");
    // Its own readiness says which shard has stopped, and why.
    eventually(
        Duration::from_secs(60),
        "the projector says that it has stopped",
        || {
            let page = running.views.page("/readyz");
            page.starts_with("HTTP/1.1 503") && page.contains("shard 0")
        },
    );
    let stopped_at = settled(&running);
    // Commands go on, and the read models do not.
    running
        .traffic
        .wait_progress(Duration::from_secs(90), "commands go on");
    let committed = running.books.committed(0);
    assert!(stopped_at < committed, "{stopped_at} of {committed}");
    // Started again it stops there again: nobody is led around it.
    running.views.kill();
    running.views.spawn();
    eventually(Duration::from_secs(60), "it stops there again", || {
        let page = running.views.page("/readyz");
        page.starts_with("HTTP/1.1 503") && page.contains("shard 0")
    });
    let again = settled(&running);
    assert_eq!(again, stopped_at, "it went past what nobody can read");
    // A check of everything finds it too.
    let found = running
        .cluster
        .run(&["verify", "--deep", "--profile", "cluster"]);
    assert_ne!(found.code, 0, "{}", found.stdout);
    println!("  stopped at {stopped_at} of {committed}");
}

#[test]
fn a_foreign_message_stops_the_projection_there() {
    let mut chances = chances("a foreign message");
    poisoned(&mut chances);
}
