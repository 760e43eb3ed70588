//! A small client that keeps the recipes short: one ledger, commands with keys, balances.
//!
//! `rust_client` shows the same calls without it. Every key is a fixed text here, so that a
//! recipe that is run again against the same server books nothing twice: the engine answers
//! each command with its first outcome.

use std::error::Error;

use schemas::proto::v1::command::Operation;
use schemas::proto::v1::command_service_client::CommandServiceClient;
use schemas::proto::v1::posting_spec::AmountSpec;
use schemas::proto::v1::query_service_client::QueryServiceClient;
use schemas::proto::v1::text::Text as TextKind;
use schemas::proto::v1::{
    AccountType, Balance, Command, CreateLedger, CreateTransaction, GetBalanceRequest, Limits,
    OpenAccount, PostingSpec, Receipt, Text,
};
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

/// What the example programs return.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Where a server listens when it is not told otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7420";

/// What every recipe is told on its command line.
#[derive(Debug, clap::Parser)]
pub struct RecipeOptions {
    /// The server's address
    #[arg(long, env = "DAYBOOK_SERVER", default_value = DEFAULT_SERVER)]
    pub server: String,
}

/// Connects to a server.
///
/// # Errors
/// When nobody listens there.
pub async fn connect(server: &str) -> Result<Channel> {
    let connected = Channel::from_shared(server.to_owned())?.connect().await;
    connected.map_err(|error| {
        let cause = error
            .source()
            .map_or(String::new(), |cause| format!(" ({cause})"));
        format!("no server answers at {server}{cause}; start one with `daybook serve`").into()
    })
}

/// One ledger of a server.
#[derive(Debug, Clone)]
pub struct Ledger {
    name: String,
    commands: CommandServiceClient<Channel>,
    queries: QueryServiceClient<Channel>,
}

impl Ledger {
    /// Connects, and creates the ledger (or finds it, when the recipe has run before).
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create(server: &str, name: &str) -> Result<Self> {
        let channel = connect(server).await?;
        let mut ledger = Self {
            name: name.to_owned(),
            commands: CommandServiceClient::new(channel.clone()),
            queries: QueryServiceClient::new(channel),
        };
        ledger
            .write("create", Operation::CreateLedger(CreateLedger::default()))
            .await?;
        Ok(ledger)
    }

    /// Sends one command under `key`.
    ///
    /// # Errors
    /// The refusal, or what went wrong on the way.
    pub async fn write(
        &mut self,
        key: &str,
        operation: Operation,
    ) -> std::result::Result<Receipt, Status> {
        let command = Command {
            idempotency_key: key.to_owned(),
            ledger: self.name.clone(),
            operation: Some(operation),
            ..Command::default()
        };
        Ok(self.commands.write(command).await?.into_inner())
    }

    /// Opens an account.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn open(
        &mut self,
        name: &str,
        account_type: AccountType,
        asset: &str,
        limits: Limits,
    ) -> std::result::Result<Receipt, Status> {
        let open = OpenAccount {
            name: name.to_owned(),
            asset: asset.to_owned(),
            r#type: account_type.into(),
            limits: Some(limits),
            ..OpenAccount::default()
        };
        self.write(&format!("open:{name}"), Operation::OpenAccount(open))
            .await
    }

    /// Books `transaction`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn post(
        &mut self,
        key: &str,
        transaction: CreateTransaction,
    ) -> std::result::Result<Receipt, Status> {
        self.write(key, Operation::CreateTransaction(transaction))
            .await
    }

    /// An account's balance now.
    ///
    /// # Errors
    /// When there is no such account, or the server cannot be reached.
    pub async fn balance(&mut self, account: &str) -> Result<Balance> {
        let request = GetBalanceRequest {
            ledger: self.name.clone(),
            account: account.to_owned(),
            ..GetBalanceRequest::default()
        };
        let reply = self.queries.get_balance(request).await?.into_inner();
        reply
            .balance
            .ok_or_else(|| "a reply without balance".into())
    }

    /// An account's posted balance in minor units, on its normal side.
    ///
    /// # Errors
    /// As [`Self::balance`].
    pub async fn posted(&mut self, account: &str) -> Result<i128> {
        Ok(self.balance(account).await?.posted.parse()?)
    }
}

/// The code of a refusal, such as `INSUFFICIENT_FUNDS`.
pub fn code(status: &Status) -> String {
    status
        .get_details_error_info()
        .map_or_else(|| format!("{:?}", status.code()), |info| info.reason)
}

/// The code that the engine refused a command with.
///
/// # Errors
/// When it was carried out.
pub fn refusal(outcome: std::result::Result<Receipt, Status>) -> Result<String> {
    match outcome {
        Ok(receipt) => Err(format!("{} was not refused", receipt.idempotency_key).into()),
        Err(status) => Ok(code(&status)),
    }
}

/// One posting of `amount` minor units.
pub fn posting(debit: &str, credit: &str, amount: u64) -> PostingSpec {
    PostingSpec {
        debit: debit.to_owned(),
        credit: credit.to_owned(),
        amount_spec: Some(AmountSpec::Amount(amount.to_string())),
        ..PostingSpec::default()
    }
}

/// A transaction of `postings` with a description.
pub fn transaction(
    description: &str,
    postings: impl IntoIterator<Item = PostingSpec>,
) -> CreateTransaction {
    CreateTransaction {
        postings: postings.into_iter().collect(),
        description: Some(text(description)),
        ..CreateTransaction::default()
    }
}

/// A text in the open.
pub fn text(plain: &str) -> Text {
    Text {
        text: Some(TextKind::Plain(plain.to_owned())),
    }
}

/// No limits.
pub fn unlimited() -> Limits {
    Limits::default()
}

/// The account may be emptied, but not overdrawn.
pub fn no_overdraft() -> Limits {
    Limits {
        minimum: "0".to_owned(),
        ..Limits::default()
    }
}
