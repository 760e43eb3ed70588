//! Nodes that share a log's shards: what is taken away is finished first, what is given back is
//! gone on with, and a node that slept writes nothing and tells nothing stale.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use command_handler::{Condition, Config, Owner};
use common::*;
use ledger_core::name::LedgerName;
use ports::memory::{MemoryGroup, MemoryLog, MemoryMember, MemorySnapshots};
use ports::strong::{StrongError, StrongQuery, StrongRead};
use schemas::record::LogId;
use tonic::Status;

struct Node {
    member: MemoryMember,
    server: Server,
}

struct Cluster {
    log: MemoryLog,
    group: MemoryGroup,
    store: Arc<MemorySnapshots>,
}

impl Cluster {
    fn new() -> Self {
        Self {
            log: MemoryLog::shared(LogId([3; 16]), 1),
            group: MemoryGroup::default(),
            store: Arc::default(),
        }
    }

    async fn node(&self, address: &str, config: Config) -> Node {
        let member = self.group.join(address);
        let server = join(config, &self.log, &member, None, &self.store).await;
        Node { member, server }
    }

    /// A node that has the shard, with the ledger `bank`.
    async fn owner(&self, config: Config) -> Node {
        let node = self.node("a:1", config).await;
        self.group.give(node.member.number(), &[0], &[]);
        node.serves().await;
        node.server.bank("bank").await;
        node
    }

    fn barriers(&self) -> usize {
        let entries = self.log.entries(0);
        entries.iter().filter(|e| e.record_count == 0).count()
    }
}

impl Node {
    fn condition(&self) -> Condition {
        self.server.handler.status()[0].condition.clone()
    }

    fn epoch(&self) -> u64 {
        self.server.handler.status()[0].epoch
    }

    async fn serves(&self) {
        until("serving", || self.condition() == Condition::Serving).await;
    }

    async fn pay(&self, key: &str) -> Result<schemas::proto::v1::Receipt, Status> {
        self.server.transfer("bank", key, "cash", "a", 1).await
    }

    async fn read(&self) -> Result<StrongRead, StrongError> {
        let bank = LedgerName::new("bank").unwrap();
        let strong = self.server.handler.strong();
        strong.read(&bank, StrongQuery::Position).await
    }

    fn owner(&self) -> Owner {
        let bank = LedgerName::new("bank").unwrap();
        self.server.handler.owner_of(&bank)
    }
}

fn metadata(status: &Status, name: &str) -> Option<String> {
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info()?;
    info.metadata.get(name).cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_without_shards_and_says_who_has_them() {
    let cluster = Cluster::new();
    let idle = cluster.node("idle:1", config()).await;
    assert_eq!(idle.condition(), Condition::NotOwner);
    assert_eq!(idle.owner(), Owner::Unknown);
    let declined = idle.pay("x").await.unwrap_err();
    assert_eq!(reason(&declined), "NOT_OWNER");
    assert_eq!(metadata(&declined, "shard").as_deref(), Some("0"));
    assert_eq!(metadata(&declined, "owner"), None);
    assert!(cluster.log.entries(0).is_empty(), "nothing was claimed");

    let owner = cluster.owner(config()).await;
    assert_eq!(
        (owner.owner(), idle.owner()),
        (Owner::Here, Owner::At("a:1".into()))
    );
    let declined = idle.pay("x").await.unwrap_err();
    assert_eq!(declined.code(), tonic::Code::Unavailable);
    assert_eq!(metadata(&declined, "owner").as_deref(), Some("a:1"));
    let read = idle.read().await;
    assert!(matches!(
        read,
        Err(StrongError::NotOwner { owner: Some(at), .. }) if &*at == "a:1"
    ));
    assert_eq!(owner.member.announced(), [(0, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_moves_and_moves_back_with_all_that_was_decided() {
    let cluster = Cluster::new();
    let first = cluster.owner(config()).await;
    let second = cluster.node("b:1", config()).await;
    for turn in 0..3u64 {
        let (has, gets) = match turn % 2 {
            0 => (&first, &second),
            _ => (&second, &first),
        };
        assert!(!has.pay(&format!("turn-{turn}")).await.unwrap().repeated);
        assert!(cluster.group.revoke().await, "it is released");
        assert_eq!(reason(&has.pay("x").await.unwrap_err()), "NOT_OWNER");
        cluster.group.give(gets.member.number(), &[0], &[]);
        gets.serves().await;
        for earlier in 0..=turn {
            let again = gets.pay(&format!("turn-{earlier}")).await.unwrap();
            assert!(again.repeated, "{turn} {earlier}");
        }
        assert!(matches!(has.owner(), Owner::At(_)));
        assert_eq!(gets.epoch(), turn + 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn given_back_unfenced_it_goes_on_without_a_claim() {
    let cluster = Cluster::new();
    let node = cluster.owner(config()).await;
    node.pay("before").await.unwrap();
    let (barriers, confirmations) = (cluster.barriers(), cluster.log.confirmations(0));
    for turn in 0..5 {
        assert!(cluster.group.revoke().await);
        until("pausing", || node.condition() == Condition::NotOwner).await;
        assert!(node.read().await.is_err());
        cluster.group.give(0, &[0], &[]);
        node.serves().await;
        assert!(!node.pay(&format!("turn-{turn}")).await.unwrap().repeated);
        assert!(node.pay("before").await.unwrap().repeated);
    }
    assert_eq!(
        (cluster.barriers(), node.epoch()),
        (barriers, 1),
        "no claim"
    );
    assert_eq!(
        cluster.log.confirmations(0),
        confirmations + 5,
        "each time it was proved that nobody else had claimed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn away_for_long_the_state_is_dropped_and_the_shard_claimed_anew() {
    let cluster = Cluster::new();
    let config = Config {
        away_most: Duration::from_millis(50),
        ..config()
    };
    let node = cluster.owner(config).await;
    node.pay("before").await.unwrap();
    assert!(cluster.group.revoke().await);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    cluster.group.give(0, &[0], &[]);
    node.serves().await;
    assert!(node.pay("before").await.unwrap().repeated);
    assert_eq!(node.epoch(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_writes_nothing_tells_nothing_stale_and_takes_nothing_back() {
    let cluster = Cluster::new();
    let sleeper = cluster.owner(config()).await;
    let other = cluster.node("b:1", config()).await;
    sleeper.pay("before").await.unwrap();
    // It was not told: it believes that the shard is its own.
    cluster.group.give(other.member.number(), &[0], &[0]);
    other.serves().await;
    other.pay("while it slept").await.unwrap();
    assert_eq!(sleeper.condition(), Condition::Serving, "it knows nothing");
    let (records_before, barriers) = (records(&cluster.log, 0).len(), cluster.barriers());

    let read = sleeper.read().await;
    assert!(read.is_err(), "{read:?}");
    until("not its own", || sleeper.condition() == Condition::NotOwner).await;
    for n in 0..20 {
        assert!(sleeper.pay(&format!("woken-{n}")).await.is_err());
        assert!(sleeper.read().await.is_err());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(records(&cluster.log, 0).len(), records_before);
    assert_eq!(cluster.barriers(), barriers, "it took nothing back");
    assert_eq!(other.condition(), Condition::Serving);
    other.pay("still here").await.unwrap();

    // Told at last, and given the shard again, it knows all.
    cluster.group.wake(0);
    assert!(cluster.group.revoke().await);
    cluster.group.give(0, &[0], &[]);
    sleeper.serves().await;
    for key in ["before", "while it slept", "still here"] {
        assert!(sleeper.pay(key).await.unwrap().repeated, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_node_that_wakes_up_with_a_command_loses_it_whole() {
    let cluster = Cluster::new();
    let sleeper = cluster.owner(config()).await;
    let other = cluster.node("b:1", config()).await;
    cluster.group.give(other.member.number(), &[0], &[0]);
    other.serves().await;
    let lost = sleeper.pay("lost").await.unwrap_err();
    assert_eq!(lost.code(), tonic::Code::Unavailable, "{lost:?}");
    assert!(
        !other.pay("lost").await.unwrap().repeated,
        "it was never written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nothing_is_written_after_the_release_and_nothing_acknowledged_is_lost() {
    let cluster = Cluster::new();
    let node = Arc::new(cluster.owner(config()).await);
    let ended = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for caller in 0..8 {
        let (node, ended) = (Arc::clone(&node), Arc::clone(&ended));
        callers.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let key = format!("load-{caller}-{n}");
                match node.pay(&key).await {
                    Ok(_) => acknowledged.push(key),
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
            acknowledged
        }));
    }
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(
            cluster.group.revoke().await,
            "released though callers press"
        );
        let written = records(&cluster.log, 0).len();
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(records(&cluster.log, 0).len(), written);
        cluster.group.give(0, &[0], &[]);
        node.serves().await;
    }
    ended.store(true, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    for caller in callers {
        acknowledged.extend(caller.await.unwrap());
    }
    let mut written = BTreeMap::<String, u32>::new();
    for sealed in records(&cluster.log, 0) {
        *written.entry(sealed.record.key.to_string()).or_default() += 1;
    }
    for key in &acknowledged {
        assert_eq!(written.get(key), Some(&1), "{key}");
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    assert_eq!(node.epoch(), 1, "it never lost its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_reads_of_an_idle_writer_share_a_confirmation() {
    let cluster = Cluster::new();
    let node = Arc::new(cluster.owner(config()).await);
    let before = cluster.log.confirmations(0);
    let mut reads = Vec::new();
    for _ in 0..200 {
        let node = Arc::clone(&node);
        reads.push(tokio::spawn(async move { node.read().await }));
    }
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap().ledger_sequence, 4);
    }
    let made = cluster.log.confirmations(0) - before;
    assert!((1..200).contains(&made), "{made}");
    assert_eq!(records(&cluster.log, 0).len(), 6, "and no records");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_the_group_when_all_is_written() {
    let cluster = Cluster::new();
    let node = cluster.owner(config()).await;
    node.pay("last").await.unwrap();
    assert!(!node.member.has_left());
    node.server.handler.stop().await;
    assert!(node.member.has_left());
    assert!(matches!(node.condition(), Condition::Ended));
}
