//! What every account history is held to: the same steps are written to it and to the plain
//! maps of [`MemoryViews`](crate::memory::MemoryViews), and both must answer alike.

use std::sync::Arc;

use async_trait::async_trait;
use ledger_core::account::{AccountNumber, Totals};
use ledger_core::amount::Amount;
use ledger_core::key::TransactionId;
use ledger_core::limits::POSTINGS_MAX;
use ledger_core::time::Timestamp;
use ledger_core::transaction::{Posting, TransactionStatus};
use schemas::record::{LogId, RecordHash};

use super::compare::{moments, same};
use super::samples::{at, ledger};
use super::skipped;
use super::story::{Step, Story};
use crate::history::History;
use crate::log::Position;
use crate::memory::MemoryViews;
use crate::projection::{
    Checkpoint, HistoryRow, LedgerIndex, Movement, Projection as _, ProjectionError,
};
use crate::views::{HistoryRange, Views as _};

/// An account history that was opened.
#[derive(Clone)]
pub struct OpenedHistory {
    /// The history.
    pub history: Arc<dyn History>,
    /// The log that it belongs to.
    pub log_id: LogId,
}

/// An adapter's account history, to be tested.
#[async_trait]
pub trait HistoryUnderTest: Send {
    /// Whether it can be closed and opened again.
    fn reopens(&self) -> bool;

    /// Opens the history of a log with so many shards; makes an empty one the first time.
    async fn open(&mut self, shards: u32) -> OpenedHistory;

    /// Closes what [`Self::open`] opened.
    async fn close(&mut self);
}

/// Ledgers of the stories: one whose name begins with another's.
const LEDGERS: [&str; 3] = ["bank", "bank:1", "zoo"];

/// All of an account's history.
const ALL: HistoryRange = HistoryRange {
    from: 0,
    through: u64::MAX,
    newest_first: false,
};

async fn append(to: &dyn History, shard: u32, step: &Step) -> Result<(), ProjectionError> {
    let changes = &step.changes;
    to.append(
        shard,
        step.from.as_ref(),
        &step.to,
        &changes.ledgers,
        &changes.history,
    )
    .await
}

/// Writes `step` to both.
async fn tell(to: &dyn History, plain: &MemoryViews, shard: u32, step: &Step) {
    append(to, shard, step).await.expect("the step is written");
    plain
        .apply(shard, step.from.as_ref(), &step.to, step.changes.clone())
        .await
        .expect("the step is applied");
}

/// Asks both for the history of `names`.
async fn assert_same_rows(
    history: &dyn History,
    plain: &MemoryViews,
    shard: u32,
    names: &[&str],
    story: &Story,
) {
    same(
        history.checkpoint(shard).await.expect("it answers"),
        plain.checkpoint(shard).await.expect("it answers"),
        "checkpoint",
    );
    for name in names.iter().chain(&["nobody"]) {
        let name = ledger(name);
        let last = plain.last_account(&name).await.expect("it answers");
        let last = last.map_or(0, |number| number.0);
        for account in (1..=last).chain([77_777]).map(AccountNumber) {
            for (from, through) in [(0, u64::MAX), (5, 20), (7, 7), (30, 9)] {
                for newest_first in [false, true] {
                    let range = HistoryRange {
                        from,
                        through,
                        newest_first,
                    };
                    for most in [2, 100_000] {
                        let found = history.rows(&name, account, range, most).await;
                        let expected = plain.history(&name, account, range, most).await;
                        same(
                            found.expect("it answers"),
                            expected.expect("it answers"),
                            &format!("rows of {name} {account:?} in {range:?}, at most {most}"),
                        );
                    }
                }
            }
            let all = plain
                .history(&name, account, ALL, 100_000)
                .await
                .expect("it answers");
            for moment in moments(story) {
                for through in [0, 9, u64::MAX] {
                    let found = history.row_at(&name, account, moment, through).await;
                    let expected = all
                        .iter()
                        .rfind(|row| row.recorded_at <= moment && row.ledger_sequence <= through);
                    same(
                        found.expect("it answers").as_ref(),
                        expected,
                        &format!("row of {name} {account:?} at {moment} through {through}"),
                    );
                }
            }
        }
    }
}

/// See the name.
pub async fn an_empty_history_knows_nothing(test: &mut impl HistoryUnderTest) {
    let opened = test.open(2).await;
    let plain = MemoryViews::new(2);
    let story = Story::new(opened.log_id, 1, &LEDGERS);
    for shard in 0..2 {
        assert_same_rows(&*opened.history, &plain, shard, &LEDGERS, &story).await;
    }
    test.close().await;
}

/// See the name.
pub async fn rows_are_read_back_as_by_plain_maps(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(opened.log_id, 20_240_607, &LEDGERS);
    for (entries, records) in [(3, 12), (1, 1), (1, 1), (10, 20)] {
        let step = story.step(entries, records);
        tell(&*opened.history, &plain, 0, &step).await;
    }
    assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &story).await;
    test.close().await;
}

/// A row of account 1 in the only ledger.
fn row(sequence: u64, postings: usize) -> HistoryRow {
    let posting = |n: usize| Posting {
        debit: AccountNumber(1),
        credit: AccountNumber(u32::MAX - n as u32),
        amount: Amount::MAX,
    };
    let movement = |n: usize| Movement {
        transaction: TransactionId(u128::MAX - n as u128),
        effective_at: if n.is_multiple_of(2) {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        },
        effect: TransactionStatus::Posted,
        posting: posting(n),
    };
    HistoryRow {
        ledger: LedgerIndex(0),
        account: AccountNumber(1),
        ledger_sequence: sequence,
        recorded_at: at(1_700_000_000_000_000 + sequence as i64 / 3),
        version: sequence,
        totals: Totals {
            debits_posted: Amount::MAX,
            ..Totals::default()
        },
        movements: (0..postings).map(movement).collect(),
    }
}

fn checkpoint(log_id: LogId, sequence: u64) -> Checkpoint {
    Checkpoint {
        log_id,
        sequence,
        record_hash: RecordHash([sequence as u8; 32]),
        position: Position(sequence),
        recorded_at: at(1_700_000_000_000_000 + sequence as i64 / 3),
    }
}

/// See the name.
pub async fn a_long_history_is_read_in_any_range(test: &mut impl HistoryUnderTest) {
    const ROWS: u64 = 3_000;
    let opened = test.open(1).await;
    let name = ledger("bank");
    // Gaps between the sequences, as other accounts leave them.
    let rows: Vec<_> = (1..=ROWS).map(|n| row(n * 3, 1)).collect();
    let to = checkpoint(opened.log_id, ROWS * 3);
    opened
        .history
        .append(0, None, &to, std::slice::from_ref(&name), &rows)
        .await
        .expect("the rows are written");
    for (from, through) in [(0, u64::MAX), (300, 8_000), (7, 7), (9, 9), (9_000, 9_001)] {
        for most in [0, 1, 700, 10_000] {
            let inside = |row: &&HistoryRow| (from..=through).contains(&row.ledger_sequence);
            let mut expected: Vec<_> = rows.iter().filter(inside).cloned().collect();
            for newest_first in [false, true] {
                let range = HistoryRange {
                    from,
                    through,
                    newest_first,
                };
                let found = opened
                    .history
                    .rows(&name, AccountNumber(1), range, most)
                    .await
                    .expect("it answers");
                let most = most.min(expected.len());
                same(&found[..], &expected[..most], &format!("rows in {range:?}"));
                expected.reverse();
            }
        }
    }
    for n in [0, 1, 2, 3, 500, 1_500, 2_999, 3_000, 5_000] {
        let moment = at(1_700_000_000_000_000 + n);
        let found = opened
            .history
            .row_at(&name, AccountNumber(1), moment, 6_000)
            .await
            .expect("it answers");
        let passes = |row: &&HistoryRow| row.recorded_at <= moment && row.ledger_sequence <= 6_000;
        same(
            found.as_ref(),
            rows.iter().rfind(passes),
            &format!("row at {moment}"),
        );
    }
    test.close().await;
}

/// See the name.
pub async fn a_row_of_the_most_postings_fits(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let name = ledger("bank");
    let rows = [row(1, POSTINGS_MAX), row(2, 1)];
    let to = checkpoint(opened.log_id, 2);
    opened
        .history
        .append(0, None, &to, std::slice::from_ref(&name), &rows)
        .await
        .expect("the rows are written");
    let found = opened.history.rows(&name, AccountNumber(1), ALL, 10).await;
    same(&found.expect("it answers")[..], &rows[..], "rows");
    test.close().await;
}

/// See the name.
pub async fn names_that_begin_alike_are_apart(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let names = ["a", "a:1", "a1", "ab", "a-1", "a_1"].map(ledger);
    let accounts = [1, 10, 11, 111, 1_000_000_000, u32::MAX].map(AccountNumber);
    let mut rows = Vec::new();
    for index in 0..names.len() as u32 {
        for account in accounts {
            for sequence in [1, 10, 11, 255, 256, 1 << 40] {
                rows.push(HistoryRow {
                    ledger: LedgerIndex(index),
                    account,
                    version: u64::from(index) * 1_000 + sequence % 999,
                    ..row(sequence, 1)
                });
            }
        }
    }
    let to = checkpoint(opened.log_id, 1_000);
    opened
        .history
        .append(0, None, &to, &names, &rows)
        .await
        .expect("the rows are written");
    for (index, name) in (0..).zip(&names) {
        for account in accounts {
            let expected: Vec<_> = rows
                .iter()
                .filter(|row| row.ledger == LedgerIndex(index) && row.account == account)
                .map(|row| HistoryRow {
                    ledger: LedgerIndex(0),
                    ..row.clone()
                })
                .collect();
            let found = opened.history.rows(name, account, ALL, 100).await;
            same(found.expect("it answers"), expected.clone(), "rows");
            let last = opened
                .history
                .row_at(name, account, Timestamp::MAX, u64::MAX)
                .await;
            same(
                last.expect("it answers").as_ref(),
                expected.last(),
                "last row",
            );
        }
    }
    test.close().await;
}

/// See the name.
pub async fn writing_a_stretch_again_changes_nothing(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(opened.log_id, 4, &LEDGERS);
    let steps: Vec<_> = (0..4).map(|_| story.step(3, 10)).collect();
    for step in &steps {
        tell(&*opened.history, &plain, 0, step).await;
    }
    for step in [&steps[3], &steps[0], &steps[2]] {
        append(&*opened.history, 0, step)
            .await
            .expect("it is written again");
        assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &story).await;
    }
    test.close().await;
}

/// See the name.
pub async fn a_stretch_that_overlaps_moves_on(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let name = ledger("bank");
    let rows: Vec<_> = (1..=9).map(|n| row(n, 1)).collect();
    let mut reached = Vec::new();
    for (from, to) in [(0, 5), (3, 7), (0, 9), (5, 8)] {
        let before = checkpoint(opened.log_id, from);
        opened
            .history
            .append(
                0,
                (from > 0).then_some(&before),
                &checkpoint(opened.log_id, to),
                std::slice::from_ref(&name),
                &rows[from as usize..to as usize],
            )
            .await
            .expect("the rows are written");
        let found = opened.history.checkpoint(0).await.expect("it answers");
        reached.push(found.expect("it moved").sequence);
    }
    assert_eq!(reached, [5, 7, 9, 9]);
    let found = opened.history.rows(&name, AccountNumber(1), ALL, 100).await;
    same(found.expect("it answers"), rows, "rows");
    test.close().await;
}

/// See the name.
pub async fn a_stretch_beyond_the_checkpoint_is_refused(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(opened.log_id, 5, &LEDGERS);
    let steps: Vec<_> = (0..3).map(|_| story.step(3, 10)).collect();
    for (done, told) in [None, Some(steps[0].to)].into_iter().enumerate() {
        let refused = append(&*opened.history, 0, &steps[done + 1]).await;
        match refused {
            Err(ProjectionError::HistoryBehind { shard: 0, found }) => {
                assert_eq!(found.as_deref(), told.as_ref());
            }
            other => panic!("a stretch was left out: {other:?}"),
        }
        // Nothing of it was written.
        assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &story).await;
        tell(&*opened.history, &plain, 0, &steps[done]).await;
    }
    assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &story).await;
    test.close().await;
}

async fn refused_as_unusable(opened: &OpenedHistory, step: &Step, what: &str) {
    let before = opened.history.checkpoint(0).await.expect("it answers");
    let refused = append(&*opened.history, 0, step).await;
    assert!(
        matches!(refused, Err(ProjectionError::Unusable(_))),
        "{what}: {refused:?}"
    );
    let after = opened.history.checkpoint(0).await.expect("it answers");
    assert_eq!(after, before, "{what}");
}

/// See the name.
pub async fn rows_of_another_log_are_refused(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let mut story = Story::new(opened.log_id, 6, &LEDGERS);
    let first = story.step(2, 5);
    append(&*opened.history, 0, &first)
        .await
        .expect("the step is written");
    let mut next = story.step(2, 5);
    next.to.log_id.0[0] ^= 1;
    refused_as_unusable(&opened, &next, "a stretch of another log").await;
    test.close().await;
}

/// See the name.
pub async fn another_record_at_the_same_sequence_is_refused(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(opened.log_id, 7, &LEDGERS);
    let first = story.step(2, 5);
    tell(&*opened.history, &plain, 0, &first).await;
    let told = story.clone();
    let mut next = story.step(2, 5);
    if let Some(from) = &mut next.from {
        from.record_hash.0[0] ^= 1;
    }
    refused_as_unusable(&opened, &next, "from another record").await;
    let mut again = first.clone();
    again.to.record_hash.0[0] ^= 1;
    refused_as_unusable(&opened, &again, "to another record").await;
    assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &told).await;
    test.close().await;
}

/// See the name.
pub async fn a_history_moves_without_rows(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let (one, two) = (checkpoint(opened.log_id, 1), checkpoint(opened.log_id, 2));
    for (from, to) in [(None, &one), (Some(&one), &two)] {
        opened
            .history
            .append(0, from, to, &[], &[])
            .await
            .expect("nothing but the checkpoint");
        assert_eq!(
            opened.history.checkpoint(0).await.expect("it answers"),
            Some(*to)
        );
    }
    test.close().await;
}

/// See the name.
pub async fn history_shards_move_apart_and_at_once(test: &mut impl HistoryUnderTest) {
    let opened = test.open(3).await;
    let plain = MemoryViews::new(3);
    let names = ["a", "b", "c"];
    let mut stories: Vec<_> = names
        .iter()
        .zip(10..)
        .map(|(name, seed)| Story::new(opened.log_id, seed, &[name]))
        .collect();
    for _ in 0..3 {
        let mut tasks = tokio::task::JoinSet::new();
        for (shard, story) in (0..).zip(&mut stories) {
            let step = story.step(3, 10);
            plain
                .apply(shard, step.from.as_ref(), &step.to, step.changes.clone())
                .await
                .expect("the step is applied");
            let history = Arc::clone(&opened.history);
            tasks.spawn(async move { append(&*history, shard, &step).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic").expect("every shard is written");
        }
    }
    for (shard, story) in stories.iter().enumerate() {
        let names = &names[shard..=shard];
        assert_same_rows(&*opened.history, &plain, shard as u32, names, story).await;
    }
    test.close().await;
}

/// See the name.
pub async fn the_same_stretch_at_once_is_written_once(test: &mut impl HistoryUnderTest) {
    let opened = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(opened.log_id, 8, &LEDGERS);
    for _ in 0..4 {
        let step = story.step(4, 10);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let (history, step) = (Arc::clone(&opened.history), step.clone());
            tasks.spawn(async move { append(&*history, 0, &step).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic").expect("whoever comes second too");
        }
        plain
            .apply(0, step.from.as_ref(), &step.to, step.changes)
            .await
            .expect("the step is applied");
    }
    assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &story).await;
    test.close().await;
}

/// See the name.
pub async fn what_was_appended_survives_reopening(test: &mut impl HistoryUnderTest) {
    if !test.reopens() {
        return skipped("what_was_appended_survives_reopening", "reopens");
    }
    let opened = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(opened.log_id, 9, &LEDGERS);
    tell(&*opened.history, &plain, 0, &story.step(5, 10)).await;
    drop(opened);
    test.close().await;
    let opened = test.open(1).await;
    assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &story).await;
    tell(&*opened.history, &plain, 0, &story.step(5, 10)).await;
    assert_same_rows(&*opened.history, &plain, 0, &LEDGERS, &story).await;
    test.close().await;
}
