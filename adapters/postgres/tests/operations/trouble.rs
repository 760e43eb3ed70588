//! Lost connections, exhausted pools, callers who go away.

use std::time::Duration;

use ports::conformance::story::Story;
use ports::projection::ProjectionError;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::timeout;

use crate::common::{LOG, Schema, unique};

const SOON: Duration = Duration::from_secs(30);

/// A schema whose connections can be told from those of others.
fn named() -> (Schema, String) {
    let name = unique("app");
    let mut schema = Schema::new();
    let url = crate::common::server();
    let sign = if url.contains('?') { '&' } else { '?' };
    schema.config =
        adapter_postgres::PostgresConfig::new(format!("{url}{sign}application_name={name}"))
            .schema(schema.config.schema.clone());
    (schema, name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_all_connections_were_cut() {
    let (schema, name) = named();
    let opened = schema.open(1).await;
    let projection = opened.projection();
    let mut watch = projection.watch(0);
    let mut story = Story::new(LOG, 1, &["bank"]);
    for _ in 0..4 {
        let step = story.step(2, 4);
        let applied = projection
            .apply(0, step.from.as_ref(), &step.to, step.changes)
            .await;
        applied.unwrap();
        // Several at once, so that there are several connections.
        let views = opened.views();
        let views = &views;
        futures::future::try_join_all((0..4).map(|_| views.ledgers(None, 10)))
            .await
            .unwrap();
        let text = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE application_name = '{name}'"
        );
        schema.run(&text).await;
        // None of them says that it failed.
        assert_eq!(views.ledgers(None, 10).await.unwrap().len(), 1);
        let found = projection.checkpoint(0).await.unwrap();
        assert_eq!(found, Some(step.to));
    }
    // Whoever follows is connected again too: another process is heard.
    let other = schema.open_beside(1).await;
    let step = story.step(2, 4);
    other
        .projection()
        .apply(0, step.from.as_ref(), &step.to, step.changes)
        .await
        .unwrap();
    let reached = watch.wait_for(|sequence| *sequence == step.to.sequence);
    timeout(SOON, reached).await.unwrap().unwrap();
    opened.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_whose_connection_is_cut_is_done_once_or_not_at_all() {
    let (schema, name) = named();
    let opened = schema.open(1).await;
    let projection = opened.projection();
    let plain = ports::memory::MemoryViews::new(1);
    let mut story = Story::new(LOG, 2, &["bank"]);
    let text = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = '{name}' AND state <> 'idle'"
    );
    let mut beside = schema.connect().await;
    for wait in 0..25u64 {
        let step = story.step(6, 12);
        let mut cut = false;
        loop {
            let applying = projection.apply(0, step.from.as_ref(), &step.to, step.changes.clone());
            let cutting = async {
                if !std::mem::replace(&mut cut, true) {
                    tokio::time::sleep(Duration::from_millis(wait * 4)).await;
                    let text = AssertSqlSafe(text.clone());
                    sqlx::raw_sql(text).execute(&mut beside).await.unwrap();
                }
            };
            let (applied, ()) = futures::future::join(applying, cutting).await;
            match applied {
                Ok(()) => break,
                Err(ProjectionError::Unavailable(_)) => {}
                Err(ProjectionError::CheckpointMoved { found, .. }) => {
                    assert_eq!(found.as_deref(), Some(&step.to), "its answer was lost");
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        ports::projection::Projection::apply(&plain, 0, step.from.as_ref(), &step.to, step.changes)
            .await
            .unwrap();
    }
    beside.close().await.unwrap();
    let models = crate::common::models(&opened);
    ports::conformance::compare::assert_alike(&models, &plain, 0, &["bank"], &story).await;
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_used_up_is_unavailable_and_comes_back() {
    let mut schema = Schema::new();
    schema.config.query_connections = 1;
    schema.config.acquire_timeout = Duration::from_millis(300);
    let opened = schema.open(1).await;
    let live = schema
        .ask("SELECT '$s_g' || generation FROM $s.generations WHERE state = 'LIVE'")
        .await;
    let mut blocking = schema.connect().await;
    let text = format!(
        "BEGIN; LOCK TABLE {}.ledgers IN ACCESS EXCLUSIVE MODE",
        live[0]
    );
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(&mut blocking)
        .await
        .unwrap();
    let views = opened.views();
    let stuck = tokio::spawn({
        let views = views.clone();
        async move { views.ledgers(None, 1).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = views.heads(0).await;
    assert!(
        matches!(refused, Err(ProjectionError::Unavailable(_))),
        "{refused:?}"
    );
    sqlx::raw_sql("ROLLBACK")
        .execute(&mut blocking)
        .await
        .unwrap();
    blocking.close().await.unwrap();
    stuck.await.unwrap().unwrap();
    views.heads(0).await.unwrap();
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_holds_nobody_for_ever() {
    let mut schema = Schema::new();
    schema.config.answer_timeout = Duration::from_millis(200);
    let opened = schema.open(1).await;
    let mut blocking = schema.connect().await;
    let live = schema
        .ask("SELECT '$s_g' || generation FROM $s.generations WHERE state = 'LIVE'")
        .await;
    let text = format!(
        "BEGIN; LOCK TABLE {}.ledgers IN ACCESS EXCLUSIVE MODE",
        live[0]
    );
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(&mut blocking)
        .await
        .unwrap();
    let views = opened.views();
    let asked = timeout(SOON, views.ledgers(None, 1)).await.unwrap();
    assert!(
        matches!(asked, Err(ProjectionError::Unavailable(_))),
        "{asked:?}"
    );
    blocking.close().await.unwrap();
    let mut answered = views.ledgers(None, 1).await;
    for _ in 0..50 {
        if answered.is_ok() {
            break;
        }
        answered = views.ledgers(None, 1).await;
    }
    assert_eq!(answered.unwrap(), []);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_leaves_nothing_half_done() {
    let mut schema = Schema::new();
    schema.config.apply_connections = 1;
    let opened = schema.open(1).await;
    let projection = opened.projection();
    let mut story = Story::new(LOG, 6, &["a"]);
    for micros in (0..12).map(|n| n * n * 300) {
        let step = story.step(6, 20);
        let applying = projection.apply(0, step.from.as_ref(), &step.to, step.changes.clone());
        let _ = timeout(Duration::from_micros(micros), applying).await;
        let again = projection
            .apply(0, step.from.as_ref(), &step.to, step.changes)
            .await;
        match again {
            Ok(()) => {}
            Err(ProjectionError::CheckpointMoved { found, .. }) => {
                assert_eq!(found.as_deref(), Some(&step.to));
            }
            Err(error) => panic!("{error}"),
        }
    }
    opened.close().await;
}
