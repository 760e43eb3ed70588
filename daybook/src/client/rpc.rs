//! Every method of the API by name and type, so that one place makes the calls, repeats them,
//! shows them as grpcurl calls and prints them as JSON.

use prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use schemas::api::json::pool;
use schemas::proto::v1::*;
use std::marker::PhantomData;

/// One method: its name, and the types of its request and reply.
pub struct Rpc<Q, A> {
    /// `AccountService`.
    pub service: &'static str,
    /// `OpenAccount`.
    pub method: &'static str,
    types: PhantomData<fn(Q) -> A>,
}

impl<Q, A> Clone for Rpc<Q, A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<Q, A> Copy for Rpc<Q, A> {}

impl<Q, A> Rpc<Q, A> {
    const fn new(service: &'static str, method: &'static str) -> Self {
        Self {
            service,
            method,
            types: PhantomData,
        }
    }

    /// The HTTP/2 path of the method.
    pub fn path(&self) -> String {
        format!("/daybook.v1.{}/{}", self.service, self.method)
    }

    fn descriptor(&self) -> MethodDescriptor {
        pool()
            .get_service_by_name(&format!("daybook.v1.{}", self.service))
            .and_then(|service| service.methods().find(|m| m.name() == self.method))
            .expect("each method below is in the descriptors: checked by a test")
    }
}

impl<Q: Message, A: Message> Rpc<Q, A> {
    /// A request as protobuf's JSON, without fields that stand at their defaults.
    pub fn request_json(&self, request: &Q) -> serde_json::Value {
        to_json(self.descriptor().input(), request, true)
    }

    /// A reply as protobuf's JSON, with all fields.
    pub fn reply_json(&self, reply: &A) -> serde_json::Value {
        to_json(self.descriptor().output(), reply, false)
    }
}

fn to_json(
    descriptor: prost_reflect::MessageDescriptor,
    message: &impl Message,
    skip_defaults: bool,
) -> serde_json::Value {
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .expect("generated code and descriptors come from the same files");
    dynamic
        .serialize_with_options(
            serde_json::value::Serializer,
            &SerializeOptions::new()
                .use_proto_field_name(true)
                .skip_default_fields(skip_defaults),
        )
        .unwrap_or_else(|error| serde_json::json!({ "unprintable": error.to_string() }))
}

macro_rules! rpcs {
    ($($service:ident { $($name:ident = $method:ident($request:ident) -> $reply:ident;)* })*) => {
        $($(
            #[doc = concat!("`", stringify!($service), ".", stringify!($method), "`.")]
            pub const $name: Rpc<$request, $reply> =
                Rpc::new(stringify!($service), stringify!($method));
        )*)*

        #[cfg(test)]
        const ALL: &[(&str, &str, &str, &str)] = &[$($((
            stringify!($service), stringify!($method), stringify!($request), stringify!($reply),
        ),)*)*];
    };
}

rpcs! {
    LedgerService {
        CREATE_LEDGER = CreateLedger(CreateLedgerRequest) -> LedgerReply;
        GET_LEDGER = GetLedger(GetLedgerRequest) -> Ledger;
        LIST_LEDGERS = ListLedgers(ListLedgersRequest) -> ListLedgersResponse;
        UPDATE_LEDGER = UpdateLedger(UpdateLedgerRequest) -> LedgerReply;
        CLOSE_BOOKS = CloseBooks(CloseBooksRequest) -> LedgerReply;
        REOPEN_BOOKS = ReopenBooks(ReopenBooksRequest) -> LedgerReply;
    }
    AccountService {
        OPEN_ACCOUNT = OpenAccount(OpenAccountRequest) -> AccountReply;
        GET_ACCOUNT = GetAccount(GetAccountRequest) -> Account;
        BATCH_GET_ACCOUNTS = BatchGetAccounts(BatchGetAccountsRequest) -> BatchGetAccountsResponse;
        LIST_ACCOUNTS = ListAccounts(ListAccountsRequest) -> ListAccountsResponse;
        UPDATE_ACCOUNT = UpdateAccount(UpdateAccountRequest) -> AccountReply;
        FREEZE_ACCOUNT = FreezeAccount(FreezeAccountRequest) -> AccountReply;
        UNFREEZE_ACCOUNT = UnfreezeAccount(ChangeAccountRequest) -> AccountReply;
        CLOSE_ACCOUNT = CloseAccount(ChangeAccountRequest) -> AccountReply;
        REOPEN_ACCOUNT = ReopenAccount(ChangeAccountRequest) -> AccountReply;
    }
    TransactionService {
        CREATE_TRANSACTION = CreateTransaction(CreateTransactionRequest) -> TransactionReply;
        GET_TRANSACTION = GetTransaction(GetTransactionRequest) -> Transaction;
        LIST_TRANSACTIONS = ListTransactions(ListTransactionsRequest) -> ListTransactionsResponse;
        UPDATE_TRANSACTION = UpdateTransaction(UpdateTransactionRequest) -> TransactionReply;
        CAPTURE_TRANSACTION = CaptureTransaction(CaptureTransactionRequest) -> TransactionReply;
        VOID_TRANSACTION = VoidTransaction(VoidTransactionRequest) -> TransactionReply;
        REVERSE_TRANSACTION = ReverseTransaction(ReverseTransactionRequest) -> TransactionReply;
    }
    CommandService {
        WRITE = Write(Command) -> Receipt;
        BATCH_WRITE = BatchWrite(BatchWriteRequest) -> BatchWriteResponse;
        BATCH_TRANSFER = BatchTransfer(BatchTransferRequest) -> BatchTransferResponse;
    }
    QueryService {
        GET_BALANCE = GetBalance(GetBalanceRequest) -> GetBalanceResponse;
        BATCH_GET_BALANCES = BatchGetBalances(BatchGetBalancesRequest) -> BatchGetBalancesResponse;
        AGGREGATE_BALANCES = AggregateBalances(AggregateBalancesRequest) -> AggregateBalancesResponse;
        LIST_POSTINGS = ListPostings(ListPostingsRequest) -> ListPostingsResponse;
        GET_STATEMENT = GetStatement(GetStatementRequest) -> GetStatementResponse;
        GET_TRIAL_BALANCE = GetTrialBalance(GetTrialBalanceRequest) -> GetTrialBalanceResponse;
    }
    AuditService {
        GET_DECISION = GetDecision(GetDecisionRequest) -> Decision;
        LIST_RECORDS = ListRecords(ListRecordsRequest) -> ListRecordsResponse;
        WATCH_RECORDS = WatchRecords(WatchRecordsRequest) -> WatchRecordsResponse;
        GET_HEAD = GetHead(GetHeadRequest) -> Head;
    }
    ServerService {
        GET_SERVER_INFO = GetServerInfo(GetServerInfoRequest) -> ServerInfo;
    }
    AdminService {
        CREATE_SNAPSHOT = CreateSnapshot(CreateSnapshotRequest) -> CreateSnapshotResponse;
        LIST_SNAPSHOTS = ListSnapshots(ListSnapshotsRequest) -> ListSnapshotsResponse;
        REBUILD_READ_MODELS = RebuildReadModels(RebuildReadModelsRequest) -> RebuildProgress;
        VERIFY = Verify(VerifyRequest) -> VerifyProgress;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_in_the_descriptors_with_these_types() {
        for (service, method, request, reply) in ALL {
            let found = pool()
                .get_service_by_name(&format!("daybook.v1.{service}"))
                .unwrap_or_else(|| panic!("no service {service}"))
                .methods()
                .find(|m| m.name() == *method)
                .unwrap_or_else(|| panic!("no method {service}.{method}"));
            assert_eq!(found.input().name(), *request, "{method}");
            assert_eq!(found.output().name(), *reply, "{method}");
        }
    }

    #[test]
    fn json_is_that_of_protobuf() {
        let request = GetAccountRequest {
            ledger: "main".into(),
            account: "a".into(),
            consistency: None,
        };
        assert_eq!(
            GET_ACCOUNT.request_json(&request),
            serde_json::json!({ "ledger": "main", "account": "a" })
        );
        let balance = GetBalanceResponse {
            balance: Some(Balance {
                version: 3,
                ..Default::default()
            }),
            position: None,
        };
        let json = GET_BALANCE.reply_json(&balance);
        assert_eq!(json["balance"]["version"], "3");
        assert_eq!(json["balance"]["account_number"], 0);
    }
}
