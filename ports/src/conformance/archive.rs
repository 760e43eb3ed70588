//! What every archive is held to: what it gives is what the log gave.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use schemas::record::LogId;

use super::skipped;
use crate::archive::{Archive, ArchiveMark};
use crate::log::{LogEntry, LogError, LogReader, Position};
use crate::memory::{MemoryLog, RandomBooks, Scribe};

/// An adapter's archive, to be tested.
#[async_trait]
pub trait ArchiveUnderTest: Send {
    /// Whether it can be closed and opened again.
    fn reopens(&self) -> bool;

    /// Opens the archive of a log with so many shards; makes an empty one the first time.
    async fn open(&mut self, shards: u32) -> Arc<dyn Archive>;

    /// Closes what [`Self::open`] opened.
    async fn close(&mut self);
}

/// Entries as a log has them, control entries among them.
async fn entries_of(seed: u64) -> Vec<LogEntry> {
    let scribe = Scribe::new(MemoryLog::new(LogId([5; 16]), 1)).await;
    let mut books = RandomBooks::new(scribe.clone(), "bank", seed);
    books.write(200).await;
    let mut entries = scribe.log().entries(0);
    let barrier = entries.iter().find(|entry| entry.record_count == 0);
    let mut barrier = barrier.cloned().expect("a claim is a control entry");
    // Positions with gaps, and a barrier in the middle.
    let middle = entries.len() / 2;
    barrier.first_sequence = entries[middle].first_sequence;
    entries.insert(middle, barrier);
    for (index, entry) in (0..).zip(&mut entries) {
        entry.position = Position(index * 7 + 1);
    }
    entries
}

fn with_records(entries: &[LogEntry]) -> Vec<LogEntry> {
    let records = entries.iter().filter(|entry| entry.record_count > 0);
    records.cloned().collect()
}

/// An entry of one record with these bytes.
fn entry(position: u64, first_sequence: u64, record_count: u32, bytes: usize) -> LogEntry {
    let byte = |at: usize| (at as u64).wrapping_mul(first_sequence * 2 + 1) as u8;
    LogEntry {
        position: Position(position),
        first_sequence,
        record_count,
        body: (0..bytes).map(byte).collect::<Vec<_>>().into(),
    }
}

async fn read_all(reader: &dyn LogReader, shard: u32, bytes_max: usize) -> Vec<LogEntry> {
    let mut found: Vec<LogEntry> = Vec::new();
    let mut from = Position(0);
    loop {
        let entries = reader.read(shard, from, bytes_max).await.expect("it reads");
        let Some(last) = entries.last() else {
            return found;
        };
        let bytes: usize = entries.iter().map(|entry| entry.body.len()).sum();
        assert!(
            entries.len() == 1 || bytes <= bytes_max,
            "{bytes} bytes are more than {bytes_max}"
        );
        from = Position(last.position.0 + 1);
        found.extend(entries);
    }
}

async fn assert_holds(archive: &dyn Archive, shard: u32, expected: &[LogEntry]) {
    let reader = archive.reader();
    let mark = expected.last().map(|last| ArchiveMark {
        next_sequence: last.next_sequence(),
        position: last.position,
    });
    assert_eq!(archive.mark(shard).await.expect("it answers"), mark);
    for bytes_max in [1, 3_000, 1 << 30] {
        let found = read_all(&*reader, shard, bytes_max).await;
        assert!(found == expected, "read by {bytes_max} bytes");
    }
    for entry in expected {
        let last = entry.next_sequence() - 1;
        for sequence in [entry.first_sequence, last] {
            let found = reader.entry_of(shard, sequence).await.expect("it answers");
            assert!(found.as_ref() == Some(entry), "the entry of {sequence}");
        }
        for from in [entry.position.0 - 1, entry.position.0] {
            let found = reader.read(shard, Position(from), 1).await;
            let found = found.expect("it reads");
            assert!(found.first() == Some(entry), "from position {from}");
        }
    }
    let next = expected.last().map_or(1, LogEntry::next_sequence);
    for sequence in [0, next, next + 1, u64::MAX] {
        let found = reader.entry_of(shard, sequence).await.expect("it answers");
        assert!(found.is_none(), "there is no record {sequence}");
    }
    let beyond = expected.last().map_or(0, |last| last.position.0 + 1);
    for from in [beyond, u64::MAX] {
        let found = reader.read(shard, Position(from), 1 << 20).await;
        assert!(found.expect("it reads").is_empty(), "nothing from {from}");
    }
}

/// Archives `entries`, some at a time.
async fn archive_all(
    archive: &dyn Archive,
    shard: u32,
    mut mark: Option<ArchiveMark>,
    entries: &[LogEntry],
    at_once: usize,
) -> Option<ArchiveMark> {
    for some in entries.chunks(at_once) {
        mark = archive
            .append(shard, mark, some)
            .await
            .expect("it is archived");
    }
    mark
}

/// See the name.
pub async fn an_empty_archive_knows_nothing(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(2).await;
    for shard in 0..2 {
        assert_holds(&*archive, shard, &[]).await;
        assert_eq!(*archive.reader().watch(shard).borrow(), 1);
        let begin = archive.reader().begins(shard).await.expect("it answers");
        assert_eq!(begin.sequence, 1);
    }
    test.close().await;
}

/// See the name.
pub async fn archived_entries_are_read_back_byte_for_byte(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(3).await;
    let entries = entries_of(1).await;
    for (shard, at_once) in [(0, 1), (1, 7), (2, 100_000)] {
        let mark = archive_all(&*archive, shard, None, &entries, at_once).await;
        assert!(mark.is_some());
        assert_holds(&*archive, shard, &with_records(&entries)).await;
    }
    test.close().await;
}

/// See the name.
pub async fn control_entries_are_passed_over(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(1).await;
    let barrier = |position, first_sequence| LogEntry {
        body: Bytes::from_static(b"barrier"),
        ..entry(position, first_sequence, 0, 0)
    };
    let nothing = archive.append(0, None, &[barrier(1, 1)]).await;
    assert_eq!(nothing.expect("nothing to archive"), None);
    let one = entry(5, 1, 3, 10);
    let mark = archive
        .append(0, None, &[barrier(2, 1), one.clone(), barrier(9, 4)])
        .await
        .expect("it is archived");
    assert_eq!(mark.map(|mark| mark.position), Some(Position(5)));
    let same = archive.append(0, mark, &[barrier(11, 4)]).await;
    assert_eq!(same.expect("nothing to archive"), mark);
    assert_holds(&*archive, 0, &[one]).await;
    test.close().await;
}

fn assert_unusable<T: std::fmt::Debug>(refused: Result<T, LogError>, what: &str) {
    assert!(
        matches!(refused, Err(LogError::Unusable(_))),
        "{what}: {refused:?}"
    );
}

/// See the name.
pub async fn what_does_not_follow_is_not_archived(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(1).await;
    let kept = [entry(3, 1, 2, 10), entry(6, 3, 1, 20)];
    let gap = archive.append(0, None, &[entry(3, 2, 1, 10)]).await;
    assert_unusable(gap, "the first record is missing");
    let mark = archive_all(&*archive, 0, None, &kept, 1).await;
    for (wrong, what) in [
        (entry(9, 5, 1, 10), "a gap"),
        (entry(9, 3, 1, 10), "an overlap"),
        (entry(6, 4, 1, 10), "a position that is taken"),
    ] {
        assert_unusable(archive.append(0, mark, &[wrong]).await, what);
    }
    let hole = [entry(9, 4, 1, 10), entry(10, 6, 1, 10)];
    assert_unusable(archive.append(0, mark, &hole).await, "a gap within");
    assert_holds(&*archive, 0, &kept).await;
    test.close().await;
}

/// See the name.
pub async fn a_mark_moves_only_from_where_it_is(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(1).await;
    let kept: Vec<_> = (1..=4).map(|n| entry(n * 2, n, 1, 30)).collect();
    let two = archive_all(&*archive, 0, None, &kept[..2], 2).await;
    assert_unusable(
        archive.append(0, None, &kept[..3]).await,
        "as if it were empty",
    );
    let all = archive_all(&*archive, 0, two, &kept[2..], 1).await;
    assert_unusable(archive.append(0, two, &kept[2..]).await, "from before");
    let next = entry(20, 5, 1, 1);
    let elsewhere = all.map(|mark| ArchiveMark {
        position: Position(mark.position.0 + 1),
        ..mark
    });
    assert_unusable(
        archive.append(0, elsewhere, &[next]).await,
        "from another place",
    );
    assert_holds(&*archive, 0, &kept).await;
    test.close().await;
}

/// See the name.
pub async fn who_archives_at_once_moves_the_mark_once(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(1).await;
    let entries = with_records(&entries_of(2).await);
    let mut mark = None;
    for some in entries.chunks(5) {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let (archive, some) = (Arc::clone(&archive), some.to_vec());
            tasks.spawn(async move { archive.append(0, mark, &some).await });
        }
        let mut done = Vec::new();
        while let Some(task) = tasks.join_next().await {
            match task.expect("no panic") {
                Ok(mark) => done.push(mark),
                Err(LogError::Unusable(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert!(!done.is_empty(), "one of them moves it");
        mark = done[0];
        assert!(done.iter().all(|other| *other == mark));
    }
    assert_holds(&*archive, 0, &entries).await;
    test.close().await;
}

/// See the name.
pub async fn the_largest_entry_fits(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(1).await;
    let large = 16 * 1024 * 1024 + 77;
    let kept = [
        entry(1, 1, 8_190, large),
        entry(4, 8_191, 1, 900_000),
        entry(7, 8_192, 10, large),
    ];
    archive_all(&*archive, 0, None, &kept, 3).await;
    assert_holds(&*archive, 0, &kept).await;
    test.close().await;
}

/// See the name.
pub async fn archived_shards_are_apart(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(12).await;
    let mut kept = Vec::new();
    for shard in 0..12 {
        let shift = u64::from(shard);
        let of_shard: Vec<_> = (1..=3)
            .map(|n| entry(n * 2 + shift, n, 1, 10 + shard as usize))
            .collect();
        archive_all(&*archive, shard, None, &of_shard, 2).await;
        kept.push(of_shard);
    }
    for (shard, of_shard) in (0..).zip(&kept) {
        assert_holds(&*archive, shard, of_shard).await;
    }
    test.close().await;
}

/// See the name.
pub async fn archive_watch_moves_with_the_mark(test: &mut impl ArchiveUnderTest) {
    let archive = test.open(2).await;
    let mut watch = archive.reader().watch(1);
    let mark = archive_all(&*archive, 1, None, &[entry(1, 1, 5, 10)], 1).await;
    watch.changed().await.expect("it is told");
    assert_eq!(*watch.borrow_and_update(), 6);
    archive_all(&*archive, 1, mark, &[entry(2, 6, 1, 10)], 1).await;
    watch.changed().await.expect("it is told");
    assert_eq!(*watch.borrow_and_update(), 7);
    assert_eq!(*archive.reader().watch(0).borrow(), 1);
    test.close().await;
}

/// See the name.
pub async fn what_was_archived_survives_reopening(test: &mut impl ArchiveUnderTest) {
    if !test.reopens() {
        return skipped("what_was_archived_survives_reopening", "reopens");
    }
    let entries = entries_of(3).await;
    let archive = test.open(1).await;
    let half = entries.len() / 2;
    archive_all(&*archive, 0, None, &entries[..half], 9).await;
    drop(archive);
    test.close().await;
    let archive = test.open(1).await;
    let next = with_records(&entries[..half])
        .last()
        .map(LogEntry::next_sequence);
    assert_eq!(
        Some(*archive.reader().watch(0).borrow()),
        next,
        "known as soon as it is open"
    );
    let mark = archive.mark(0).await.expect("it answers");
    archive_all(&*archive, 0, mark, &entries[half..], 9).await;
    assert_holds(&*archive, 0, &with_records(&entries)).await;
    test.close().await;
}
