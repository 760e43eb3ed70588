//! The transactional producer of a shard, and what it tells beside its answers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ports::log::LogError;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};

use crate::connection::Connection;
use crate::error::log_error;

/// The coordinator aborts what is open for so long.
pub(crate) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that does not answer for so long is given up.
pub(crate) const SILENCE: Duration = Duration::from_secs(7);

/// The producer of a shard.
pub(crate) type Producer = BaseProducer<Watch>;

/// Makes one; nothing is fenced by that.
pub(crate) fn producer(connection: &Connection, shard: u32) -> Result<Producer, LogError> {
    let mut config = connection.client();
    config
        .set("transactional.id", connection.transactional_id(shard))
        .set(
            "transaction.timeout.ms",
            TRANSACTION_TIMEOUT.as_millis().to_string(),
        )
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "9000")
        .set("request.timeout.ms", "4000")
        .set("socket.timeout.ms", SILENCE.as_millis().to_string())
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        // A record of 900 kB and its headers, alone in its batch.
        .set("message.max.bytes", "1900000")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "10000")
        // Twice what a batch of 8,192 records with as many outcomes has.
        .set("queue.buffering.max.messages", "32768")
        .set("queue.buffering.max.kbytes", "65536");
    config
        .create_with_context(Watch::default())
        .map_err(|error| log_error("making the shard's producer", &error))
}

/// What happened to a transaction's messages, and to the connections under it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    delivered: AtomicU64,
    failed: AtomicU64,
    /// Offsets of the first and the last message to the log in this transaction; less than 0
    /// where they are not known.
    first_offset: AtomicI64,
    last_offset: AtomicI64,
    /// Connections that failed and requests that timed out, since ever.
    troubles: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    failure: Option<(RDKafkaErrorCode, String)>,
    trouble: Option<(Instant, String)>,
}

/// Which message a delivery report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Which;

impl Which {
    /// One beside the log.
    pub(crate) const SIDE: usize = 0;
    /// The first of the log in its transaction.
    pub(crate) const FIRST: usize = 1;
    /// The last one.
    pub(crate) const LAST: usize = 2;
    /// First and last in one.
    pub(crate) const ONLY: usize = 3;
}

impl Watch {
    /// A transaction begins.
    pub(crate) fn reset(&self) {
        self.delivered.store(0, Ordering::Relaxed);
        self.failed.store(0, Ordering::Relaxed);
        for unknown in [&self.first_offset, &self.last_offset] {
            unknown.store(-1, Ordering::Relaxed);
        }
        self.told().failure = None;
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// (delivered, failed) messages of this transaction.
    pub(crate) fn settled(&self) -> (u64, u64) {
        (
            self.delivered.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }

    /// Offsets of the first and the last message to the log.
    pub(crate) fn offsets(&self) -> Option<(i64, i64)> {
        let first = self.first_offset.load(Ordering::Relaxed);
        let last = self.last_offset.load(Ordering::Relaxed);
        (first >= 0 && last >= first).then_some((first, last))
    }

    /// Why a message of this transaction was not delivered.
    pub(crate) fn failure(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.told().failure.clone()
    }

    /// Connections that failed and requests that timed out so far.
    pub(crate) fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Relaxed)
    }

    /// The last of them.
    pub(crate) fn last_trouble(&self) -> Option<(Instant, String)> {
        self.told().trouble.clone()
    }

    fn trouble(&self, what: &str) {
        self.troubles.fetch_add(1, Ordering::Relaxed);
        self.told().trouble = Some((Instant::now(), what.to_owned()));
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::context::log(level, facility, message);
        // Lost connections and timed-out requests are told from "notice" or as FAIL.
        let grave = !matches!(level, RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug);
        if grave || facility.contains("FAIL") || facility.contains("REQTMOUT") {
            self.trouble(message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "a writer of the log");
        self.trouble(reason);
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, which: usize) {
        match result {
            Ok(message) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
                if which & Which::FIRST != 0 {
                    self.first_offset.store(message.offset(), Ordering::Relaxed);
                }
                if which & Which::LAST != 0 {
                    self.last_offset.store(message.offset(), Ordering::Relaxed);
                }
            }
            Err((error, _)) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                let code = error.rdkafka_error_code();
                let mut told = self.told();
                if told.failure.is_none() {
                    let code = code.unwrap_or(RDKafkaErrorCode::Fail);
                    told.failure = Some((code, error.to_string()));
                }
            }
        }
    }
}
