//! A client that repeats its commands until they are decided.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use schemas::proto::v1 as api;
use schemas::proto::v1::command_service_client::CommandServiceClient;
use schemas::proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(6);
/// How long a command is repeated.
const PATIENCE: Duration = Duration::from_secs(240);
const LARGEST: usize = 64 << 20;

/// What is asked, as it is told where it is never answered.
pub const BALANCE: &str = "a balance";
pub const STATEMENT: &str = "a statement";
pub const TRIAL_BALANCE: &str = "the trial balance";
const READS: [&str; 3] = [BALANCE, STATEMENT, TRIAL_BALANCE];

/// Why a call got no outcome, and has to be made again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declined {
    pub is_read: bool,
    pub code: String,
    /// Empty where the connection broke or the client gave up, and no server said a word.
    pub reason: String,
}

/// Calls to several nodes of one cluster, in turn.
pub struct Bank {
    channels: Vec<Channel>,
    turn: AtomicUsize,
    /// What calls were declined with.
    declined: Mutex<BTreeMap<Declined, u64>>,
}

impl Bank {
    /// Nothing is connected before the first call. Must be made within a runtime.
    pub fn new(urls: &[String]) -> Self {
        let channels = urls
            .iter()
            .map(|url| {
                Endpoint::from_shared(url.clone())
                    .unwrap()
                    .connect_timeout(Duration::from_secs(2))
                    .connect_lazy()
            })
            .collect();
        Self {
            channels,
            turn: AtomicUsize::new(0),
            declined: Mutex::default(),
        }
    }

    fn channel(&self) -> Channel {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.channels[turn % self.channels.len()].clone()
    }

    pub fn commands(&self) -> CommandServiceClient<Channel> {
        CommandServiceClient::new(self.channel())
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST)
    }

    pub fn queries(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel()).max_decoding_message_size(LARGEST)
    }

    /// What calls were declined with so far.
    pub fn declined(&self) -> BTreeMap<Declined, u64> {
        self.declined.lock().unwrap().clone()
    }

    /// Calls until the answer is final. Gives that, or what it was declined with until patience
    /// ended.
    pub async fn settle<T, F>(&self, what: &str, mut call: impl FnMut() -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let until = Instant::now() + PATIENCE;
        let mut wait = Duration::from_millis(20);
        loop {
            let declined = match tokio::time::timeout(CALL, call()).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if is_final(&status) => return Err(Refused::By(reason(&status))),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("the test's own patience"),
            };
            let key = Declined {
                is_read: READS.contains(&what),
                code: format!("{:?}", declined.code()),
                reason: reason(&declined),
            };
            *self.declined.lock().unwrap().entry(key).or_default() += 1;
            if Instant::now() > until {
                return Err(Refused::Never(format!("{what}: {declined:?}")));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(400));
        }
    }

    /// One command, repeated with its key until it is decided.
    pub async fn write(&self, command: &api::Command) -> Result<api::Receipt, Refused> {
        self.settle(&command.idempotency_key, || {
            let (mut commands, command) = (self.commands(), command.clone());
            async move { commands.write(command).await }
        })
        .await
    }

    /// Commands of one batch, each repeated until it is decided; what each came to, in order.
    pub async fn write_all(
        &self,
        commands: &[api::Command],
    ) -> Result<Vec<Result<api::Receipt, String>>, Refused> {
        let mut decided: Vec<Option<Result<api::Receipt, String>>> = vec![None; commands.len()];
        let until = Instant::now() + PATIENCE;
        loop {
            let open: Vec<usize> = (0..commands.len())
                .filter(|&index| decided[index].is_none())
                .collect();
            if open.is_empty() {
                return Ok(decided.into_iter().map(Option::unwrap).collect());
            }
            if Instant::now() > until {
                return Err(Refused::Never(format!(
                    "{} commands of a batch",
                    open.len()
                )));
            }
            let request = api::BatchWriteRequest {
                commands: open.iter().map(|&index| commands[index].clone()).collect(),
            };
            let reply = self
                .settle("a batch", || {
                    let (mut commands, request) = (self.commands(), request.clone());
                    async move { commands.batch_write(request).await }
                })
                .await?;
            assert_eq!(reply.outcomes.len(), open.len(), "one outcome each");
            for (index, outcome) in open.into_iter().zip(reply.outcomes) {
                match outcome.outcome.unwrap() {
                    api::outcome::Outcome::Receipt(receipt) => decided[index] = Some(Ok(receipt)),
                    api::outcome::Outcome::Error(error) => {
                        let status = of_rich(error);
                        if is_final(&status) {
                            decided[index] = Some(Err(reason(&status)));
                        }
                    }
                }
            }
        }
    }

    /// An account's posted balance.
    pub async fn posted(
        &self,
        ledger: &str,
        account: &str,
        consistency: Option<api::Consistency>,
    ) -> Result<i64, Refused> {
        let request = api::GetBalanceRequest {
            ledger: ledger.to_owned(),
            account: account.to_owned(),
            consistency,
            ..Default::default()
        };
        let reply = self.settle(BALANCE, || {
            let (mut queries, request) = (self.queries(), request.clone());
            async move { queries.get_balance(request).await }
        });
        Ok(reply.await?.balance.unwrap().posted.parse().unwrap())
    }
}

/// What a command came to that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It was decided, with this code.
    By(String),
    /// It was not decided within all patience.
    Never(String),
}

fn of_rich(error: tonic_types::Status) -> Status {
    use prost::Message as _;
    let details = error.encode_to_vec();
    Status::with_details(Code::from_i32(error.code), error.message, details.into())
}

/// Whether repeating it changes nothing: what has no code of ours never got an answer.
fn is_final(status: &Status) -> bool {
    let declined = matches!(
        status.code(),
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled
    );
    !declined && !reason(status).is_empty()
}

/// The reason in a status's ErrorInfo; empty where the connection itself broke.
pub fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// STRONG, as it is when left out.
pub fn strong() -> Option<api::Consistency> {
    Some(api::Consistency {
        consistency: Some(api::consistency::Consistency::Strong(true)),
    })
}

/// As far as the projection has got.
pub fn eventual() -> Option<api::Consistency> {
    Some(api::Consistency {
        consistency: Some(api::consistency::Consistency::Eventual(true)),
    })
}

pub fn command(ledger: &str, key: &str, operation: api::command::Operation) -> api::Command {
    api::Command {
        idempotency_key: key.to_owned(),
        ledger: ledger.to_owned(),
        operation: Some(operation),
        ..Default::default()
    }
}

pub fn transfer(ledger: &str, key: &str, from: &str, to: &str, cents: i64) -> api::Command {
    // A debit lowers a customer's balance and raises the cash.
    let posting = api::PostingSpec {
        debit: from.to_owned(),
        credit: to.to_owned(),
        amount_spec: Some(api::posting_spec::AmountSpec::Amount(cents.to_string())),
        ..Default::default()
    };
    command(
        ledger,
        key,
        api::command::Operation::CreateTransaction(api::CreateTransaction {
            postings: vec![posting],
            ..Default::default()
        }),
    )
}

pub fn open(ledger: &str, name: &str, kind: api::AccountType, minimum: &str) -> api::Command {
    let limits = (!minimum.is_empty()).then(|| api::Limits {
        minimum: minimum.to_owned(),
        ..Default::default()
    });
    command(
        ledger,
        &format!("open {name}"),
        api::command::Operation::OpenAccount(api::OpenAccount {
            name: name.to_owned(),
            asset: "USD/2".to_owned(),
            r#type: kind.into(),
            limits,
            ..Default::default()
        }),
    )
}
