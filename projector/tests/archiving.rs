//! An archiver against a log and an archive in memory.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use ports::archive::Archive as _;
use ports::log::{EventLog, LogEntry, Position};
use ports::memory::{MemoryArchive, MemoryLog, RandomBooks, Scribe};
use projector::State;
use projector::archive::{ArchiveStatus, Archiver, spawn};
use schemas::record::LogId;

const LOG: LogId = LogId([3; 16]);

async fn books(seed: u64) -> (MemoryLog, RandomBooks) {
    let scribe = Scribe::new(MemoryLog::new(LOG, 1)).await;
    let mut books = RandomBooks::new(scribe.clone(), "bank", seed);
    books.write(150).await;
    (scribe.log().clone(), books)
}

fn follow(log: &MemoryLog, archive: &MemoryArchive) -> Archiver {
    spawn(0, log.reader(), Arc::new(archive.clone())).unwrap()
}

async fn until(archiver: &Archiver, reached: impl FnMut(&ArchiveStatus) -> bool) -> ArchiveStatus {
    let mut watch = archiver.watch();
    let waited = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(reached));
    waited.await.expect("in time").unwrap().clone()
}

fn last(log: &MemoryLog) -> u64 {
    *log.reader().watch(0).borrow() - 1
}

async fn caught_up(log: &MemoryLog, archiver: &Archiver) {
    let last = last(log);
    let status = until(archiver, |status| status.archived() == last).await;
    assert_eq!(status.lag_records(), 0);
}

async fn failure(log: &MemoryLog, archive: &MemoryArchive) -> &'static str {
    let archiver = follow(log, archive);
    match until(&archiver, |status| !status.is_alive()).await.state {
        State::Failed(failure) => failure.code(),
        state => panic!("{state:?}"),
    }
}

fn with_records(log: &MemoryLog) -> Vec<LogEntry> {
    let mut entries = log.entries(0);
    entries.retain(|entry| entry.record_count > 0);
    entries
}

async fn archived(archive: &MemoryArchive) -> Vec<LogEntry> {
    let read = archive.reader().read(0, Position(0), usize::MAX).await;
    read.unwrap()
}

#[tokio::test]
async fn it_follows_stops_and_goes_on_where_it_was() {
    let (log, mut books) = books(1).await;
    let archive = MemoryArchive::new(1);
    for _ in 0..3 {
        let archiver = follow(&log, &archive);
        books.write(20).await;
        caught_up(&log, &archiver).await;
        assert!(archived(&archive).await == with_records(&log));
        let status = archiver.stop().await;
        assert!(matches!(status.state, State::Stopped), "{status:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_tried_again() {
    let (log, _) = books(2).await;
    let archive = MemoryArchive::new(1);
    archive.fail_next(3);
    let archiver = follow(&log, &archive);
    caught_up(&log, &archiver).await;
    archiver.stop().await;
    assert!(archived(&archive).await == with_records(&log));
}

#[tokio::test]
async fn a_lost_archive_is_made_again_from_the_log() {
    let (log, mut books) = books(3).await;
    let archive = MemoryArchive::new(1);
    let archiver = follow(&log, &archive);
    for _ in 0..2 {
        caught_up(&log, &archiver).await;
        archive.lose();
        books.write(10).await;
    }
    caught_up(&log, &archiver).await;
    archiver.stop().await;
    assert!(archived(&archive).await == with_records(&log));
}

#[tokio::test]
async fn two_archivers_archive_once() {
    let (log, mut books) = books(4).await;
    let archive = MemoryArchive::new(1);
    let both = [follow(&log, &archive), follow(&log, &archive)];
    for _ in 0..5 {
        books.write(10).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for archiver in &both {
        caught_up(&log, archiver).await;
    }
    assert!(archived(&archive).await == with_records(&log));
    for archiver in &both {
        let status = archiver.stop().await;
        assert!(matches!(status.state, State::Stopped), "{status:?}");
    }
}

#[tokio::test]
async fn it_does_not_pass_over_what_was_trimmed() {
    let (log, mut books) = books(5).await;
    let archive = MemoryArchive::new(1);
    let archiver = follow(&log, &archive);
    caught_up(&log, &archiver).await;
    archiver.stop().await;
    // Trimmed below what is archived: it goes on.
    log.trim(0, last(&log) / 2);
    books.write(10).await;
    let archiver = follow(&log, &archive);
    caught_up(&log, &archiver).await;
    // Lost since: its beginning is nowhere any more.
    archive.lose();
    books.write(10).await;
    let status = until(&archiver, |status| !status.is_alive()).await;
    let State::Failed(failure) = status.state else {
        panic!("{:?}", status.state)
    };
    assert_eq!(failure.code(), "LOG_TRIMMED", "{failure}");
    assert!(archived(&archive).await.is_empty());
}

#[tokio::test]
async fn an_archive_of_another_past_is_refused() {
    let (log, mut books) = books(6).await;
    let short = log.tampered(|_, _| {});
    books.write(40).await;
    let archive = MemoryArchive::new(1);
    let archiver = follow(&log, &archive);
    caught_up(&log, &archiver).await;
    archiver.stop().await;
    assert_eq!(failure(&short, &archive).await, "LOG_BEHIND");

    let other = log.tampered(|_, entries| {
        let last = entries.last_mut().unwrap();
        let mut body = last.body.to_vec();
        body[0] ^= 1;
        last.body = body.into();
    });
    assert_eq!(failure(&other, &archive).await, "LOG_DIVERGED");
}

#[tokio::test]
async fn a_log_with_a_hole_is_not_archived_past_it() {
    let (log, _) = books(7).await;
    let missing = log.tampered(|_, entries| {
        let middle = entries.len() / 2;
        let at = middle
            + entries[middle..]
                .iter()
                .position(|entry| entry.record_count > 0)
                .unwrap();
        entries.remove(at);
    });
    let archive = MemoryArchive::new(1);
    assert_eq!(failure(&missing, &archive).await, "ARCHIVE_UNUSABLE");
}
