//! Records as a stream that can follow and resume.
//!
//! Each shard is pulled by itself, no faster than the caller takes, and only as far as the read
//! models are, so that every name and transaction can be told. Between shards there is no order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::{LogEntry, Position};
use schemas::api::{parse, token::ReadToken};
use schemas::error::Fault;
use schemas::proto::v1;
use schemas::record::LogId;
use tokio::sync::watch;
use tonic::{Request, Status};

use super::decision::Found;
use super::find::{decode, split};
use super::records::{Filter, READ_BYTES};
use crate::deadline::Deadline;
use crate::{QueryApi, fail};

/// Records that are looked at together.
const TOGETHER: usize = 64;

/// What [`QueryApi::watch_records`] streams.
pub type RecordStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchRecordsResponse, Status>> + Send>>;

/// Where a watch of all shards goes on: after these sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WatchToken {
    log_id: LogId,
    sequences: Vec<u64>,
}

impl WatchToken {
    fn text(&self) -> String {
        let sequences: Vec<String> = self.sequences.iter().map(u64::to_string).collect();
        format!("w1-{}-{}", self.log_id, sequences.join("."))
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let unreadable = || Fault::TokenInvalid {
            why: "is not of a watch over all ledgers".to_owned(),
        };
        let rest = text.strip_prefix("w1-");
        let (log_id, sequences) = rest
            .and_then(|rest| rest.split_once('-'))
            .ok_or_else(unreadable)?;
        let log_id = LogId::parse(log_id).map_err(|_| unreadable())?;
        let sequences: Option<Vec<u64>> = sequences.split('.').map(|n| n.parse().ok()).collect();
        let token = Self {
            log_id,
            sequences: sequences.ok_or_else(unreadable)?,
        };
        match token.text() == text {
            true => Ok(token),
            false => Err(unreadable()),
        }
    }
}

impl QueryApi {
    /// Records of one ledger or of all, as a stream: ends at what was acknowledged before the
    /// call, or follows.
    ///
    /// # Errors
    /// The status of the [`Fault`]; the stream can end with one too.
    pub async fn watch_records(
        &self,
        request: Request<v1::WatchRecordsRequest>,
    ) -> Result<RecordStream, Status> {
        let deadline = Deadline::of(request.metadata());
        let request = request.into_inner();
        let filter = Arc::new(Filter::parse(request.filter.clone())?);
        let recorded_from =
            parse::timestamp_or_none(request.recorded_from.as_ref(), "recorded_from")?;
        let mut shards = Vec::new();
        if request.ledger.is_empty() {
            if request.from_ledger_sequence > 0 {
                let why = "counts the records of one ledger: say which";
                return Err(fail::field("from_ledger_sequence", why).into());
            }
            let starts = self.starts_of_all(&request, recorded_from).await?;
            for (shard, next) in starts.into_iter().enumerate() {
                shards.push(self.shard_watch(shard as u32, None, next, &request, &filter)?);
            }
        } else {
            let ledger = parse::chain_name(&request.ledger, "ledger")?;
            // It goes on to what was acknowledged as the read models do.
            let will_do =
                |why: &Fault| matches!(why, Fault::Unavailable { .. } | Fault::ReadTimeout { .. });
            let ledger = self.newest(ledger, deadline, will_do).await?.ledger;
            let next = self.start_of(&ledger, &request, recorded_from).await?;
            let shard = self.shard_of(&ledger);
            shards.push(self.shard_watch(shard, Some(ledger), next, &request, &filter)?);
        }
        for watch in &mut shards {
            watch.recorded_from = recorded_from;
        }
        Ok(merged(self.sources.log_id, shards))
    }

    /// Per shard, the sequence that a watch over all begins with.
    async fn starts_of_all(
        &self,
        request: &v1::WatchRecordsRequest,
        recorded_from: Option<Timestamp>,
    ) -> Result<Vec<u64>, Fault> {
        let mut starts = Vec::new();
        if !request.resume_after.is_empty() {
            let token = WatchToken::parse(&request.resume_after)?;
            if token.log_id != self.sources.log_id {
                return Err(Fault::TokenOfAnotherLog {
                    found: token.log_id,
                    expected: self.sources.log_id,
                });
            }
            if token.sequences.len() != self.sources.projected.len() {
                return Err(Fault::TokenInvalid {
                    why: "speaks of another number of shards".to_owned(),
                });
            }
            for (shard, after) in token.sequences.into_iter().enumerate() {
                starts.push(self.after(shard as u32, after)?);
            }
            return Ok(starts);
        }
        for shard in 0..self.shard_count() {
            let end = self.end(shard);
            starts.push(match recorded_from {
                _ if request.from_now => end,
                Some(from) => self.sequence_from(shard, from, end).await?,
                None => 1,
            });
        }
        Ok(starts)
    }

    /// The sequence that a watch of one ledger begins with.
    async fn start_of(
        &self,
        ledger: &LedgerName,
        request: &v1::WatchRecordsRequest,
        recorded_from: Option<Timestamp>,
    ) -> Result<u64, Fault> {
        let shard = self.shard_of(ledger);
        if !request.resume_after.is_empty() {
            let token = self.token(&request.resume_after)?;
            if token.shard != shard {
                return Err(Fault::TokenInvalid {
                    why: format!("is of another shard than that of ledger {ledger}"),
                });
            }
            return self.after(shard, token.sequence);
        }
        if request.from_now {
            return Ok(self.end(shard));
        }
        let from = request.from_ledger_sequence.max(1);
        let place = self
            .views()
            .place(ledger, from)
            .await
            .map_err(fail::views)?;
        let mut next = place.map_or(1, |place| place.sequence);
        if let Some(at) = recorded_from {
            next = next.max(self.sequence_from(shard, at, self.end(shard)).await?);
        }
        Ok(next)
    }

    /// The sequence after `sequence`, which the log must have.
    fn after(&self, shard: u32, sequence: u64) -> Result<u64, Fault> {
        if sequence < self.end(shard) {
            Ok(sequence + 1)
        } else {
            Err(Fault::TokenInvalid {
                why: format!("speaks of record {sequence}, which the log does not have"),
            })
        }
    }

    /// The sequence after the last committed record.
    fn end(&self, shard: u32) -> u64 {
        *self.sources.reader.watch(shard).borrow()
    }

    fn shard_watch(
        &self,
        shard: u32,
        ledger: Option<LedgerName>,
        next: u64,
        request: &v1::WatchRecordsRequest,
        filter: &Arc<Filter>,
    ) -> Result<ShardWatch, Fault> {
        let projected = self.sources.projected.get(shard as usize).cloned();
        Ok(ShardWatch {
            api: self.clone(),
            shard,
            ledger,
            filter: filter.clone(),
            from_ledger_sequence: request.from_ledger_sequence,
            recorded_from: None,
            next,
            end: (!request.follow).then(|| self.end(shard)),
            projected: projected
                .ok_or_else(|| Fault::internal(format!("shard {shard} is not projected")))?,
            position: None,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            over: false,
        })
    }
}

/// One shard of a watch.
struct ShardWatch {
    api: QueryApi,
    shard: u32,
    /// The ledger that is watched; all of the shard where there is none.
    ledger: Option<LedgerName>,
    filter: Arc<Filter>,
    from_ledger_sequence: u64,
    recorded_from: Option<Timestamp>,
    /// The next record to be looked at.
    next: u64,
    /// Where the stream ends, unless it follows.
    end: Option<u64>,
    projected: watch::Receiver<u64>,
    /// Where to read on; found by sequence at first.
    position: Option<Position>,
    /// Records that were read and not looked at, from `next` on.
    waiting: VecDeque<(Arc<LogEntry>, Bytes)>,
    ready: VecDeque<(u64, v1::Decision)>,
    over: bool,
}

impl ShardWatch {
    /// The next decision and its sequence.
    async fn pull(&mut self) -> Result<Option<(u64, v1::Decision)>, Fault> {
        loop {
            if let Some(decision) = self.ready.pop_front() {
                return Ok(Some(decision));
            }
            if self.end.is_some_and(|end| self.next >= end) {
                return Ok(None);
            }
            let next = self.next;
            let projected = self.projected.wait_for(|reached| *reached >= next);
            let Ok(projected) = projected.await.map(|reached| *reached) else {
                return Ok(None);
            };
            if self.waiting.is_empty() {
                self.read().await?;
            }
            self.look(projected).await?;
        }
    }

    async fn read(&mut self) -> Result<(), Fault> {
        let reader = &self.api.sources.reader;
        let position = match self.position {
            Some(position) => position,
            None => {
                let entry = reader.entry_of(self.shard, self.next).await;
                let entry = entry.map_err(fail::log)?;
                let missing = || Fault::LogDamaged {
                    why: format!("record {} of shard {} is missing", self.next, self.shard),
                };
                entry.ok_or_else(missing)?.position
            }
        };
        let entries = reader.read(self.shard, position, READ_BYTES).await;
        for entry in entries.map_err(fail::log)? {
            self.position = Some(Position(entry.position.0 + 1));
            let skip = self.next.saturating_sub(entry.first_sequence) as usize;
            let skip = if self.waiting.is_empty() { skip } else { 0 };
            let entry = Arc::new(entry);
            let records = split(&entry)?.into_iter().skip(skip);
            self.waiting
                .extend(records.map(|bytes| (entry.clone(), bytes)));
        }
        if self.waiting.is_empty() {
            // The read models have it, so the log has it: only not yet for this reader.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn look(&mut self, projected: u64) -> Result<(), Fault> {
        let through = self.end.map_or(projected, |end| projected.min(end - 1));
        let mut found = Vec::new();
        for _ in 0..TOGETHER {
            if self.next > through {
                break;
            }
            let Some((entry, bytes)) = self.waiting.pop_front() else {
                break;
            };
            let sealed = decode(&entry, bytes)?;
            let sequence = self.next;
            self.next += 1;
            let record = &sealed.record;
            let belongs = self.ledger.as_ref().is_none_or(|of| record.ledger == *of)
                && record.ledger_sequence >= self.from_ledger_sequence
                && self
                    .recorded_from
                    .is_none_or(|from| record.moment.recorded_at >= from);
            if belongs && self.api.passes(&self.filter, record).await? {
                found.push(Found { sequence, sealed });
            }
        }
        let sequences: Vec<u64> = found.iter().map(|found| found.sequence).collect();
        let decisions = self.api.decisions(found).await?;
        self.ready.extend(sequences.into_iter().zip(decisions));
        Ok(())
    }
}

/// All shards as one stream, with tokens that say how far each has got.
fn merged(log_id: LogId, shards: Vec<ShardWatch>) -> RecordStream {
    let of_all = shards.iter().all(|shard| shard.ledger.is_none());
    let mut token = WatchToken {
        log_id,
        sequences: shards.iter().map(|shard| shard.next - 1).collect(),
    };
    let streams = shards.into_iter().map(|shard| {
        Box::pin(stream::unfold(shard, |mut shard| async move {
            if shard.over {
                return None;
            }
            let pulled = match shard.pull().await {
                Ok(Some(pulled)) => Ok((shard.shard, pulled)),
                Ok(None) => return None,
                Err(fault) => {
                    shard.over = true;
                    Err(fault)
                }
            };
            Some((pulled, shard))
        }))
    });
    let merged = stream::select_all(streams).map(move |pulled| {
        let (shard, (sequence, decision)) = pulled?;
        let resume_token = if of_all {
            if let Some(reached) = token.sequences.get_mut(shard as usize) {
                *reached = sequence;
            }
            token.text()
        } else {
            let record = decision.record.as_ref();
            ReadToken {
                log_id,
                shard,
                sequence,
                ledger_sequence: record.map_or(0, |record| record.ledger_sequence),
            }
            .to_string()
        };
        Ok(v1::WatchRecordsResponse {
            decision: Some(decision),
            resume_token,
        })
    });
    Box::pin(merged)
}
