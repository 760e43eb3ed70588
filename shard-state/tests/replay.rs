//! Replay, snapshots and restore against logs that real ledgers decided.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Maker, assert_same, log_id, options, projected, recovered, source};
use ledger_core::time::Timestamp;
use ports::log::{EventLog as _, Position};
use ports::memory::{MemoryLog, MemorySnapshots};
use ports::snapshot::SnapshotStore;
use proptest::prelude::*;
use schemas::record::frame;
use shard_state::recover::{self, RecoverError};
use shard_state::restore::{Point, RestoreError, restore};
use shard_state::verify::verify;
use shard_state::{ShardState, build, snapshot};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

async fn built(log: &MemoryLog, store: &Arc<MemorySnapshots>) -> build::Built {
    let store = Arc::clone(store) as Arc<dyn SnapshotStore>;
    let options = options(log, None);
    build::build_snapshot(
        log.reader(),
        store,
        options,
        "test".into(),
        Box::new(|_| {}),
    )
    .await
    .unwrap()
}

async fn recover_with(
    log: &MemoryLog,
    store: &Arc<MemorySnapshots>,
) -> Result<recover::Recovered, RecoverError> {
    let store = Arc::clone(store) as Arc<dyn SnapshotStore>;
    recover::recover(
        log.reader(),
        Some(store),
        options(log, None),
        Box::new(|_| {}),
    )
    .await
}

/// `log` up to and with the record of `sequence`, torn inside of a batch where that is so.
fn cut(log: &MemoryLog, sequence: u64) -> MemoryLog {
    log.tampered(|_, entries| {
        entries.retain(|entry| entry.first_sequence <= sequence);
        let Some(last) = entries.last_mut() else {
            return;
        };
        let keep = (sequence + 1 - last.first_sequence).min(u64::from(last.record_count)) as u32;
        let mut body = bytes::BytesMut::new();
        for record in frame::split(last.body.clone())
            .unwrap_or_default()
            .iter()
            .take(keep as usize)
        {
            frame::push(&mut body, record);
        }
        if last.record_count > 0 {
            last.record_count = keep;
            last.body = body.freeze();
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replay_equals_the_state_that_decided(seed: u64, batch in 1_u64..20) {
        block_on(async {
            let maker = Maker::filled(seed, 120, batch).await;
            assert_same(&recovered(&maker.log).await, &maker.state);
        });
    }

    #[test]
    fn every_prefix_recovers_and_replays_alike(seed: u64, batch in 1_u64..20) {
        block_on(async {
            let maker = Maker::filled(seed, 60, batch).await;
            let whole = maker.log.entries(0);
            let mut stepwise = ShardState::new(log_id(1), 0, 1, 7);
            for entry in whole.iter().filter(|entry| entry.record_count > 0) {
                for bytes in frame::split(entry.body.clone()).unwrap() {
                    let record = schemas::record::decode(bytes).unwrap();
                    stepwise.apply(record.record.sequence, &record).unwrap();
                    let prefix = cut(&maker.log, record.record.sequence);
                    assert_same(&recovered(&prefix).await, &stepwise);
                }
            }
        });
    }

    #[test]
    fn a_snapshot_is_read_back_equal(seed: u64, forget in 0_u64..60) {
        block_on(async {
            let mut maker = Maker::filled(seed, 80, 10).await;
            maker.state.forget_through(forget);
            let (manifest, chunks) =
                snapshot::write(&maker.state, Position(3), "test").unwrap();
            let read = snapshot::read(&manifest, &chunks, 99).unwrap();
            assert_same(&read, &maker.state);
            let again = snapshot::write(&read, Position(3), "test").unwrap();
            assert_eq!(again, (manifest, chunks), "and writes the same bytes");
        });
    }

    #[test]
    fn snapshot_and_tail_equal_replay_from_zero(seed: u64, batch in 1_u64..30) {
        block_on(async {
            let mut maker = Maker::filled(seed, 50, batch).await;
            let store = Arc::new(MemorySnapshots::default());
            let first = built(&maker.log, &store).await;
            assert_eq!(first.sequence, maker.state.next_sequence() - 1);
            maker.fill(40, batch).await;
            let tail = recover_with(&maker.log, &store).await.unwrap();
            assert_eq!(tail.snapshot, first.name);
            assert_eq!(tail.replayed, maker.state.next_sequence() - 1 - first.sequence);
            assert_same(&tail.state, &maker.state);
            // A torn batch: the snapshot may cover a part of an entry.
            let torn = cut(&maker.log, first.sequence + 1);
            let built = built(&torn, &store).await;
            assert_eq!(built.sequence, first.sequence + 1);
            let tail = recover_with(&maker.log, &store).await.unwrap();
            assert_eq!(tail.snapshot, built.name);
            assert_same(&tail.state, &maker.state);
        });
    }

    #[test]
    fn any_flipped_bit_of_a_snapshot_is_refused_or_harmless(seed: u64, at: prop::sample::Index, bit in 0_u8..8) {
        block_on(async {
            let maker = Maker::filled(seed, 40, 10).await;
            let (manifest, mut chunks) =
                snapshot::write(&maker.state, Position(3), "test").unwrap();
            let mut bytes = chunks[0].to_vec();
            let index = at.index(bytes.len());
            bytes[index] ^= 1 << bit;
            chunks[0] = Bytes::from(bytes);
            assert!(snapshot::read(&manifest, &chunks, 1).is_err());
            // Even with a hash that was made to fit, it must not panic.
            let mut forged = manifest.clone();
            forged.chunks[0].blake3 = schemas::record::hash(&chunks[0]).0.to_vec();
            let _ = snapshot::read(&forged, &chunks, 1);
        });
    }

    #[test]
    fn a_restored_log_goes_on_and_verifies(seed: u64, at: prop::sample::Index) {
        block_on(async {
            let maker = Maker::filled(seed, 60, 10).await;
            let last = maker.state.next_sequence() - 1;
            let sequence = at.index(last as usize) as u64 + 1;
            let target = MemoryLog::new(log_id(2), 1);
            let point = Point::Sequence { shard: 0, sequence };
            let report = restore(&source(&maker.log), &target, point, [5; 16], Timestamp::default(), |_, _| {})
                .await
                .unwrap();
            assert_eq!(report.shards[0].kept.unwrap().0, sequence);
            assert_eq!(report.shards[0].left_behind, last - sequence);
            let kept = recovered(&cut(&maker.log, sequence)).await;
            let new = recovered(&target).await;
            assert_eq!(new.next_sequence(), sequence + 2, "and the record that begins the log");
            assert_eq!(new.current_log(), Some(log_id(2)));
            for (a, b) in kept.ledgers().iter().zip(new.ledgers()) {
                assert_eq!(a.to_image(), b.to_image());
            }
            // It goes on, with snapshots, and once more into a third log.
            let mut maker = Maker::open(target, None, seed ^ 1).await;
            if maker.state.ledgers().iter().all(|ledger| ledger.accounts().len() == 4)
                && maker.state.ledgers().len() == 2 {
                maker.fill(30, 10).await;
            } else {
                maker.commit().await;
            }
            let third = MemoryLog::new(log_id(3), 1);
            restore(&source(&maker.log), &third, Point::Newest, [6; 16], Timestamp::default(), |_, _| {})
                .await
                .unwrap();
            let store = Arc::new(MemorySnapshots::default());
            built(&third, &store).await;
            let views = Arc::new(projected(&third, |_| {}).await);
            let report = verify(&source(&third), Some(store), Some(views), &Default::default(), |_| {})
                .await
                .unwrap();
            assert!(report.is_clean(), "{:#?}", report.findings);
            assert_eq!(report.summary.snapshots, 1);
        });
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_by_and_named() {
    let mut maker = Maker::filled(7, 40, 5).await;
    let store = Arc::new(MemorySnapshots::default());
    let first = built(&maker.log, &store).await.name.unwrap();
    maker.fill(20, 5).await;
    let second = built(&maker.log, &store).await.name.unwrap();
    store.tamper(0, &second, |_, chunks| {
        let mut bytes = chunks[0].to_vec();
        bytes[20] ^= 1;
        chunks[0] = bytes.into();
    });
    let recovered = recover_with(&maker.log, &store).await.unwrap();
    assert_eq!(recovered.snapshot, Some(first.clone()));
    assert_eq!(recovered.unusable.len(), 1);
    assert_eq!(recovered.unusable[0].name, second);
    assert_same(&recovered.state, &maker.state);

    // Of another version of the rules: as if it were not there.
    for name in [&first, &second] {
        store.tamper(0, name, |manifest, _| manifest.evolve_version += 1);
    }
    let recovered = recover_with(&maker.log, &store).await.unwrap();
    assert_eq!((recovered.snapshot, recovered.unusable.len()), (None, 2));
    assert_same(&recovered.state, &maker.state);
}

#[tokio::test]
async fn a_snapshot_that_does_not_fit_the_log_refuses_it() {
    let maker = Maker::filled(8, 40, 5).await;
    let store = Arc::new(MemorySnapshots::default());
    let built = built(&maker.log, &store).await;
    let behind = recover_with(&cut(&maker.log, built.sequence - 1), &store).await;
    let behind = behind.unwrap_err();
    assert_eq!(behind.code(), "LOG_BEHIND", "{behind}");

    let other = Maker::filled(9, 60, 5).await;
    let diverged = recover_with(&other.log, &store).await.unwrap_err();
    assert!(
        matches!(diverged, RecoverError::LogDiverged { sequence, .. } if sequence == built.sequence)
    );
    assert_eq!(diverged.code(), "LOG_DIVERGED");

    let target = MemoryLog::new(log_id(2), 1);
    let now = Timestamp::default();
    restore(
        &source(&maker.log),
        &target,
        Point::Newest,
        [1; 16],
        now,
        |_, _| {},
    )
    .await
    .unwrap();
    let foreign = recover_with(&target, &store).await.unwrap_err();
    assert!(
        matches!(foreign, RecoverError::AnotherLogsSnapshot { found, .. } if found == log_id(1))
    );
}

#[tokio::test]
async fn only_the_newest_two_snapshots_are_kept_and_nothing_new_makes_none() {
    let mut maker = Maker::filled(10, 20, 5).await;
    let store = Arc::new(MemorySnapshots::default());
    let mut last = None;
    for _ in 0..4 {
        maker.fill(5, 5).await;
        last = built(&maker.log, &store).await.name;
        assert_eq!(built(&maker.log, &store).await.name, last);
    }
    let kept = store.list(0).await.unwrap();
    assert_eq!(kept.len(), build::KEPT_SNAPSHOTS);
    assert_eq!(Some(kept[0].name.clone()), last);

    let done = build::spawn(
        maker.log.reader(),
        Arc::clone(&store) as Arc<dyn SnapshotStore>,
        options(&maker.log, None),
        "test".into(),
    );
    assert_eq!(done.await.unwrap().unwrap().name, last);
}

#[tokio::test]
async fn a_claim_replays_to_its_own_barrier_and_no_further() {
    let maker = Maker::filled(11, 20, 5).await;
    let missing = recover::recover(
        maker.log.reader(),
        None,
        options(&maker.log, Some([0xee; 16])),
        Box::new(|_| {}),
    );
    assert!(matches!(
        missing.await,
        Err(RecoverError::BarrierMissing { shard: 0 })
    ));
    let before = maker.state.next_sequence();
    let barrier = schemas::record::Barrier {
        nonce: [0xee; 16],
        epoch: 0,
    };
    maker.log.claim(0, barrier.encode()).await.unwrap();
    // Records behind the barrier are of a later writer: this claimant must not see them.
    let mut later = Maker::open(maker.log.clone(), None, 12).await;
    later.fill(5, 5).await;
    let mut heard = Vec::new();
    let (tell, hear) = std::sync::mpsc::channel();
    let recovered = recover::recover(
        maker.log.reader(),
        None,
        options(&maker.log, Some([0xee; 16])),
        Box::new(move |progress| tell.send(progress).unwrap()),
    )
    .await
    .unwrap();
    assert_eq!(recovered.state.next_sequence(), before);
    assert_same(&recovered.state, &maker.state);
    heard.extend(hear.try_iter());
    assert!(
        heard
            .iter()
            .all(|progress| progress.end + 1 == later.state.next_sequence())
    );
}

#[tokio::test]
async fn what_is_recovered_forgets_what_the_projection_passed() {
    let maker = Maker::filled(13, 20, 5).await;
    let (_keep, projected) = tokio::sync::watch::channel(u64::MAX);
    let options = recover::Options {
        projected,
        ..options(&maker.log, None)
    };
    let recovered = recover::recover(maker.log.reader(), None, options, Box::new(|_| {}));
    // Far fewer records than are kept in any case.
    assert_same(&recovered.await.unwrap().state, &maker.state);
}

#[tokio::test]
async fn a_restore_keeps_to_its_point_and_its_target() {
    let maker = Maker::filled(14, 60, 5).await;
    let now = Timestamp::default();
    let from = source(&maker.log);
    let fresh = |n| MemoryLog::new(log_id(n), 1);

    let same = restore(&from, &fresh(1), Point::Newest, [1; 16], now, |_, _| {}).await;
    assert!(matches!(same, Err(RestoreError::Target(_))));
    let other = MemoryLog::new(log_id(2), 3);
    let shards = restore(&from, &other, Point::Newest, [1; 16], now, |_, _| {}).await;
    assert!(matches!(shards, Err(RestoreError::Target(_))));
    let last = maker.state.next_sequence() - 1;
    for sequence in [0, last + 1] {
        let point = Point::Sequence { shard: 0, sequence };
        let beyond = restore(&from, &fresh(2), point, [1; 16], now, |_, _| {}).await;
        assert!(matches!(beyond, Err(RestoreError::NoSuchPoint { .. })));
    }
    let early = Point::Moment(Timestamp::MIN);
    let nothing = restore(&from, &fresh(2), early, [1; 16], now, |_, _| {}).await;
    assert!(matches!(nothing, Err(RestoreError::Empty)));

    // Every record of the moment is kept, none after it.
    let at = Timestamp::from_micros(maker.now - 60_000_000).unwrap();
    let target = fresh(2);
    restore(&from, &target, Point::Moment(at), [1; 16], now, |_, _| {})
        .await
        .unwrap();
    let count = |log: &MemoryLog, keep: &dyn Fn(Timestamp) -> bool| -> usize {
        log.entries(0)
            .into_iter()
            .filter(|entry| entry.record_count > 0)
            .flat_map(|entry| frame::split(entry.body).unwrap())
            .filter(|bytes| {
                let record = schemas::record::decode(bytes.clone()).unwrap().record;
                record.log_id == log_id(1) && keep(record.moment.recorded_at)
            })
            .count()
    };
    assert_eq!(count(&target, &|_| true), count(&maker.log, &|t| t <= at));
    let full = restore(&from, &target, Point::Newest, [1; 16], now, |_, _| {}).await;
    assert!(matches!(full, Err(RestoreError::Target(_))), "not empty");

    // A restore that was not finished is no log.
    let unfinished = target.tampered(|_, entries| {
        entries.pop();
    });
    let refused = recover::recover(
        unfinished.reader(),
        None,
        options(&unfinished, None),
        Box::new(|_| {}),
    );
    let refused = refused.await.unwrap_err();
    assert!(
        matches!(refused, RecoverError::Unfinished { .. }),
        "{refused}"
    );
    let report = verify(
        &source(&unfinished),
        None,
        None,
        &Default::default(),
        |_| {},
    )
    .await;
    assert_eq!(report.unwrap().findings[0].code, "LOG_UNUSABLE");
}
