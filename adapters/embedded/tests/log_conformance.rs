//! The event log is held to the suite of `ports`.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use adapter_embedded::{Embedded, OpenError, Options};
use async_trait::async_trait;
use ports::conformance::log::{LogCapabilities, LogUnderTest};
use ports::log::{EventLog, LogError, Position};
use sqlx::{ConnectOptions as _, Connection as _};

/// A log in a folder that is removed at the end.
struct Folder {
    dir: tempfile::TempDir,
    opened: Option<Embedded>,
}

impl Folder {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            opened: None,
        }
    }
}

#[async_trait]
impl LogUnderTest for Folder {
    fn capabilities(&self) -> LogCapabilities {
        LogCapabilities {
            reopens: true,
            locks: true,
            damages: true,
        }
    }

    async fn open(&mut self, shards: u32) -> Result<Arc<dyn EventLog>, LogError> {
        let options = Options {
            shards: Some(shards),
            create: true,
            ..Options::default()
        };
        let opened =
            Embedded::open(self.dir.path(), options)
                .await
                .map_err(|error| match error {
                    OpenError::Log(error) => error,
                    OpenError::Locked { .. } => LogError::Locked(error.to_string()),
                    other => panic!("{other}"),
                })?;
        let log = opened.log();
        self.opened = Some(opened);
        Ok(log)
    }

    async fn close(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.close().await;
        }
    }

    async fn damage(&mut self, shard: u32, position: Position) {
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.dir.path().join("log.db"))
            .connect()
            .await
            .unwrap();
        sqlx::raw_sql("DROP TRIGGER entries_stay")
            .execute(&mut connection)
            .await
            .unwrap();
        let changed = sqlx::query(
            "UPDATE entries SET body = CAST(substr(body, 1, 20) || x'ff' || substr(body, 22) AS BLOB)
              WHERE shard = ? AND position = ?",
        )
        .bind(i64::from(shard))
        .bind(position.0 as i64)
        .execute(&mut connection)
        .await
        .unwrap();
        assert_eq!(changed.rows_affected(), 1);
        connection.close().await.unwrap();
    }
}

ports::event_log_conformance!(Folder::new());
