//! Batches of commands of several shards: split by the node that decides them, put together
//! again in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use ledger_core::limits::BATCH_COMMANDS_MAX;
use ledger_core::name::LedgerName;
use ports::routing::shard_of;
use prost::Message as _;
use schemas::api::parse;
use schemas::error::Fault;
use schemas::proto::v1;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status};

use super::{Owner, Route, is_forwarded};
use crate::client::rpc;

/// Where a command of a batch is decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Here,
    There(Arc<str>),
    Nowhere(u32),
}

impl Route {
    /// Independent commands, each where its ledger is written: one result each, in order.
    pub async fn batch_write(
        &self,
        request: Request<v1::BatchWriteRequest>,
    ) -> Result<Response<v1::BatchWriteResponse>, Status> {
        if let Some(commands) = &self.commands
            && (self.owners.is_alone() || self.are_all_here(&request.get_ref().commands))
        {
            return commands.batch_write(request).await.map(Response::new);
        }
        let (metadata, _, request) = request.into_parts();
        if request.commands.len() > BATCH_COMMANDS_MAX {
            return Err(Fault::BatchTooLarge {
                what: "commands",
                found: request.commands.len() as u64,
                most: BATCH_COMMANDS_MAX as u64,
            }
            .into());
        }
        let (outcomes, declined) = self.split(&metadata, request.commands).await;
        match declined {
            Some(status) => Err(status),
            None => Ok(Response::new(v1::BatchWriteResponse { outcomes })),
        }
    }

    /// Whether this node writes the shards of all of them, as far as it knows.
    pub(super) fn are_all_here(&self, commands: &[v1::Command]) -> bool {
        let mut ledgers: Vec<&str> = Vec::new();
        commands.iter().all(|command| {
            let ledger = command.ledger.as_str();
            // Mostly they are all of one ledger.
            if ledgers.last() == Some(&ledger) {
                return true;
            }
            let here = LedgerName::new(ledger).is_ok_and(|name| {
                self.owners.owner(shard_of(&name, self.shard_count)) == Owner::Here
            });
            ledgers.push(ledger);
            here
        })
    }

    fn place(&self, ledger: &str, forwarded: bool) -> Option<Place> {
        let shard = shard_of(&LedgerName::new(ledger).ok()?, self.shard_count);
        Some(match self.owners.owner(shard) {
            Owner::Here if self.commands.is_some() => Place::Here,
            Owner::At(address) if !forwarded => Place::There(address),
            _ => Place::Nowhere(shard),
        })
    }

    /// Sends each command to where it is decided. Gives the outcomes in order, and the status of
    /// all parts where no command of any could be sent.
    pub(super) async fn split(
        &self,
        metadata: &MetadataMap,
        commands: Vec<v1::Command>,
    ) -> (Vec<v1::Outcome>, Option<Status>) {
        let forwarded = is_forwarded(metadata);
        let count = commands.len();
        let mut outcomes: Vec<Option<v1::Outcome>> = Vec::new();
        outcomes.resize_with(count, || None);
        let mut parts: BTreeMap<Place, (Vec<usize>, Vec<v1::Command>)> = BTreeMap::new();
        for (index, command) in commands.into_iter().enumerate() {
            match self.place(&command.ledger, forwarded) {
                Some(place) => {
                    let (indexes, commands) = parts.entry(place).or_default();
                    indexes.push(index);
                    commands.push(command);
                }
                None => outcomes[index] = Some(malformed(command)),
            }
        }
        let has_malformed = parts.values().map(|(own, _)| own.len()).sum::<usize>() < count;
        let calls = parts.into_iter().map(|(place, (indexes, commands))| async {
            let request = Request::from_parts(
                metadata.clone(),
                Extensions::default(),
                v1::BatchWriteRequest { commands },
            );
            (indexes, self.part(place, request).await)
        });
        let mut declined = None;
        let mut any_sent = has_malformed;
        for (indexes, answer) in join_all(calls).await {
            match answer {
                Ok(part) if part.len() == indexes.len() => {
                    any_sent = true;
                    for (index, outcome) in indexes.into_iter().zip(part) {
                        outcomes[index] = Some(outcome);
                    }
                }
                Ok(_) => {
                    any_sent = true;
                    let fault = Fault::internal("a node gave another number of outcomes");
                    fill(&mut outcomes, indexes, &fault.into());
                }
                Err(status) => {
                    fill(&mut outcomes, indexes, &status);
                    declined.get_or_insert(status);
                }
            }
        }
        let outcomes = outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_default())
            .collect();
        (outcomes, declined.filter(|_| !any_sent))
    }

    async fn part(
        &self,
        place: Place,
        request: Request<v1::BatchWriteRequest>,
    ) -> Result<Vec<v1::Outcome>, Status> {
        match (place, &self.commands) {
            (Place::Here, Some(commands)) => Ok(commands.batch_write(request).await?.outcomes),
            (Place::There(address), _) => {
                let reply = self.peers.unary(&address, rpc::BATCH_WRITE, request);
                Ok(reply.await?.into_inner().outcomes)
            }
            (Place::Nowhere(shard), _) => Err(self.owners.refusal(shard).into()),
            (Place::Here, None) => Err(Fault::internal("no writers here").into()),
        }
    }
}

/// The outcome of a command whose ledger is no name.
fn malformed(command: v1::Command) -> v1::Outcome {
    let fault = match parse::command(command) {
        Err(malformed) => Fault::from(malformed),
        Ok(_) => Fault::internal("a ledger without a name was accepted"),
    };
    error(tonic_types::Status::from(&fault))
}

fn error(status: tonic_types::Status) -> v1::Outcome {
    v1::Outcome {
        outcome: Some(v1::outcome::Outcome::Error(status)),
    }
}

fn fill(outcomes: &mut [Option<v1::Outcome>], indexes: Vec<usize>, status: &Status) {
    let rich = tonic_types::Status::decode(status.details())
        .ok()
        .filter(|rich| rich.code != 0);
    let rich = rich.unwrap_or_else(|| tonic_types::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    });
    for index in indexes {
        outcomes[index] = Some(error(rich.clone()));
    }
}
