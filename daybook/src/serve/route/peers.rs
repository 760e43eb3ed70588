//! Connections to other nodes, and calls that are passed on over them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message;
use schemas::error::Fault;
use tonic::client::Grpc;
use tonic::metadata::{KeyAndValueRef, MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Extensions, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use crate::client::rpc::Rpc;
use crate::client::session::{MESSAGE_BYTES_MAX, endpoint};

/// The header of a call that was forwarded: it is not forwarded again.
pub const FORWARDED: &str = "daybook-forwarded";

/// Nodes that are kept connected at most; beyond that the connections begin anew.
const PEERS_MAX: usize = 64;

/// How long a forwarded call may take whose caller sets no deadline: a node that stands still
/// must not hold calls for ever.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Connections to other nodes, by address.
#[derive(Debug, Default)]
pub struct Peers {
    channels: Mutex<HashMap<Arc<str>, Channel>>,
}

impl Peers {
    fn grpc(&self, address: &Arc<str>) -> Result<Grpc<Channel>, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(address) {
            Some(channel) => channel.clone(),
            None => {
                if channels.len() >= PEERS_MAX {
                    channels.clear();
                }
                let endpoint = endpoint(address).map_err(|_| {
                    Fault::internal(format!("a node announces {address:?}, which is no address"))
                })?;
                // It connects with the first call, and anew by itself.
                let channel = endpoint.connect_lazy();
                channels.insert(Arc::clone(address), channel.clone());
                channel
            }
        };
        Ok(Grpc::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Passes a call on.
    pub(super) async fn unary<Q, A>(
        &self,
        address: &Arc<str>,
        rpc: Rpc<Q, A>,
        request: Request<Q>,
    ) -> Result<Response<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc(address)?;
        grpc.ready().await.map_err(|error| gone(address, &error))?;
        let path = rpc.path().parse().expect("a method's path is a path");
        let codec = ProstCodec::<Q, A>::default();
        metrics::counter!("daybook_forwarded_calls_total").increment(1);
        let reply = grpc.unary(marked(request), path, codec).await;
        let reply = reply.map_err(|status| told(address, status))?;
        Ok(Response::new(reply.into_inner()))
    }

    /// Passes a call on whose answer is a stream.
    pub(super) async fn server_streaming<Q, A>(
        &self,
        address: &Arc<str>,
        rpc: Rpc<Q, A>,
        request: Request<Q>,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc(address)?;
        grpc.ready().await.map_err(|error| gone(address, &error))?;
        let path = rpc.path().parse().expect("a method's path is a path");
        let codec = ProstCodec::<Q, A>::default();
        metrics::counter!("daybook_forwarded_calls_total").increment(1);
        let request = Request::from_parts(
            passed_on(request.metadata()),
            Extensions::default(),
            request.into_inner(),
        );
        let reply = grpc.server_streaming(request, path, codec).await;
        Ok(reply.map_err(|status| told(address, status))?.into_inner())
    }
}

/// The same request once more.
pub(super) fn copy<Q: Clone>(request: &Request<Q>) -> Request<Q> {
    Request::from_parts(
        request.metadata().clone(),
        Extensions::default(),
        request.get_ref().clone(),
    )
}

/// The request as the owner gets it.
fn marked<Q>(request: Request<Q>) -> Request<Q> {
    let metadata = passed_on(request.metadata());
    let has_deadline = metadata.contains_key("grpc-timeout");
    let mut request = Request::from_parts(metadata, Extensions::default(), request.into_inner());
    if !has_deadline {
        request.set_timeout(TIMEOUT);
    }
    request
}

/// What a caller said beside the message, without what speaks of the connection it came by.
pub(super) fn passed_on(metadata: &MetadataMap) -> MetadataMap {
    const OF_THE_CONNECTION: &[&str] = &[
        "te",
        "content-type",
        "content-length",
        "user-agent",
        "host",
        "connection",
        "transfer-encoding",
    ];
    let mut passed = MetadataMap::new();
    for entry in metadata.iter() {
        match entry {
            KeyAndValueRef::Ascii(key, value) => {
                let name = key.as_str();
                let of_grpc = name.starts_with("grpc-") && name != "grpc-timeout";
                if !of_grpc && !OF_THE_CONNECTION.contains(&name) {
                    passed.append(key.clone(), value.clone());
                }
            }
            KeyAndValueRef::Binary(key, value) => {
                passed.append_bin(key.clone(), value.clone());
            }
        }
    }
    passed.insert(FORWARDED, MetadataValue::from_static("1"));
    passed
}

fn gone(address: &str, error: &dyn std::error::Error) -> Status {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    Fault::unavailable(format!(
        "the node {address}, which writes this ledger, does not answer: {inner}"
    ))
    .into()
}

/// What the owner answered; what only the connection says becomes a fault of ours, which tells
/// the caller that repeating is safe and helps.
fn told(address: &str, status: Status) -> Status {
    let of_connection = matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled
    );
    if of_connection && status.get_error_details().error_info().is_none() {
        return gone(address, &status);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forwarded_call_keeps_its_deadline_and_trace_and_is_marked() {
        let mut metadata = MetadataMap::new();
        for (name, value) in [
            ("grpc-timeout", "2S"),
            ("traceparent", "00-1-2-01"),
            ("grpc-encoding", "gzip"),
            ("user-agent", "x"),
        ] {
            metadata.insert(name, MetadataValue::from_static(value));
        }
        let passed = passed_on(&metadata);
        let said = |name: &str| passed.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(said("grpc-timeout"), Some("2S"));
        assert_eq!(said("traceparent"), Some("00-1-2-01"));
        assert_eq!(said(FORWARDED), Some("1"));
        assert_eq!(said("grpc-encoding"), None);
        assert_eq!(said("user-agent"), None);
    }

    #[test]
    fn a_broken_connection_is_told_as_a_fault_that_may_be_repeated() {
        let status = told("http://there", Status::unknown("transport error"));
        assert_eq!(status.code(), Code::Unavailable);
        let info = status.get_error_details();
        assert_eq!(
            info.error_info().map(|info| info.reason.as_str()),
            Some("UNAVAILABLE")
        );
        let refused: Status = Fault::internal("a bug").into();
        assert_eq!(told("http://there", refused).code(), Code::Internal);
    }
}
