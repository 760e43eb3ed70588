//! Two command nodes that share the shards: one is killed, one stands still and wakes up, one more
//! comes and goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use schemas::proto::v1 as api;
use schemas::proto::v1::query_service_client::QueryServiceClient;

use crate::bank::{open, strong, transfer};
use crate::cluster::Cluster;
use crate::length::{chances, rounds};
use crate::load::{Load, Way};
use crate::node::Node;
use crate::operations::eventually;
use crate::servers::Servers;
use crate::traffic::{Plan, Traffic};

const SHARDS: u32 = 4;
/// A killed node's shards are served by another within this.
const TAKEN_OVER: Duration = Duration::from_secs(10);
const BALANCED: Duration = Duration::from_secs(60);

/// Two command nodes, a projector, and clients of both nodes.
struct Shared {
    load: Load,
    traffic: Traffic,
    left: Node,
    right: Node,
    views: Node,
    cluster: Cluster,
    servers: Servers,
}

/// The shards that a node serves, with their epochs.
fn served(node: &Node) -> BTreeMap<u32, u64> {
    let page = node.page("/metrics");
    let gauge = |name: &str| -> BTreeMap<u32, u64> {
        page.lines()
            .filter_map(|line| {
                let rest = line.strip_prefix(name)?.strip_prefix("{shard=\"")?;
                let (shard, value) = rest.split_once("\"} ")?;
                let value: f64 = value.trim().parse().ok()?;
                Some((shard.parse().ok()?, value as u64))
            })
            .collect()
    };
    let serving = gauge("daybook_shard_serving");
    gauge("daybook_shard_epoch")
        .into_iter()
        .filter(|(shard, _)| serving.get(shard) == Some(&1))
        .collect()
}

/// Waits until these nodes serve all shards among them, each at least one.
fn wait_shared(nodes: &[&Node]) -> Duration {
    eventually(BALANCED, "the nodes share the shards", || {
        let parts: Vec<_> = nodes.iter().map(|node| served(node)).collect();
        parts.iter().all(|part| !part.is_empty())
            && parts.iter().map(BTreeMap::len).sum::<usize>() == SHARDS as usize
    })
}

fn start(chances: &mut StdRng) -> Shared {
    let servers = Servers::take();
    let cluster = Cluster::new(SHARDS);
    let mut left = cluster.node("left", &["--role", "command,query"]);
    let mut right = cluster.node("right", &["--role", "command,query"]);
    let mut views = cluster.node("views", &["--role", "projector"]);
    left.spawn();
    right.spawn();
    views.spawn();
    for node in [&mut left, &mut right, &mut views] {
        node.wait_ready(Duration::from_secs(90));
    }
    wait_shared(&[&left, &right]);
    let plan = Plan {
        clients: 8,
        load: Way::by_chance(chances),
        ..Plan::of(SHARDS)
    };
    let traffic = Traffic::start(&[left.url(), right.url()], plan, chances);
    let load = Load::start(
        plan.load,
        &format!("{},{}", left.url(), right.url()),
        &cluster,
        chances,
    );
    Shared {
        load,
        traffic,
        left,
        right,
        views,
        cluster,
        servers,
    }
}

impl Shared {
    fn prove(self) {
        let Self {
            servers,
            load,
            traffic,
            mut left,
            mut right,
            mut views,
            cluster,
        } = self;
        let finished = traffic.finish();
        load.prove();
        finished.prove(&cluster);
        for node in [&mut left, &mut right, &mut views] {
            node.stop();
        }
        drop(servers);
    }
}

/// The owner of some shards is killed: the other serves them soon.
pub fn owner_killed(rounds: usize, chances: &mut StdRng) {
    let mut shared = start(chances);
    for round in 1..=rounds {
        let (gone, other) = match round % 2 {
            1 => (&mut shared.left, &shared.right),
            _ => (&mut shared.right, &shared.left),
        };
        gone.kill();
        let killed = Instant::now();
        shared.traffic.wait_progress(
            TAKEN_OVER,
            "every shard is served after its owner was killed",
        );
        println!(
            "  an owner killed, {round} of {rounds}: all shards served again after {:.1?}",
            killed.elapsed()
        );
        eventually(BALANCED, "the other has all shards", || {
            served(other).len() == SHARDS as usize
        });
        gone.spawn();
        gone.wait_ready(Duration::from_secs(90));
        wait_shared(&[&shared.left, &shared.right]);
    }
    shared.prove();
}

/// An owner stands still until its shards are another's, and wakes up with questions waiting.
pub fn owner_paused(still: Duration, chances: &mut StdRng) {
    let shared = start(chances);
    let before = served(&shared.left);
    let shard = *before.keys().next().unwrap();
    let ledger = shared.traffic.ledgers()[shard as usize].clone();
    let (bank, runtime) = (shared.traffic.bank(), shared.traffic.runtime());
    let deposit = |key: &str| transfer(&ledger, key, "probe:cash", "probe:one", 100);
    runtime.block_on(async {
        for (name, kind, minimum) in [
            ("probe:cash", api::AccountType::Asset, ""),
            ("probe:one", api::AccountType::Liability, "0"),
        ] {
            bank.write(&open(&ledger, name, kind, minimum))
                .await
                .unwrap();
        }
        bank.write(&deposit("probe 1")).await.unwrap();
    });

    shared.left.pause();
    let paused = Instant::now();
    let other = {
        let _within = runtime.enter();
        crate::bank::Bank::new(&[shared.right.url()])
    };
    eventually(Duration::from_secs(30), "the other has all shards", || {
        served(&shared.right).len() == SHARDS as usize
    });
    println!(
        "  an owner paused: the other has its shards after {:.1?}",
        paused.elapsed()
    );
    runtime.block_on(other.write(&deposit("probe 2"))).unwrap();
    let epochs = served(&shared.right);
    assert!(epochs[&shard] > before[&shard], "it was claimed anew");
    std::thread::sleep(still.saturating_sub(paused.elapsed()));

    // Questions and a command wait for it in its sockets when it wakes up.
    let asked = runtime.block_on(async {
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let endpoint = tonic::transport::Endpoint::from_shared(shared.left.url()).unwrap();
                let mut queries = QueryServiceClient::new(endpoint.connect_lazy());
                let request = api::GetBalanceRequest {
                    ledger: ledger.clone(),
                    account: "probe:one".to_owned(),
                    consistency: strong(),
                    ..Default::default()
                };
                tokio::spawn(async move { queries.get_balance(request).await })
            })
            .collect();
        let write = tokio::spawn({
            let endpoint = tonic::transport::Endpoint::from_shared(shared.left.url()).unwrap();
            let mut commands =
                api::command_service_client::CommandServiceClient::new(endpoint.connect_lazy());
            let command = deposit("probe 3");
            async move { commands.write(command).await }
        });
        // They are on their way before it wakes up.
        tokio::time::sleep(Duration::from_millis(500)).await;
        shared.left.resume();
        let within = Duration::from_secs(40);
        let mut asked = Vec::new();
        for question in waiting {
            asked.push(
                tokio::time::timeout(within, question)
                    .await
                    .unwrap()
                    .unwrap(),
            );
        }
        let written = tokio::time::timeout(within, write).await.unwrap().unwrap();
        println!(
            "  its command: {:?}",
            written.map(|receipt| receipt.into_inner().ledger_sequence)
        );
        asked
    });
    let mut answers = BTreeMap::<String, u32>::new();
    for answer in asked {
        let told = match answer {
            Ok(reply) => {
                let posted = reply.into_inner().balance.unwrap().posted;
                assert!(
                    ["200", "300"].contains(&posted.as_str()),
                    "a STRONG read from the old state: {posted}, after 200 were there"
                );
                posted
            }
            Err(status) => crate::bank::reason(&status),
        };
        *answers.entry(told).or_default() += 1;
    }
    println!("  its answers when it woke up: {answers:?}");
    shared.traffic.wait_progress(BALANCED, "both go on");
    runtime.block_on(async {
        bank.write(&deposit("probe 3")).await.unwrap();
        let posted = bank.posted(&ledger, "probe:one", strong()).await;
        assert_eq!(posted, Ok(300), "the command that waited was booked once");
    });
    wait_shared(&[&shared.left, &shared.right]);
    shared.prove();
}

/// A third node comes and goes: a shard that comes back to its owner is not recovered.
pub fn given_back(chances: &mut StdRng) {
    let shared = start(chances);
    let before = [served(&shared.left), served(&shared.right)];
    let mut third = shared.cluster.node("third", &["--role", "command,query"]);
    third.start();
    wait_shared(&[&shared.left, &shared.right, &third]);
    let during = [served(&shared.left), served(&shared.right)];
    third.stop();
    wait_shared(&[&shared.left, &shared.right]);
    shared.traffic.wait_progress(BALANCED, "the two go on");
    let after = [served(&shared.left), served(&shared.right)];
    let mut stayed = 0;
    for ((before, during), after) in before.iter().zip(&during).zip(&after) {
        for (shard, epoch) in before {
            if during.contains_key(shard) && after.contains_key(shard) {
                assert_eq!(after.get(shard), Some(epoch), "shard {shard} was recovered");
                stayed += 1;
            }
        }
    }
    assert!(
        stayed > 0,
        "no shard stayed: {before:?} {during:?} {after:?}"
    );
    println!("  {stayed} shards came back to their owners as they were");
    shared.prove();
}

#[test]
fn a_killed_owners_shards_are_served_by_the_other() {
    let mut chances = chances("an owner is killed");
    owner_killed(rounds(2), &mut chances);
}

#[test]
fn an_owner_that_stood_still_answers_nothing_from_before() {
    let mut chances = chances("an owner stands still");
    owner_paused(Duration::from_secs(20), &mut chances);
}

#[test]
fn a_shard_that_is_given_back_is_not_recovered() {
    let mut chances = chances("a third node comes and goes");
    given_back(&mut chances);
}
