//! Which shards this node is to write: a consumer group over the three topics that commands
//! come from. Its members only own partitions; the records are read by [`crate::ingest`].
//!
//! A node owns a shard when the shard's partition of all three topics is its own, and the topics
//! have as many partitions as the log has shards.

mod member;
mod observer;
mod owners;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use ports::log::{Consumed, LogError};
use ports::ownership::{Assignment, Ownership};
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::connection::Connection;
use crate::error::{is_stale_group, log_error};
use crate::gate::{Admission, ClaimGate};
use member::{Client, State};
use owners::Owners;

pub use observer::Observer;

/// How long a question to the group's coordinator may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// This node's membership in the group that shares the shards out.
pub struct Group {
    connection: Connection,
    client: Arc<Client>,
    state: Arc<State>,
    owners: Owners,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("address", &self.owners.address())
            .field("assignment", &*self.state.assignment.borrow())
            .finish_non_exhaustive()
    }
}

impl Group {
    /// Joins the group of the log of `shard_count` shards. `address` is where other nodes reach
    /// this one. Shards come by and by.
    ///
    /// # Errors
    /// [`LogError`] where no client can be made.
    pub fn join(
        connection: &Connection,
        shard_count: u32,
        address: &str,
    ) -> Result<Arc<Self>, LogError> {
        let owners = Owners::start(connection, shard_count, address)?;
        let state = Arc::new(State::new(connection.topics().clone(), shard_count));
        let client = Arc::new(member::client(connection, &state)?);
        let thread = member::start(Arc::clone(&client), Arc::clone(&state))?;
        Ok(Arc::new(Self {
            connection: connection.clone(),
            client,
            state,
            owners,
            thread: Mutex::new(Some(thread)),
        }))
    }

    fn is_given(&self, shard: u32) -> bool {
        self.state.assignment.borrow().shards.contains(&shard)
    }

    /// Commits what is committed already, or the beginning, once more: only who is in the group
    /// now can.
    fn commit_again(
        connection: &Connection,
        client: &Client,
        shard: u32,
    ) -> Result<Vec<Consumed>, LogError> {
        let doing = "asking the group whether a shard may be claimed";
        let mut asked = TopicPartitionList::new();
        for topic in connection.topics().ingestion() {
            asked.add_partition(topic, shard as i32);
        }
        let known = client
            .committed_offsets(asked, PATIENCE)
            .map_err(|error| log_error(doing, &error))?;
        let mut list = TopicPartitionList::new();
        let mut offsets = Vec::new();
        for element in known.elements() {
            let next_offset = match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
                _ => 0,
            };
            offsets.push(Consumed {
                topic: Arc::from(element.topic()),
                partition: shard,
                next_offset,
            });
            let offset = Offset::Offset(i64::try_from(next_offset).unwrap_or(i64::MAX));
            list.add_partition_offset(element.topic(), shard as i32, offset)
                .map_err(|error| log_error(doing, &error))?;
        }
        match client.commit(&list, CommitMode::Sync) {
            Ok(()) => Ok(offsets),
            Err(error) => match error.rdkafka_error_code() {
                Some(code) if is_stale_group(code) => Err(LogError::NotOwner {
                    shard,
                    why: format!("the group refused this node: {error}"),
                }),
                _ => Err(log_error(doing, &error)),
            },
        }
    }

    /// Ends the membership; the broker hears of it where it can be reached.
    fn end(&self) {
        self.state.end();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the group died");
        }
        self.owners.end();
    }
}

#[async_trait]
impl Ownership for Group {
    fn assignment(&self) -> watch::Receiver<Assignment> {
        self.state.assignment.subscribe()
    }

    fn released(&self, shard: u32) {
        self.state.released(shard);
    }

    fn announce(&self, shard: u32, epoch: u64) {
        self.owners.announce(shard, epoch);
    }

    fn owner(&self, shard: u32) -> Option<Arc<str>> {
        self.owners.owner(shard)
    }

    async fn leave(&self) {
        self.state.end();
        let left = self.state.left.subscribe();
        let mut left = left;
        let waited = tokio::time::timeout(PATIENCE, left.wait_for(|left| *left)).await;
        if waited.is_err() {
            tracing::warn!("the group was not left in time: the shards move when it notices");
        }
    }
}

#[async_trait]
impl ClaimGate for Group {
    async fn admit(&self, shard: u32) -> Result<Admission, LogError> {
        let elsewhere = || LogError::NotOwner {
            shard,
            why: "the group has not given it to this node".to_owned(),
        };
        let generation = self.state.assignment.borrow().generation;
        if !self.is_given(shard) {
            return Err(elsewhere());
        }
        let (connection, client) = (self.connection.clone(), Arc::clone(&self.client));
        let asked =
            tokio::task::spawn_blocking(move || Self::commit_again(&connection, &client, shard));
        let offsets = asked
            .await
            .unwrap_or_else(|error| Err(LogError::Unavailable(error.to_string())))?;
        // Under another generation the answer says nothing.
        if !self.is_given(shard) || self.state.assignment.borrow().generation != generation {
            return Err(elsewhere());
        }
        Ok(Admission { offsets })
    }

    fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.client.group_metadata()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// The shards of which all partitions are in `assigned`, a list of partitions for each topic.
fn owned(assigned: &[BTreeSet<i32>], shard_count: u32) -> BTreeSet<u32> {
    let all = |shard: &u32| {
        let partition = i32::try_from(*shard);
        partition.is_ok_and(|partition| assigned.iter().all(|of| of.contains(&partition)))
    };
    (0..shard_count).filter(all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_owned_with_its_partition_of_every_topic() {
        let of = |partitions: &[i32]| partitions.iter().copied().collect::<BTreeSet<i32>>();
        let assigned = [of(&[0, 1, 2, 7]), of(&[0, 1, 7]), of(&[1, 2, 7])];
        assert_eq!(owned(&assigned, 4), BTreeSet::from([1]));
        assert_eq!(owned(&[of(&[]), of(&[]), of(&[])], 4), BTreeSet::new());
    }
}
