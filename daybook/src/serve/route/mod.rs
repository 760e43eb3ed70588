//! Which node of a cluster answers a call: this one, or, one hop away, the one that writes the
//! shard.
//!
//! A call is forwarded as it is, with its deadline and trace, and a header that says so; a
//! forwarded call is not forwarded again but answered with `NOT_OWNER`. Who owns a shard is a
//! hint: whoever is asked in vain says so, and nothing was decided then.

mod batch;
mod owners;
mod peers;
mod stream;

use std::sync::Arc;

use command_handler::CommandApi;
use ledger_core::name::LedgerName;
use ports::ownership::Ownership;
use ports::routing::shard_of;
use prost::Message;
use query_api::QueryApi;
use schemas::error::Fault;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::client::rpc::Rpc;

use owners::{Owner, Owners};

pub use owners::NoWriters;
pub use peers::{FORWARDED, Peers};

/// Both sides of the API, as this node has them, and the way to other nodes.
pub struct Route {
    /// What changes the books; `None` without the role.
    commands: Option<Arc<CommandApi>>,
    /// What only reads them; `None` without the role.
    queries: Option<QueryApi>,
    owners: Owners,
    shard_count: u32,
    peers: Peers,
}

/// Where a call is answered.
enum Way<'a> {
    Here(&'a Arc<CommandApi>),
    There(Arc<str>),
}

impl Route {
    /// Routes to what this node has, and to the nodes that `ownership` names.
    pub fn new(
        commands: Option<Arc<CommandApi>>,
        queries: Option<QueryApi>,
        ownership: Arc<dyn Ownership>,
        shard_count: u32,
    ) -> Self {
        Self {
            commands,
            queries,
            owners: Owners::new(ownership, shard_count),
            shard_count,
            peers: Peers::default(),
        }
    }

    /// What answers queries here.
    pub fn queries(&self) -> Result<&QueryApi, Status> {
        self.queries.as_ref().ok_or_else(|| {
            Fault::unavailable("this process does not answer queries: ask one with the role query")
                .into()
        })
    }

    /// Where a command about `ledger` is decided.
    fn way(&self, ledger: &str, metadata: &MetadataMap) -> Result<Way<'_>, Fault> {
        if let Some(commands) = &self.commands
            && self.owners.is_alone()
        {
            return Ok(Way::Here(commands));
        }
        let Ok(name) = LedgerName::new(ledger) else {
            // Every node says the same about a malformed name.
            return match &self.commands {
                Some(commands) => Ok(Way::Here(commands)),
                None => self
                    .owners
                    .any()
                    .map(Way::There)
                    .ok_or_else(|| self.owners.refusal(0)),
            };
        };
        let shard = shard_of(&name, self.shard_count);
        match (self.owners.owner(shard), &self.commands) {
            (Owner::Here, Some(commands)) => Ok(Way::Here(commands)),
            (Owner::At(address), _) if !is_forwarded(metadata) => Ok(Way::There(address)),
            _ => Err(self.owners.refusal(shard)),
        }
    }

    /// Answers a command here by `local`, or forwards it as the call `rpc`.
    pub async fn command<Q, A, F>(
        &self,
        ledger: &str,
        rpc: Rpc<Q, A>,
        request: Request<Q>,
        local: impl FnOnce(Arc<CommandApi>, Request<Q>) -> F,
    ) -> Result<Response<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
        F: Future<Output = Result<A, Status>>,
    {
        match self.way(ledger, request.metadata())? {
            Way::Here(commands) => local(Arc::clone(commands), request)
                .await
                .map(Response::new),
            Way::There(address) => self.peers.unary(&address, rpc, request).await,
        }
    }

    /// Answers a query here by `local`. Where that needs the writer of a shard that another
    /// node has, the call is forwarded to it.
    pub async fn query<Q, A, F>(
        &self,
        rpc: Rpc<Q, A>,
        request: Request<Q>,
        local: impl FnOnce(QueryApi, Request<Q>) -> F,
    ) -> Result<Response<A>, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
        F: Future<Output = Result<A, Status>>,
    {
        let queries = self.queries()?.clone();
        if self.owners.is_alone() || is_forwarded(request.metadata()) {
            return local(queries, request).await.map(Response::new);
        }
        let again = peers::copy(&request);
        match local(queries, request).await {
            Ok(reply) => Ok(Response::new(reply)),
            Err(status) => match self.owner_instead(&status) {
                Some(address) => self.peers.unary(&address, rpc, again).await,
                None => Err(status),
            },
        }
    }

    /// As [`Self::query`], for an answer that is a stream.
    pub async fn watch<Q, A, S, F>(
        &self,
        rpc: Rpc<Q, A>,
        request: Request<Q>,
        local: impl FnOnce(QueryApi, Request<Q>) -> F,
    ) -> Result<Watched<S, A>, Status>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
        F: Future<Output = Result<S, Status>>,
    {
        let queries = self.queries()?.clone();
        if self.owners.is_alone() || is_forwarded(request.metadata()) {
            return local(queries, request).await.map(Watched::Here);
        }
        let again = peers::copy(&request);
        match local(queries, request).await {
            Ok(stream) => Ok(Watched::Here(stream)),
            Err(status) => match self.owner_instead(&status) {
                Some(address) => self
                    .peers
                    .server_streaming(&address, rpc, again)
                    .await
                    .map(|stream| Watched::There(Box::new(stream))),
                None => Err(status),
            },
        }
    }

    /// Who is to be asked instead, where `status` says `NOT_OWNER`.
    fn owner_instead(&self, status: &Status) -> Option<Arc<str>> {
        let details = status.get_error_details();
        let info = details.error_info()?;
        if info.reason != "NOT_OWNER" {
            return None;
        }
        let shard = info.metadata.get("shard")?.parse().ok()?;
        match self.owners.owner(shard) {
            Owner::At(address) => Some(address),
            Owner::Here | Owner::Unknown => None,
        }
    }
}

/// A stream of replies from here or from another node.
pub enum Watched<S, A> {
    /// From here.
    Here(S),
    /// From the owner.
    There(Box<Streaming<A>>),
}

fn is_forwarded(metadata: &MetadataMap) -> bool {
    metadata.contains_key(FORWARDED)
}
