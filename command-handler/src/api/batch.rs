//! Many independent commands in one call: parsed beside the writers, split by shard, answered
//! in order.

use std::sync::Arc;

use ledger_core::limits::BATCH_COMMANDS_MAX;
use schemas::api::{Malformed, parse};
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::{Request, Status};

use super::{Asked, CommandApi, source};
use crate::writer::mailbox::Answer;
use crate::writer::request::{Outcome, Request as WriterRequest, Source};

/// Commands that are parsed before others on the runtime get a turn.
const PARSED_AT_A_TIME: usize = 256;

/// Where the outcome of a command comes from.
enum Place {
    /// It was never sent.
    Malformed(Malformed),
    /// The next one of this shard.
    Shard(Asked),
}

/// A call's commands of one shard.
enum Part {
    Sent(Answer),
    Declined(Fault),
}

/// A batch on its way.
pub(super) struct Sent {
    places: Vec<Place>,
    parts: Vec<(u32, usize, Part)>,
}

impl CommandApi {
    /// Independent commands: one result each, in order.
    ///
    /// # Errors
    /// `BATCH_TOO_LARGE`; a fault when no command of the batch could be sent to its writer.
    pub async fn batch_write(
        &self,
        request: Request<v1::BatchWriteRequest>,
    ) -> Result<v1::BatchWriteResponse, Status> {
        let source = source(request.metadata());
        let commands = request.into_inner().commands;
        if commands.len() > BATCH_COMMANDS_MAX {
            return Err(Fault::BatchTooLarge {
                what: "commands",
                found: commands.len() as u64,
                most: BATCH_COMMANDS_MAX as u64,
            }
            .into());
        }
        let sent = self.send(commands, &source).await;
        if let Some(fault) = sent.declined() {
            return Err(fault.into());
        }
        let outcomes = self.collect(sent).await;
        Ok(v1::BatchWriteResponse { outcomes })
    }

    /// Parses commands and hands them to their writers.
    pub(super) async fn send(&self, commands: Vec<v1::Command>, source: &Arc<Source>) -> Sent {
        let mut places = Vec::with_capacity(commands.len());
        let mut by_shard: Vec<Vec<WriterRequest>> = Vec::new();
        by_shard.resize_with(self.writers.len(), Vec::new);
        for (index, command) in commands.into_iter().enumerate() {
            if index % PARSED_AT_A_TIME == PARSED_AT_A_TIME - 1 {
                tokio::task::yield_now().await;
            }
            match parse::command(command) {
                Ok(parsed) => {
                    let (request, asked) = self.request(parsed, false, source);
                    by_shard[asked.shard as usize].push(request);
                    places.push(Place::Shard(asked));
                }
                Err(malformed) => places.push(Place::Malformed(malformed)),
            }
        }
        let parts = (0..)
            .zip(by_shard)
            .filter(|(_, requests)| !requests.is_empty())
            .map(|(shard, requests)| {
                let count = requests.len();
                let part = match self.submit(shard, requests) {
                    Ok(answer) => Part::Sent(answer),
                    Err(fault) => Part::Declined(fault),
                };
                (shard, count, part)
            })
            .collect();
        Sent { places, parts }
    }

    /// Waits for all outcomes, in order of the commands.
    pub(super) async fn collect(&self, sent: Sent) -> Vec<v1::Outcome> {
        let mut by_shard: Vec<std::vec::IntoIter<Outcome>> = Vec::new();
        by_shard.resize_with(self.writers.len(), || Vec::new().into_iter());
        for (shard, count, part) in sent.parts {
            let outcomes = match part {
                Part::Sent(answer) => self.outcomes(shard, answer, count).await,
                Part::Declined(fault) => vec![Outcome::Declined(fault); count],
            };
            by_shard[shard as usize] = outcomes.into_iter();
        }
        let outcomes = sent.places.into_iter().map(|place| match place {
            Place::Malformed(malformed) => {
                let status = tonic_types::Status::from(&Fault::from(malformed));
                v1::Outcome {
                    outcome: Some(v1::outcome::Outcome::Error(status)),
                }
            }
            Place::Shard(asked) => {
                let outcome = by_shard[asked.shard as usize].next().unwrap_or_else(|| {
                    Outcome::Declined(Fault::internal("the writer gave no outcome"))
                });
                self.outcome(&asked, outcome)
            }
        });
        outcomes.collect()
    }
}

impl Sent {
    /// The fault of all its parts, where none could be sent.
    pub(super) fn declined(&self) -> Option<Fault> {
        let mut faults = self.parts.iter().map(|(_, _, part)| match part {
            Part::Sent(_) => None,
            Part::Declined(fault) => Some(fault),
        });
        let first = faults.next()??.clone();
        faults.all(|fault| fault.is_some()).then_some(first)
    }
}
