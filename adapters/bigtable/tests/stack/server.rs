//! The server, tables of a test's own, and a connection that can be cut.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use adapter_bigtable::{Bigtable, BigtableConfig};
use gcloud_sdk::google::bigtable::admin::v2::DeleteTableRequest;
use gcloud_sdk::google::bigtable::admin::v2::bigtable_table_admin_client::BigtableTableAdminClient;
use gcloud_sdk::tonic::transport::Channel;
use schemas::record::LogId;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// `host:port` of the server.
pub fn address() -> String {
    std::env::var("DAYBOOK_BIGTABLE").expect(
        "DAYBOOK_BIGTABLE must name a Bigtable emulator (host:port); `cargo xtask stack up` \
         starts one",
    )
}

/// A number that no other test has, in this run or another.
pub fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let salt = u64::from(std::process::id()) << 48 | NEXT.fetch_add(1, Ordering::Relaxed) << 40;
    salt ^ now.as_nanos() as u64
}

pub fn log_id() -> LogId {
    let number = u128::from(unique()) << 64 | u128::from(unique());
    LogId(number.to_be_bytes())
}

/// Tables that no other test uses.
pub fn config() -> BigtableConfig {
    BigtableConfig {
        table_prefix: format!("t{:016x}", unique()),
        ..BigtableConfig::emulator(address())
    }
}

/// A log of its own, with tables of its own.
pub async fn opened() -> (Bigtable, BigtableConfig, LogId) {
    let (config, log_id) = (config(), log_id());
    Bigtable::setup(&config).await.unwrap();
    (Bigtable::open(config.clone(), log_id).await, config, log_id)
}

pub type Admin = BigtableTableAdminClient<Channel>;

pub async fn admin() -> Admin {
    let channel = Channel::from_shared(format!("http://{}", address())).unwrap();
    BigtableTableAdminClient::new(channel.connect().await.unwrap())
}

/// The full name of a table.
pub fn table(config: &BigtableConfig, suffix: &str) -> String {
    format!(
        "projects/{}/instances/{}/tables/{}-{suffix}",
        config.project, config.instance, config.table_prefix
    )
}

/// Loses all tables, as the emulator does when it starts again.
pub async fn lose(config: &BigtableConfig) {
    for suffix in ["history", "archive"] {
        let name = table(config, suffix);
        let request = DeleteTableRequest { name };
        admin().await.delete_table(request).await.unwrap();
    }
}

/// Stands between the adapter and the server.
pub struct Proxy {
    address: String,
    listening: Option<AbortHandle>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut proxy = Self {
            address,
            listening: None,
        };
        proxy.serve(listener);
        proxy
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    fn serve(&mut self, listener: TcpListener) {
        let serving = tokio::spawn(async move {
            // Connections end with the task that accepts them.
            let mut connections = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut to = TcpStream::connect(address()).await.unwrap();
                    let _ = copy_bidirectional(&mut from, &mut to).await;
                });
            }
        });
        self.listening = Some(serving.abort_handle());
    }

    /// Cuts all connections and refuses new ones.
    pub async fn cut(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
        while TcpStream::connect(&self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Lets connections through again.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(&self.address).await.unwrap();
        self.serve(listener);
    }
}
