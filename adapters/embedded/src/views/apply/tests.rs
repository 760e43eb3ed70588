//! Applying to a file that is full, and for a caller who goes away.

use ports::conformance::story::Story;
use schemas::record::LogId;

use super::*;
use crate::views::generation::Found;

async fn pages_at_most(generation: &Generation, pragma: &'static str) {
    let mut writer = generation.writer.lock().await;
    sqlx::query(pragma)
        .fetch_one(&mut writer.as_mut().unwrap().connection)
        .await
        .unwrap();
}

async fn checkpoint(generation: &Generation) -> Option<Checkpoint> {
    let mut connection = generation.readers.acquire().await.unwrap();
    read_checkpoint(&mut connection, generation.log_id, 0)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_applying_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let log_id = LogId([3; 16]);
    let opened = Generation::open(&dir.path().join("views.db"), log_id, 1).await;
    let Ok(Found::Usable(generation)) = opened else {
        panic!("it was not opened");
    };
    let mut story = Story::new(log_id, 5, &["a", "b"]);
    let first = story.step(5, 20);
    let second = story.step(60, 60);
    generation
        .apply(0, None, &first.to, first.changes)
        .await
        .unwrap();
    pages_at_most(&generation, "PRAGMA max_page_count = 40").await;
    for _ in 0..3 {
        let full = generation
            .apply(0, Some(&first.to), &second.to, second.changes.clone())
            .await;
        assert!(
            matches!(full, Err(ProjectionError::Unavailable(_))),
            "{full:?}"
        );
        assert_eq!(checkpoint(&generation).await, Some(first.to));
    }
    pages_at_most(&generation, "PRAGMA max_page_count = 1000000").await;
    generation
        .apply(0, Some(&first.to), &second.to, second.changes)
        .await
        .unwrap();
    assert_eq!(checkpoint(&generation).await, Some(second.to));
    generation.close().await;
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let log_id = LogId([3; 16]);
    let opened = Generation::open(&dir.path().join("views.db"), log_id, 1).await;
    let Ok(Found::Usable(generation)) = opened else {
        panic!("it was not opened");
    };
    let step = Story::new(log_id, 6, &["a"]).step(30, 60);
    for polls in 1..40 {
        let mut applying = Box::pin(generation.apply(0, None, &step.to, step.changes.clone()));
        for _ in 0..polls {
            let waited = std::time::Duration::from_micros(150);
            if tokio::time::timeout(waited, &mut applying).await.is_ok() {
                break;
            }
        }
        drop(applying);
        if checkpoint(&generation).await.is_some() {
            break;
        }
    }
    if checkpoint(&generation).await.is_none() {
        generation
            .apply(0, None, &step.to, step.changes.clone())
            .await
            .unwrap();
    }
    let again = generation.apply(0, None, &step.to, step.changes).await;
    assert!(
        matches!(again, Err(ProjectionError::CheckpointMoved { .. })),
        "{again:?}"
    );
    generation.close().await;
}
