//! Random books, projected, and read through the API.
#![allow(dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger_core::account::AccountNumber;
use ledger_core::amount::Amount;
use ledger_core::event::Event;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Transaction, TransactionStatus};
use ports::log::{EventLog as _, LogReader as _, Position};
use ports::memory::{MemoryLog, MemoryViews, RandomBooks, Scribe};
use ports::projection::Projection;
use ports::strong::{StrongError, StrongQuery, StrongRead, StrongReads};
use ports::views::Views;
use projector::{Config, Projector, spawn};
use query_api::{QueryApi, Sources, Stopped};
use schemas::proto::v1;
use schemas::record::{LogId, Payload, Record, decode, frame};
use tonic::Request;

pub const LOG: LogId = LogId([3; 16]);

/// A server's reading side.
pub struct Server {
    pub scribe: Scribe,
    pub api: QueryApi,
    writer: Arc<Writer>,
    projectors: Vec<Projector>,
}

/// Answers STRONG reads, while it serves.
struct Writer {
    scribe: Scribe,
    away: AtomicBool,
}

#[async_trait::async_trait]
impl StrongReads for Writer {
    async fn read(
        &self,
        ledger: &LedgerName,
        query: StrongQuery,
    ) -> Result<StrongRead, StrongError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(StrongError::Unavailable {
                shard: 0,
                why: "it is brought back from the log".to_owned(),
            });
        }
        self.scribe.read(ledger, query).await
    }
}

impl Server {
    /// Over read models in memory.
    pub async fn new(shards: u32) -> Self {
        Self::with(shards, 10).await
    }

    /// The same, whose projectors take up to `records_max` records at once.
    pub async fn with(shards: u32, records_max: u64) -> Self {
        let views = MemoryViews::new(shards);
        let projection = Arc::new(views.clone());
        Self::made(LOG, shards, projection, Arc::new(views), records_max).await
    }

    /// Over these read models.
    pub async fn over(
        log_id: LogId,
        shards: u32,
        projection: Arc<dyn Projection>,
        views: Arc<dyn Views>,
    ) -> Self {
        Self::made(log_id, shards, projection, views, 10).await
    }

    async fn made(
        log_id: LogId,
        shards: u32,
        projection: Arc<dyn Projection>,
        views: Arc<dyn Views>,
        records_max: u64,
    ) -> Self {
        let scribe = Scribe::new(MemoryLog::new(log_id, shards)).await;
        let mut projectors = Vec::new();
        for shard in 0..shards {
            let config = Config {
                records_max,
                ..Config::new(log_id, shard)
            };
            let reader = scribe.log().reader();
            projectors.push(spawn(config, reader, projection.clone()).unwrap());
        }
        let writer = Arc::new(Writer {
            scribe: scribe.clone(),
            away: AtomicBool::new(false),
        });
        let api = QueryApi::new(Sources {
            views,
            reader: scribe.log().reader(),
            strong: writer.clone(),
            projected: (0..shards).map(|shard| projection.watch(shard)).collect(),
            log_id,
            stopped: {
                let projectors = projectors.clone();
                Arc::new(move |shard| {
                    let (sequence, why) = projectors[shard as usize].status().failed_at()?;
                    Some(Stopped { sequence, why })
                })
            },
        });
        Self {
            scribe,
            api,
            writer,
            projectors,
        }
    }

    pub fn books(&self, ledger: &str, seed: u64) -> RandomBooks {
        RandomBooks::new(self.scribe.clone(), ledger, seed)
    }

    /// Lets the read models stand still.
    pub async fn pause(&self) {
        for projector in &self.projectors {
            projector.pause().await;
        }
    }

    pub fn resume(&self) {
        for projector in &self.projectors {
            projector.resume();
        }
    }

    /// Lets the writer answer no more.
    pub fn send_writer_away(&self) {
        self.writer.away.store(true, Ordering::Relaxed);
    }

    /// All records of all shards, in order.
    pub async fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for shard in 0..self.scribe.log().shard_count() {
            let log = self.scribe.log();
            let entries = log.read(shard, Position(0), usize::MAX).await.unwrap();
            for entry in entries.iter().filter(|entry| entry.record_count > 0) {
                let frames = frame::split(entry.body.clone()).unwrap();
                records.extend(
                    frames
                        .into_iter()
                        .map(|bytes| decode(bytes).unwrap().record),
                );
            }
        }
        records
    }
}

/// A movement, as a naive reader of the log sees it.
#[derive(Debug, Clone)]
pub struct Moved {
    pub account: AccountNumber,
    pub ledger_sequence: u64,
    pub recorded_at: Timestamp,
    pub effective_at: Timestamp,
    pub debit: bool,
    pub amount: u128,
    pub transaction: String,
}

/// All POSTED movements of a ledger, in the order of the books.
pub async fn posted(server: &Server, ledger: &str) -> Vec<Moved> {
    let mut found = Vec::new();
    for record in server.records().await {
        if record.ledger.as_str() != ledger {
            continue;
        }
        if let Payload::Event(event) = &record.payload {
            of_event(&record, event, &mut found);
        }
    }
    found
}

fn of_event(record: &Record, event: &Event, found: &mut Vec<Moved>) {
    let made: &Transaction = match event {
        Event::TransactionCreated(created) => &created.transaction,
        Event::TransactionCaptured(captured) => &captured.capture,
        Event::TransactionReversed(reversed) => &reversed.reversal,
        Event::Atomic(events) => {
            for event in events {
                of_event(record, event, found);
            }
            return;
        }
        _ => return,
    };
    if made.status != TransactionStatus::Posted {
        return;
    }
    for posting in &made.postings {
        for (account, debit) in [(posting.debit, true), (posting.credit, false)] {
            found.push(Moved {
                account,
                ledger_sequence: record.ledger_sequence,
                recorded_at: record.moment.recorded_at,
                effective_at: made.effective_at,
                debit,
                amount: posting.amount.minor_units(),
                transaction: made.id.to_string(),
            });
        }
    }
}

/// Debits and credits of an account over what `passes`.
pub fn sums(moved: &[Moved], account: u32, passes: impl Fn(&Moved) -> bool) -> (Amount, Amount) {
    let mut sums = (0, 0);
    for moved in moved.iter().filter(|m| m.account.0 == account && passes(m)) {
        if moved.debit {
            sums.0 += moved.amount;
        } else {
            sums.1 += moved.amount;
        }
    }
    (Amount::new(sums.0).unwrap(), Amount::new(sums.1).unwrap())
}

pub fn time(at: Timestamp) -> Option<prost_types::Timestamp> {
    Some(schemas::api::view::timestamp(at))
}

pub fn strong() -> Option<v1::Consistency> {
    Some(v1::Consistency {
        consistency: Some(v1::consistency::Consistency::Strong(true)),
    })
}

pub fn request<T>(message: T) -> Request<T> {
    Request::new(message)
}

/// Descriptions are shown as they are now; all else of a line never changes.
pub fn without_words(mut lines: Vec<v1::PostingLine>) -> Vec<v1::PostingLine> {
    for line in &mut lines {
        line.description = None;
    }
    lines
}
