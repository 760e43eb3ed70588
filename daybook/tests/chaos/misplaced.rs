//! Records that a producer puts where they do not belong, or with headers that nobody can read:
//! each is a dead letter that says why and where it stands, and ingestion goes on around it.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use rand::Rng as _;
use rand::rngs::StdRng;
use rdkafka::message::{Message as _, OwnedMessage};
use schemas::ingest::{CommandTopic, Encoding};
use schemas::proto::ingest::v1 as ingest;
use schemas::proto::v1 as api;
use serde_json::json;

use crate::bank::{Bank, open, strong, transfer};
use crate::killed::Running;
use crate::length::{chances, rounds};
use crate::load::Way;
use crate::operations::eventually;
use crate::topics::{Place, headers, produce, produce_raw, producer, read_all, source};
use crate::traffic::Plan;

const SHARDS: u32 = 2;
const CASH: &str = "topics:cash";
const ONE: &str = "topics:one";
const AMOUNT: i64 = 100;
const ANSWERED: Duration = Duration::from_secs(90);
/// What a header can be named by anybody.
const NO_TEXT: &[u8] = &[0x64, 0xff, 0xfe, 0xe9];

/// What was produced, and what must be said of it.
#[derive(Debug)]
struct Produced {
    place: Place,
    ledger: String,
    key: String,
    payload: Vec<u8>,
    /// The code of its outcome, or the reason of its dead letter.
    must: &'static str,
}

/// A command of a topic, in one of the two forms.
fn payload(kind: CommandTopic, encoding: Encoding, ledger: &str, key: &str) -> Vec<u8> {
    let (ledger, key) = (ledger.to_owned(), key.to_owned());
    let (amount, asset) = (AMOUNT.to_string(), "USD/2".to_owned());
    let (one, cash) = (ONE.to_owned(), CASH.to_owned());
    match (encoding, kind) {
        (Encoding::Json, CommandTopic::Transfers) => json!({
            "ledger": ledger, "key": key, "debit_account": cash, "credit_account": one,
            "amount": amount, "asset": asset,
        })
        .to_string()
        .into_bytes(),
        (Encoding::Json, _) => json!({
            "ledger": ledger, "key": key, "account": one, "counter_account": cash,
            "amount": amount, "asset": asset,
        })
        .to_string()
        .into_bytes(),
        (Encoding::Protobuf, CommandTopic::Deposits) => ingest::Deposit {
            ledger,
            key,
            account: one,
            counter_account: cash,
            amount,
            asset,
            ..Default::default()
        }
        .encode_to_vec(),
        (Encoding::Protobuf, CommandTopic::Withdrawals) => ingest::Withdrawal {
            ledger,
            key,
            account: one,
            counter_account: cash,
            amount,
            asset,
            ..Default::default()
        }
        .encode_to_vec(),
        (Encoding::Protobuf, CommandTopic::Transfers) => ingest::Transfer {
            ledger,
            key,
            debit_account: cash,
            credit_account: one,
            amount,
            asset,
            ..Default::default()
        }
        .encode_to_vec(),
    }
}

/// A producer of one test's records.
struct Producer<'a> {
    running: &'a Running,
    made: Vec<Produced>,
}

impl Producer<'_> {
    fn topic(&self, kind: CommandTopic) -> String {
        format!("{}.{}", self.running.cluster.name, kind.name())
    }

    /// A valid command of the ledger of `shard`, in `partition`.
    fn command(&mut self, kind: CommandTopic, encoding: Encoding, shard: u32, partition: u32) {
        let topic = self.topic(kind);
        let ledger = self.running.traffic.ledgers()[shard as usize].clone();
        let key = format!("topics {}", self.made.len());
        let payload = payload(kind, encoding, &ledger, &key);
        let at = (topic.as_str(), i32::try_from(partition).unwrap());
        let place = self.running.traffic.runtime().block_on(produce(
            &producer(),
            at,
            &ledger,
            encoding.content_type(),
            &payload,
        ));
        let must = match shard == partition {
            true => "OK",
            false => "WRONG_PARTITION",
        };
        self.made.push(Produced {
            place,
            ledger,
            key,
            payload,
            must,
        });
    }

    /// A valid command in its own partition, with a header that has no readable name.
    fn unreadable(&mut self, kind: CommandTopic, shard: u32) {
        let topic = self.topic(kind);
        let ledger = self.running.traffic.ledgers()[shard as usize].clone();
        let key = format!("topics {}", self.made.len());
        let payload = payload(kind, Encoding::Json, &ledger, &key);
        let json = Encoding::Json.content_type().as_bytes();
        let headers: [(&[u8], &[u8]); 3] = [
            (b"content-type", json),
            (NO_TEXT, b"x"),
            (b"trace", b"a header behind it"),
        ];
        let at = (topic.as_str(), i32::try_from(shard).unwrap());
        let place = produce_raw(at, &ledger, &headers, &payload);
        self.made.push(Produced {
            place,
            ledger,
            key,
            payload,
            must: "UNDECODABLE",
        });
    }

    /// Every topic, every partition, both forms: the right ones among those that are not.
    fn all(&mut self) {
        for kind in CommandTopic::ALL {
            for partition in 0..SHARDS {
                for encoding in [Encoding::Json, Encoding::Protobuf] {
                    self.command(kind, encoding, partition, partition);
                    self.command(kind, encoding, SHARDS - 1 - partition, partition);
                }
                self.unreadable(kind, partition);
                self.command(kind, Encoding::Json, partition, partition);
            }
        }
    }
}

/// By the record that they are about. One may be there again; then it says the same.
fn by_source(messages: Vec<OwnedMessage>) -> BTreeMap<Place, OwnedMessage> {
    let mut found: BTreeMap<Place, OwnedMessage> = BTreeMap::new();
    for message in messages {
        if let Some(before) = found.get(&source(&message)) {
            assert_eq!(headers(before), headers(&message), "said again otherwise");
        }
        found.insert(source(&message), message);
    }
    found
}

/// Waits until all have been answered, and sees that each was answered as it must.
fn answered(running: &Running, made: &[Produced]) {
    let name = &running.cluster.name;
    let letters = || by_source(read_all(&format!("{name}.daybook.dead-letters"), SHARDS));
    let outcomes = || by_source(read_all(&format!("{name}.daybook.outcomes"), SHARDS));
    eventually(ANSWERED, "every record is answered", || {
        let (letters, outcomes) = (letters(), outcomes());
        let is_answered = |place| letters.contains_key(place) || outcomes.contains_key(place);
        made.iter().all(|made| is_answered(&made.place))
    });
    let (letters, outcomes) = (letters(), outcomes());
    for made in made {
        let (letter, outcome) = (letters.get(&made.place), outcomes.get(&made.place));
        if made.must == "OK" {
            assert!(letter.is_none(), "a dead letter: {made:?}");
            let said: serde_json::Value =
                serde_json::from_slice(outcome.unwrap().payload().unwrap()).unwrap();
            assert_eq!(said["code"], "OK", "{made:?}: {said}");
            continue;
        }
        assert!(outcome.is_none(), "an outcome: {made:?}");
        let letter = letter.unwrap();
        let said = headers(letter);
        assert_eq!(said["daybook-reason"], made.must, "{said:?}");
        assert!(!said["daybook-message"].is_empty(), "{said:?}");
        assert!(said.contains_key("content-type"), "{said:?}");
        assert_eq!(letter.key(), Some(made.ledger.as_bytes()));
        assert_eq!(letter.payload(), Some(&made.payload[..]), "as it was");
        if made.must == "UNDECODABLE" {
            assert_eq!(said["trace"], "a header behind it");
        }
    }
}

/// What [`ONE`] has by the records that belong there, in each ledger.
fn applied(made: &[Produced], ledger: &str, name: &str) -> i64 {
    let ours = made.iter().filter(|made| made.ledger == ledger);
    let right = ours.filter(|made| made.must == "OK");
    let withdrawals = format!("{name}.{}", CommandTopic::Withdrawals.name());
    right
        .map(|made| match made.place.0 == withdrawals {
            true => -AMOUNT,
            false => AMOUNT,
        })
        .sum()
}

async fn accounts(bank: &Bank, ledgers: &[String]) {
    use api::AccountType::{Asset, Liability};
    for ledger in ledgers {
        for (name, kind) in [(CASH, Asset), (ONE, Liability)] {
            bank.write(&open(ledger, name, kind, "")).await.unwrap();
        }
    }
}

pub fn misplaced(rounds: usize, chances: &mut StdRng) {
    // The load finds its own records between these.
    let plan = Plan {
        load: Way::Topics,
        ..Plan::of(SHARDS)
    };
    let mut running = Running::start(plan, chances);
    let ledgers = running.traffic.ledgers().to_vec();
    let runtime = running.traffic.runtime();
    runtime.block_on(accounts(running.traffic.bank(), &ledgers));
    let mut made = Vec::new();
    for _ in 0..rounds {
        let mut producer = Producer {
            running: &running,
            made,
        };
        producer.all();
        made = producer.made;
        // Any moment will do: they wait, are being answered, or are.
        std::thread::sleep(Duration::from_millis(chances.random_range(0..300)));
        running.books.kill();
        running.books.spawn();
        answered(&running, &made);
    }
    let page = running.books.page("/metrics");
    let stopped: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("daybook_ingestion_stopped") && !line.ends_with(" 0"))
        .collect();
    assert!(stopped.is_empty(), "{stopped:?}");
    let (runtime, bank) = (running.traffic.runtime(), running.traffic.bank());
    runtime.block_on(async {
        for ledger in &ledgers {
            let must = applied(&made, ledger, &running.cluster.name);
            let posted = bank.posted(ledger, ONE, strong()).await;
            assert_eq!(posted, Ok(must), "{ledger} has what belongs there alone");
        }
        // A dead letter is no decision: its key stands for nothing yet.
        for made in made.iter().filter(|made| made.must != "OK") {
            let command = transfer(&made.ledger, &made.key, CASH, ONE, 1);
            let receipt = bank.write(&command).await.unwrap();
            assert!(!receipt.repeated, "{made:?} was decided");
        }
    });
    println!("  {} records, {} right", made.len(), {
        made.iter().filter(|made| made.must == "OK").count()
    });
    running.prove();
}

#[test]
fn records_that_are_misplaced_or_unreadable_are_dead_letters() {
    let mut chances = chances("misplaced records");
    misplaced(rounds(2), &mut chances);
}
