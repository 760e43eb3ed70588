//! CommandService: many commands, and the packed form of many transfers.

use std::pin::Pin;
use std::sync::Arc;

use command_handler::CommandApi;
use schemas::proto::v1::command_service_server::CommandService;
use schemas::proto::v1::*;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Delegates to the writers.
pub struct Commands(pub Arc<CommandApi>);

#[tonic::async_trait]
impl CommandService for Commands {
    async fn write(&self, request: Request<Command>) -> Result<Response<Receipt>, Status> {
        self.0.write(request).await.map(Response::new)
    }

    async fn batch_write(
        &self,
        request: Request<BatchWriteRequest>,
    ) -> Result<Response<BatchWriteResponse>, Status> {
        self.0.batch_write(request).await.map(Response::new)
    }

    type WriteStreamStream =
        Pin<Box<dyn Stream<Item = Result<WriteStreamResponse, Status>> + Send>>;

    async fn write_stream(
        &self,
        request: Request<Streaming<WriteStreamRequest>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        let replies = Arc::clone(&self.0).write_stream(request).await?;
        Ok(Response::new(replies))
    }

    async fn batch_transfer(
        &self,
        request: Request<BatchTransferRequest>,
    ) -> Result<Response<BatchTransferResponse>, Status> {
        self.0.batch_transfer(request).await.map(Response::new)
    }
}
