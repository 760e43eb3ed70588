//! How fresh an answer must be, and how far it has got.

use std::time::Duration;

use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::projection::HeadRow;
use ports::strong::{StrongQuery, StrongRead};
use ports::views::LedgerProgress;
use schemas::api::{parse, token::ReadToken, view};
use schemas::error::Fault;
use schemas::proto::v1;
use schemas::proto::v1::consistency::Consistency as Said;
use tokio::time::Instant;

use crate::QueryApi;
use crate::deadline::Deadline;
use crate::fail;

/// How long a wait goes on before it looks whether it is in vain.
const LOOK: Duration = Duration::from_millis(100);

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// With everything acknowledged before the call.
    Strong,
    /// With the record of this token.
    AtLeast(ReadToken),
    /// As far as the read models are.
    Eventual,
}

/// A ledger that is being read, and how far the read models had got with it before the read.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) ledger: LedgerName,
    pub(crate) progress: LedgerProgress,
}

impl Book {
    /// The ledger's last record that answers have for sure.
    pub(crate) fn head(&self) -> HeadRow {
        self.progress.head
    }
}

impl QueryApi {
    /// What `said` says, or `default`.
    pub(crate) fn freshness(
        &self,
        said: Option<v1::Consistency>,
        default: Freshness,
    ) -> Result<Freshness, Fault> {
        Ok(match said.and_then(|said| said.consistency) {
            None => default,
            Some(Said::Strong(_)) => Freshness::Strong,
            Some(Said::Eventual(_)) => Freshness::Eventual,
            Some(Said::AtLeast(token)) => Freshness::AtLeast(self.token(&token)?),
        })
    }

    /// Reads a token of this log.
    pub(crate) fn token(&self, text: &str) -> Result<ReadToken, Fault> {
        let token = ReadToken::parse(text).map_err(|why| Fault::TokenInvalid {
            why: why.to_string(),
        })?;
        if token.log_id != self.sources.log_id {
            return Err(Fault::TokenOfAnotherLog {
                found: token.log_id,
                expected: self.sources.log_id,
            });
        }
        if token.shard >= self.shard_count() {
            return Err(Fault::TokenInvalid {
                why: format!("speaks of shard {}, which the log has not", token.shard),
            });
        }
        Ok(token)
    }

    /// Waits until the read models are as fresh as asked for.
    pub(crate) async fn settle(
        &self,
        ledger: &LedgerName,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        match freshness {
            Freshness::Eventual => Ok(()),
            // The engine's own chains have no writer to ask.
            Freshness::Strong if ledger.is_engine() => Ok(()),
            Freshness::AtLeast(token) => {
                self.projected(token.shard, token.sequence, deadline).await
            }
            Freshness::Strong => {
                let at = self.strong(ledger, StrongQuery::Position, deadline).await?;
                self.projected(self.shard_of(ledger), at.sequence, deadline)
                    .await
            }
        }
    }

    /// Asks the writer, no longer than the caller waits.
    pub(crate) async fn strong(
        &self,
        ledger: &LedgerName,
        query: StrongQuery,
        deadline: Deadline,
    ) -> Result<StrongRead, Fault> {
        let read = self.sources.strong.read(ledger, query);
        match tokio::time::timeout_at(deadline.0, read).await {
            Ok(answer) => answer.map_err(fail::strong),
            Err(_) => Err(Fault::DeadlineExceeded),
        }
    }

    /// Waits until the read models of `shard` have `sequence`.
    pub(crate) async fn projected(
        &self,
        shard: u32,
        sequence: u64,
        deadline: Deadline,
    ) -> Result<(), Fault> {
        let Some(watch) = self.sources.projected.get(shard as usize) else {
            return Err(Fault::internal(format!("shard {shard} is not projected")));
        };
        let mut watch = watch.clone();
        loop {
            // Whether they stopped for good is looked at now and then: no need to wait for what
            // will not come.
            let look = (Instant::now() + LOOK).min(deadline.0);
            let reached = async {
                watch
                    .wait_for(|reached| *reached >= sequence)
                    .await
                    .map(drop)
            };
            match tokio::time::timeout_at(look, reached).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(_)) => return Err(Fault::unavailable("the read models are closed")),
                Err(_) => {}
            }
            if let Some(stopped) = (self.sources.stopped)(shard) {
                return Err(Fault::ProjectionStopped {
                    shard,
                    sequence: stopped.sequence,
                    why: stopped.why,
                });
            }
            if Instant::now() >= deadline.0 {
                return Err(Fault::ReadTimeout {
                    asked: sequence,
                    reached: *watch.borrow(),
                });
            }
        }
    }

    /// The ledger that `name` says, read as freshly as asked for.
    pub(crate) async fn open(
        &self,
        name: &str,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Result<Book, Fault> {
        let ledger = parse::ledger_name(name, "ledger")?;
        self.settle(&ledger, freshness, deadline).await?;
        self.book(ledger).await
    }

    /// `ledger` with everything acknowledged before the call. Where that cannot be had, as far
    /// as the read models have it, if that will do instead: that they do not have it at all
    /// says nothing then.
    pub(crate) async fn newest(
        &self,
        ledger: LedgerName,
        deadline: Deadline,
        will_do: impl FnOnce(&Fault) -> bool,
    ) -> Result<Book, Fault> {
        let why = match self.settle(&ledger, Freshness::Strong, deadline).await {
            Ok(()) => return self.book(ledger).await,
            Err(why) if will_do(&why) => why,
            Err(why) => return Err(why),
        };
        match self.book(ledger).await {
            Err(Fault::LedgerNotFound { .. }) => Err(why),
            book => book,
        }
    }

    /// `ledger` as far as the read models have it.
    pub(crate) async fn book(&self, ledger: LedgerName) -> Result<Book, Fault> {
        match self.views().progress(&ledger).await.map_err(fail::views)? {
            Some(progress) => Ok(Book { ledger, progress }),
            None => Err(Fault::LedgerNotFound { ledger }),
        }
    }

    /// How far an answer from the read models has got, at least.
    pub(crate) fn position(&self, book: &Book) -> v1::ReadPosition {
        let head = book.head();
        self.read_position(
            &book.ledger,
            book.progress.checkpoint.sequence,
            head.ledger_sequence,
            head.recorded_at,
        )
    }

    /// How far an answer from the writer has got.
    pub(crate) fn strong_position(
        &self,
        ledger: &LedgerName,
        read: &StrongRead,
    ) -> v1::ReadPosition {
        self.read_position(
            ledger,
            read.sequence,
            read.ledger_sequence,
            read.recorded_at,
        )
    }

    fn read_position(
        &self,
        ledger: &LedgerName,
        sequence: u64,
        ledger_sequence: u64,
        recorded_at: Timestamp,
    ) -> v1::ReadPosition {
        let token = ReadToken {
            log_id: self.sources.log_id,
            shard: self.shard_of(ledger),
            sequence,
            ledger_sequence,
        };
        v1::ReadPosition {
            token: token.to_string(),
            ledger_sequence,
            recorded_at: Some(view::timestamp(recorded_at)),
        }
    }
}
