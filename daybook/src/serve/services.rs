//! The services of the API: each method goes to the writers or to the queries, here or on the
//! node that has them.

use std::pin::Pin;
use std::sync::Arc;

use futures::StreamExt as _;
use schemas::proto::v1::account_service_server::AccountService;
use schemas::proto::v1::audit_service_server::AuditService;
use schemas::proto::v1::command_service_server::CommandService;
use schemas::proto::v1::ledger_service_server::LedgerService;
use schemas::proto::v1::query_service_server::QueryService;
use schemas::proto::v1::transaction_service_server::TransactionService;
use schemas::proto::v1::*;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::route::{Route, Watched};
use crate::client::rpc;

/// Both sides of the API.
#[derive(Clone)]
pub struct Services {
    /// The way to what answers.
    pub route: Arc<Route>,
}

macro_rules! service {
    ($service:ident { $($side:ident.$method:ident($request:ty) -> $reply:ty = $rpc:ident;)* }) => {
        #[tonic::async_trait]
        impl $service for Services {
            $(
                async fn $method(
                    &self,
                    request: Request<$request>,
                ) -> Result<Response<$reply>, Status> {
                    answer!($side, self, request, $method, $rpc)
                }
            )*
        }
    };
}

macro_rules! answer {
    (commands, $self:ident, $request:ident, $method:ident, $rpc:ident) => {{
        let ledger = $request.get_ref().ledger.clone();
        let local = |commands: Arc<command_handler::CommandApi>, request| async move {
            commands.$method(request).await
        };
        $self
            .route
            .command(&ledger, rpc::$rpc, $request, local)
            .await
    }};
    (queries, $self:ident, $request:ident, $method:ident, $rpc:ident) => {{
        let local =
            |queries: query_api::QueryApi, request| async move { queries.$method(request).await };
        $self.route.query(rpc::$rpc, $request, local).await
    }};
}

service! {
    LedgerService {
        commands.create_ledger(CreateLedgerRequest) -> LedgerReply = CREATE_LEDGER;
        queries.get_ledger(GetLedgerRequest) -> Ledger = GET_LEDGER;
        queries.list_ledgers(ListLedgersRequest) -> ListLedgersResponse = LIST_LEDGERS;
        commands.update_ledger(UpdateLedgerRequest) -> LedgerReply = UPDATE_LEDGER;
        commands.close_books(CloseBooksRequest) -> LedgerReply = CLOSE_BOOKS;
        commands.reopen_books(ReopenBooksRequest) -> LedgerReply = REOPEN_BOOKS;
    }
}

service! {
    AccountService {
        commands.open_account(OpenAccountRequest) -> AccountReply = OPEN_ACCOUNT;
        queries.get_account(GetAccountRequest) -> Account = GET_ACCOUNT;
        queries.batch_get_accounts(BatchGetAccountsRequest) -> BatchGetAccountsResponse
            = BATCH_GET_ACCOUNTS;
        queries.list_accounts(ListAccountsRequest) -> ListAccountsResponse = LIST_ACCOUNTS;
        commands.update_account(UpdateAccountRequest) -> AccountReply = UPDATE_ACCOUNT;
        commands.freeze_account(FreezeAccountRequest) -> AccountReply = FREEZE_ACCOUNT;
        commands.unfreeze_account(ChangeAccountRequest) -> AccountReply = UNFREEZE_ACCOUNT;
        commands.close_account(ChangeAccountRequest) -> AccountReply = CLOSE_ACCOUNT;
        commands.reopen_account(ChangeAccountRequest) -> AccountReply = REOPEN_ACCOUNT;
    }
}

service! {
    TransactionService {
        commands.create_transaction(CreateTransactionRequest) -> TransactionReply
            = CREATE_TRANSACTION;
        queries.get_transaction(GetTransactionRequest) -> Transaction = GET_TRANSACTION;
        queries.list_transactions(ListTransactionsRequest) -> ListTransactionsResponse
            = LIST_TRANSACTIONS;
        commands.update_transaction(UpdateTransactionRequest) -> TransactionReply
            = UPDATE_TRANSACTION;
        commands.capture_transaction(CaptureTransactionRequest) -> TransactionReply
            = CAPTURE_TRANSACTION;
        commands.void_transaction(VoidTransactionRequest) -> TransactionReply = VOID_TRANSACTION;
        commands.reverse_transaction(ReverseTransactionRequest) -> TransactionReply
            = REVERSE_TRANSACTION;
    }
}

service! {
    QueryService {
        queries.get_balance(GetBalanceRequest) -> GetBalanceResponse = GET_BALANCE;
        queries.batch_get_balances(BatchGetBalancesRequest) -> BatchGetBalancesResponse
            = BATCH_GET_BALANCES;
        queries.aggregate_balances(AggregateBalancesRequest) -> AggregateBalancesResponse
            = AGGREGATE_BALANCES;
        queries.list_postings(ListPostingsRequest) -> ListPostingsResponse = LIST_POSTINGS;
        queries.get_statement(GetStatementRequest) -> GetStatementResponse = GET_STATEMENT;
        queries.get_trial_balance(GetTrialBalanceRequest) -> GetTrialBalanceResponse
            = GET_TRIAL_BALANCE;
    }
}

#[tonic::async_trait]
impl CommandService for Services {
    async fn write(&self, request: Request<Command>) -> Result<Response<Receipt>, Status> {
        answer!(commands, self, request, write, WRITE)
    }

    async fn batch_write(
        &self,
        request: Request<BatchWriteRequest>,
    ) -> Result<Response<BatchWriteResponse>, Status> {
        self.route.batch_write(request).await
    }

    type WriteStreamStream =
        Pin<Box<dyn Stream<Item = Result<WriteStreamResponse, Status>> + Send>>;

    async fn write_stream(
        &self,
        request: Request<Streaming<WriteStreamRequest>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        let replies = Arc::clone(&self.route).write_stream(request).await?;
        Ok(Response::new(replies))
    }

    async fn batch_transfer(
        &self,
        request: Request<BatchTransferRequest>,
    ) -> Result<Response<BatchTransferResponse>, Status> {
        answer!(commands, self, request, batch_transfer, BATCH_TRANSFER)
    }
}

#[tonic::async_trait]
impl AuditService for Services {
    async fn get_decision(
        &self,
        request: Request<GetDecisionRequest>,
    ) -> Result<Response<Decision>, Status> {
        answer!(queries, self, request, get_decision, GET_DECISION)
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        answer!(queries, self, request, list_records, LIST_RECORDS)
    }

    type WatchRecordsStream =
        Pin<Box<dyn Stream<Item = Result<WatchRecordsResponse, Status>> + Send>>;

    async fn watch_records(
        &self,
        request: Request<WatchRecordsRequest>,
    ) -> Result<Response<Self::WatchRecordsStream>, Status> {
        let local = |queries: query_api::QueryApi, request| async move {
            queries.watch_records(request).await
        };
        let watched = self.route.watch(rpc::WATCH_RECORDS, request, local).await?;
        let stream: Self::WatchRecordsStream = match watched {
            Watched::Here(stream) => stream.boxed(),
            Watched::There(stream) => stream.boxed(),
        };
        Ok(Response::new(stream))
    }

    async fn get_head(&self, request: Request<GetHeadRequest>) -> Result<Response<Head>, Status> {
        answer!(queries, self, request, get_head, GET_HEAD)
    }
}
