//! Sends the rows: batches, several of them in flight.
//!
//! Every command has a key made from the bank's own numbers, so that it may be sent again at any
//! time: the engine answers a key that it has decided with the first outcome, marked `repeated`.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use schemas::proto::v1::outcome::Outcome as Decided;
use schemas::proto::v1::{BatchWriteRequest, Command};
use tonic::Code;
use tonic_types::RpcStatusExt as _;

use crate::books;
use crate::files::{AccountRow, TransactionRow};
use crate::lines::{Place, Refused};
use crate::server::{Server, ServerError};

/// What became of rows.
#[derive(Debug, Default)]
pub struct Counts {
    /// Booked by this run.
    pub booked: usize,
    /// Booked before.
    pub repeated: usize,
    /// Refused by the engine.
    pub refused: Vec<Refused>,
}

/// How to send.
#[derive(Debug)]
pub struct Importer<'a> {
    /// Where to.
    pub server: &'a Server,
    /// Commands a call.
    pub batch: usize,
    /// Calls at the same time.
    pub in_flight: usize,
}

impl Importer<'_> {
    /// Creates the ledger and the bank's own accounts.
    ///
    /// # Errors
    /// When the server went away or takes no such calls.
    pub async fn chart(&self) -> Result<Counts, ServerError> {
        let place = Place {
            file: "the chart of accounts",
            line: 0,
        };
        let ledger = books::create_ledger(&self.server.ledger);
        let mut counts = self.send_batch(vec![(place, ledger)]).await?;
        let accounts = books::OWN_SIDE
            .iter()
            .map(|(_, name, kind)| (place, books::open_own(&self.server.ledger, name, *kind)))
            .collect();
        counts.add(self.send_batch(accounts).await?);
        Ok(counts)
    }

    /// Opens the customers' accounts.
    ///
    /// # Errors
    /// As [`Self::chart`].
    pub async fn accounts(&self, rows: &[AccountRow]) -> Result<Counts, ServerError> {
        self.send(rows, |row| {
            (row.place, books::open_account(&self.server.ledger, row))
        })
        .await
        .map_err(|(error, _)| error)
    }

    /// Books the transactions.
    ///
    /// # Errors
    /// As [`Self::chart`]; says how far it came.
    pub async fn transactions(&self, rows: &[TransactionRow]) -> Result<Counts, ServerError> {
        self.send(rows, |row| {
            (
                row.place,
                books::create_transaction(&self.server.ledger, row),
            )
        })
        .await
        .map_err(|(error, done)| match error {
            ServerError::Away(reason) => ServerError::Away(format!(
                "{reason} (after {done} of {} transactions were acknowledged)",
                rows.len()
            )),
            other => other,
        })
    }

    /// Sends all rows; on failure also how many were acknowledged.
    async fn send<Row>(
        &self,
        rows: &[Row],
        command: impl Fn(&Row) -> (Place, Command),
    ) -> Result<Counts, (ServerError, usize)> {
        let mut counts = Counts::default();
        let mut batches = stream::iter(rows.chunks(self.batch))
            .map(|chunk| self.send_batch(chunk.iter().map(&command).collect()))
            .buffer_unordered(self.in_flight);
        loop {
            match batches.try_next().await {
                Ok(Some(batch)) => counts.add(batch),
                Ok(None) => break,
                Err(error) => return Err((error, counts.booked + counts.repeated)),
            }
        }
        // Batches answer in any order; the report is in the files' order.
        counts.refused.sort_by_key(|row| row.place.line);
        Ok(counts)
    }

    /// Sends one batch until the server has had room for all of it.
    async fn send_batch(&self, mut rows: Vec<(Place, Command)>) -> Result<Counts, ServerError> {
        const PAUSE: Duration = Duration::from_millis(50);
        const PAUSE_MAX: Duration = Duration::from_secs(2);
        const TRIES_MAX: u32 = 60;
        let mut counts = Counts::default();
        let mut pause = PAUSE;
        for _ in 0..TRIES_MAX {
            rows = self.try_batch(rows, &mut counts).await?;
            if rows.is_empty() {
                return Ok(counts);
            }
            // RESOURCE_EXHAUSTED: the engine's queue is full, and says so instead of growing.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Err(ServerError::Away(
            "it has had no room for two minutes".into(),
        ))
    }

    /// Sends one batch once; gives back what the server had no room for.
    async fn try_batch(
        &self,
        rows: Vec<(Place, Command)>,
        counts: &mut Counts,
    ) -> Result<Vec<(Place, Command)>, ServerError> {
        let commands = rows.iter().map(|(_, command)| command.clone()).collect();
        let request = BatchWriteRequest { commands };
        let outcomes = match self.server.commands.clone().batch_write(request).await {
            Ok(reply) => reply.into_inner().outcomes,
            Err(status) if status.code() == Code::ResourceExhausted => return Ok(rows),
            Err(status) => return Err(status.into()),
        };
        if outcomes.len() != rows.len() {
            let (asked, got) = (rows.len(), outcomes.len());
            return Err(ServerError::Nonsense(format!(
                "{got} outcomes of {asked} commands"
            )));
        }
        let mut again = Vec::new();
        for ((place, command), outcome) in rows.into_iter().zip(outcomes) {
            match outcome.outcome {
                Some(Decided::Receipt(receipt)) if receipt.repeated => counts.repeated += 1,
                Some(Decided::Receipt(_)) => counts.booked += 1,
                Some(Decided::Error(status)) => match Code::from(status.code) {
                    Code::ResourceExhausted => again.push((place, command)),
                    Code::Unavailable => return Err(ServerError::Away(status.message)),
                    code => {
                        let reason = status.get_details_error_info().map(|info| info.reason);
                        let reason = reason.unwrap_or_else(|| format!("{code:?}"));
                        counts.refused.push(Refused {
                            place,
                            reason: format!("{reason}: {}", status.message),
                        });
                    }
                },
                None => return Err(ServerError::Nonsense("an empty outcome".into())),
            }
        }
        Ok(again)
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.booked += other.booked;
        self.repeated += other.repeated;
        self.refused.extend(other.refused);
    }
}
