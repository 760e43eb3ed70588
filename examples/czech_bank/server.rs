//! The connection, and what can become of a call.

use std::time::Duration;

use schemas::proto::v1::command_service_client::CommandServiceClient;
use schemas::proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// A ledger of a server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The ledger.
    pub ledger: String,
    /// Writes.
    pub commands: CommandServiceClient<Channel>,
    /// Reads.
    pub queries: QueryServiceClient<Channel>,
}

/// Why the work cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It cannot be reached, or stopped answering.
    #[error("{0}")]
    Away(String),
    /// It does not take such calls.
    #[error("the server refuses the call: {}: {}", examples::code(.0), .0.message())]
    Refuses(Box<Status>),
    /// It answered what it never should.
    #[error("the server's answer makes no sense: {0}")]
    Nonsense(String),
}

impl From<Status> for ServerError {
    fn from(status: Status) -> Self {
        match status.code() {
            // tonic reports a connection that breaks during a call as any of these.
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => {
                Self::Away(format!("{:?}: {}", status.code(), status.message()))
            }
            _ => Self::Refuses(Box::new(status)),
        }
    }
}

impl Server {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(address: &str, ledger: &str) -> Result<Self, ServerError> {
        // The answers to a full batch and to a trial balance are larger than tonic's 4 MiB.
        const ANSWER_BYTES_MAX: usize = 64 << 20;
        let away = |error: tonic::transport::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            ServerError::Away(cause.unwrap_or_else(|| error.to_string()))
        };
        let channel = Endpoint::from_shared(address.to_owned())
            .map_err(away)?
            .connect_timeout(Duration::from_secs(5))
            .connect()
            .await
            .map_err(away)?;
        Ok(Self {
            ledger: ledger.to_owned(),
            commands: CommandServiceClient::new(channel.clone())
                .max_decoding_message_size(ANSWER_BYTES_MAX),
            queries: QueryServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX),
        })
    }
}
