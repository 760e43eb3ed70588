//! Read models in a schema of a test's own, on the server that `DAYBOOK_POSTGRES` names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_postgres::{Postgres, PostgresConfig};
use ports::conformance::projection::Models;
use ports::memory::MemoryHistory;
use schemas::record::LogId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

/// The log of all tests.
pub const LOG: LogId = LogId([7; 16]);

/// Where the server is.
///
/// # Panics
/// Where nobody says so: these tests do not pass without it.
pub fn server() -> String {
    std::env::var("DAYBOOK_POSTGRES").expect(
        "DAYBOOK_POSTGRES must say where Postgres is (postgres://user:password@host:port/database); \
         `cargo xtask test` starts one",
    )
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{nanos:x}_{:x}_{count}", std::process::id())
}

/// A schema that is removed at the end.
pub struct Schema {
    pub config: PostgresConfig,
    pub history: MemoryHistory,
}

impl Schema {
    pub fn new() -> Self {
        Self {
            config: PostgresConfig::new(server()).schema(unique("t")),
            history: MemoryHistory::new(),
        }
    }

    /// Sets the schema up, and opens it.
    pub async fn open(&self, shards: u32) -> Postgres {
        Postgres::setup(&self.config, LOG, shards).await.unwrap();
        let history = Arc::new(self.history.clone());
        Postgres::open(&self.config, LOG, shards, history)
            .await
            .unwrap()
    }

    /// Opens it as another process would, with a history of the same content.
    pub async fn open_beside(&self, shards: u32) -> Postgres {
        let history = Arc::new(self.history.clone());
        Postgres::open(&self.config, LOG, shards, history)
            .await
            .unwrap()
    }

    /// Runs `text`, with the schema's name for every `$s`.
    pub async fn run(&self, text: &str) {
        let text = text.replace("$s", &self.config.schema);
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// The texts in the first column of what `text` asks for.
    pub async fn ask(&self, text: &str) -> Vec<String> {
        let text = text.replace("$s", &self.config.schema);
        let mut connection = self.connect().await;
        let found = sqlx::query_scalar(AssertSqlSafe(text))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        found
    }

    /// A connection beside.
    pub async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = server().parse().unwrap();
        options.connect().await.unwrap()
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let config = self.config.clone();
        // A runtime of its own: the test's may be ending.
        let removing = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(Postgres::remove(&config))
        });
        if let Ok(Err(error)) = removing.join() {
            eprintln!("a schema stays behind: {error}");
        }
    }
}

/// All ports of `opened`.
pub fn models(opened: &Postgres) -> Models {
    Models {
        projection: opened.projection(),
        views: opened.views(),
        facts: opened.facts(),
        switch: Some(opened.switch()),
        log_id: LOG,
    }
}
