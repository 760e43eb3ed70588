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
    let load = Load::start(&books.url(), &cluster.folder(), chances);
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

/// The answer to a commit is lost, by a cut or in silence.
pub fn lost_answers(rounds: u64, chances: &mut StdRng) {
    let (running, proxy) = start(Plan::of(2), chances);
    for round in 1..=rounds {
        let then = match chances.random() {
            true => Then::Cut,
            false => Then::Silence,
        };
        let caught = proxy.swallow_answer(ApiKey::END_TXN, then);
        caught.wait(CAUGHT).unwrap();
        let took = running
            .traffic
            .wait_progress(PROGRESS, "after a lost answer");
        println!("  a commit's answer lost ({then:?}), {round} of {rounds}: on after {took:.1?}");
    }
    running.prove();
}

/// The end of a transaction is held back until its retry has succeeded and others have followed;
/// then it arrives.
pub fn late_ends(rounds: u64, chances: &mut StdRng) {
    let (running, proxy) = start(Plan::of(2), chances);
    for round in 1..=rounds {
        let held = proxy.hold(ApiKey::END_TXN, Then::Cut);
        held.wait(CAUGHT).unwrap();
        running
            .traffic
            .wait_progress(PROGRESS, "after the end's retry");
        std::thread::sleep(Duration::from_millis(chances.random_range(0..500)));
        // Whatever the broker says to it.
        held.deliver().unwrap();
        running
            .traffic
            .wait_progress(PROGRESS, "after the late end");
        println!("  a late end of a transaction, {round} of {rounds}");
    }
    running.prove();
}

/// An end of a transaction comes once more while the same producer's next transaction is half
/// written: what is there is committed, and the rest is not.
pub fn torn_batches(rounds: u64, chances: &mut StdRng) {
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

/// The broker dies with a transaction open.
pub fn open_transactions(rounds: u64, chances: &mut StdRng) {
    let (running, proxy) = start(Plan::of(2), chances);
    for round in 1..=rounds {
        let end = proxy.hold(ApiKey::END_TXN, Then::Silence);
        end.wait(CAUGHT).unwrap();
        running.servers.restart(Server::Kafka, || {});
        end.release();
        let took = running
            .traffic
            .wait_progress(PROGRESS, "after the broker's restart");
        println!("  a broker killed over a transaction, {round} of {rounds}: on after {took:.1?}");
    }
    running.prove();
}

#[test]
fn a_commit_whose_answer_is_lost_happens_once() {
    let mut chances = chances("answers are lost");
    lost_answers(rounds(3), &mut chances);
}

#[test]
fn an_end_of_a_transaction_that_comes_late_changes_nothing() {
    let mut chances = chances("ends come late");
    late_ends(rounds(3), &mut chances);
}

#[test]
fn a_torn_batch_is_recovered_from() {
    let mut chances = chances("batches are torn");
    torn_batches(rounds(2), &mut chances);
}

#[test]
fn a_broker_that_dies_over_an_open_transaction_loses_nothing() {
    let mut chances = chances("the broker dies over a transaction");
    open_transactions(rounds(1), &mut chances);
}
