//! Sends commands by calls: several at once, each until it is answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use schemas::proto::v1 as api;

use super::calls::{Calls, Retry};
use super::feed::{Due, Feed};
use super::manifest::{Manifest, Slot};
use super::wire;
use crate::client::failure::{Failure, Kind};
use crate::client::rpc;

/// How calls are made.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// Requests on their way at once.
    pub clients: usize,
    /// Commands of a request; 1 makes single calls.
    pub batch: usize,
}

/// Sends all that `feed` hands out.
///
/// # Errors
/// A command got no outcome until patience ended, or the manifest cannot be written. What was
/// sent stands in the manifest.
pub async fn send(
    calls: &Arc<Calls>,
    feed: &Arc<Feed>,
    manifest: &Arc<Manifest>,
    sending: Sending,
) -> Result<(), Failure> {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..sending.clients.max(1) {
        let client = Client {
            calls: Arc::clone(calls),
            feed: Arc::clone(feed),
            manifest: Arc::clone(manifest),
            batch: sending.batch.max(1),
        };
        clients.spawn(client.run());
    }
    let mut first = Ok(());
    while let Some(ended) = clients.join_next().await {
        let ended = ended.unwrap_or_else(|died| Err(Failure::broken(died.to_string())));
        if ended.is_err() {
            feed.stop();
            first = first.and(ended);
        }
    }
    first
}

struct Client {
    calls: Arc<Calls>,
    feed: Arc<Feed>,
    manifest: Arc<Manifest>,
    batch: usize,
}

impl Client {
    async fn run(self) -> Result<(), Failure> {
        loop {
            let due = self.feed.take(self.batch).await?;
            if due.is_empty() {
                return Ok(());
            }
            self.chunk(&due).await?;
        }
    }

    /// Sends commands until each has its outcome.
    async fn chunk(&self, due: &[Due]) -> Result<(), Failure> {
        let mut open: Vec<&Due> = due.iter().collect();
        let mut retry = Retry::new(self.calls.patience());
        while !open.is_empty() {
            let before = open.len();
            let failure = match self.round(&mut open).await {
                Ok(()) => None,
                Err(failure) if failure.retryable => Some(failure),
                Err(failure) => return Err(failure),
            };
            if open.len() < before {
                retry.moved();
            }
            if !open.is_empty() && !retry.pause().await {
                return Err(self.unanswered(&open, failure));
            }
        }
        Ok(())
    }

    /// Sends what is open once, and leaves open what has no outcome.
    async fn round(&self, open: &mut Vec<&Due>) -> Result<(), Failure> {
        let shape = self.feed.shape();
        let commands: Vec<api::Command> = open
            .iter()
            .map(|due| wire::command(shape, &due.planned, due.stamp))
            .collect();
        let answers: Vec<Option<Slot>> = match commands.len() {
            1 => vec![self.single(open[0], commands).await?],
            sent => {
                let request = api::BatchWriteRequest { commands };
                let reply = self.calls.attempt(rpc::BATCH_WRITE, request).await?;
                if reply.outcomes.len() != sent {
                    return Err(Failure::broken(format!(
                        "the server answered {} outcomes to {sent} commands",
                        reply.outcomes.len()
                    )));
                }
                let outcomes = reply.outcomes.iter().zip(open.iter());
                let outcomes = outcomes.map(|(outcome, due)| {
                    let outcome = outcome.outcome.as_ref()?;
                    wire::answered(outcome, self.own_stamp(due).ok()?)
                });
                outcomes.collect()
            }
        };
        let mut left = Vec::new();
        // Answers of commands one after another are written as one.
        let mut run: (u64, Vec<Slot>) = (0, Vec::new());
        for (due, answer) in open.iter().zip(answers) {
            let number = due.planned.number;
            let Some(slot) = answer else {
                left.push(*due);
                continue;
            };
            if number != run.0 + run.1.len() as u64 {
                self.manifest.write(run.0, &run.1)?;
                run = (number, Vec::new());
            }
            run.1.push(slot);
        }
        self.manifest.write(run.0, &run.1)?;
        let done = open.len() - left.len();
        self.feed.done.fetch_add(done as u64, Ordering::Relaxed);
        *open = left;
        Ok(())
    }

    async fn single(
        &self,
        due: &Due,
        mut commands: Vec<api::Command>,
    ) -> Result<Option<Slot>, Failure> {
        let command = commands.pop().unwrap_or_default();
        let stamp = self.own_stamp(due)?;
        match self.calls.attempt(rpc::WRITE, command).await {
            Ok(receipt) => {
                let outcome = api::outcome::Outcome::Receipt(receipt);
                Ok(wire::answered(&outcome, stamp))
            }
            Err(failure) => match wire::refused(&failure, stamp) {
                Some(slot) => Ok(Some(slot)),
                None => Err(failure),
            },
        }
    }

    /// The stamp that stays in the command's own slot: a repeat's is not its key's.
    fn own_stamp(&self, due: &Due) -> Result<u64, Failure> {
        match due.planned.number == due.planned.original {
            true => Ok(due.stamp),
            false => Ok(self.manifest.slot(due.planned.number)?.stamp),
        }
    }

    fn unanswered(&self, open: &[&Due], failure: Option<Failure>) -> Failure {
        let why = failure.map_or_else(
            || "the server asks to wait".to_owned(),
            |failure| failure.message,
        );
        Failure::new(
            Kind::Unavailable,
            "NOT_ANSWERED",
            format!(
                "no outcome of {} (and {} more) for {:?}: {why}",
                open[0].planned.said(self.feed.shape()),
                open.len() - 1,
                self.calls.patience()
            ),
        )
        .hint(format!(
            "go on when the server answers again: daybook load --resume {}",
            self.manifest.path.display()
        ))
    }
}
