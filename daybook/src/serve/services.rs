//! The services of the API: each method goes to the writers or to the queries.

use std::pin::Pin;
use std::sync::Arc;

use command_handler::CommandApi;
use query_api::{QueryApi, RecordStream};
use schemas::proto::v1::account_service_server::AccountService;
use schemas::proto::v1::audit_service_server::AuditService;
use schemas::proto::v1::command_service_server::CommandService;
use schemas::proto::v1::ledger_service_server::LedgerService;
use schemas::proto::v1::query_service_server::QueryService;
use schemas::proto::v1::transaction_service_server::TransactionService;
use schemas::proto::v1::*;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

/// Both sides of the API.
#[derive(Clone)]
pub struct Services {
    /// What changes the books.
    pub commands: Arc<CommandApi>,
    /// What only reads them.
    pub queries: QueryApi,
}

macro_rules! service {
    ($service:ident { $($side:ident.$method:ident($request:ty) -> $reply:ty;)* }) => {
        #[tonic::async_trait]
        impl $service for Services {
            $(
                async fn $method(
                    &self,
                    request: Request<$request>,
                ) -> Result<Response<$reply>, Status> {
                    self.$side.$method(request).await.map(Response::new)
                }
            )*
        }
    };
}

service! {
    LedgerService {
        commands.create_ledger(CreateLedgerRequest) -> LedgerReply;
        queries.get_ledger(GetLedgerRequest) -> Ledger;
        queries.list_ledgers(ListLedgersRequest) -> ListLedgersResponse;
        commands.update_ledger(UpdateLedgerRequest) -> LedgerReply;
        commands.close_books(CloseBooksRequest) -> LedgerReply;
        commands.reopen_books(ReopenBooksRequest) -> LedgerReply;
    }
}

service! {
    AccountService {
        commands.open_account(OpenAccountRequest) -> AccountReply;
        queries.get_account(GetAccountRequest) -> Account;
        queries.batch_get_accounts(BatchGetAccountsRequest) -> BatchGetAccountsResponse;
        queries.list_accounts(ListAccountsRequest) -> ListAccountsResponse;
        commands.update_account(UpdateAccountRequest) -> AccountReply;
        commands.freeze_account(FreezeAccountRequest) -> AccountReply;
        commands.unfreeze_account(ChangeAccountRequest) -> AccountReply;
        commands.close_account(ChangeAccountRequest) -> AccountReply;
        commands.reopen_account(ChangeAccountRequest) -> AccountReply;
    }
}

service! {
    TransactionService {
        commands.create_transaction(CreateTransactionRequest) -> TransactionReply;
        queries.get_transaction(GetTransactionRequest) -> Transaction;
        queries.list_transactions(ListTransactionsRequest) -> ListTransactionsResponse;
        commands.update_transaction(UpdateTransactionRequest) -> TransactionReply;
        commands.capture_transaction(CaptureTransactionRequest) -> TransactionReply;
        commands.void_transaction(VoidTransactionRequest) -> TransactionReply;
        commands.reverse_transaction(ReverseTransactionRequest) -> TransactionReply;
    }
}

service! {
    QueryService {
        queries.get_balance(GetBalanceRequest) -> GetBalanceResponse;
        queries.batch_get_balances(BatchGetBalancesRequest) -> BatchGetBalancesResponse;
        queries.aggregate_balances(AggregateBalancesRequest) -> AggregateBalancesResponse;
        queries.list_postings(ListPostingsRequest) -> ListPostingsResponse;
        queries.get_statement(GetStatementRequest) -> GetStatementResponse;
        queries.get_trial_balance(GetTrialBalanceRequest) -> GetTrialBalanceResponse;
    }
}

#[tonic::async_trait]
impl CommandService for Services {
    async fn write(&self, request: Request<Command>) -> Result<Response<Receipt>, Status> {
        self.commands.write(request).await.map(Response::new)
    }

    async fn batch_write(
        &self,
        request: Request<BatchWriteRequest>,
    ) -> Result<Response<BatchWriteResponse>, Status> {
        self.commands.batch_write(request).await.map(Response::new)
    }

    type WriteStreamStream =
        Pin<Box<dyn Stream<Item = Result<WriteStreamResponse, Status>> + Send>>;

    async fn write_stream(
        &self,
        request: Request<Streaming<WriteStreamRequest>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        let replies = Arc::clone(&self.commands).write_stream(request).await?;
        Ok(Response::new(replies))
    }

    async fn batch_transfer(
        &self,
        request: Request<BatchTransferRequest>,
    ) -> Result<Response<BatchTransferResponse>, Status> {
        self.commands
            .batch_transfer(request)
            .await
            .map(Response::new)
    }
}

#[tonic::async_trait]
impl AuditService for Services {
    async fn get_decision(
        &self,
        request: Request<GetDecisionRequest>,
    ) -> Result<Response<Decision>, Status> {
        self.queries.get_decision(request).await.map(Response::new)
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        self.queries.list_records(request).await.map(Response::new)
    }

    type WatchRecordsStream = RecordStream;

    async fn watch_records(
        &self,
        request: Request<WatchRecordsRequest>,
    ) -> Result<Response<Self::WatchRecordsStream>, Status> {
        self.queries.watch_records(request).await.map(Response::new)
    }

    async fn get_head(&self, request: Request<GetHeadRequest>) -> Result<Response<Head>, Status> {
        self.queries.get_head(request).await.map(Response::new)
    }
}
