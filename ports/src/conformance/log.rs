//! What every event log is held to.

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::limits::RECORD_BYTES_MAX;

use super::samples::{barrier, batch};
use super::skipped;
use crate::log::{
    Attached, Batch, Begin, CommitOutcome, EventLog, LogEntry, LogError, LogWriter, Position,
};

/// What an adapter can do in these tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogCapabilities {
    /// The log can be closed and opened again.
    pub reopens: bool,
    /// A second opening beside the first is refused.
    pub locks: bool,
    /// A stored entry can be damaged from outside.
    pub damages: bool,
}

/// An adapter's event log, to be tested.
#[async_trait]
pub trait LogUnderTest: Send {
    /// What it can do.
    fn capabilities(&self) -> LogCapabilities;

    /// Opens the log; makes it, with so many shards, the first time.
    async fn open(&mut self, shards: u32) -> Result<Arc<dyn EventLog>, LogError>;

    /// Closes what [`Self::open`] opened.
    async fn close(&mut self);

    /// Changes a byte in the body of the entry at `position`. The log is closed.
    async fn damage(&mut self, shard: u32, position: Position);
}

/// Bytes of a chunk that takes all that a test wrote.
const ALL: usize = 64 << 20;

async fn open(test: &mut impl LogUnderTest, shards: u32) -> Arc<dyn EventLog> {
    test.open(shards).await.expect("the log opens")
}

async fn claim(log: &Arc<dyn EventLog>, shard: u32, n: u8) -> Box<dyn LogWriter> {
    log.claim(shard, barrier(n))
        .await
        .expect("the claim is committed")
}

async fn commit(writer: &mut Box<dyn LogWriter>, batch: Batch) -> Position {
    match writer.commit(batch).await {
        CommitOutcome::Committed(position) => position,
        other => panic!("the batch was not committed: {other:?}"),
    }
}

async fn all(log: &Arc<dyn EventLog>, shard: u32) -> Vec<LogEntry> {
    let reader = log.reader();
    let mut from = Position(0);
    let mut entries = Vec::new();
    loop {
        let chunk = reader
            .read(shard, from, ALL)
            .await
            .expect("the log is read");
        let Some(last) = chunk.last() else { break };
        from = Position(last.position.0 + 1);
        entries.extend(chunk);
    }
    entries
}

fn assert_entry(entry: &LogEntry, batch: &Batch) {
    assert_eq!(entry.first_sequence, batch.first_sequence);
    assert_eq!(entry.record_count, batch.record_count);
    assert!(
        entry.body == batch.body,
        "the body is read back byte for byte"
    );
}

/// See the name.
pub async fn an_empty_log_reads_as_nothing(test: &mut impl LogUnderTest) {
    let log = open(test, 2).await;
    assert_eq!(log.shard_count(), 2);
    for shard in 0..2 {
        assert_eq!(all(&log, shard).await, []);
        assert_eq!(log.reader().entry_of(shard, 1).await.expect("reads"), None);
        assert_eq!(*log.reader().watch(shard).borrow(), 1);
    }
    test.close().await;
}

/// See the name.
pub async fn batches_are_read_back_byte_for_byte(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    let mut next = 1;
    let mut batches = Vec::new();
    let mut positions = Vec::new();
    for (count, size) in [(1, 10), (3, 0), (200, 150), (1, 100_000), (7, 1_000)] {
        let batch = batch(log.log_id(), 0, 1, next, count, size);
        next += u64::from(count);
        positions.push(commit(&mut writer, batch.clone()).await);
        batches.push(batch);
    }
    let entries = all(&log, 0).await;
    assert_eq!(
        entries.len(),
        1 + batches.len(),
        "the barrier and the batches"
    );
    assert!(entries.is_sorted_by(|a, b| a.position < b.position));
    for ((entry, batch), position) in entries[1..].iter().zip(&batches).zip(positions) {
        assert_entry(entry, batch);
        assert_eq!(entry.position, position);
    }
    test.close().await;
}

/// See the name.
pub async fn reading_goes_on_from_a_position_in_chunks(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    for n in 0..40u64 {
        commit(&mut writer, batch(log.log_id(), 0, 1, n * 5 + 1, 5, 200)).await;
    }
    let whole = all(&log, 0).await;
    let reader = log.reader();
    for bytes_max in [1, 3_000, 10_000] {
        let mut from = Position(0);
        let mut found = Vec::new();
        loop {
            let chunk = reader.read(0, from, bytes_max).await.expect("reads");
            let Some(last) = chunk.last() else { break };
            let size: usize = chunk.iter().map(|entry| entry.body.len()).sum();
            assert!(
                chunk.len() == 1 || size <= bytes_max * 2,
                "a chunk of {size} bytes, and {bytes_max} were asked for"
            );
            from = Position(last.position.0 + 1);
            found.extend(chunk);
        }
        assert!(
            found == whole,
            "chunks of {bytes_max} bytes give the same entries"
        );
    }
    let middle = &whole[17];
    let chunk = reader.read(0, middle.position, ALL).await.expect("reads");
    assert_eq!(
        chunk.first().map(|entry| entry.position),
        Some(middle.position)
    );
    test.close().await;
}

/// See the name.
pub async fn control_entries_stand_in_their_place(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 2, 10)).await;
    drop(writer);
    let _second = claim(&log, 0, 2).await;
    let mut writer = claim(&log, 0, 3).await;
    commit(&mut writer, batch(log.log_id(), 0, 2, 3, 1, 10)).await;
    let entries = all(&log, 0).await;
    let shape: Vec<_> = entries
        .iter()
        .map(|entry| (entry.first_sequence, entry.record_count))
        .collect();
    assert_eq!(shape, [(1, 0), (1, 2), (3, 0), (3, 0), (3, 1)]);
    assert_eq!(entries[0].body, barrier(1));
    assert_eq!(entries[2].body, barrier(2));
    assert_eq!(entries[3].body, barrier(3));
    test.close().await;
}

/// See the name.
pub async fn a_claim_deposes_the_writer_before(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut old = claim(&log, 0, 1).await;
    let first = batch(log.log_id(), 0, 1, 1, 1, 10);
    commit(&mut old, first.clone()).await;
    let mut new = claim(&log, 0, 2).await;
    let late = old.commit(batch(log.log_id(), 0, 1, 2, 1, 20)).await;
    assert!(matches!(late, CommitOutcome::Fenced(_)), "{late:?}");
    assert_eq!(
        all(&log, 0).await.len(),
        3,
        "nothing of the deposed writer's"
    );
    let second = batch(log.log_id(), 0, 2, 2, 1, 30);
    commit(&mut new, second.clone()).await;
    let entries = all(&log, 0).await;
    assert_entry(&entries[1], &first);
    assert_entry(&entries[3], &second);
    test.close().await;
}

/// See the name.
pub async fn a_deposed_writer_stays_deposed_over_commits_of_the_next(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut old = claim(&log, 0, 1).await;
    let mut new = claim(&log, 0, 2).await;
    commit(&mut new, batch(log.log_id(), 0, 1, 1, 1, 10)).await;
    // It fits in every number, and is refused all the same.
    let late = old.commit(batch(log.log_id(), 0, 1, 2, 1, 10)).await;
    assert!(matches!(late, CommitOutcome::Fenced(_)), "{late:?}");
    commit(&mut new, batch(log.log_id(), 0, 1, 2, 1, 10)).await;
    assert_eq!(*log.reader().watch(0).borrow(), 3);
    test.close().await;
}

/// See the name.
pub async fn a_confirmation_tells_whether_the_writer_was_deposed(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut old = claim(&log, 0, 1).await;
    commit(&mut old, batch(log.log_id(), 0, 1, 1, 2, 10)).await;
    let confirmed = old.confirm(Attached::default()).await;
    assert!(
        matches!(confirmed, CommitOutcome::Committed(_)),
        "{confirmed:?}"
    );
    let mut new = claim(&log, 0, 2).await;
    if old.can_be_deposed() {
        let late = old.confirm(Attached::default()).await;
        assert!(matches!(late, CommitOutcome::Fenced(_)), "{late:?}");
    }
    let confirmed = new.confirm(Attached::default()).await;
    assert!(
        matches!(confirmed, CommitOutcome::Committed(_)),
        "{confirmed:?}"
    );
    assert_eq!(*log.reader().watch(0).borrow(), 3, "it is no record");
    let batch = batch(log.log_id(), 0, 2, 3, 1, 10);
    commit(&mut new, batch.clone()).await;
    let entries = all(&log, 0).await;
    let records = entries.iter().filter(|entry| entry.record_count > 0);
    assert_eq!(records.count(), 2);
    assert_entry(entries.last().expect("there are some"), &batch);
    test.close().await;
}

/// See the name.
pub async fn an_untrimmed_shard_begins_at_the_beginning(test: &mut impl LogUnderTest) {
    let log = open(test, 2).await;
    let mut writer = claim(&log, 0, 1).await;
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 2, 10)).await;
    for shard in 0..2 {
        let begin = log.reader().begins(shard).await.expect("reads");
        assert_eq!(begin, Begin::default());
    }
    test.close().await;
}

/// See the name.
pub async fn a_gap_or_an_overlap_is_refused(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    commit(&mut writer, batch(log.log_id(), 0, 1, 1, 5, 10)).await;
    for first in [7, 5, 1] {
        let outcome = writer.commit(batch(log.log_id(), 0, 1, first, 5, 10)).await;
        assert!(
            matches!(outcome, CommitOutcome::Aborted(_)),
            "a batch from {first}: {outcome:?}"
        );
    }
    assert_eq!(all(&log, 0).await.len(), 2);
    assert_eq!(*log.reader().watch(0).borrow(), 6);
    test.close().await;
}

/// See the name.
pub async fn an_earlier_epoch_is_refused(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    commit(&mut writer, batch(log.log_id(), 0, 4, 1, 1, 10)).await;
    let outcome = writer.commit(batch(log.log_id(), 0, 3, 2, 1, 10)).await;
    assert!(matches!(outcome, CommitOutcome::Fenced(_)), "{outcome:?}");
    assert_eq!(all(&log, 0).await.len(), 2);
    test.close().await;
}

/// See the name.
pub async fn an_empty_batch_is_refused(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    let outcome = writer.commit(batch(log.log_id(), 0, 1, 1, 0, 0)).await;
    assert!(matches!(outcome, CommitOutcome::Aborted(_)), "{outcome:?}");
    assert_eq!(all(&log, 0).await.len(), 1);
    test.close().await;
}

/// See the name.
pub async fn entry_of_finds_every_record(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    for (first, count) in [(1, 1), (2, 10), (12, 3)] {
        commit(&mut writer, batch(log.log_id(), 0, 1, first, count, 10)).await;
    }
    let reader = log.reader();
    for (sequence, first) in [(1, 1), (2, 2), (11, 2), (12, 12), (14, 12)] {
        let entry = reader.entry_of(0, sequence).await.expect("reads");
        let entry = entry.unwrap_or_else(|| panic!("record {sequence} is there"));
        assert_eq!(entry.first_sequence, first);
    }
    for sequence in [0, 15, u64::MAX] {
        assert_eq!(reader.entry_of(0, sequence).await.expect("reads"), None);
    }
    test.close().await;
}

/// See the name.
pub async fn watch_moves_with_commits(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut watch = log.reader().watch(0);
    let mut writer = claim(&log, 0, 1).await;
    assert_eq!(*watch.borrow(), 1, "a control entry is no record");
    let mut next = 1;
    for count in [1, 20, 5] {
        commit(&mut writer, batch(log.log_id(), 0, 1, next, count, 10)).await;
        next += u64::from(count);
        let seen = watch
            .wait_for(|seen| *seen >= next)
            .await
            .expect("the log lives");
        assert_eq!(*seen, next);
    }
    test.close().await;
}

/// See the name.
pub async fn shards_are_apart(test: &mut impl LogUnderTest) {
    let log = open(test, 3).await;
    let mut zero = claim(&log, 0, 1).await;
    let mut two = claim(&log, 2, 2).await;
    let a = batch(log.log_id(), 0, 1, 1, 2, 10);
    let b = batch(log.log_id(), 2, 9, 1, 3, 20);
    commit(&mut zero, a.clone()).await;
    commit(&mut two, b.clone()).await;
    assert_entry(&all(&log, 0).await[1], &a);
    assert_eq!(all(&log, 1).await, []);
    assert_entry(&all(&log, 2).await[1], &b);
    let found = log.reader().entry_of(0, 3).await.expect("reads");
    assert_eq!(found, None, "a record of another shard");
    test.close().await;
}

/// See the name.
pub async fn shards_commit_concurrently(test: &mut impl LogUnderTest) {
    let log = open(test, 4).await;
    let mut tasks = tokio::task::JoinSet::new();
    for shard in 0..4u32 {
        let log = Arc::clone(&log);
        tasks.spawn(async move {
            let mut writer = claim(&log, shard, shard as u8).await;
            for n in 0..25u64 {
                let batch = batch(log.log_id(), shard, 1, n * 2 + 1, 2, 50 * shard as usize);
                commit(&mut writer, batch).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("every shard commits");
    }
    for shard in 0..4 {
        let entries = all(&log, shard).await;
        assert_eq!(entries.len(), 26);
        for (n, entry) in entries[1..].iter().enumerate() {
            let n = n as u64;
            let batch = batch(log.log_id(), shard, 1, n * 2 + 1, 2, 50 * shard as usize);
            assert_entry(entry, &batch);
        }
        assert_eq!(*log.reader().watch(shard).borrow(), 51);
    }
    test.close().await;
}

/// See the name.
pub async fn a_record_of_the_largest_size_fits(test: &mut impl LogUnderTest) {
    let log = open(test, 1).await;
    let mut writer = claim(&log, 0, 1).await;
    let batch = batch(log.log_id(), 0, 1, 1, 1, RECORD_BYTES_MAX - 200);
    assert!(batch.body.len() > 899_900 && batch.body.len() < 900_010);
    commit(&mut writer, batch.clone()).await;
    assert_entry(&all(&log, 0).await[1], &batch);
    test.close().await;
}

/// See the name.
pub async fn a_shard_that_does_not_exist_is_refused(test: &mut impl LogUnderTest) {
    let log = open(test, 2).await;
    assert!(log.claim(2, barrier(1)).await.is_err());
    assert_eq!(all(&log, 2).await, []);
    test.close().await;
}

/// See the name.
pub async fn what_was_committed_survives_reopening(test: &mut impl LogUnderTest) {
    if !test.capabilities().reopens {
        return skipped("what_was_committed_survives_reopening", "reopens");
    }
    let log = open(test, 2).await;
    let log_id = log.log_id();
    let mut writer = claim(&log, 1, 1).await;
    for n in 0..10u64 {
        commit(&mut writer, batch(log_id, 1, 1, n * 3 + 1, 3, 40)).await;
    }
    let before = all(&log, 1).await;
    drop((writer, log));
    test.close().await;
    let log = open(test, 2).await;
    assert_eq!(log.log_id(), log_id);
    assert!(all(&log, 1).await == before);
    assert_eq!(*log.reader().watch(1).borrow(), 31);
    assert_eq!(*log.reader().watch(0).borrow(), 1);
    let mut writer = claim(&log, 1, 2).await;
    commit(&mut writer, batch(log_id, 1, 2, 31, 1, 40)).await;
    let after = all(&log, 1).await;
    assert_eq!(after.len(), before.len() + 2);
    assert!(after.is_sorted_by(|a, b| a.position < b.position));
    test.close().await;
}

/// See the name.
pub async fn a_second_opening_is_refused(test: &mut impl LogUnderTest) {
    if !test.capabilities().locks {
        return skipped("a_second_opening_is_refused", "locks");
    }
    let _log = open(test, 1).await;
    match test.open(1).await {
        Err(LogError::Locked(who)) => assert!(!who.is_empty()),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("a second opening was let in"),
    }
    test.close().await;
}

/// See the name.
pub async fn a_damaged_entry_is_named(test: &mut impl LogUnderTest) {
    if !test.capabilities().damages {
        return skipped("a_damaged_entry_is_named", "damages");
    }
    let log = open(test, 2).await;
    let mut positions = Vec::new();
    let mut writer = claim(&log, 1, 1).await;
    for n in 0..6u64 {
        positions.push(commit(&mut writer, batch(log.log_id(), 1, 1, n * 2 + 1, 2, 40)).await);
    }
    drop((writer, log));
    test.close().await;
    test.damage(1, positions[3]).await;
    let log = open(test, 2).await;
    let reader = log.reader();
    let before = reader
        .read(1, Position(0), ALL)
        .await
        .expect("what stands before it is read");
    assert_eq!(
        before.last().map(|entry| entry.position),
        Some(positions[2])
    );
    match reader.read(1, Position(positions[2].0 + 1), ALL).await {
        Err(LogError::Damaged {
            shard, position, ..
        }) => {
            assert_eq!((shard, position), (1, positions[3]));
        }
        other => panic!("the damage was not seen: {other:?}"),
    }
    match reader.entry_of(1, 8).await {
        Err(LogError::Damaged {
            shard, position, ..
        }) => {
            assert_eq!((shard, position), (1, positions[3]));
        }
        other => panic!("the damage was not seen: {other:?}"),
    }
    let beyond = reader
        .read(1, positions[4], ALL)
        .await
        .expect("what stands after it is read");
    assert_eq!(beyond.len(), 2);
    let seen = reader
        .read_damaged(1, positions[3])
        .await
        .expect("it is shown as it stands");
    assert_eq!(seen.expect("it is there").first_sequence, 7);
    test.close().await;
}
