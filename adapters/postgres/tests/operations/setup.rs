//! Setting up and opening: what is there, what is missing, what may not be done.

use std::sync::Arc;

use adapter_postgres::{OpenError, Postgres, PostgresConfig};
use ports::conformance::story::Story;
use ports::memory::MemoryHistory;
use ports::projection::{Changes, ProjectionError};
use schemas::record::LogId;

use crate::common::{LOG, Schema, server, unique};

fn history() -> Arc<MemoryHistory> {
    Arc::new(MemoryHistory::new())
}

/// The server, as another user.
fn as_user(schema: &Schema, user: &str) -> PostgresConfig {
    let url = server();
    let (_, place) = url.split_once('@').unwrap();
    PostgresConfig::new(format!("postgres://{user}:pass%20word@{place}"))
        .schema(schema.config.schema.clone())
}

/// A user who may log in, and is removed at the end.
struct User {
    name: String,
}

impl User {
    async fn new(schema: &Schema) -> Self {
        let name = unique("u");
        schema
            .run(&format!("CREATE ROLE {name} LOGIN PASSWORD 'pass word'"))
            .await;
        Self { name }
    }

    async fn remove(self, schema: &Schema) {
        schema
            .run(&format!(
                "DROP OWNED BY {} CASCADE; DROP ROLE {}",
                self.name, self.name
            ))
            .await;
    }
}

#[tokio::test]
async fn setting_up_again_changes_nothing() {
    let schema = Schema::new();
    let opened = schema.open(2).await;
    let mut story = Story::new(LOG, 1, &["bank"]);
    let step = story.step(3, 5);
    let projection = opened.projection();
    projection
        .apply(1, None, &step.to, step.changes)
        .await
        .unwrap();
    opened.close().await;
    let opened = schema.open(2).await;
    let found = opened.projection().checkpoint(1).await.unwrap();
    assert_eq!(found, Some(step.to));
    assert_eq!(opened.projection().checkpoint(0).await.unwrap(), None);
    opened.close().await;
}

#[tokio::test]
async fn setting_up_at_once_makes_one_generation() {
    let schema = Schema::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let config = schema.config.clone();
        tasks.spawn(async move { Postgres::setup(&config, LOG, 2).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let live = schema
        .ask("SELECT generation::text FROM $s.generations WHERE state = 'LIVE'")
        .await;
    assert_eq!(live.len(), 1);
}

#[tokio::test]
async fn what_is_not_set_up_is_not_opened() {
    let schema = Schema::new();
    let opened = Postgres::open(&schema.config, LOG, 1, history()).await;
    assert!(
        matches!(&opened, Err(OpenError::NotSetUp { .. })),
        "{opened:?}"
    );
    schema.run("CREATE SCHEMA $s").await;
    let opened = Postgres::open(&schema.config, LOG, 1, history()).await;
    let Err(error @ OpenError::NotSetUp { .. }) = opened else {
        panic!("{opened:?}");
    };
    assert!(error.to_string().contains("daybook setup"), "{error}");
}

#[tokio::test]
async fn another_log_is_refused() {
    let schema = Schema::new();
    schema.open(2).await.close().await;
    for (log_id, shards) in [(LogId([8; 16]), 2), (LOG, 3)] {
        let opened = Postgres::open(&schema.config, log_id, shards, history()).await;
        assert!(
            matches!(&opened, Err(OpenError::OtherLog { .. })),
            "{opened:?}"
        );
        let set_up = Postgres::setup(&schema.config, log_id, shards).await;
        assert!(
            matches!(&set_up, Err(OpenError::OtherLog { .. })),
            "{set_up:?}"
        );
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    for newer in [
        "INSERT INTO $s._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'of tomorrow', true, '', 0)",
        "UPDATE $s.generations SET format = 9999",
    ] {
        let schema = Schema::new();
        schema.open(1).await.close().await;
        schema.run(newer).await;
        let opened = Postgres::open(&schema.config, LOG, 1, history()).await;
        let Err(error @ OpenError::TooNew { found: 9999, .. }) = opened else {
            panic!("{opened:?}");
        };
        assert!(error.to_string().contains("9999"), "{error}");
        let set_up = Postgres::setup(&schema.config, LOG, 1).await;
        assert!(
            matches!(set_up, Err(OpenError::TooNew { found: 9999, .. })),
            "{set_up:?}"
        );
    }
}

#[tokio::test]
async fn what_an_earlier_version_made_is_rebuilt_and_switched_to() {
    let schema = Schema::new();
    schema.open(1).await.close().await;
    schema.run("UPDATE $s.generations SET format = 0").await;
    let opened = schema.open(1).await;
    let projection = opened.projection();
    let refused = projection.checkpoint(0).await;
    assert!(
        matches!(refused, Err(ProjectionError::Unusable(_))),
        "{refused:?}"
    );
    let step = Story::new(LOG, 3, &["bank"]).step(3, 5);
    let applied = projection
        .apply(0, None, &step.to, step.changes.clone())
        .await;
    assert!(
        matches!(applied, Err(ProjectionError::Unusable(_))),
        "{applied:?}"
    );
    let rebuild = opened.switch().begin_rebuild().await.unwrap();
    let rebuilt = rebuild.projection();
    rebuilt
        .apply(0, None, &step.to, step.changes)
        .await
        .unwrap();
    rebuild.switch().await.unwrap();
    assert_eq!(projection.checkpoint(0).await.unwrap(), Some(step.to));
    opened.close().await;
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let schema = Schema::new();
    let user = User::new(&schema).await;
    let config = as_user(&schema, &user.name);
    let set_up = Postgres::setup(&config, LOG, 1).await;
    let Err(error @ OpenError::Denied { .. }) = set_up else {
        panic!("{set_up:?}");
    };
    let text = error.to_string();
    assert!(
        text.contains(&user.name) && text.contains("CREATE on the database"),
        "{text}"
    );
    schema.open(1).await.close().await;
    let opened = Postgres::open_read_only(&config, LOG, 1, history()).await;
    let Err(error @ OpenError::Denied { .. }) = opened else {
        panic!("{opened:?}");
    };
    assert!(error.to_string().contains("USAGE"), "{error}");
    user.remove(&schema).await;
}

#[tokio::test]
async fn a_reader_reads_before_and_after_a_switch() {
    let schema = Schema::new();
    let owner = schema.open(1).await;
    let step = Story::new(LOG, 2, &["bank"]).step(4, 8);
    let projection = owner.projection();
    projection
        .apply(0, None, &step.to, step.changes.clone())
        .await
        .unwrap();
    let user = User::new(&schema).await;
    schema
        .run(&format!(
            "GRANT USAGE ON SCHEMA $s TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA $s TO {0}",
            user.name
        ))
        .await;
    Postgres::setup(&schema.config, LOG, 1).await.unwrap();
    let config = as_user(&schema, &user.name);
    let reader = Postgres::open_read_only(&config, LOG, 1, Arc::new(schema.history.clone()))
        .await
        .unwrap();
    let ledgers = reader.views().ledgers(None, 10).await.unwrap();
    assert_eq!(ledgers.len(), 1);
    let written = reader
        .projection()
        .apply(0, Some(&step.to), &step.to, Changes::default())
        .await;
    assert!(
        matches!(written, Err(ProjectionError::Unavailable(_))),
        "{written:?}"
    );
    let begun = reader.switch().begin_rebuild().await;
    assert!(matches!(begun, Err(ProjectionError::Unavailable(_))));
    let rebuild = owner.switch().begin_rebuild().await.unwrap();
    let rebuilt = rebuild.projection();
    rebuilt
        .apply(0, None, &step.to, step.changes)
        .await
        .unwrap();
    rebuild.switch().await.unwrap();
    assert_eq!(reader.views().ledgers(None, 10).await.unwrap(), ledgers);
    reader.close().await;
    owner.close().await;
    user.remove(&schema).await;
}

#[tokio::test]
async fn a_server_out_of_reach_is_named_so() {
    let mut config = PostgresConfig::new("postgres://nobody@127.0.0.1:1/none").schema("x");
    config.acquire_timeout = std::time::Duration::from_millis(300);
    let opened = Postgres::open(&config, LOG, 1, history()).await;
    assert!(
        matches!(&opened, Err(OpenError::Unavailable(_))),
        "{opened:?}"
    );
    let set_up = Postgres::setup(&config, LOG, 1).await;
    assert!(
        matches!(&set_up, Err(OpenError::Unavailable(_))),
        "{set_up:?}"
    );
}
