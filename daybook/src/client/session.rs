//! A connection to a server, and how calls over it are made: with a deadline, repeated with the
//! same key where the answer was lost, and with names suggested where one is not known.

use std::time::{Duration, Instant};

use prost::Message;
use schemas::proto::v1::*;
use tokio::sync::OnceCell;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::failure::{Failure, Kind, did_you_mean};
use super::output;
use super::rpc::{self, Rpc};

/// The largest message in either direction: 16 MiB and what frames it.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024 + 64 * 1024;

/// What every command against a running server takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Client options")]
pub struct ClientArgs {
    /// The server.
    #[arg(
        long,
        global = true,
        env = "DAYBOOK_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7420"
    )]
    pub server: String,

    /// The ledger that the command is about.
    #[arg(
        long,
        global = true,
        env = "DAYBOOK_LEDGER",
        value_name = "NAME",
        default_value = "main"
    )]
    pub ledger: String,

    /// Print JSON, as the API says it: amounts in minor units.
    #[arg(long, global = true)]
    pub json: bool,

    /// Print the equal grpcurl call instead of making it.
    #[arg(long, global = true)]
    pub show_rpc: bool,

    /// How long a call whose answer was lost is repeated, with the same key.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "20s",
        value_parser = super::moment::duration
    )]
    pub retry_for: Duration,

    /// How long one attempt may take.
    #[arg(
        long,
        global = true,
        value_name = "SPAN",
        default_value = "30s",
        value_parser = super::moment::duration
    )]
    pub timeout: Duration,
}

impl ClientArgs {
    /// The defaults, for this server and ledger.
    pub fn of(server: &str, ledger: &str) -> Self {
        Self {
            server: server.to_owned(),
            ledger: ledger.to_owned(),
            json: false,
            show_rpc: false,
            retry_for: Duration::from_secs(20),
            timeout: Duration::from_secs(30),
        }
    }
}

/// A client.
pub struct Session {
    /// How it was asked to be.
    pub args: ClientArgs,
    /// How its address is given.
    address_options: &'static [&'static str],
    channel: OnceCell<Channel>,
}

impl Session {
    /// A client that connects when it first calls.
    pub fn new(args: ClientArgs) -> Self {
        Self {
            args,
            address_options: &["or name another: --server URL, or DAYBOOK_SERVER"],
            channel: OnceCell::new(),
        }
    }

    /// A client of a server's operations port.
    pub fn of_operations(args: ClientArgs) -> Self {
        Self {
            address_options: &[
                "or name its operations port: --operations URL, or DAYBOOK_OPERATIONS",
                "or, without a server, work on the folder itself: --data FOLDER",
            ],
            ..Self::new(args)
        }
    }

    /// The ledger of this session.
    pub fn ledger(&self) -> String {
        self.args.ledger.clone()
    }

    /// The channel, connected once.
    ///
    /// # Errors
    /// No server is there: said at once, with how to start one.
    pub async fn channel(&self) -> Result<Channel, Failure> {
        self.channel
            .get_or_try_init(|| connect(&self.args.server, self.address_options))
            .await
            .cloned()
    }

    /// Makes the call, or prints it as a grpcurl call and gives `None`.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn ask<Q, A>(&self, rpc: Rpc<Q, A>, request: Q) -> Result<Option<A>, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        if self.args.show_rpc {
            self.show(rpc, &request);
            return Ok(None);
        }
        self.call(rpc, request).await.map(Some)
    }

    /// Prints the equal grpcurl call.
    pub fn show<Q: Message, A: Message>(&self, rpc: Rpc<Q, A>, request: &Q) {
        let body = rpc.request_json(request).to_string().replace('\'', r"'\''");
        let (flag, address) = match self.args.server.split_once("://") {
            Some(("https", address)) => ("", address),
            Some((_, address)) => ("-plaintext ", address),
            None => ("-plaintext ", self.args.server.as_str()),
        };
        output::line(format!(
            "grpcurl {flag}-d '{body}' {address} daybook.v1.{}/{}",
            rpc.service, rpc.method
        ));
    }

    /// Makes the call. Where its answer was lost it is repeated, with the same key, until
    /// `--retry-for` has passed.
    ///
    /// # Errors
    /// What the server answered, with names suggested; or that it did not answer.
    pub async fn call<Q, A>(&self, rpc: Rpc<Q, A>, request: Q) -> Result<A, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let started = Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let failure = match self.attempt(rpc, request.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let next = started.elapsed() + pause;
            if !failure.retryable || next > self.args.retry_for {
                return Err(self.suggest(failure).await);
            }
            output::note(format!(
                "{}: no answer ({}); asking again with the same key",
                rpc.method, failure.code
            ));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    async fn attempt<Q, A>(&self, rpc: Rpc<Q, A>, request: Q) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc().await?;
        grpc.ready().await.map_err(|error| lost(&error))?;
        let mut request = tonic::Request::new(request);
        request.set_timeout(self.args.timeout);
        let path = rpc.path().parse().expect("a method's path is a path");
        grpc.unary(request, path, ProstCodec::<Q, A>::default())
            .await
            .map(tonic::Response::into_inner)
            .map_err(|status| Failure::from_status(&status))
    }

    /// Makes a call that answers with a stream. It is not repeated here: the caller knows where
    /// to resume.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn stream<Q, A>(
        &self,
        rpc: Rpc<Q, A>,
        request: Q,
    ) -> Result<tonic::Streaming<A>, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc().await?;
        grpc.ready().await.map_err(|error| lost(&error))?;
        let path = rpc.path().parse().expect("a method's path is a path");
        let codec = ProstCodec::<Q, A>::default();
        match grpc
            .server_streaming(tonic::Request::new(request), path, codec)
            .await
        {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) => Err(self.suggest(Failure::from_status(&status)).await),
        }
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Failure> {
        Ok(Grpc::new(self.channel().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// Adds 'did you mean' where a name is not known.
    /// And says what amounts are amounts of.
    async fn suggest(&self, failure: Failure) -> Failure {
        if failure.figure("did_you_mean").is_some() {
            return failure;
        }
        match &*failure.code {
            "ACCOUNT_NOT_FOUND" => self.suggest_account(failure).await,
            "LEDGER_NOT_FOUND" => self.suggest_ledger(failure).await,
            _ => self.tell_asset(failure).await,
        }
    }

    async fn tell_asset(&self, mut failure: Failure) -> Failure {
        if self.args.json || failure.asset.is_some() {
            return failure;
        }
        let Some(account) = failure.figure("account") else {
            return failure;
        };
        let request = GetAccountRequest {
            ledger: self.args.ledger.clone(),
            account: account.to_owned(),
            consistency: None,
        };
        if let Ok(account) = self.attempt(rpc::GET_ACCOUNT, request).await {
            failure.asset = Some(account.asset.into());
        }
        failure
    }

    async fn suggest_account(&self, failure: Failure) -> Failure {
        let Some(wanted) = failure.figure("account").map(str::to_owned) else {
            return failure;
        };
        let top = wanted.split(':').next().unwrap_or_default();
        for pattern in [format!("{top}:**"), "**".to_owned()] {
            let request = ListAccountsRequest {
                ledger: failure
                    .figure("ledger")
                    .unwrap_or(&self.args.ledger)
                    .to_owned(),
                pattern,
                page_size: 1_000,
                ..Default::default()
            };
            let Ok(reply) = self.attempt(rpc::LIST_ACCOUNTS, request).await else {
                continue;
            };
            let names = reply.accounts.iter().map(|account| account.name.as_str());
            if let Some(near) = did_you_mean(&wanted, names) {
                let near = near.to_owned();
                return failure.hint(format!("did you mean {near}?"));
            }
        }
        failure.hint("daybook account list shows the accounts there are")
    }

    async fn suggest_ledger(&self, failure: Failure) -> Failure {
        let wanted = failure
            .figure("ledger")
            .unwrap_or(&self.args.ledger)
            .to_owned();
        let request = ListLedgersRequest {
            page_size: 1_000,
            ..Default::default()
        };
        let Ok(reply) = self.attempt(rpc::LIST_LEDGERS, request).await else {
            return failure;
        };
        let names: Vec<_> = reply.ledgers.iter().map(|l| l.name.as_str()).collect();
        match did_you_mean(&wanted, names.iter().copied()) {
            Some(near) => failure.hint(format!("did you mean {near}? (--ledger {near})")),
            None if names.is_empty() => {
                failure.hint(format!("create it: daybook ledger create {wanted}"))
            }
            None => failure.hint(format!(
                "name one with --ledger or DAYBOOK_LEDGER: {}",
                names.iter().take(5).copied().collect::<Vec<_>>().join(", ")
            )),
        }
    }
}

fn lost(error: &tonic::transport::Error) -> Failure {
    let mut failure = Failure::new(Kind::Unavailable, "UNAVAILABLE", reason(error));
    failure.retryable = true;
    failure
}

/// An endpoint with the settings that large messages want.
///
/// # Errors
/// The address is not a URL.
pub fn endpoint(server: &str) -> Result<Endpoint, Failure> {
    let url = match server.contains("://") {
        true => server.to_owned(),
        false => format!("http://{server}"),
    };
    let endpoint = Endpoint::from_shared(url).map_err(|_| {
        Failure::usage(format!("{server:?} is not an address"))
            .hint("write --server http://127.0.0.1:7420")
    })?;
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .initial_stream_window_size(8 * 1024 * 1024)
        .initial_connection_window_size(32 * 1024 * 1024)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10)))
}

async fn connect(server: &str, address_options: &[&str]) -> Result<Channel, Failure> {
    endpoint(server)?.connect().await.map_err(|error| {
        let failure = Failure::new(
            Kind::Unavailable,
            "UNAVAILABLE",
            format!("no Daybook server answers at {server}: {}", reason(&error)),
        )
        .hint("start one: daybook serve");
        address_options
            .iter()
            .fold(failure, |failure, option| failure.hint(*option))
    })
}

/// The innermost cause, which says most.
fn reason(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A new key: a UUIDv7 of now.
pub fn new_key() -> String {
    uuid::Uuid::now_v7().to_string()
}
