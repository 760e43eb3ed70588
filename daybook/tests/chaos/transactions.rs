//! What can happen to a transaction on its way to the broker: its end is lost, comes late, comes
//! twice, or the broker dies over it.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use xtask::proxy::{ApiKey, KafkaProxy, Then};
use xtask::stack::Server;

use crate::cluster::Cluster;
use crate::killed::Running;
use crate::length::{chances, rounds};
use crate::load::Load;
use crate::servers::Servers;
use crate::traffic::{Plan, Traffic};

/// Until a rule of the proxy's has met its request.
const CAUGHT: Duration = Duration::from_secs(90);
const PROGRESS: Duration = Duration::from_secs(150);

/// A cluster whose command node reaches Kafka through a proxy.
pub fn start(plan: Plan, chances: &mut StdRng) -> (Running, KafkaProxy) {
    let servers = Servers::take();
    let proxy = KafkaProxy::of(servers.stack()).unwrap();
    let cluster = Cluster::new(plan.shards);
    let broker = proxy.bootstrap();
    let mut books = cluster.node("books", &["--role", "command,query", "--kafka", &broker]);
    let mut views = cluster.node("views", &["--role", "projector"]);
    books.spawn();
    views.spawn();
    books.wait_ready(PROGRESS);
    views.wait_ready(PROGRESS);
    let traffic = Traffic::start(&[books.url()], plan, chances);
    let load = Load::start(plan.load, &books.url(), &cluster, chances);
    let running = Running {
        load,
        traffic,
        books,
        views,
        cluster,
        servers,
    };
    (running, proxy)
}

/// Transactions that are disturbed in each way, in turn.
pub fn disturbed(rounds: usize, chances: &mut StdRng) {
    let (running, proxy) = start(Plan::of(2), chances);
    for _ in 0..rounds {
        lost_answer(&running, &proxy, Then::Cut);
        lost_answer(&running, &proxy, Then::Silence);
        late_end(&running, &proxy, chances);
        open_transaction(&running, &proxy);
    }
    running.prove();
}

/// The answer to a commit is lost, by a cut or in silence.
fn lost_answer(running: &Running, proxy: &KafkaProxy, then: Then) {
    let caught = proxy.swallow_answer(ApiKey::END_TXN, then);
    caught.wait(CAUGHT).unwrap();
    let took = running
        .traffic
        .wait_progress(PROGRESS, "after a lost answer");
    println!("  a commit's answer lost ({then:?}): on after {took:.1?}");
}

/// The end of a transaction is held back until its retry has succeeded and others have followed;
/// then it arrives.
fn late_end(running: &Running, proxy: &KafkaProxy, chances: &mut StdRng) {
    let held = proxy.hold(ApiKey::END_TXN, Then::Cut);
    held.wait(CAUGHT).unwrap();
    running
        .traffic
        .wait_progress(PROGRESS, "after the end's retry");
    std::thread::sleep(Duration::from_millis(chances.random_range(0..500)));
    // Whatever the broker says to it.
    held.deliver().unwrap();
    let took = running
        .traffic
        .wait_progress(PROGRESS, "after the late end");
    println!("  the end of a transaction came late: on after {took:.1?}");
}

/// The broker dies with a transaction open.
fn open_transaction(running: &Running, proxy: &KafkaProxy) {
    let end = proxy.hold(ApiKey::END_TXN, Then::Silence);
    end.wait(CAUGHT).unwrap();
    running.servers.restart(Server::Kafka, || {});
    end.release();
    let took = running
        .traffic
        .wait_progress(PROGRESS, "after the broker's restart");
    println!("  the broker killed over a transaction: on after {took:.1?}");
}

/// An end of a transaction comes once more while the same producer's next transaction is half
/// written: what is there is committed, and the rest is not.
pub fn torn_batches(rounds: usize, chances: &mut StdRng) {
    let plan = Plan {
        batch: 6_000,
        pause: Duration::ZERO,
        ..Plan::of(1)
    };
    let (running, proxy) = start(plan, chances);
    for round in 1..=rounds {
        let end = proxy.keep_copy(ApiKey::END_TXN);
        end.wait(CAUGHT).unwrap();
        // Part of a batch passes, the next part waits.
        let first = proxy.keep_copy(ApiKey::PRODUCE);
        let second = proxy.hold(ApiKey::PRODUCE, Then::Silence);
        first.wait(CAUGHT).unwrap();
        second.wait(CAUGHT).unwrap();
        end.deliver().unwrap();
        second.release();
        running
            .traffic
            .wait_progress(PROGRESS, "after a torn batch");
        println!("  a torn batch, {round} of {rounds}");
    }
    running.prove();
}

#[test]
fn a_transaction_that_is_disturbed_happens_once_or_not_at_all() {
    let mut chances = chances("transactions are disturbed");
    disturbed(rounds(1), &mut chances);
}

#[test]
fn a_torn_batch_is_recovered_from() {
    let mut chances = chances("batches are torn");
    torn_batches(rounds(2), &mut chances);
}
