//! Nodes that share the shards of a log on a real broker: in this process, and in processes of
//! their own that are killed and stopped.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod node;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter_kafka::setup::{SetupOptions, setup};
use adapter_kafka::{Connection, Group, KafkaLog};
use node::{Node, connection, ledgers, transfer};
use ports::log::EventLog as _;
use ports::ownership::Ownership as _;
use rdkafka::message::Message as _;
use schemas::record::{Origin, Payload};
use shard_state::recover::{Options, recover};
use tokio::sync::watch;

/// What only has to come at all, on a machine that may have much else to do.
const SOON: Duration = Duration::from_secs(90);

/// A log of its own.
struct Log {
    broker: String,
    prefix: String,
    shards: u32,
    connection: Connection,
}

impl Log {
    async fn new(shards: u32) -> Self {
        let broker = std::env::var("DAYBOOK_KAFKA").expect(
            "these tests need a Kafka broker: set DAYBOOK_KAFKA to its host:port, as cargo \
             xtask test does",
        );
        let prefix = format!("n{}.", uuid::Uuid::new_v4().simple());
        let connection = connection(&broker, &prefix);
        let options = SetupOptions {
            shard_count: shards,
            single_broker: true,
            log_id: None,
        };
        setup(&connection, options)
            .await
            .expect("the topics are made");
        Self {
            broker,
            prefix,
            shards,
            connection,
        }
    }

    async fn node(&self, address: &str) -> Node {
        Node::start(&self.connection, self.shards, address).await
    }

    /// A node that is a process of its own, and writes to every ledger that it has.
    fn process(&self, address: &str) -> Process {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "node",
                &self.broker,
                &self.prefix,
                &self.shards.to_string(),
                address,
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the process starts");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&acknowledged);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Process {
            child,
            acknowledged,
        }
    }

    /// All records of all shards, after every check of replay: places, chains, epochs, times.
    /// Opened anew, the log ends where it ends now; who follows another's shard sees that later.
    async fn records(&self) -> Vec<schemas::record::Record> {
        let log = KafkaLog::open(self.connection.clone(), None).await;
        let log = log.expect("the log is opened");
        let mut all = Vec::new();
        for shard in 0..self.shards {
            let (_, projected) = watch::channel(0);
            let options = Options {
                log_id: log.log_id(),
                shard,
                shard_count: self.shards,
                until: None,
                hash_seed: 1,
                projected,
            };
            recover(log.reader(), None, options, Box::new(|_| {}))
                .await
                .expect("the log replays");
            let mut from = ports::log::Position(0);
            loop {
                let entries = log.reader().read(shard, from, 1 << 20).await.unwrap();
                let Some(last) = entries.last() else { break };
                from = ports::log::Position(last.position.0 + 1);
                for entry in entries.into_iter().filter(|entry| entry.record_count > 0) {
                    for bytes in schemas::record::frame::split(entry.body).unwrap() {
                        all.push(schemas::record::decode(bytes).unwrap().record);
                    }
                }
            }
        }
        all
    }
}

struct Process {
    child: Child,
    acknowledged: Arc<Mutex<Vec<String>>>,
}

impl Process {
    fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .expect("kill can be run");
        assert!(sent.success());
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keys of transactions, each with how often it is there.
fn keys(records: &[schemas::record::Record]) -> BTreeMap<(String, String), u32> {
    let mut keys = BTreeMap::new();
    for record in records {
        let place = (record.ledger.to_string(), record.key.to_string());
        *keys.entry(place).or_default() += 1;
    }
    keys
}

/// Claims of each shard.
fn claims(records: &[schemas::record::Record]) -> BTreeMap<u32, u32> {
    let mut claims = BTreeMap::new();
    for record in records {
        if matches!(record.payload, Payload::WriterClaimed(_)) {
            *claims.entry(record.shard).or_default() += 1;
        }
    }
    claims
}

async fn a_killed_nodes_shards_are_served_by_the_other_within_ten_seconds() {
    let log = Log::new(4).await;
    let node = log.node("here:1").await;
    node.serves(4, SOON).await;
    let ledgers = ledgers(4);
    for ledger in &ledgers {
        node.bank(ledger).await;
    }
    let mut other = log.process("there:1");
    node.serves(2, SOON).await;
    let begun = Instant::now();
    while other.acknowledged().len() < 20 {
        assert!(begun.elapsed() < SOON, "the other node does not serve");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let own: BTreeSet<u32> = node.serving().into_iter().map(|(shard, _)| shard).collect();
    for shard in (0..4).filter(|shard| !own.contains(shard)) {
        let declined = node.write(transfer(&ledgers[shard as usize], "x")).await;
        let declined = declined.unwrap_err();
        assert!(declined.message().starts_with("NOT_OWNER"), "{declined:?}");
        // It announces itself only once it serves, which may be a while after it was given.
        let begun = Instant::now();
        while node.group.owner(shard).as_deref() != Some("there:1") {
            assert!(begun.elapsed() < SOON, "the other node is not known");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    other.kill();
    let took = node.serves(4, Duration::from_secs(10)).await;
    println!("    its shards were served after {took:?}");
    let acknowledged = other.acknowledged();
    let keys = keys(&log.records().await);
    for line in &acknowledged {
        let (ledger, key) = line.split_once(' ').unwrap();
        let found = keys.get(&(ledger.to_owned(), key.to_owned()));
        assert_eq!(found, Some(&1), "{line}");
    }
    println!(
        "    {} acknowledged, each once in the log",
        acknowledged.len()
    );
    node.stop().await;
}

async fn a_stopped_node_that_wakes_up_writes_nothing_by_its_old_right() {
    let log = Log::new(2).await;
    let node = log.node("here:1").await;
    // All are its own first: while it takes them over one by one, one of them says nothing yet.
    node.serves(2, SOON).await;
    let ledgers = ledgers(2);
    for ledger in &ledgers {
        node.bank(ledger).await;
    }
    let sleeper = log.process("there:1");
    let begun = Instant::now();
    while sleeper.acknowledged().len() < 20 {
        assert!(begun.elapsed() < SOON, "the other node does not serve");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.serves(1, SOON).await;
    let own = node.serving()[0].0;
    sleeper.signal("-STOP");
    let took = node.serves(2, Duration::from_secs(20)).await;
    println!("    its shard was served after {took:?}");
    let theirs = &ledgers[1 - own as usize];
    for n in 0..50 {
        node.insist(transfer(theirs, &format!("mine-{n}"))).await;
    }
    sleeper.signal("-CONT");
    let before = sleeper.acknowledged().len();
    // It comes back as any node does: by a new assignment, and a new claim.
    let begun = Instant::now();
    while sleeper.acknowledged().len() < before + 50 {
        assert!(
            begun.elapsed() < SOON,
            "it does not come back: {:?}",
            node.handler.status()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sleeper.signal("-STOP");
    let records = log.records().await;
    let keys = keys(&records);
    for line in sleeper.acknowledged() {
        let (ledger, key) = line.split_once(' ').unwrap();
        let found = keys.get(&(ledger.to_owned(), key.to_owned()));
        assert_eq!(found, Some(&1), "{line}");
    }
    for n in 0..50 {
        let found = keys.get(&(theirs.clone(), format!("mine-{n}")));
        assert_eq!(found, Some(&1), "mine-{n}");
    }
    // Replay has checked that epochs never fall: nothing came in between by an old one.
    let epochs: BTreeSet<u64> = records
        .iter()
        .filter(|record| record.ledger.as_str() == *theirs)
        .filter(|record| record.key.to_string().starts_with("mine-"))
        .map(|record| record.epoch)
        .collect();
    assert_eq!(epochs.len(), 1, "one reign, not broken into: {epochs:?}");
    node.stop().await;
}

async fn a_rebalance_that_gives_a_shard_back_costs_no_claim() {
    let log = Log::new(4).await;
    let node = log.node("here:1").await;
    node.serves(4, SOON).await;
    let ledgers = ledgers(4);
    for ledger in &ledgers {
        node.bank(ledger).await;
    }
    let before = claims(&log.records().await);
    for turn in 0..3 {
        // It joins and never claims.
        let guest = Group::join(&log.connection, 4, "guest:1").unwrap();
        node.serves(2, SOON).await;
        let mut given = guest.assignment();
        let two = given.wait_for(|given| given.shards.len() == 2);
        assert!(
            tokio::time::timeout(SOON, two).await.is_ok(),
            "it is given the others"
        );
        guest.leave().await;
        drop(tokio::task::spawn_blocking(move || drop(guest)).await);
        let took = node.serves(4, SOON).await;
        println!("    all back after {took:?}");
        for ledger in &ledgers {
            let key = format!("turn-{turn}");
            assert!(!node.insist(transfer(ledger, &key)).await.repeated);
        }
    }
    assert_eq!(claims(&log.records().await), before);
    assert!(node.serving().iter().all(|(_, epoch)| *epoch == 1));
    node.stop().await;
}

async fn outcomes_and_dead_letters_over_a_kill_in_mid_stream() {
    let log = Log::new(2).await;
    let ledgers = ledgers(2);
    let mut first = log.process("there:1");
    let begun = Instant::now();
    // In every ledger: a command of one that is not made yet is a dead letter.
    let serves = |ledger: &String| {
        let lines = first.acknowledged();
        lines
            .iter()
            .any(|line| line.split(' ').next() == Some(ledger))
    };
    while !ledgers.iter().all(serves) {
        assert!(begun.elapsed() < SOON, "the node does not serve");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let producer = topics::producer(&log.connection);
    let names = log.connection.topics().clone();
    let (mut commands, mut dead) = (BTreeMap::new(), BTreeMap::new());
    let mut sends = Vec::new();
    for n in 0..3_000u32 {
        let ledger = ledgers[(n % 2) as usize].clone();
        let key = format!("k{n}");
        let form = |amount: &str| {
            format!(
                r#"{{"ledger":"{ledger}","key":"{key}","account":"a","counter_account":"cash","amount":"{amount}","asset":"USD/2"}}"#
            )
        };
        let (topic, payload, partition, reason) = match n % 10 {
            0 => (&names.deposits, "{".to_owned(), None, Some("UNDECODABLE")),
            1 => (&names.deposits, form("-1"), None, Some("INVALID_ARGUMENT")),
            // The ledger's own partition is its shard's: the other one is wrong.
            2 => (
                &names.deposits,
                form("1"),
                Some(1 - (n % 2) as i32),
                Some("WRONG_PARTITION"),
            ),
            // Far more than there is.
            3 | 4 => (&names.withdrawals, form("100000000"), None, None),
            5..8 => (&names.withdrawals, form("1"), None, None),
            _ => (&names.deposits, form("5"), None, None),
        };
        sends.push((Arc::clone(topic), ledger, payload, partition, reason, key));
    }
    for (n, part) in sends.chunks(500).enumerate() {
        let sent = part
            .iter()
            .map(|(topic, ledger, payload, partition, reason, key)| {
                let producer = &producer;
                async move {
                    let place = topics::produce(producer, topic, *partition, ledger, payload).await;
                    ((topic.to_string(), place.0, place.1), *reason, key.clone())
                }
            });
        for (place, reason, key) in futures_join(sent).await {
            match reason {
                Some(reason) => dead.insert(place, reason),
                None => {
                    commands.insert(place, key);
                    None
                }
            };
        }
        if n == 3 {
            first.kill();
        }
    }
    let node = log.node("here:1").await;
    node.serves(2, SOON).await;

    let begun = Instant::now();
    let (outcomes, letters) = loop {
        let read = |topic: &str| topics::read_all(&log.connection, topic, 2);
        let (outcomes, letters) = (read(&names.outcomes), read(&names.dead_letters));
        let told: BTreeSet<_> = outcomes
            .iter()
            .chain(&letters)
            .map(topics::source)
            .collect();
        if told.len() == commands.len() + dead.len() {
            break (outcomes, letters);
        }
        assert!(
            begun.elapsed() < SOON,
            "{} of {} told",
            told.len(),
            sends.len()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    println!(
        "    {} records: {} outcomes, {} dead letters",
        sends.len(),
        outcomes.len(),
        letters.len()
    );
    let mut by_source = BTreeMap::<_, BTreeSet<String>>::new();
    for outcome in &outcomes {
        let json: serde_json::Value = serde_json::from_slice(outcome.payload().unwrap()).unwrap();
        let place = topics::source(outcome);
        assert_eq!(json["key"], serde_json::json!(commands[&place]));
        let said = format!(
            "{} {} {}",
            json["code"], json["ledger_sequence"], json["record_hash"]
        );
        by_source.entry(place).or_default().insert(said);
    }
    assert_eq!(by_source.len(), commands.len(), "each has an outcome");
    for (place, said) in &by_source {
        assert_eq!(said.len(), 1, "{place:?} was told differently: {said:?}");
    }
    for letter in &letters {
        let place = topics::source(letter);
        assert_eq!(
            dead[&place],
            topics::headers(letter)["daybook-reason"],
            "{place:?}"
        );
    }
    let records = log.records().await;
    let keys = keys(&records);
    for key in commands.values() {
        let found = ledgers
            .iter()
            .filter_map(|l| keys.get(&(l.clone(), key.clone())));
        assert_eq!(found.sum::<u32>(), 1, "{key}");
    }
    let mut last = BTreeMap::new();
    for record in &records {
        if let Origin::Kafka {
            topic,
            partition,
            offset,
            ..
        } = &record.origin
        {
            let before = last.insert((topic.clone(), *partition), *offset);
            assert!(before < Some(*offset), "in order");
        }
    }
    assert_eq!(last.len(), 4, "two topics of two partitions");
    node.stop().await;
}

/// All of them, as they go.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut all = true;
        for (future, output) in pending.iter_mut().zip(&mut done) {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => all = false,
                }
            }
        }
        match all {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// A node as a process: writes to the ledgers of its shards without end, and prints what was
/// acknowledged.
async fn node_process(args: &[String]) {
    let [broker, prefix, shards, address] = args else {
        panic!("node BROKER PREFIX SHARDS ADDRESS");
    };
    let shards: u32 = shards.parse().unwrap();
    let node = Node::start(&connection(broker, prefix), shards, address).await;
    let node = Arc::new(node);
    let writers = ledgers(shards).into_iter().zip(0..).map(|(ledger, shard)| {
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            let mut made = false;
            let mut n = 0u64;
            loop {
                if !node.serving().iter().any(|(serving, _)| *serving == shard) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                if !made {
                    node.bank(&ledger).await;
                    made = true;
                }
                let key = format!("process-{n}");
                match node.write(transfer(&ledger, &key)).await {
                    Ok(_) => {
                        println!("{ledger} {key}");
                        n += 1;
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    // They end only with the process.
    std::future::pending::<()>().await;
    drop(writers);
}

type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), || Box::pin($name()))),*]
    };
}

const TESTS: &[Test] = tests![
    a_killed_nodes_shards_are_served_by_the_other_within_ten_seconds,
    a_stopped_node_that_wakes_up_writes_nothing_by_its_old_right,
    a_rebalance_that_gives_a_shard_back_costs_no_claim,
    outcomes_and_dead_letters_over_a_kill_in_mid_stream,
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // What went on, for whoever looks into a failure: DAYBOOK_LOG=info.
    if let Ok(filter) = std::env::var("DAYBOOK_LOG") {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if args.first().is_some_and(|first| first == "node") {
        return runtime.block_on(node_process(&args[1..]));
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    let chosen = TESTS
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())));
    let (mut passed, mut failed) = (0, 0);
    let begun = Instant::now();
    for (name, test) in chosen {
        let run = AssertUnwindSafe(|| runtime.block_on(test()));
        let ok = std::panic::catch_unwind(run).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
        if ok { passed += 1 } else { failed += 1 }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    let filtered = TESTS.len() - passed - failed;
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        begun.elapsed().as_secs_f64()
    );
    if failed > 0 {
        std::process::exit(1);
    }
}
