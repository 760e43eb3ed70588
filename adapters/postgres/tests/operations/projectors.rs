//! Several processes on one Postgres: projectors, and those who watch them.

use std::time::{Duration, Instant};

use ports::conformance::compare::assert_alike;
use ports::conformance::story::{Step, Story};
use ports::history::History as _;
use ports::memory::MemoryViews;
use ports::projection::{Projection, ProjectionError};
use ports::views::{HistoryRange, Views as _};
use tokio::time::timeout;

use crate::common::{LOG, Schema, models};

const LEDGERS: [&str; 2] = ["bank", "zoo"];
/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(30);

async fn apply(to: &dyn Projection, step: &Step) -> Result<(), ProjectionError> {
    to.apply(0, step.from.as_ref(), &step.to, step.changes.clone())
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_projectors_the_slower_one_is_rolled_back() {
    let schema = Schema::new();
    let (one, other) = (schema.open(1).await, schema.open_beside(1).await);
    let plain = MemoryViews::new(1);
    let mut story = Story::new(LOG, 4, &LEDGERS);
    for _ in 0..12 {
        let step = story.step(3, 8);
        let projections = [one.projection(), other.projection()];
        let mut tasks = tokio::task::JoinSet::new();
        for projection in projections {
            let step = step.clone();
            tasks.spawn(async move { apply(&*projection, &step).await });
        }
        let mut applied = 0;
        while let Some(done) = tasks.join_next().await {
            match done.unwrap() {
                Ok(()) => applied += 1,
                Err(ProjectionError::CheckpointMoved { found, .. }) => {
                    assert_eq!(found.as_deref(), Some(&step.to));
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(applied, 1, "each record is applied once");
        apply(&plain, &step).await.unwrap();
    }
    assert_alike(&models(&other), &plain, 0, &LEDGERS, &story).await;
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_is_followed_at_once() {
    let schema = Schema::new();
    let (projector, watcher) = (schema.open(2).await, schema.open_beside(2).await);
    let mut watch = watcher.projection().watch(0);
    let mut story = Story::new(LOG, 5, &LEDGERS);
    let mut fastest = SOON;
    for _ in 0..15 {
        let step = story.step(1, 2);
        apply(&*projector.projection(), &step).await.unwrap();
        let applied = Instant::now();
        let reached = watch.wait_for(|sequence| *sequence == step.to.sequence);
        timeout(SOON, reached).await.unwrap().unwrap();
        fastest = fastest.min(applied.elapsed());
    }
    // By a look now and then it would take some hundred milliseconds.
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
    assert_eq!(*watcher.projection().watch(1).borrow(), 0);
    projector.close().await;
    watcher.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_is_noticed_by_every_process() {
    let schema = Schema::new();
    let (one, other) = (schema.open(1).await, schema.open_beside(1).await);
    let mut story = Story::new(LOG, 6, &LEDGERS);
    let (first, second) = (story.step(3, 8), story.step(3, 8));
    for step in [&first, &second] {
        apply(&*one.projection(), step).await.unwrap();
    }
    let plain = MemoryViews::new(1);
    apply(&plain, &first).await.unwrap();
    // Asked before, so that statements are prepared.
    assert_eq!(other.views().ledgers(None, 10).await.unwrap().len(), 2);
    let mut watch = other.projection().watch(0);
    for _ in 0..2 {
        let rebuild = one.switch().begin_rebuild().await.unwrap();
        apply(&*rebuild.projection(), &first).await.unwrap();
        rebuild.switch().await.unwrap();
        let found = other.projection().checkpoint(0).await.unwrap();
        assert_eq!(found, Some(first.to), "at once, not by and by");
        assert_alike(&models(&other), &plain, 0, &LEDGERS, &story).await;
        let back = watch.wait_for(|sequence| *sequence == first.to.sequence);
        timeout(SOON, back).await.unwrap().unwrap();
    }
    // Who still applies to what was live before is told where it stands.
    let late = other.projection();
    let moved = late
        .apply(0, Some(&second.to), &second.to, second.changes.clone())
        .await;
    assert!(
        matches!(moved, Err(ProjectionError::CheckpointMoved { .. })),
        "{moved:?}"
    );
    apply(&*late, &second).await.unwrap();
    let schemas = schema
        .ask("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE '$s_g%'")
        .await;
    assert_eq!(schemas.len(), 1, "the old ones are gone: {schemas:?}");
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_generation_whole_while_it_is_switched() {
    let schema = Schema::new();
    let (one, other) = (schema.open(1).await, schema.open_beside(1).await);
    let mut story = Story::new(LOG, 7, &["bank"]);
    let step = story.step(8, 12);
    apply(&*one.projection(), &step).await.unwrap();
    let views = other.views();
    let name = ports::conformance::samples::ledger("bank");
    let expected = views.accounts(&name, &Default::default(), 100).await;
    let expected = expected.unwrap();
    let filter = ports::views::AccountFilter {
        prefix: "c".to_owned(),
        ..Default::default()
    };
    let some = views.accounts(&name, &filter, 100).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut asked = 0;
        loop {
            let all = views.accounts(&name, &Default::default(), 100).await;
            assert_eq!(all.unwrap(), expected);
            let named = views.accounts(&name, &filter, 100).await.unwrap();
            assert_eq!(named, some);
            asked += 1;
            if asked >= 200 {
                return;
            }
        }
    });
    while !reading.is_finished() {
        let rebuild = one.switch().begin_rebuild().await.unwrap();
        apply(&*rebuild.projection(), &step).await.unwrap();
        rebuild.switch().await.unwrap();
    }
    reading.await.unwrap();
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn what_a_crash_leaves_behind_is_swept() {
    let schema = Schema::new();
    let one = schema.open(1).await;
    let rebuild = one.switch().begin_rebuild().await.unwrap();
    let generations = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE '$s_g%'";
    assert_eq!(schema.ask(generations).await.len(), 2);
    // It is being built: nobody takes it for a leftover.
    schema.open_beside(1).await.close().await;
    assert_eq!(schema.ask(generations).await.len(), 2);
    // The builder's process is gone, and said nothing.
    std::mem::forget(rebuild);
    schema
        .run(
            "SELECT pg_terminate_backend(l.pid)
               FROM pg_locks l JOIN pg_stat_activity a USING (pid)
              WHERE l.locktype = 'advisory' AND l.classid = hashtext('$s')::bigint::bit(32)::bigint::oid",
        )
        .await;
    let mut left = 2;
    for _ in 0..50 {
        // The backend may take a moment to end.
        schema.open_beside(1).await.close().await;
        left = schema.ask(generations).await.len();
        if left == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left, 1);
    one.close().await;
}

#[tokio::test]
async fn history_is_written_first_and_never_shown_beyond_the_head() {
    let schema = Schema::new();
    let opened = schema.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(LOG, 8, &LEDGERS);
    let (first, second) = (story.step(4, 8), story.step(4, 8));
    let projection = opened.projection();
    // Out of reach: nothing moves.
    schema.history.fail_next(1);
    let failed = apply(&*projection, &first).await;
    assert!(
        matches!(failed, Err(ProjectionError::Unavailable(_))),
        "{failed:?}"
    );
    assert_eq!(projection.checkpoint(0).await.unwrap(), None);
    assert_eq!(opened.views().ledgers(None, 10).await.unwrap(), []);
    apply(&*projection, &first).await.unwrap();
    apply(&plain, &first).await.unwrap();
    // Ahead of the read models: what is beyond the head is not shown.
    let history = &schema.history;
    history
        .append(
            0,
            Some(&first.to),
            &second.to,
            &second.changes.ledgers,
            &second.changes.history,
        )
        .await
        .unwrap();
    let mut told = Story::new(LOG, 8, &LEDGERS);
    told.step(4, 8);
    assert_alike(&models(&opened), &plain, 0, &LEDGERS, &told).await;
    // It lost what it had: the projector is told to fill it.
    history.lose();
    let behind = apply(&*projection, &second).await;
    assert!(
        matches!(behind, Err(ProjectionError::HistoryBehind { .. })),
        "{behind:?}"
    );
    assert_eq!(projection.checkpoint(0).await.unwrap(), Some(first.to));
    // Until that is done nobody is shown what it still has, or has again, as if it were all.
    let (ledger, account) = (&first.changes.ledgers[0], first.changes.history[0].account);
    let range = HistoryRange {
        from: 1,
        through: u64::MAX,
        newest_first: false,
    };
    let (views, now) = (opened.views(), second.to.recorded_at);
    let refused = async || {
        let rows = views.history(ledger, account, range, 100).await;
        let row = views.history_at(ledger, account, now).await;
        for error in [rows.map(|_| ()).unwrap_err(), row.map(|_| ()).unwrap_err()] {
            let is_behind = matches!(error, ProjectionError::HistoryBehind { .. });
            assert!(is_behind, "{error}");
        }
    };
    let fill = async |step: &Step| {
        let changes = &step.changes;
        history
            .append(
                0,
                step.from.as_ref(),
                &step.to,
                &changes.ledgers,
                &changes.history,
            )
            .await
            .unwrap();
    };
    refused().await;
    fill(&first).await;
    apply(&*projection, &second).await.unwrap();
    apply(&plain, &second).await.unwrap();
    history.lose();
    fill(&first).await;
    refused().await;
    fill(&second).await;
    let shown = views.history(ledger, account, range, 100).await.unwrap();
    assert!(!shown.is_empty());
    let whole = plain.history(ledger, account, range, 100).await;
    assert_eq!(shown, whole.unwrap());
    opened.close().await;
}
