//! The committer alone: full disks, refused batches, a medium that fails.

use super::super::schema::{self, Meta};
use super::*;
use schemas::record::LogId;

struct Log {
    _dir: tempfile::TempDir,
    committer: Committer,
    next: watch::Receiver<u64>,
}

impl Log {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let meta = Meta {
            log_id: LogId([1; 16]),
            shard_count: 2,
        };
        schema::make(&path, meta).await.unwrap();
        let options = schema::writer_options(&path);
        let connection = schema::connect(&options, &path).await.unwrap();
        let (sender, next) = watch::channel(1);
        let (_, requests) = mpsc::channel(1);
        let senders = vec![sender, watch::channel(1).0];
        Self {
            _dir: dir,
            committer: Committer::new(connection, requests, senders, path),
            next,
        }
    }

    async fn claim(&mut self, shard: u32) -> Result<i64, LogError> {
        let (answer, answered) = oneshot::channel();
        let barrier = Bytes::from_static(b"barrier");
        let request = Request::Claim(shard, barrier, answer);
        self.committer.serve(vec![request]).await;
        answered.await.unwrap()
    }

    /// Commits batches of one record, given as (shard, sequence, claim, bytes), as one group.
    async fn commit(&mut self, batches: &[(u32, i64, i64, usize)]) -> Vec<CommitOutcome> {
        let mut waiting = Vec::new();
        let mut work = Vec::new();
        for &(shard, first_sequence, claim, bytes) in batches {
            let (answer, answered) = oneshot::channel();
            let body = Bytes::from(vec![7; bytes]);
            let sealed = Sealed {
                shard,
                epoch: 1,
                first_sequence,
                record_count: 1,
                claim,
                hash: entry::hash(shard, first_sequence as u64, 1, 1, &body),
                body,
            };
            work.push(Request::Commit(sealed, answer));
            waiting.push(answered);
        }
        self.committer.serve(work).await;
        let mut outcomes = Vec::new();
        for answered in waiting {
            outcomes.push(answered.await.unwrap());
        }
        outcomes
    }

    async fn pragma(&mut self, text: &'static str) -> i64 {
        sqlx::query_scalar(text)
            .fetch_one(&mut self.committer.connection)
            .await
            .unwrap()
    }

    async fn entries(&mut self) -> i64 {
        self.pragma("SELECT count(*) FROM entries").await
    }
}

fn committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed(_))
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_service_goes_on_when_there_is_room() {
    let mut log = Log::new().await;
    let claim = log.claim(0).await.unwrap();
    let other = log.claim(1).await.unwrap();
    log.pragma("PRAGMA max_page_count = 20").await;
    for group in [
        &[(0, 1, claim, 500_000)][..],
        &[(1, 1, other, 500_000), (0, 1, claim, 10)][..],
    ] {
        for outcome in log.commit(group).await {
            assert!(matches!(outcome, CommitOutcome::Full(_)), "{outcome:?}");
        }
    }
    assert_eq!(log.entries().await, 2, "the two barriers");
    assert_eq!(*log.next.borrow(), 1);
    assert!(log.commit(&[(0, 1, claim, 10)]).await.iter().all(committed));
    log.pragma("PRAGMA max_page_count = 1000000").await;
    let both = [(0, 2, claim, 500_000), (1, 1, other, 500_000)];
    assert!(log.commit(&both).await.iter().all(committed));
    assert_eq!(*log.next.borrow(), 3);
    assert_eq!(log.entries().await, 5);
}

#[tokio::test]
async fn a_claim_on_a_full_disk_can_be_tried_again() {
    let mut log = Log::new().await;
    let pages = log.pragma("PRAGMA page_count").await;
    log.pragma("PRAGMA max_page_count = 1").await;
    let mut refused = false;
    for _ in 0..400 {
        if let Err(error) = log.claim(0).await {
            assert!(matches!(error, LogError::Unavailable(_)), "{error}");
            refused = true;
            break;
        }
    }
    assert!(refused, "{pages} pages never ran out");
    log.pragma("PRAGMA max_page_count = 1000000").await;
    log.claim(0).await.unwrap();
}

#[tokio::test]
async fn a_refused_batch_takes_nobody_with_it() {
    let mut log = Log::new().await;
    let old = log.claim(0).await.unwrap();
    let claim = log.claim(0).await.unwrap();
    let other = log.claim(1).await.unwrap();
    let outcomes = log
        .commit(&[
            (0, 1, old, 10),
            (1, 5, other, 10),
            (0, 1, claim, 10),
            (1, 1, other, 10),
        ])
        .await;
    assert!(
        matches!(outcomes[0], CommitOutcome::Fenced(_)),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[1], CommitOutcome::Aborted(_)),
        "{outcomes:?}"
    );
    assert!(outcomes[2..].iter().all(committed), "{outcomes:?}");
    assert_eq!(log.entries().await, 5);
}

#[tokio::test]
async fn an_error_of_the_medium_ends_service() {
    let mut log = Log::new().await;
    let claim = log.claim(0).await.unwrap();
    let error = sqlx::Error::Io(std::io::Error::other("the device is gone"));
    let failure = log.committer.failed(&error);
    assert!(matches!(failure, Failure::Indeterminate(_)));
    let outcomes = log.commit(&[(0, 1, claim, 10)]).await;
    assert!(
        matches!(outcomes[0], CommitOutcome::Indeterminate(_)),
        "{outcomes:?}"
    );
    let error = log.claim(0).await.unwrap_err();
    assert!(matches!(error, LogError::Unusable(_)), "{error}");
    assert_eq!(log.entries().await, 1);
}

#[tokio::test]
async fn rows_are_neither_changed_nor_removed() {
    let mut log = Log::new().await;
    let claim = log.claim(0).await.unwrap();
    assert!(log.commit(&[(0, 1, claim, 10)]).await.iter().all(committed));
    for text in ["UPDATE entries SET epoch = 2", "DELETE FROM entries"] {
        let done = sqlx::query(text)
            .execute(&mut log.committer.connection)
            .await;
        assert!(done.is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_checkpoint_moves_the_wal_into_the_file() {
    let mut log = Log::new().await;
    let claim = log.claim(0).await.unwrap();
    for n in 1..=10 {
        assert!(
            log.commit(&[(0, n, claim, 900_000)])
                .await
                .iter()
                .all(committed)
        );
    }
    assert!(log.committer.wal_bytes > CHECKPOINT_IDLE_BYTES);
    log.committer.checkpoint_if_due().await;
    assert_eq!(log.committer.wal_bytes, 0);
    assert!(log.committer.path.metadata().unwrap().len() > 9_000_000);
    assert!(
        log.commit(&[(0, 11, claim, 10)])
            .await
            .iter()
            .all(committed)
    );
}
