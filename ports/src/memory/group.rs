//! Nodes that share the shards of a log in memory out among them, as a test wants.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use schemas::record::LogId;
use tokio::sync::watch;

use crate::log::{EventLog, LogError, LogReader, LogWriter};
use crate::memory::MemoryLog;
use crate::ownership::{Assignment, Ownership};

/// A group of nodes. Clones are the same group.
#[derive(Debug, Clone, Default)]
pub struct MemoryGroup {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    address: Arc<str>,
    /// What the group holds to be true, whatever the member was told.
    shards: BTreeSet<u32>,
    told: watch::Sender<Assignment>,
    /// Shards that were taken away and not released yet.
    unreleased: watch::Sender<BTreeSet<u32>>,
    /// Shards whose writer was announced, with the epoch.
    announced: Vec<(u32, u64)>,
    left: bool,
}

/// A node of a [`MemoryGroup`].
#[derive(Clone)]
pub struct MemoryMember {
    group: MemoryGroup,
    number: usize,
}

impl fmt::Debug for MemoryMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "member {}", self.number)
    }
}

impl MemoryGroup {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new member, without shards.
    pub fn join(&self, address: &str) -> MemoryMember {
        let mut state = self.state();
        state.members.push(Member {
            address: address.into(),
            shards: BTreeSet::new(),
            told: watch::Sender::default(),
            unreleased: watch::Sender::default(),
            announced: Vec::new(),
            left: false,
        });
        MemoryMember {
            group: self.clone(),
            number: state.members.len() - 1,
        }
    }

    /// Gives member `number` exactly `shards`, and takes them from all others. Members in
    /// `asleep` are not told.
    pub fn give(&self, number: usize, shards: &[u32], asleep: &[usize]) {
        let mut state = self.state();
        state.generation += 1;
        let generation = state.generation;
        for (other, member) in state.members.iter_mut().enumerate() {
            if other == number {
                member.shards = shards.iter().copied().collect();
            } else {
                member.shards.retain(|shard| !shards.contains(shard));
            }
            if !asleep.contains(&other) {
                member.tell(generation);
            }
        }
    }

    /// Takes everything from everybody, as at the beginning of a rebalance, and waits until all
    /// is released. False where that takes too long.
    pub async fn revoke(&self) -> bool {
        let waiting: Vec<_> = {
            let mut state = self.state();
            state.generation += 1;
            let generation = state.generation;
            let members = state.members.iter_mut();
            members
                .map(|member| {
                    member.shards.clear();
                    member.tell(generation);
                    member.unreleased.subscribe()
                })
                .collect()
        };
        for mut unreleased in waiting {
            let released = unreleased.wait_for(BTreeSet::is_empty);
            if tokio::time::timeout(Duration::from_secs(5), released)
                .await
                .is_err()
            {
                return false;
            }
        }
        true
    }

    /// Tells a member that slept what has become true.
    pub fn wake(&self, number: usize) {
        let mut state = self.state();
        let generation = state.generation;
        state.members[number].tell(generation);
    }
}

impl Member {
    fn tell(&mut self, generation: u64) {
        let taken: BTreeSet<u32> = {
            let before = self.told.borrow();
            before.shards.difference(&self.shards).copied().collect()
        };
        self.unreleased
            .send_modify(|unreleased| unreleased.extend(taken));
        self.told.send_replace(Assignment {
            generation,
            shards: self.shards.clone(),
        });
    }
}

impl MemoryMember {
    /// Its number in the group.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The shards, with their epochs, that it announced to serve.
    pub fn announced(&self) -> Vec<(u32, u64)> {
        self.group.state().members[self.number].announced.clone()
    }

    /// True once it has left.
    pub fn has_left(&self) -> bool {
        self.group.state().members[self.number].left
    }

    /// `log`, whose shards are claimed only where the group holds them to be this member's.
    pub fn gated(&self, log: &MemoryLog) -> Arc<dyn EventLog> {
        Arc::new(Gated {
            member: self.clone(),
            log: log.clone(),
        })
    }
}

#[async_trait]
impl Ownership for MemoryMember {
    fn assignment(&self) -> watch::Receiver<Assignment> {
        self.group.state().members[self.number].told.subscribe()
    }

    fn released(&self, shard: u32) {
        let state = self.group.state();
        let unreleased = &state.members[self.number].unreleased;
        unreleased.send_modify(|unreleased| {
            unreleased.remove(&shard);
        });
    }

    fn announce(&self, shard: u32, epoch: u64) {
        let mut state = self.group.state();
        state.members[self.number].announced.push((shard, epoch));
    }

    fn owner(&self, shard: u32) -> Option<Arc<str>> {
        let state = self.group.state();
        let members = state.members.iter().enumerate();
        let mut others = members.filter(|(number, _)| *number != self.number);
        let (_, owner) = others.find(|(_, member)| member.shards.contains(&shard))?;
        Some(Arc::clone(&owner.address))
    }

    async fn leave(&self) {
        let mut state = self.group.state();
        state.members[self.number].shards.clear();
        state.members[self.number].left = true;
    }
}

struct Gated {
    member: MemoryMember,
    log: MemoryLog,
}

#[async_trait]
impl EventLog for Gated {
    fn log_id(&self) -> LogId {
        self.log.log_id()
    }

    fn shard_count(&self) -> u32 {
        self.log.shard_count()
    }

    async fn claim(&self, shard: u32, barrier: Bytes) -> Result<Box<dyn LogWriter>, LogError> {
        let is_owner = {
            let state = self.member.group.state();
            state.members[self.member.number].shards.contains(&shard)
        };
        if !is_owner {
            let why = "the group says so".to_owned();
            return Err(LogError::NotOwner { shard, why });
        }
        self.log.claim(shard, barrier).await
    }

    fn reader(&self) -> Arc<dyn LogReader> {
        self.log.reader()
    }
}
