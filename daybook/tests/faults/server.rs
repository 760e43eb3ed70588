//! A real server in a folder, and a small client to load it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use schemas::proto::v1 as api;
use schemas::proto::v1::command_service_client::CommandServiceClient;
use schemas::proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::ports::free_port;

pub const LEDGER: &str = "bank";
pub const CASH: &str = "bank:cash";
pub const CUSTOMER: &str = "customers:1:checking";

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    address: String,
    errors: PathBuf,
}

impl Server {
    /// Starts the real binary on `data`, with `environment`, and waits until it serves.
    pub async fn start(data: &Path, environment: &[(&str, &str)]) -> Self {
        let server = Self::spawn(data, environment);
        server.wait_until_serving().await;
        server
    }

    /// Starts it without waiting.
    pub fn spawn(data: &Path, environment: &[(&str, &str)]) -> Self {
        let (port, operations) = (free_port(), free_port());
        let errors = std::env::temp_dir().join(format!("daybook-{}.log", uuid::Uuid::now_v7()));
        let log = std::fs::File::create(&errors).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_daybook"))
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--operations-listen", &format!("127.0.0.1:{operations}")])
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            address: format!("http://127.0.0.1:{port}"),
            errors,
        }
    }

    pub async fn wait_until_serving(&self) {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(channel) = self.try_connect().await {
                let mut info = api::server_service_client::ServerServiceClient::new(channel);
                if let Ok(reply) = info.get_server_info(api::GetServerInfoRequest {}).await
                    && reply.get_ref().shards.iter().all(|s| s.state == "serving")
                {
                    return;
                }
            }
            assert!(
                Instant::now() < give_up,
                "the server does not serve:\n{}",
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_connect(&self) -> Result<Channel, tonic::transport::Error> {
        Endpoint::from_shared(self.address.clone())
            .unwrap()
            .connect()
            .await
    }

    pub async fn connect(&self) -> Bank {
        let channel = self.try_connect().await.unwrap();
        Bank { channel }
    }

    /// What it wrote to its standard error.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// Waits for it to end by itself.
    pub fn wait_for_end(&mut self) -> std::process::ExitStatus {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < give_up,
                "it does not end:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGTERM, and waits.
    pub fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.wait_for_end();
        assert!(status.success(), "{status}:\n{}", self.said());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.errors);
    }
}

/// Compiles a shim of `tests/faults/shims` for LD_PRELOAD.
pub fn shim(name: &str, into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/faults/shims/{name}.c"));
    let library = into.join(format!("{name}.so"));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()
        .expect("a C compiler (Debian package build-essential) is needed for this test");
    assert!(status.success());
    library
}

/// `daybook verify` on a folder that nobody serves.
pub fn verify(data: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_daybook"))
        .arg("verify")
        .arg("--data")
        .arg(data)
        .output()
        .unwrap()
}

pub fn assert_verified(data: &Path) {
    let output = verify(data);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A client of the server with one ledger and two accounts.
#[derive(Clone)]
pub struct Bank {
    channel: Channel,
}

impl Bank {
    pub fn commands(&self) -> CommandServiceClient<Channel> {
        CommandServiceClient::new(self.channel.clone())
            .max_decoding_message_size(64 << 20)
            .max_encoding_message_size(64 << 20)
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Makes the ledger and the accounts.
    pub async fn set_up(&self) {
        use api::command::Operation;
        let open = |name: &str, kind: api::AccountType| {
            Operation::OpenAccount(api::OpenAccount {
                name: name.into(),
                asset: "USD/2".into(),
                r#type: kind.into(),
                ..Default::default()
            })
        };
        for (key, operation) in [
            ("ledger", Operation::CreateLedger(Default::default())),
            ("cash", open(CASH, api::AccountType::Asset)),
            ("customer", open(CUSTOMER, api::AccountType::Liability)),
        ] {
            self.write(command(key, operation)).await.unwrap();
        }
    }

    pub async fn write(&self, command: api::Command) -> Result<api::Receipt, tonic::Status> {
        let mut request = tonic::Request::new(command);
        request.set_timeout(Duration::from_secs(20));
        self.commands().write(request).await.map(|r| r.into_inner())
    }

    /// Deposits `cents` under `key`.
    pub async fn deposit(&self, key: &str, cents: u64) -> Result<api::Receipt, tonic::Status> {
        self.write(deposit(key, cents)).await
    }

    /// The customer's posted balance, STRONG.
    pub async fn balance(&self) -> Result<u64, tonic::Status> {
        let mut request = tonic::Request::new(api::GetBalanceRequest {
            ledger: LEDGER.into(),
            account: CUSTOMER.into(),
            ..Default::default()
        });
        request.set_timeout(Duration::from_secs(20));
        let reply = QueryServiceClient::new(self.channel.clone())
            .get_balance(request)
            .await?
            .into_inner();
        Ok(reply.balance.unwrap().posted.parse().unwrap())
    }
}

pub fn command(key: &str, operation: api::command::Operation) -> api::Command {
    api::Command {
        idempotency_key: key.into(),
        ledger: LEDGER.into(),
        operation: Some(operation),
        ..Default::default()
    }
}

pub fn deposit(key: &str, cents: u64) -> api::Command {
    command(
        key,
        api::command::Operation::CreateTransaction(api::CreateTransaction {
            postings: vec![api::PostingSpec {
                debit: CASH.into(),
                credit: CUSTOMER.into(),
                amount_spec: Some(api::posting_spec::AmountSpec::Amount(cents.to_string())),
                ..Default::default()
            }],
            ..Default::default()
        }),
    )
}

/// The reason in a status's ErrorInfo.
pub fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt;
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}
