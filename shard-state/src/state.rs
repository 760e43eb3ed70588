//! The state of a shard.

mod fits;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ledger_core::facts::KeyEntry;
use ledger_core::ledger::LedgerState;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::Consumed;
use schemas::record::{LogId, LogSealed, Origin, Payload, Record, RecordHash, SealedRecord};

use crate::divergence::{Divergence, What};
use crate::place::{Head, LastRecord, Next, key_entry};
use fits::check_chain;

/// A chain of records: a ledger's, or the engine's own, which has no ledger.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) name: LedgerName,
    pub(crate) head: Option<Head>,
    pub(crate) ledger: Option<LedgerState>,
}

/// The place in its ledger of a record that is stepped over.
#[derive(Debug, Clone)]
pub(crate) struct Skipped {
    pub(crate) name: LedgerName,
    pub(crate) ledger_sequence: u64,
}

/// The state of a shard after some record of its log.
#[derive(Debug, Clone)]
pub struct ShardState {
    /// The log that is meant to be read.
    pub log_id: LogId,
    /// The shard.
    pub shard: u32,
    /// Shards of the log.
    pub shard_count: u32,
    pub(crate) hash_seed: u64,
    /// The engine's own chain.
    own: LedgerName,
    /// The log of the last record: another than `log_id` until that one's own first record.
    pub(crate) current: Option<LogId>,
    /// What sealed this log, where its last record did.
    sealed: Option<LogSealed>,
    pub(crate) last: Option<LastRecord>,
    pub(crate) epoch: u64,
    chains: Vec<Chain>,
    index: HashMap<LedgerName, usize>,
    /// From where the topics that commands come from are read on, in order of topic and
    /// partition.
    pub(crate) sources: Vec<Consumed>,
    /// The chain that was used last: most records follow one of the same ledger.
    recent: usize,
    stopped: bool,
}

impl ShardState {
    /// The state before the first record.
    pub fn new(log_id: LogId, shard: u32, shard_count: u32, hash_seed: u64) -> Self {
        Self {
            log_id,
            shard,
            shard_count,
            hash_seed,
            own: LedgerName::of_shard(shard),
            current: None,
            sealed: None,
            last: None,
            epoch: 0,
            chains: Vec::new(),
            index: HashMap::new(),
            sources: Vec::new(),
            recent: 0,
            stopped: false,
        }
    }

    /// Sequence of the next record; the first is 1.
    pub fn next_sequence(&self) -> u64 {
        self.last.map_or(1, |last| last.sequence + 1)
    }

    /// The last record.
    pub fn last(&self) -> Option<LastRecord> {
        self.last
    }

    /// Time of the last record.
    pub fn last_recorded_at(&self) -> Option<Timestamp> {
        self.last.map(|last| last.recorded_at)
    }

    /// Epoch of the last record; 0 before the first.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Where the books went, where the last record sealed this log: it takes no others, but for
    /// one that opens it again.
    pub fn sealed(&self) -> Option<&LogSealed> {
        self.sealed.as_ref()
    }

    /// The log that the last record belongs to: [`Self::log_id`], or where a restore or a
    /// migration did not come to its end, a log that was carried over.
    pub fn current_log(&self) -> Option<LogId> {
        self.current
    }

    /// From here on the state is that of `log_id`, and all before was carried over into it.
    pub(crate) fn carried_into(&mut self, log_id: LogId) {
        self.log_id = log_id;
        self.sealed = None;
    }

    /// The ledger, where a record of it was ever seen.
    pub fn ledger(&self, name: &LedgerName) -> Option<&LedgerState> {
        self.chain(name)?.ledger.as_ref()
    }

    /// The ledger, to be moved by the writer that decides itself.
    pub fn ledger_mut(&mut self, name: &LedgerName) -> Option<&mut LedgerState> {
        let index = self.find(name)?;
        self.chains[index].ledger.as_mut()
    }

    /// The ledger, empty where it was never seen.
    ///
    /// # Panics
    /// When `name` is the engine's own: it has no ledger.
    pub fn ledger_or_new(&mut self, name: &LedgerName) -> &mut LedgerState {
        let index = self.find_or_new(name);
        self.chains[index]
            .ledger
            .as_mut()
            .expect("the engine's own chain has no ledger, and the caller may not ask for it")
    }

    /// All ledgers by name.
    pub fn ledgers(&self) -> Vec<&LedgerState> {
        let mut ledgers: Vec<_> = self
            .chains
            .iter()
            .filter_map(|chain| chain.ledger.as_ref())
            .collect();
        ledgers.sort_by(|a, b| a.name().cmp(b.name()));
        ledgers
    }

    /// All ledgers in no order, to be moved (to forget).
    pub fn ledgers_mut(&mut self) -> impl Iterator<Item = &mut LedgerState> {
        self.chains
            .iter_mut()
            .filter_map(|chain| chain.ledger.as_mut())
    }

    /// The last record of the chain of `name` ([`LedgerName::of_shard`] for the engine's own).
    pub fn head(&self, name: &LedgerName) -> Option<Head> {
        self.chain(name)?.head
    }

    /// Heads of all chains by name, the engine's own too.
    pub fn heads(&self) -> Vec<(&LedgerName, Head)> {
        let mut heads: Vec<_> = self
            .chains
            .iter()
            .filter_map(|chain| chain.head.map(|head| (&chain.name, head)))
            .collect();
        heads.sort_by(|a, b| a.0.cmp(b.0));
        heads
    }

    /// Where the next record of `name` goes.
    pub fn next(&self, name: &LedgerName) -> Next {
        let head = self.head(name);
        Next {
            sequence: self.next_sequence(),
            ledger_sequence: head.map_or(1, |head| head.ledger_sequence + 1),
            previous_hash: head.map(|head| head.hash),
        }
    }

    /// Bytes, about, of the larger transactions in memory, over all ledgers.
    pub fn remembered_bytes(&self) -> u64 {
        self.chains
            .iter()
            .filter_map(|chain| chain.ledger.as_ref())
            .map(LedgerState::remembered_bytes)
            .sum()
    }

    /// Records whose keys are in memory, over all ledgers.
    pub fn remembered(&self) -> usize {
        self.chains
            .iter()
            .filter_map(|chain| chain.ledger.as_ref())
            .map(LedgerState::remembered)
            .sum()
    }

    /// Lets all ledgers go of what records up to `through` left in memory.
    pub fn forget_through(&mut self, through: u64) {
        for ledger in self.ledgers_mut() {
            if ledger.forgotten_through() < through {
                ledger.forget_through(through);
            }
        }
    }

    /// Moves the place in the log over a record that the writer made by [`Self::next`] and
    /// whose event it has evolved and remembered itself. Checks nothing.
    pub fn record_head(&mut self, record: &Record, hash: RecordHash) {
        let index = self.find_or_new(&record.ledger);
        self.advance(index, record, record.sequence, hash);
    }

    /// Moves the state by `record`, which stands at `sequence` of the shard, as every replay
    /// does: all of its place is checked, then it is evolved and remembered.
    ///
    /// A record that a restore or a migration carried over keeps the log, shard, epoch and
    /// sequence that it was decided with; its place here is `sequence`.
    ///
    /// # Errors
    /// [`Divergence`]. When its place is wrong nothing has moved; when the state itself refused
    /// it ([`What::Impossible`]) this state is stopped and takes nothing any more.
    pub fn apply(&mut self, sequence: u64, record: &SealedRecord) -> Result<(), Divergence> {
        self.try_apply(sequence, record).map_err(|what| Divergence {
            ledger: record.record.ledger.clone(),
            ledger_sequence: record.record.ledger_sequence,
            sequence,
            what,
        })
    }

    fn try_apply(&mut self, sequence: u64, sealed: &SealedRecord) -> Result<(), What> {
        if self.stopped {
            return Err(What::Stopped);
        }
        let record = &sealed.record;
        self.check_place(sequence, record)?;
        let index = self.find(&record.ledger);
        check_chain(index.and_then(|index| self.chains[index].head), record)?;
        let index = match index {
            Some(index) => index,
            None => {
                self.check_routing(&record.ledger)?;
                self.find_or_new(&record.ledger)
            }
        };
        if let Some(ledger) = self.chains[index].ledger.as_mut()
            && let Err(why) = evolve(ledger, record, sequence)
        {
            // The ledger may have moved in part.
            self.stopped = true;
            return Err(What::Impossible(why));
        }
        self.advance(index, record, sequence, sealed.hash);
        Ok(())
    }

    /// Goes on behind a record that diverged, as if its place had held the right one: only for
    /// `verify`, which looks for more. Its ledger is given up: its state missed something.
    pub(crate) fn step_over(&mut self, sequence: u64, hash: RecordHash, ledger: Option<Skipped>) {
        self.stopped = false;
        self.current.get_or_insert(self.log_id);
        if let Some(last) = &mut self.last {
            last.sequence = sequence;
            last.hash = hash;
        } else {
            self.last = Some(LastRecord {
                sequence,
                hash,
                recorded_at: Timestamp::MIN,
            });
        }
        let Some(skipped) = ledger else { return };
        let index = self.find_or_new(&skipped.name);
        let chain = &mut self.chains[index];
        chain.ledger = None;
        let recorded_at = chain.head.map_or(Timestamp::MIN, |head| head.recorded_at);
        chain.head = Some(Head {
            ledger_sequence: skipped.ledger_sequence,
            hash,
            recorded_at,
        });
    }

    /// Lets time, epoch and log be those of `record`: only for `verify`, which finds out later
    /// which record was changed. False where they are already.
    pub(crate) fn fall_to(&mut self, record: &Record) -> bool {
        let Some(last) = &mut self.last else {
            return false;
        };
        let at = record.moment.recorded_at;
        let fell = record.epoch < self.epoch
            || at < last.recorded_at
            || self.current != Some(record.log_id);
        self.current = Some(record.log_id);
        self.epoch = self.epoch.min(record.epoch);
        last.recorded_at = last.recorded_at.min(at);
        fell
    }

    /// True for a ledger that [`Self::step_over`] gave up.
    pub(crate) fn is_given_up(&self, name: &LedgerName) -> bool {
        !name.is_engine() && self.chain(name).is_some_and(|chain| chain.ledger.is_none())
    }

    fn advance(&mut self, index: usize, record: &Record, sequence: u64, hash: RecordHash) {
        let recorded_at = record.moment.recorded_at;
        self.chains[index].head = Some(Head {
            ledger_sequence: record.ledger_sequence,
            hash,
            recorded_at,
        });
        self.recent = index;
        let is_own = record.log_id == self.log_id;
        // Where a log that was carried over read its topics says nothing of this one's.
        if is_own
            && let Origin::Kafka {
                topic,
                partition,
                resume,
                ..
            } = &record.origin
        {
            self.read_on(topic, *partition, *resume);
        }
        self.current = Some(record.log_id);
        // What was carried over may come from several shards, each with epochs of its own.
        self.epoch = match is_own {
            true => record.epoch,
            false => self.epoch.max(record.epoch),
        };
        self.sealed = match &record.payload {
            Payload::LogSealed(sealed) if is_own => Some(sealed.clone()),
            _ => None,
        };
        self.last = Some(LastRecord {
            sequence,
            hash,
            recorded_at,
        });
    }

    /// From where the topics that commands come from are to be read on, in order of topic and
    /// partition: everything before was answered for good. Some of what follows may have been
    /// decided already; its key tells.
    pub fn sources(&self) -> Vec<Consumed> {
        self.sources.clone()
    }

    pub(crate) fn read_on(&mut self, topic: &Arc<str>, partition: u32, next_offset: u64) {
        let place = self
            .sources
            .binary_search_by(|known| (&known.topic, known.partition).cmp(&(topic, partition)));
        match place {
            Ok(index) => self.sources[index].next_offset = next_offset,
            Err(index) => self.sources.insert(
                index,
                Consumed {
                    topic: Arc::clone(topic),
                    partition,
                    next_offset,
                },
            ),
        }
    }

    /// Puts a chain back as a snapshot holds it.
    pub(crate) fn restore_chain(&mut self, chain: Chain) {
        self.index.insert(chain.name.clone(), self.chains.len());
        self.chains.push(chain);
    }

    pub(crate) fn chain(&self, name: &LedgerName) -> Option<&Chain> {
        self.find(name).map(|index| &self.chains[index])
    }

    fn find(&self, name: &LedgerName) -> Option<usize> {
        match self.chains.get(self.recent) {
            Some(chain) if chain.name == *name => Some(self.recent),
            _ => self.index.get(name).copied(),
        }
    }

    fn find_or_new(&mut self, name: &LedgerName) -> usize {
        if let Some(index) = self.find(name) {
            return index;
        }
        let ledger = (!name.is_engine()).then(|| LedgerState::new(name.clone(), self.hash_seed));
        self.restore_chain(Chain {
            name: name.clone(),
            head: None,
            ledger,
        });
        self.chains.len() - 1
    }
}

/// Moves `ledger` by what `record` says. The state's own assertions are the one place where it
/// is said what can follow what; here they become an error.
fn evolve(ledger: &mut LedgerState, record: &Record, sequence: u64) -> Result<(), String> {
    if let Payload::Event(event) = &record.payload {
        ledger
            .try_evolve(event, record.moment)
            .map_err(|inconsistent| inconsistent.to_string())?;
    }
    // A key that is in memory already would be a second decision under it.
    catch_unwind(AssertUnwindSafe(|| {
        let entry = KeyEntry {
            sequence,
            ..key_entry(record)
        };
        ledger.remember_key(record.key.clone(), entry);
    }))
    .map_err(|panic| {
        panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_else(|| "its key was decided before".to_owned())
    })
}
