//! Servers that cannot be reached for a while: nothing is lost, nothing hangs, and all of it comes
//! back by itself.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use schemas::proto::v1 as api;
use tonic::Code;
use xtask::stack::Server;

use crate::bank::{eventual, reason, strong};
use crate::killed::Running;
use crate::length::chances;
use crate::operations::eventually;
use crate::traffic::Plan;

/// A node may need this much more memory while nothing can be written.
const MORE_MEMORY: u64 = 256 << 20;

/// Kafka stands still for so long: its connections stay, and nothing is answered.
pub fn kafka_away(away: Duration, chances: &mut StdRng) {
    let plan = Plan {
        clients: 24,
        batch: 400,
        ..Plan::of(2)
    };
    let running = Running::start(plan, chances);
    running
        .traffic
        .wait_progress(Duration::from_secs(60), "commands are decided");
    let (books, bank) = (&running.books, running.traffic.bank());
    let before = books.resident();
    let declined_before = bank.declined();
    running.servers.stack().pause(Server::Kafka).unwrap();
    let until = Instant::now() + away;
    let mut most = before;
    while Instant::now() < until {
        most = most.max(books.resident());
        std::thread::sleep(Duration::from_millis(200));
    }
    let declined: Vec<_> = bank
        .declined()
        .into_iter()
        .filter(|(key, count)| declined_before.get(key) != Some(count))
        .collect();
    running.servers.stack().resume(Server::Kafka).unwrap();
    let took = running
        .traffic
        .wait_progress(Duration::from_secs(150), "commands are decided again");
    println!("  Kafka away for {away:?}: decided again after {took:.1?}; declined {declined:?}");
    assert!(
        most < before + MORE_MEMORY,
        "memory went from {before} to {most} bytes while Kafka was away"
    );
    // A read that waits ends by its deadline; a command is declined, so that its caller repeats it.
    let told: Vec<_> = declined
        .iter()
        .map(|(declined, _)| declined)
        .filter(|declined| !declined.is_read && !declined.reason.is_empty())
        .collect();
    assert!(!told.is_empty(), "nobody was told anything: {declined:?}");
    for told in told {
        assert!(
            ["Unavailable", "ResourceExhausted"].contains(&told.code.as_str()),
            "{told:?} while Kafka is away"
        );
    }
    running.prove();
}

/// Every store but the log is away for a while, one after the other.
pub fn stores_away(chances: &mut StdRng) {
    let running = Running::start(Plan::of(2), chances);
    postgres_away(&running);
    projector_away(&running);
    object_store_away(&running);
    running.prove();
}

/// Postgres stands still: commands and STRONG balances go on, other queries say why not.
fn postgres_away(running: &Running) {
    let traffic = &running.traffic;
    running.servers.stack().pause(Server::Postgres).unwrap();
    for _ in 0..3 {
        traffic.wait_progress(Duration::from_secs(20), "commands go on without Postgres");
    }
    let ledger = traffic.ledgers()[0].clone();
    let posted = traffic.runtime().block_on(async {
        let within = Duration::from_secs(20);
        let posted = traffic.bank().posted(&ledger, "client:0:one", strong());
        tokio::time::timeout(within, posted).await
    });
    assert!(matches!(posted, Ok(Ok(_))), "a STRONG balance: {posted:?}");
    let told = statement(running, &ledger);
    assert_eq!(told.code(), Code::Unavailable, "{told:?}");
    running.servers.stack().resume(Server::Postgres).unwrap();
}

/// Asks for a statement that the read models cannot give, with a deadline.
fn statement(running: &Running, ledger: &str) -> tonic::Status {
    let traffic = &running.traffic;
    let mut request = tonic::Request::new(api::GetStatementRequest {
        ledger: ledger.to_owned(),
        account: "client:0:one".to_owned(),
        consistency: strong(),
        ..Default::default()
    });
    request.set_timeout(Duration::from_secs(5));
    let asked = traffic.runtime().block_on(async {
        let mut queries = traffic.bank().queries();
        tokio::time::timeout(Duration::from_secs(15), queries.get_statement(request)).await
    });
    asked
        .expect("it is answered, if only by its deadline")
        .expect_err("the read models cannot have it")
}

/// The projector stands still: reads say how far they have got, and strong ones why not further.
fn projector_away(running: &Running) {
    let traffic = &running.traffic;
    let ledger = traffic.ledgers()[0].clone();
    let request = api::GetTrialBalanceRequest {
        ledger: ledger.clone(),
        consistency: eventual(),
        ..Default::default()
    };
    // Nothing, while the read models do not even have the ledger.
    let asked = || {
        let reply = traffic.runtime().block_on(async {
            let mut queries = traffic.bank().queries();
            queries.get_trial_balance(request.clone()).await
        });
        Some(reply.ok()?.into_inner().position.unwrap().ledger_sequence)
    };
    let ask = || asked().expect("an answer as of where the projection is");
    eventually(Duration::from_secs(60), "the ledger is projected", || {
        asked().is_some()
    });
    running.views.pause();
    for _ in 0..2 {
        traffic.wait_progress(
            Duration::from_secs(20),
            "commands go on without a projector",
        );
    }
    let reached = ask();
    traffic.wait_progress(
        Duration::from_secs(20),
        "commands go on without a projector",
    );
    assert_eq!(ask(), reached, "it is where it was, and says so");
    let told = statement(running, &ledger);
    assert_eq!(told.code(), Code::Unavailable, "{told:?}");
    assert!(!reason(&told).is_empty(), "{told:?}");
    running.views.resume();
    eventually(Duration::from_secs(60), "the projection goes on", || {
        ask() > reached
    });
}

/// No snapshot can be kept: nothing stops, and snapshots are made again once there is a store.
fn object_store_away(running: &Running) {
    running.servers.stack().kill(Server::Minio).unwrap();
    for _ in 0..3 {
        running.traffic.wait_progress(
            Duration::from_secs(20),
            "commands go on without an object store",
        );
    }
    running.servers.stack().start(Server::Minio).unwrap();
    eventually(Duration::from_secs(60), "a snapshot is made again", || {
        let made = running.cluster.run(&[
            "snapshot",
            "create",
            "--operations",
            &running.books.operations(),
        ]);
        made.code == 0
    });
}

#[test]
fn kafka_away_is_told_and_got_over() {
    let mut chances = chances("Kafka is away");
    kafka_away(Duration::from_secs(30), &mut chances);
}

#[test]
fn stores_away_stop_no_command_and_reads_say_how_far_they_are() {
    let mut chances = chances("stores are away");
    stores_away(&mut chances);
}
