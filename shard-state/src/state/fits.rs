//! Whether a record is the one that follows: its place in the log, in its shard and in its chain.

use ledger_core::name::LedgerName;
use ports::routing::chain_shard;
use schemas::record::{Parent, Payload, Record};

use super::ShardState;
use crate::divergence::What;
use crate::place::Head;

impl ShardState {
    /// Everything that a record's place in the shard must be.
    pub(super) fn check_place(&self, sequence: u64, record: &Record) -> Result<(), What> {
        let expected = self.next_sequence();
        let is_own = record.log_id == self.log_id;
        if is_own && record.shard != self.shard {
            return Err(What::Shard {
                expected: self.shard,
                found: record.shard,
            });
        }
        if sequence != expected || (is_own && record.sequence != expected) {
            return Err(What::Sequence { expected });
        }
        match is_own {
            true => self.check_own(record)?,
            false => self.check_carried(record)?,
        }
        if let Some(last) = self.last
            && record.moment.recorded_at < last.recorded_at
        {
            return Err(What::RecordedAt {
                expected: last.recorded_at,
                found: record.moment.recorded_at,
            });
        }
        let chain_fits = match record.payload.is_engine() {
            false => !record.ledger.is_engine(),
            true if is_own => record.ledger == self.own,
            true => record.ledger.is_engine(),
        };
        match &record.payload {
            _ if !chain_fits => Err(What::Chain),
            Payload::WriterClaimed(claim) if claim.epoch != record.epoch => Err(What::Epoch {
                expected: record.epoch,
                found: claim.epoch,
            }),
            _ => Ok(()),
        }
    }

    /// A record of another log was carried over by a restore or a migration, and stands before
    /// this log's own first record. What holds it is the chain of its ledger.
    fn check_carried(&self, record: &Record) -> Result<(), What> {
        match self.current {
            Some(current) if current == self.log_id => Err(What::LogId {
                expected: current,
                found: record.log_id,
            }),
            _ => Ok(()),
        }
    }

    /// A record of this log stands behind its beginning, which names what was carried over.
    fn check_own(&self, record: &Record) -> Result<(), What> {
        let began = self.current.filter(|current| *current == self.log_id);
        let (count, fits) = match &record.payload {
            Payload::LogStarted(started) => {
                let fits = began.is_none() && self.is_parent(started.parent.as_ref());
                let why = match &started.parent {
                    Some(parent) => What::Parent {
                        log_id: parent.log_id,
                        sequence: parent.sequence,
                        hash: parent.hash,
                    },
                    None => What::StartedTwice,
                };
                (Some(started.shard_count), fits.then_some(()).ok_or(why))
            }
            Payload::LogMigrated(migrated) => {
                let last = self.last.map(|last| last.hash);
                let fits = began.is_none() && migrated.last_hash == last;
                let why = What::Carried { expected: last };
                (Some(migrated.shard_count), fits.then_some(()).ok_or(why))
            }
            _ => (None, Ok(())),
        };
        match count {
            Some(found) if found != self.shard_count => {
                return Err(What::ShardCount {
                    expected: self.shard_count,
                    found,
                });
            }
            Some(_) => fits?,
            None => match self.current {
                None => return Err(What::NotStarted),
                Some(expected) if began.is_none() => {
                    return Err(What::LogId {
                        expected,
                        found: record.log_id,
                    });
                }
                Some(_) => {}
            },
        }
        let reopens = matches!(record.payload, Payload::LogReopened(_));
        if self.sealed.is_some() != reopens {
            return Err(What::Sealed { is: !reopens });
        }
        if record.epoch < self.epoch {
            return Err(What::Epoch {
                expected: self.epoch,
                found: record.epoch,
            });
        }
        Ok(())
    }

    /// Whether `parent` is the very record before.
    fn is_parent(&self, parent: Option<&Parent>) -> bool {
        match (parent, self.current.zip(self.last)) {
            (None, None) => true,
            (Some(parent), Some((current, last))) => {
                parent.log_id == current
                    && parent.sequence == last.sequence
                    && parent.hash == last.hash
            }
            _ => false,
        }
    }

    pub(super) fn check_routing(&self, ledger: &LedgerName) -> Result<(), What> {
        match chain_shard(ledger, self.shard_count.max(1)) {
            shard if shard != self.shard => Err(What::Routed(shard)),
            _ => Ok(()),
        }
    }
}

/// A ledger's records are contiguous, each with the hash of the one before.
pub(super) fn check_chain(head: Option<Head>, record: &Record) -> Result<(), What> {
    let expected = head.map_or(1, |head| head.ledger_sequence + 1);
    if record.ledger_sequence != expected {
        return Err(What::LedgerSequence { expected });
    }
    let hash = head.map(|head| head.hash);
    if record.previous_hash != hash {
        return Err(What::PreviousHash {
            expected: hash,
            found: record.previous_hash,
        });
    }
    Ok(())
}
