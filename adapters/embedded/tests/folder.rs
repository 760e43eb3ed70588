//! Folders as they are found: in use, of another version, damaged, left behind by a crash.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use adapter_embedded::{Embedded, OpenError, Options};
use ports::conformance::samples::{barrier, batch};
use ports::conformance::story::Story;
use ports::log::{CommitOutcome, LogError, LogWriter, Position};
use ports::projection::ProjectionError;
use schemas::record::LogId;
use sqlx::{ConnectOptions as _, Connection as _};

fn create() -> Options {
    Options {
        create: true,
        ..Options::default()
    }
}

async fn open(dir: &Path) -> Embedded {
    Embedded::open(dir, create()).await.unwrap()
}

async fn refused(dir: &Path, options: Options) -> OpenError {
    match Embedded::open(dir, options).await {
        Err(error) => error,
        Ok(_) => panic!("it was opened"),
    }
}

async fn sql(file: &Path, text: &'static str) {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Commits `count` batches of three records to shard 0, from `first` on.
async fn fill(opened: &Embedded, first: u64, count: u64) -> Box<dyn LogWriter> {
    let log = opened.log();
    let mut writer = log.claim(0, barrier(1)).await.unwrap();
    for n in 0..count {
        let batch = batch(log.log_id(), 0, 1, first + n * 3, 3, 2_000);
        let outcome = writer.commit(batch).await;
        assert!(
            matches!(outcome, CommitOutcome::Committed(_)),
            "{outcome:?}"
        );
    }
    writer
}

async fn project(opened: &Embedded, story: &mut Story) {
    let step = story.step(3, 9);
    opened
        .projection()
        .apply(0, step.from.as_ref(), &step.to, step.changes)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_folder_in_use_names_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    let error = refused(dir.path(), create()).await;
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    opened.close().await;
    open(dir.path()).await.close().await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let error = refused(&missing, Options::default()).await;
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(!missing.exists());
    let error = refused(dir.path(), Options::default()).await;
    assert!(
        matches!(error, OpenError::Log(LogError::Unusable(_))),
        "{error}"
    );
    assert!(Embedded::open_read_only(dir.path()).await.is_err());
}

#[tokio::test]
async fn shards_and_id_never_change() {
    let dir = tempfile::tempdir().unwrap();
    let options = |shards, id| Options {
        shards,
        create: true,
        log_id: Some(LogId([id; 16])),
        ..Options::default()
    };
    let opened = Embedded::open(dir.path(), options(Some(3), 7))
        .await
        .unwrap();
    assert_eq!(opened.log().log_id(), LogId([7; 16]));
    opened.close().await;
    for wrong in [
        options(Some(2), 7),
        options(Some(3), 8),
        options(Some(0), 7),
    ] {
        let error = refused(dir.path(), wrong).await;
        assert!(
            matches!(error, OpenError::Log(LogError::Unusable(_))),
            "{error}"
        );
    }
    let opened = open(dir.path()).await;
    assert_eq!(opened.log().shard_count(), 3, "whatever the folder has");
    opened.close().await;
}

#[tokio::test]
async fn ids_are_made_at_random() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (a, b) = (open(a.path()).await, open(b.path()).await);
    assert_ne!(a.log().log_id(), b.log().log_id());
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused() {
    for file in ["log.db", "views.db"] {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).await.close().await;
        sql(&dir.path().join(file), "UPDATE meta SET format = 99").await;
        let text = refused(dir.path(), create()).await.to_string();
        assert!(text.contains("FOLDER_TOO_NEW"), "{file}: {text}");
    }
}

#[tokio::test]
async fn read_models_of_an_earlier_version_are_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    project(&opened, &mut Story::new(opened.log().log_id(), 1, &["a"])).await;
    opened.close().await;
    sql(&dir.path().join("views.db"), "UPDATE meta SET format = 0").await;
    let opened = open(dir.path()).await;
    assert_eq!(opened.projection().checkpoint(0).await.unwrap(), None);
    opened.close().await;
}

#[tokio::test]
async fn read_models_of_another_log_are_refused() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(a.path()).await.close().await;
    open(b.path()).await.close().await;
    std::fs::copy(a.path().join("views.db"), b.path().join("views.db")).unwrap();
    let error = refused(b.path(), create()).await;
    assert!(
        matches!(error, OpenError::Views(ProjectionError::Unusable(_))),
        "{error}"
    );
    // The lock was given back with the error.
    let options = Options {
        discard_views: true,
        ..create()
    };
    Embedded::open(b.path(), options)
        .await
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn files_that_are_no_databases_are_damaged() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.close().await;
    let log = std::fs::read(dir.path().join("log.db")).unwrap();
    std::fs::write(dir.path().join("log.db"), vec![0x5a; 20_000]).unwrap();
    let error = refused(dir.path(), create()).await;
    assert!(
        matches!(error, OpenError::Log(LogError::Damaged { .. })),
        "{error}"
    );
    std::fs::write(dir.path().join("log.db"), log).unwrap();
    std::fs::write(dir.path().join("views.db"), vec![0x5a; 20_000]).unwrap();
    let error = refused(dir.path(), create()).await;
    assert!(
        matches!(error, OpenError::Views(ProjectionError::Unusable(_))),
        "{error}"
    );
    let beside = Embedded::open_read_only(dir.path()).await.unwrap();
    assert!(!beside.has_views(), "and the log can be read all the same");
    assert!(beside.views().heads(0).await.is_err());
    assert!(
        beside
            .log()
            .reader()
            .read(0, Position(0), 1)
            .await
            .unwrap()
            .is_empty()
    );
    beside.close().await;
}

/// Flips one byte after another, far apart, over the whole log: each is either seen, or in a
/// place that holds nothing (free space), and then everything is still read as it was written.
#[tokio::test]
async fn a_flipped_byte_is_seen_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    drop(fill(&opened, 1, 30).await);
    let log = opened.log();
    let whole = log.reader().read(0, Position(0), 1 << 30).await.unwrap();
    drop(log);
    opened.close().await;
    let file = dir.path().join("log.db");
    let sound = std::fs::read(&file).unwrap();
    let (mut seen, mut harmless) = (0, 0);
    for at in (0..sound.len()).step_by(sound.len() / 97) {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x41;
        std::fs::write(&file, &bytes).unwrap();
        let read = async {
            let opened = Embedded::open(dir.path(), Options::default()).await.ok()?;
            let reader = opened.log().reader();
            let mut found = Vec::new();
            let mut from = Position(0);
            let all = loop {
                match reader.read(0, from, 1 << 30).await {
                    Ok(entries) if entries.is_empty() => break Some(found),
                    Ok(entries) => {
                        from = Position(entries[entries.len() - 1].position.0 + 1);
                        found.extend(entries);
                    }
                    Err(_) => break None,
                }
            };
            opened.close().await;
            all
        };
        match read.await {
            None => seen += 1,
            Some(found) => {
                // A cut tail and a missing entry are seen by whoever follows the sequences.
                let mut next = 1;
                let contiguous = found.iter().all(|entry| {
                    let right = entry.first_sequence == next;
                    next = entry.next_sequence();
                    right
                });
                assert!(
                    found == whole || !contiguous,
                    "byte {at} changed what is read"
                );
                harmless += 1;
            }
        }
    }
    assert!(seen > 50, "{seen} seen, {harmless} harmless");
}

#[tokio::test]
async fn what_a_crash_leaves_in_the_wal_is_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    let _writer = fill(&opened, 1, 20).await;
    let mut story = Story::new(opened.log().log_id(), 2, &["a"]);
    project(&opened, &mut story).await;
    // The files as they stand while it runs: what a SIGKILL would leave.
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    assert!(copy.path().join("log.db-wal").metadata().unwrap().len() > 0);
    let crashed = open(copy.path()).await;
    let log = crashed.log();
    assert_eq!(*log.reader().watch(0).borrow(), 61);
    let entries = log.reader().read(0, Position(0), 1 << 30).await.unwrap();
    assert_eq!(entries.len(), 21);
    assert_eq!(
        crashed.projection().checkpoint(0).await.unwrap(),
        story.checkpoint()
    );
    drop(fill(&crashed, 61, 1).await);
    crashed.close().await;
    opened.close().await;
}

/// What a process that was killed while it made the log has left is no log, and in nobody's way.
#[tokio::test]
async fn a_log_is_made_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(Embedded::is_new(&missing).unwrap());
    for left in [
        &[][..],
        &["daybook.lock"],
        &["daybook.lock", "log.db.new"],
        &[
            "daybook.lock",
            "log.db.new",
            "log.db.new-wal",
            "log.db.new-shm",
        ],
        &["daybook.lock", "log.db.new", "log.db.new-journal"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        for name in left {
            std::fs::write(dir.path().join(name), "half of something").unwrap();
        }
        assert!(Embedded::is_new(dir.path()).unwrap(), "{left:?}");
        let error = refused(dir.path(), Options::default()).await;
        assert!(error.to_string().contains("does not exist"), "{error}");
        let opened = open(dir.path()).await;
        drop(fill(&opened, 1, 2).await);
        assert!(!Embedded::is_new(dir.path()).unwrap());
        opened.close().await;
        let names = std::fs::read_dir(dir.path()).unwrap();
        for name in names.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
            assert!(!name.contains("new"), "{left:?} leaves {name}");
        }
        let again = Embedded::open(dir.path(), Options::default())
            .await
            .unwrap();
        assert_eq!(*again.log().reader().watch(0).borrow(), 7);
        again.close().await;
    }
}

/// No new log takes the place of one that is gone: keys would be taken twice, and balances be zero.
#[tokio::test]
async fn a_log_that_is_gone_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    drop(fill(&opened, 1, 2).await);
    let copy = tempfile::tempdir().unwrap();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    opened.close().await;
    let log = dir.path().join("log.db");
    let whole = std::fs::read(&log).unwrap();

    std::fs::remove_file(&log).unwrap();
    let error = refused(dir.path(), create()).await;
    assert!(matches!(error, OpenError::LogGone { .. }), "{error}");
    assert!(!log.exists());
    std::fs::write(&log, whole).unwrap();
    open(dir.path()).await.close().await;

    // Empty, it is not taken for a new one, and what its WAL holds is left alone.
    let young = std::fs::read(copy.path().join("log.db")).unwrap();
    std::fs::write(copy.path().join("log.db"), "").unwrap();
    for options in [create(), Options::default()] {
        let error = refused(copy.path(), options).await;
        assert!(error.to_string().contains("is empty"), "{error}");
    }
    assert!(Embedded::open_read_only(copy.path()).await.is_err());
    assert!(!Embedded::is_new(copy.path()).unwrap());
    std::fs::write(copy.path().join("log.db"), young).unwrap();
    let opened = open(copy.path()).await;
    assert_eq!(*opened.log().reader().watch(0).borrow(), 7);
    opened.close().await;
}

#[tokio::test]
async fn a_torn_end_of_the_wal_loses_only_what_was_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    let _writer = fill(&opened, 1, 10).await;
    let copy = tempfile::tempdir().unwrap();
    for name in ["log.db", "log.db-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let wal = copy.path().join("log.db-wal");
    let whole = std::fs::read(&wal).unwrap();
    let mut last = 0;
    for cut in (0..=whole.len()).step_by(whole.len() / 40) {
        std::fs::write(&wal, &whole[..cut]).unwrap();
        let file = copy.path().join("log.db");
        let before = std::fs::read(&file).unwrap();
        let opened = Embedded::open(copy.path(), Options::default())
            .await
            .unwrap();
        let entries = opened
            .log()
            .reader()
            .read(0, Position(0), 1 << 30)
            .await
            .unwrap();
        let whole_entries = entries
            .iter()
            .filter(|entry| entry.record_count > 0)
            .count();
        assert!(whole_entries >= last, "a longer WAL holds no less");
        last = whole_entries;
        opened.close().await;
        std::fs::write(&file, before).unwrap();
    }
    assert!(last >= 9);
    opened.close().await;
}

#[tokio::test]
async fn reading_beside_a_server_sees_what_it_commits() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    let mut writer = fill(&opened, 1, 2).await;
    let beside = Embedded::open_read_only(dir.path()).await.unwrap();
    assert!(beside.has_views());
    let reader = beside.log().reader();
    assert_eq!(reader.read(0, Position(0), 1 << 20).await.unwrap().len(), 3);
    let more = batch(opened.log().log_id(), 0, 1, 7, 1, 10);
    assert!(matches!(
        writer.commit(more).await,
        CommitOutcome::Committed(_)
    ));
    assert_eq!(reader.read(0, Position(0), 1 << 20).await.unwrap().len(), 4);
    assert!(beside.log().claim(0, barrier(2)).await.is_err());
    let step = Story::new(opened.log().log_id(), 3, &["a"]).step(1, 1);
    let refused = beside
        .projection()
        .apply(0, None, &step.to, step.changes)
        .await;
    assert!(refused.is_err());
    assert_eq!(
        beside.check_log_pages().await.unwrap(),
        Vec::<String>::new()
    );
    beside.close().await;
    opened.close().await;
}

#[tokio::test]
async fn closed_handles_answer_with_errors() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    let mut writer = fill(&opened, 1, 1).await;
    let (log, projection, views) = (opened.log(), opened.projection(), opened.views());
    opened.close().await;
    let outcome = writer.commit(batch(log.log_id(), 0, 1, 4, 1, 1)).await;
    assert!(matches!(outcome, CommitOutcome::Fenced(_)), "{outcome:?}");
    assert!(log.claim(0, barrier(3)).await.is_err());
    assert!(log.reader().read(0, Position(0), 1).await.is_err());
    assert!(projection.checkpoint(0).await.is_err());
    assert!(views.heads(0).await.is_err());
    let again = open(dir.path()).await;
    assert_eq!(*again.log().reader().watch(0).borrow(), 4);
    again.close().await;
}

#[tokio::test]
async fn what_a_cut_off_rebuild_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let opened = open(dir.path()).await;
    let mut story = Story::new(opened.log().log_id(), 4, &["a"]);
    project(&opened, &mut story).await;
    opened.close().await;
    for name in ["views-7.db", "views-7.db-wal", "views.current.new"] {
        std::fs::write(dir.path().join(name), "half").unwrap();
    }
    std::fs::write(dir.path().join("views.current"), "views-9.db\n").unwrap();
    let opened = open(dir.path()).await;
    assert_eq!(
        opened.projection().checkpoint(0).await.unwrap(),
        story.checkpoint()
    );
    assert!(!dir.path().join("views-7.db").exists());
    assert!(!dir.path().join("views-7.db-wal").exists());
    // A switch, and a crash right behind it: the old file is still there, and is not taken.
    let rebuild = opened.switch().begin_rebuild().await.unwrap();
    rebuild.switch().await.unwrap();
    assert_eq!(opened.projection().checkpoint(0).await.unwrap(), None);
    opened.close().await;
    std::fs::write(dir.path().join("views.db"), "old").unwrap();
    let opened = open(dir.path()).await;
    assert_eq!(opened.projection().checkpoint(0).await.unwrap(), None);
    assert!(!dir.path().join("views.db").exists());
    opened.close().await;
}
