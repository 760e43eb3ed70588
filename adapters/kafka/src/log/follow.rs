//! Follows the ends of the shards that someone watches and that another process writes: one
//! consumer for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ports::log::LogError;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::assemble::Assembler;
use super::context::Consumer;
use super::place::Place;
use super::{Shared, find, stream};
use crate::error::log_error;

/// The longest time until a shard that is to be followed anew is.
const POLL: Duration = Duration::from_millis(20);
/// How often it is looked whether anybody still watches.
const LOOK: Duration = Duration::from_secs(1);
/// How long a fetch waits at the broker; it is answered at once when something is committed.
const WAIT: Duration = Duration::from_millis(100);
/// A shard that has grown by more than this since it was last looked at is followed from its
/// end; readers fetch what stands before it by themselves.
const BEHIND: i64 = 20_000;

/// The follower's thread; it ends with this.
pub(crate) struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts it.
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self, LogError> {
        let consumer = stream::consumer(&shared.connection, WAIT)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("daybook-follow".to_owned())
            .spawn(move || {
                let mut following = Following {
                    shared,
                    consumer,
                    assemblers: BTreeMap::new(),
                };
                following.run(&stopped);
                following.shared.pool.close();
            })
            .map_err(|error| LogError::Unavailable(format!("no thread could start: {error}")))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // It ends by itself; nobody waits for its connections to close.
        drop(self.thread.take());
    }
}

struct Following {
    shared: Arc<Shared>,
    consumer: Consumer,
    /// The shards that are followed.
    assemblers: BTreeMap<u32, Assembler>,
}

impl Following {
    fn run(&mut self, stop: &AtomicBool) {
        let mut roster = 0;
        let mut looked = Instant::now();
        let mut told = None;
        while !stop.load(Ordering::Acquire) {
            let now = self.shared.roster();
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.shared.pool.sweep();
                if self.wanted() != self.assemblers.keys().copied().collect::<Vec<_>>() {
                    roster = 0;
                }
            }
            if roster != now {
                match self.assign() {
                    Ok(()) => roster = now,
                    Err(error) => {
                        tell(&mut told, &error.to_string());
                        std::thread::sleep(Duration::from_millis(200));
                    }
                }
            }
            match self.take() {
                Ok(()) => {}
                Err(error) => {
                    tell(&mut told, &error.to_string());
                    roster = 0;
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
        for shard in self.assemblers.keys() {
            if let Some(known) = self.shared.shard(*shard) {
                known.tail.set_followed(false);
            }
        }
    }

    /// The shards that are to be followed.
    fn wanted(&self) -> Vec<u32> {
        let shards = self.shared.shards.iter().enumerate();
        shards
            .filter(|(_, known)| known.tail.is_watched() && !known.tail.is_written())
            .map(|(shard, _)| shard as u32)
            .collect()
    }

    /// Goes to the ends of the shards that are to be followed now.
    fn assign(&mut self) -> Result<(), LogError> {
        let wanted = self.wanted();
        for known in &self.shared.shards {
            known.tail.set_followed(false);
        }
        self.assemblers.clear();
        let failed = |error: KafkaError| log_error("following the log", &error);
        if wanted.is_empty() {
            return self.consumer.unassign().map_err(failed);
        }
        let mut list = TopicPartitionList::new();
        let topic = &self.shared.connection.topics().events;
        for shard in wanted {
            let Some(known) = self.shared.shard(shard) else {
                continue;
            };
            let end = known.tail.end();
            let found = self.shared.pool.run_here(shard, -1, |stream| {
                let (low, committed) = stream.bounds(shard)?;
                match committed - end.next_offset > BEHIND || low > end.next_offset {
                    true => find::end(stream, shard).map(Some),
                    false => Ok(None),
                }
            })?;
            if let Some(found) = found {
                known.tail.found(found);
            }
            let end = known.tail.end();
            list.add_partition_offset(topic, shard as i32, Offset::Offset(end.next_offset))
                .map_err(failed)?;
            let assembler = Assembler::new(Some(end.next_sequence));
            self.assemblers.insert(shard, assembler);
        }
        self.consumer.assign(&list).map_err(failed)?;
        for shard in self.assemblers.keys() {
            if let Some(known) = self.shared.shard(*shard) {
                known.tail.set_followed(true);
            }
        }
        Ok(())
    }

    /// Takes a message, where there is one.
    fn take(&mut self) -> Result<(), LogError> {
        let message = match self.consumer.poll(POLL) {
            None => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                // All that is committed was read: a batch that is not whole stays so.
                let shard = partition as u32;
                if let (Some(assembler), Some(known)) =
                    (self.assemblers.get_mut(&shard), self.shared.shard(shard))
                {
                    assembler.finish(|stored| {
                        known.index.note(&stored);
                        known.tail.followed(stored);
                    });
                }
                return Ok(());
            }
            Some(Err(error)) if stream::transient(&error) => return Ok(()),
            Some(Err(error)) => return Err(log_error("following the log", &error)),
        };
        let shard = message.partition() as u32;
        let (Some(assembler), Some(known)) =
            (self.assemblers.get_mut(&shard), self.shared.shard(shard))
        else {
            return Ok(());
        };
        let place = Place::of(&message, self.shared.tag());
        let fed = assembler.feed(
            message.offset(),
            place,
            message.payload().unwrap_or_default(),
            |stored| {
                known.index.note(&stored);
                known.tail.followed(stored);
            },
        );
        if let Err(damage) = fed {
            tracing::error!(
                shard,
                position = super::assemble::position(damage.offset).0,
                what = damage.what,
                "the log is damaged; whoever reads it stops there"
            );
            known.tail.damaged(damage.offset);
            *assembler = Assembler::default();
        }
        Ok(())
    }
}

/// Tells of a failure once, until another comes.
fn tell(told: &mut Option<String>, what: &str) {
    if told.as_deref() != Some(what) {
        tracing::warn!(what, "the end of the log cannot be followed now");
        *told = Some(what.to_owned());
    }
}
