//! A log of which the beginning is in an archive.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use ports::archive::{Archive as _, Spliced, read_back};
use ports::log::{EventLog as _, LogEntry, LogError, LogReader, Position};
use ports::memory::{MemoryArchive, MemoryLog, RandomBooks, Scribe};
use schemas::record::LogId;

async fn written(seed: u64) -> (MemoryLog, RandomBooks) {
    let scribe = Scribe::new(MemoryLog::new(LogId([5; 16]), 1)).await;
    let mut books = RandomBooks::new(scribe.clone(), "bank", seed);
    books.write(150).await;
    (scribe.log().clone(), books)
}

async fn archived(log: &MemoryLog) -> MemoryArchive {
    let archive = MemoryArchive::new(1);
    archive.append(0, None, &log.entries(0)).await.unwrap();
    archive
}

fn spliced(log: &MemoryLog, archive: &MemoryArchive) -> Spliced {
    Spliced::new(log.reader(), archive.reader())
}

async fn read_all(
    reader: &dyn LogReader,
    mut from: Position,
    bytes_max: usize,
) -> Result<Vec<LogEntry>, LogError> {
    let mut found = Vec::new();
    loop {
        let entries = reader.read(0, from, bytes_max).await?;
        let Some(last) = entries.last() else {
            return Ok(found);
        };
        from = Position(last.position.0 + 1);
        found.extend(entries);
    }
}

/// The entries of a log that was trimmed before the record of `begin`: control entries before it
/// are gone.
fn expected(log: &MemoryLog, begin: u64) -> Vec<LogEntry> {
    let mut entries = log.entries(0);
    let first = entries
        .iter()
        .find(|entry| entry.record_count > 0 && entry.next_sequence() > begin)
        .map_or(0, |entry| entry.position.0);
    entries.retain(|entry| entry.record_count > 0 || entry.position.0 >= first);
    entries
}

#[tokio::test]
async fn wherever_the_log_begins_it_reads_as_one() {
    let (log, _) = written(1).await;
    let archive = archived(&log).await;
    let reader = spliced(&log, &archive);
    let whole = log.entries(0);
    let last = *log.watch(0).borrow() - 1;
    for begin in [1, 2, 20, 75, last] {
        if begin > 1 {
            log.trim(0, begin);
        }
        let expected = match begin {
            1 => whole.clone(),
            begin => expected(&log, begin),
        };
        for bytes_max in [1, 2_000, 1 << 30] {
            let found = read_all(&reader, Position(0), bytes_max).await.unwrap();
            assert!(found == expected, "begins at {begin}, by {bytes_max} bytes");
            // One that was made only now knows nothing of how the log began before.
            let fresh = spliced(&log, &archive);
            let found = read_all(&fresh, Position(0), bytes_max).await.unwrap();
            assert!(found == expected, "begins at {begin}, by {bytes_max} bytes");
        }
        for entry in expected.iter().filter(|entry| entry.record_count > 0) {
            let found = reader.read(0, entry.position, 1).await.unwrap();
            assert!(found.first() == Some(entry));
            for sequence in [entry.first_sequence, entry.next_sequence() - 1] {
                let found = reader.entry_of(0, sequence).await.unwrap();
                assert!(found.as_ref() == Some(entry), "record {sequence}");
            }
        }
        assert_eq!(reader.begins(0).await.unwrap().sequence, 1);
        assert!(reader.entry_of(0, last + 1).await.unwrap().is_none());
        assert_eq!(*reader.watch(0).borrow(), last + 1);
    }
}

#[tokio::test]
async fn what_is_neither_in_the_log_nor_in_the_archive_is_never_passed_over() {
    let (log, mut books) = written(2).await;
    let archive = archived(&log).await;
    books.write(100).await;
    let archived_through = *archive.reader().watch(0).borrow() - 1;
    log.trim(0, archived_through + 20);
    let reader = spliced(&log, &archive);
    let begin = log.begins(0).await.unwrap();

    // Below, the archive is read as far as it goes; then comes an error, not the next entry.
    let found = read_all(&reader, Position(0), 500).await;
    assert!(matches!(found, Err(LogError::Unusable(_))), "{found:?}");
    let first = reader.read(0, Position(0), 500).await.unwrap();
    assert_eq!(first[0].first_sequence, 1);
    let between = Position(begin.position.0 - 1);
    let found = reader.read(0, between, 500).await;
    assert!(matches!(found, Err(LogError::Unusable(_))), "{found:?}");
    assert_eq!(reader.begins(0).await.unwrap(), begin);

    // An archive without anything.
    let reader = spliced(&log, &MemoryArchive::new(1));
    let found = reader.read(0, Position(0), 500).await;
    assert!(matches!(found, Err(LogError::Unusable(_))), "{found:?}");
    // From where the log begins, nothing of the archive is needed.
    let found = read_all(&reader, begin.position, 500).await.unwrap();
    assert_eq!(found[0].first_sequence, begin.sequence);
}

#[tokio::test]
async fn who_reads_while_the_log_is_trimmed_misses_nothing() {
    let (log, _) = written(3).await;
    let archive = archived(&log).await;
    let reader = spliced(&log, &archive);
    let whole: Vec<LogEntry> = log.entries(0);
    let records = |entries: &[LogEntry]| -> Vec<LogEntry> {
        let entries = entries.iter().filter(|entry| entry.record_count > 0);
        entries.cloned().collect()
    };
    let last = *log.watch(0).borrow() - 1;
    let mut from = Position(0);
    let mut found = Vec::new();
    loop {
        let entries = reader.read(0, from, 300).await.unwrap();
        let Some(end) = entries.last() else { break };
        from = Position(end.position.0 + 1);
        let next = end.next_sequence();
        found.extend(entries);
        // The log is trimmed ahead of who reads.
        log.trim(0, (next + 40).min(last));
    }
    assert!(records(&found) == records(&whole));
}

#[tokio::test]
async fn an_unreachable_archive_is_tried_again_and_the_log_does_without() {
    let (log, _) = written(4).await;
    let archive = archived(&log).await;
    log.trim(0, 50);
    let reader = spliced(&log, &archive);
    archive.fail_next(1);
    let found = reader.read(0, Position(0), 500).await;
    assert!(matches!(found, Err(LogError::Unavailable(_))), "{found:?}");
    assert!(reader.read(0, Position(0), 500).await.is_ok());
    archive.fail_next(1);
    let begin = log.begins(0).await.unwrap();
    assert!(reader.read(0, begin.position, 500).await.is_ok());
}

#[tokio::test]
async fn an_archive_is_held_against_the_log_before_it_is_trimmed() {
    let (log, mut books) = written(5).await;
    let archive = archived(&log).await;
    let through = *log.watch(0).borrow();
    books.write(20).await;

    let begin = read_back(&*log.reader(), &*archive.reader(), 0, through).await;
    let begin = begin.unwrap();
    assert_eq!(begin.sequence, through);
    let some = read_back(&*log.reader(), &*archive.reader(), 0, 60)
        .await
        .unwrap();
    assert!(some.sequence <= 60 && some.sequence > 1, "{some:?}");
    let entry = log
        .reader()
        .entry_of(0, some.sequence)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(entry.first_sequence, some.sequence, "between two entries");
    assert!(entry.position >= some.position);

    // What the archive lacks is not trimmed.
    let lacks = read_back(&*log.reader(), &*archive.reader(), 0, u64::MAX).await;
    assert!(matches!(lacks, Err(LogError::Damaged { .. })), "{lacks:?}");

    for wrong in 0..3 {
        let archive = archived(&log).await;
        archive.tamper(0, |entries| {
            let middle = entries.len() / 2;
            match wrong {
                0 => {
                    let mut body = entries[middle].body.to_vec();
                    body[0] ^= 1;
                    entries[middle].body = body.into();
                }
                1 => drop(entries.remove(middle)),
                _ => entries[middle].record_count += 1,
            }
        });
        let damaged = read_back(&*log.reader(), &*archive.reader(), 0, through).await;
        assert!(
            matches!(damaged, Err(LogError::Damaged { .. })),
            "{wrong}: {damaged:?}"
        );
    }
    let _: Arc<dyn LogReader> = Arc::new(spliced(&log, &archive));
}
