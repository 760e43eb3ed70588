//! Finding records in the log.

use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::LogEntry;
use schemas::api::parse;
use schemas::error::Fault;
use schemas::proto::v1;
use schemas::record::{self, SealedRecord};
use tonic::{Request, Status};
use v1::get_decision_request::By;

use super::decision::Found;
use crate::consistency::Freshness;
use crate::deadline::Deadline;
use crate::{QueryApi, fail};

/// How a decision is named.
enum Asked {
    Key(IdempotencyKey),
    Transaction(ledger_core::key::TransactionId),
    LedgerSequence(u64),
}

impl QueryApi {
    /// Everything known about one decision: by its key, by the transaction that it made, or by
    /// its ledger sequence. Finds everything that was acknowledged before the call.
    ///
    /// # Errors
    /// The status of the [`Fault`]: `DECISION_NOT_FOUND`, `TRANSACTION_NOT_FOUND`.
    pub async fn get_decision(
        &self,
        request: Request<v1::GetDecisionRequest>,
    ) -> Result<v1::Decision, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let ledger = parse::chain_name(&request.ledger, "ledger")?;
        let asked = match &request.by {
            Some(By::IdempotencyKey(key)) => Asked::Key(parse::any_key(key, "idempotency_key")?),
            Some(By::TransactionId(id)) => {
                Asked::Transaction(parse::transaction_id(id, "transaction_id")?)
            }
            Some(By::LedgerSequence(sequence)) => Asked::LedgerSequence(*sequence),
            None => {
                let why = "say idempotency_key, transaction_id or ledger_sequence";
                return Err(fail::field("by", why).into());
            }
        };
        // What is there is found at once; only that it is not there must be known for sure.
        let mut found = self.find(&ledger, &asked).await?;
        if found.is_none() {
            self.settle(&ledger, Freshness::Strong, deadline).await?;
            found = self.find(&ledger, &asked).await?;
        }
        let Some(found) = found else {
            return Err(not_found(ledger, asked).into());
        };
        let decision = self.decisions(vec![found]).await?.pop();
        Ok(decision.ok_or_else(|| Fault::internal("a decision was lost while it was shown"))?)
    }

    async fn find(&self, ledger: &LedgerName, asked: &Asked) -> Result<Option<Found>, Fault> {
        let ledger_sequence = match asked {
            Asked::LedgerSequence(ledger_sequence) => *ledger_sequence,
            Asked::Transaction(id) => {
                let found = self.views().transaction(ledger, *id).await;
                match found.map_err(fail::views)? {
                    Some(view) => view.ledger_sequence,
                    None => return Ok(None),
                }
            }
            Asked::Key(key) => {
                let found = self.views().key(ledger, key).await.map_err(fail::views)?;
                return match found {
                    Some(entry) => self.record_at(self.shard_of(ledger), entry.sequence).await,
                    None => Ok(None),
                };
            }
        };
        self.record_of(ledger, ledger_sequence).await
    }

    /// The record of this sequence of a shard.
    async fn record_at(&self, shard: u32, sequence: u64) -> Result<Option<Found>, Fault> {
        let entry = self.sources.reader.entry_of(shard, sequence).await;
        let Some(entry) = entry.map_err(fail::log)? else {
            return Ok(None);
        };
        let index = sequence.saturating_sub(entry.first_sequence);
        let records = split(&entry)?;
        let bytes = records.into_iter().nth(index as usize);
        let sealed = bytes.map(|bytes| decode(&entry, bytes)).transpose()?;
        Ok(sealed.map(|sealed| Found { sequence, sealed }))
    }

    /// The record of this ledger sequence.
    pub(super) async fn record_of(
        &self,
        ledger: &LedgerName,
        ledger_sequence: u64,
    ) -> Result<Option<Found>, Fault> {
        let place = self.views().place(ledger, ledger_sequence).await;
        let Some(place) = place.map_err(fail::views)? else {
            return Ok(None);
        };
        let shard = self.shard_of(ledger);
        let entry = self.sources.reader.entry_of(shard, place.sequence).await;
        let Some(entry) = entry.map_err(fail::log)? else {
            return Ok(None);
        };
        // The ledger's records of an entry stand at or after their place in it.
        let skip = place.sequence.saturating_sub(entry.first_sequence)
            + ledger_sequence.saturating_sub(place.ledger_sequence);
        let records = (entry.first_sequence..).zip(split(&entry)?);
        for (sequence, bytes) in records.skip(skip as usize) {
            let sealed = decode(&entry, bytes)?;
            if sealed.record.ledger == *ledger && sealed.record.ledger_sequence >= ledger_sequence {
                let found = sealed.record.ledger_sequence == ledger_sequence;
                return Ok(found.then_some(Found { sequence, sealed }));
            }
        }
        Ok(None)
    }

    /// The first record of `shard` that was recorded at or after `at`: its sequence, or that
    /// after the last one. `end` is the sequence after the last record that counts.
    pub(super) async fn sequence_from(
        &self,
        shard: u32,
        at: Timestamp,
        end: u64,
    ) -> Result<u64, Fault> {
        // Times never fall along a shard.
        let (mut low, mut high) = (1, end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.record_at(shard, middle).await? {
                Some(found) if found.sealed.record.moment.recorded_at < at => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

fn not_found(ledger: LedgerName, asked: Asked) -> Fault {
    let by = match asked {
        Asked::Transaction(transaction) => {
            return Fault::TransactionNotFound {
                ledger,
                transaction,
            };
        }
        Asked::Key(key) => format!("with key {key}"),
        Asked::LedgerSequence(sequence) => format!("at ledger sequence {sequence}"),
    };
    Fault::DecisionNotFound { ledger, by }
}

pub(super) fn split(entry: &LogEntry) -> Result<Vec<bytes::Bytes>, Fault> {
    if entry.record_count == 0 {
        return Ok(Vec::new());
    }
    record::frame::split(entry.body.clone()).map_err(|error| damaged(entry, &error))
}

pub(super) fn decode(entry: &LogEntry, bytes: bytes::Bytes) -> Result<SealedRecord, Fault> {
    record::decode(bytes).map_err(|error| damaged(entry, &error))
}

fn damaged(entry: &LogEntry, error: &record::RecordError) -> Fault {
    Fault::LogDamaged {
        why: format!(
            "the entry at position {} (from record {}): {error}",
            entry.position.0, entry.first_sequence
        ),
    }
}
