//! Logs carried over into others: byte for byte, to any number of shards, through any fault.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::{Maker, log_id, said, source};
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::{EventLog, Position};
use ports::memory::{Fault, MemoryLog, MemorySnapshots};
use ports::routing::chain_shard;
use schemas::record::{LogSealed, Payload, frame};
use shard_state::migrate::{
    Carried, Given, MigrateError, Options, Sealed, abandon, carry, check_target, plan, seal,
    sealed_for,
};
use shard_state::recover::{self, RecoverError};
use shard_state::restore::{Point, restore};
use shard_state::verify::{Report, verify};
use shard_state::{ShardState, build};
use tokio::sync::watch;

fn now() -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000).unwrap()
}

fn to(log: &MemoryLog) -> LogSealed {
    LogSealed {
        moved_to: log.log_id(),
        place: Arc::from("elsewhere"),
    }
}

async fn sealed(log: &MemoryLog, target: &MemoryLog) -> Vec<Sealed> {
    seal(log, None, &to(target), now()).await.unwrap()
}

fn small_batches() -> Options {
    Options {
        batch_records: 7,
        ..Options::new(now(), 9)
    }
}

async fn carried(from: &MemoryLog, target: &MemoryLog) -> Result<Carried, MigrateError> {
    let sealed = seal(from, None, &to(target), now()).await?;
    carry(&source(from), &sealed, target, small_batches(), |_, _| {}).await
}

async fn recovered(log: &MemoryLog, shard: u32) -> Result<ShardState, RecoverError> {
    let options = recover::Options {
        log_id: log.log_id(),
        shard,
        shard_count: log.shard_count(),
        until: None,
        hash_seed: 3,
        projected: watch::channel(0).1,
    };
    let recovered = recover::recover(log.reader(), None, options, Box::new(|_| {})).await;
    recovered.map(|recovered| recovered.state)
}

async fn verified(log: &MemoryLog) -> Report {
    let options = Default::default();
    let verified = verify(&source(log), None, None, &options, |_| {}).await;
    verified.unwrap()
}

/// The records of each chain in order, by name, and each in the right shard.
fn chains(log: &MemoryLog) -> BTreeMap<LedgerName, Vec<Bytes>> {
    let mut chains: BTreeMap<LedgerName, Vec<Bytes>> = BTreeMap::new();
    for shard in 0..log.shard_count() {
        for entry in log.entries(shard) {
            if entry.record_count == 0 {
                continue;
            }
            for bytes in frame::split(entry.body).unwrap() {
                let record = schemas::record::decode(bytes.clone()).unwrap().record;
                assert_eq!(chain_shard(&record.ledger, log.shard_count()), shard);
                chains.entry(record.ledger).or_default().push(bytes);
            }
        }
    }
    chains
}

/// Every record of `from` stands in `target` in the same place of its chain; a ledger's chain
/// has no others.
fn assert_carried(from: &MemoryLog, target: &MemoryLog) {
    let (before, after) = (chains(from), chains(target));
    for (name, records) in &before {
        let there = &after[name];
        match name.is_engine() {
            true => assert_eq!(records[..], there[..records.len()], "{name}"),
            false => assert_eq!(records, there, "{name}"),
        }
    }
    let ledgers = |chains: &BTreeMap<LedgerName, Vec<Bytes>>| {
        chains.keys().filter(|name| !name.is_engine()).count()
    };
    assert_eq!(ledgers(&before), ledgers(&after));
}

#[tokio::test]
async fn books_go_over_to_any_number_of_shards_and_back() {
    let maker = Maker::filled(1, 200, 5).await;
    let ledgers: Vec<_> = maker
        .state
        .ledgers()
        .iter()
        .map(|ledger| ledger.to_image())
        .collect();
    let mut log = maker.log.clone();
    for (id, shards) in [(2, 3), (3, 2), (4, 2), (5, 5), (6, 1)] {
        let planned = plan(&source(&log), shards, |_, _| {}).await.unwrap();
        let target = MemoryLog::new(log_id(id), shards);
        let carried = carried(&log, &target).await.unwrap();
        assert_carried(&log, &target);
        let records: u64 = carried.shards.iter().map(|shard| shard.records).sum();
        let of_plan: u64 = planned.shards.iter().map(|shard| shard.records).sum();
        // The seal of each shard came behind the plan.
        assert!(records > of_plan, "{records} and {of_plan}");
        assert_eq!(carried.heads.len(), 2);

        let report = verified(&target).await;
        assert!(report.is_clean(), "{shards} shards:{}", said(&report));
        for (ledger, head) in &carried.heads {
            let heads = report.summary.heads.iter();
            assert!(
                heads
                    .clone()
                    .any(|(name, found)| name == ledger && found == head)
            );
        }
        // Replay in the new place gives the very state, but for where its records stand.
        let mut states = Vec::new();
        for shard in 0..shards {
            states.push(recovered(&target, shard).await.unwrap());
        }
        for image in &ledgers {
            let shard = chain_shard(&image.name, shards) as usize;
            let ledger = states[shard].ledger(&image.name).unwrap().to_image();
            assert_eq!(ledger.accounts, image.accounts);
            assert_eq!(ledger.holds, image.holds);
            assert_eq!(ledger.keys.len(), image.keys.len());
        }
        log = target;
    }
    // The last one is as good as any: it goes on, is restored, and verifies.
    let mut maker = Maker::open(log, None, 99).await;
    maker.fill(40, 4).await;
    let report = verified(&maker.log).await;
    assert!(report.is_clean(), "{}", said(&report));
    for (n, point) in [
        (20, Point::Newest),
        (
            21,
            Point::Moment(Timestamp::from_micros(now().micros() - 1).unwrap()),
        ),
        (
            22,
            Point::Sequence {
                shard: 0,
                sequence: 50,
            },
        ),
    ] {
        let restored = MemoryLog::new(log_id(n), 1);
        let from = source(&maker.log);
        let report = restore(&from, &restored, point, [1; 16], now(), |_, _| {}).await;
        assert!(report.unwrap().shards[0].kept.is_some());
        let report = verified(&restored).await;
        assert!(report.is_clean(), "{point:?}:{}", said(&report));
    }
}

#[tokio::test]
async fn a_run_that_was_cut_off_anywhere_is_gone_on_with() {
    let maker = Maker::filled(2, 120, 5).await;
    let undisturbed = MemoryLog::new(log_id(2), 3);
    carried(&maker.log, &undisturbed).await.unwrap();
    let records = |log: &MemoryLog| -> Vec<Vec<Bytes>> {
        let shards = 0..log.shard_count();
        shards
            .map(|shard| {
                let entries = log.entries(shard).into_iter();
                let entries = entries.filter(|entry| entry.record_count > 0);
                entries
                    .flat_map(|entry| frame::split(entry.body).unwrap())
                    .collect()
            })
            .collect()
    };
    let expected = records(&undisturbed);
    let mut cut_off = 0;
    for shard in 0..3 {
        for fault in [
            Fault::Torn(0),
            Fault::Torn(1),
            Fault::Torn(3),
            Fault::Torn(100),
            Fault::Aborted,
            Fault::Fenced,
        ] {
            for nth in 0..4 {
                let target = MemoryLog::new(log_id(2), 3);
                // The first commits succeed; the nth meets with the fault.
                let mut runs = 0;
                let mut armed = false;
                loop {
                    runs += 1;
                    if runs == nth + 1 {
                        target.fail_next(shard, fault.clone());
                        armed = true;
                    } else if runs <= nth {
                        target.fail_next(shard, Fault::Torn(2));
                    }
                    match carried(&maker.log, &target).await {
                        Ok(_) => break,
                        Err(error) => {
                            assert_eq!(error.code(), "NOT_MIGRATED", "{error}");
                            cut_off += 1;
                            let state = recovered(&target, shard).await;
                            let standing = state.is_ok_and(|state| state.last().is_some());
                            let whole =
                                records(&target)[shard as usize] == expected[shard as usize];
                            assert_eq!(standing, whole, "only a whole shard is a log");
                        }
                    }
                    assert!(runs < 20, "it does not get on");
                }
                assert!(armed || runs <= nth + 1);
                assert_eq!(records(&target), expected, "shard {shard} {fault:?} {nth}");
                assert!(verified(&target).await.is_clean());
                // Once more changes nothing.
                carried(&maker.log, &target).await.unwrap();
                assert_eq!(records(&target), expected);
            }
        }
    }
    assert!(cut_off > 60, "{cut_off} runs were cut off");
}

#[tokio::test]
async fn a_sealed_log_takes_no_records_until_it_is_opened_again() {
    let maker = Maker::filled(3, 40, 5).await;
    let store = Arc::new(MemorySnapshots::default());
    let (here, there) = (MemoryLog::new(log_id(2), 1), MemoryLog::new(log_id(3), 1));
    for fault in [Fault::Torn(0), Fault::Fenced, Fault::Torn(1)] {
        maker.log.fail_next(0, fault);
    }
    for _ in 0..3 {
        sealed(&maker.log, &here).await;
    }
    let last = |log: &MemoryLog| {
        let mut entries = log.entries(0).into_iter();
        let batch = entries.rfind(|entry| entry.record_count > 0);
        let bytes = frame::split(batch.unwrap().body).unwrap().pop().unwrap();
        schemas::record::decode(bytes).unwrap()
    };
    let seals = chains(&maker.log)[&LedgerName::of_shard(0)]
        .iter()
        .filter(|bytes| {
            let record = schemas::record::decode((*bytes).clone()).unwrap().record;
            matches!(record.payload, Payload::LogSealed(_))
        })
        .count();
    assert_eq!(seals, 1, "a seal whose outcome was lost is looked up");
    let state = recovered(&maker.log, 0).await.unwrap();
    assert_eq!(state.sealed().unwrap().moved_to, log_id(2));
    let found = sealed_for(&maker.log).await.unwrap();
    assert_eq!(found.as_ref(), state.sealed());
    assert_eq!(sealed_for(&here).await.unwrap(), None);
    assert!(verified(&maker.log).await.is_clean());

    let other = seal(&maker.log, None, &to(&there), now())
        .await
        .unwrap_err();
    assert!(matches!(other, MigrateError::SealedBefore { moved_to, .. } if moved_to == log_id(2)));
    assert_eq!(other.code(), "LOG_SEALED");

    // A record behind the seal is damage.
    let mut stubborn = state.clone();
    let claimed = chains(&maker.log)[&LedgerName::of_shard(0)][1].clone();
    let mut claimed = schemas::record::decode(claimed).unwrap().record;
    let next = stubborn.next(&LedgerName::of_shard(0));
    claimed.sequence = next.sequence;
    claimed.ledger_sequence = next.ledger_sequence;
    claimed.previous_hash = next.previous_hash;
    claimed.epoch = stubborn.epoch();
    claimed.moment.recorded_at = now();
    let Payload::WriterClaimed(claim) = &mut claimed.payload else {
        panic!("{claimed:?}");
    };
    claim.epoch = claimed.epoch;
    let claimed = schemas::record::encode(&claimed);
    let refused = stubborn.apply(next.sequence, &claimed).unwrap_err();
    assert!(refused.to_string().contains("sealed before"), "{refused}");

    // No snapshot hides the seal.
    let options = recover::Options {
        log_id: log_id(1),
        shard: 0,
        shard_count: 1,
        until: None,
        hash_seed: 3,
        projected: watch::channel(0).1,
    };
    let built = build::build_snapshot(
        maker.log.reader(),
        store,
        options,
        "test".to_owned(),
        Box::new(|_| {}),
    );
    assert_eq!(built.await.unwrap().name, None);

    // Only what was never served is given up, and only by its own name.
    let give_up = |given| abandon(&maker.log, None, "here", given, "given up", now());
    let wrong = give_up(Given::Lost(log_id(3))).await.unwrap_err();
    assert!(matches!(wrong, MigrateError::SealedBefore { .. }));
    carried(&maker.log, &here).await.unwrap();
    for fault in [Fault::Fenced, Fault::Torn(0), Fault::Torn(1)] {
        maker.log.fail_next(0, fault);
    }
    assert_eq!(give_up(Given::Log(&here)).await.unwrap(), 1);
    assert_eq!(give_up(Given::Log(&here)).await.unwrap(), 0);
    let barred = recovered(&here, 0).await.unwrap();
    assert_eq!(barred.sealed().unwrap().moved_to, log_id(1));
    assert!(matches!(
        last(&maker.log).record.payload,
        Payload::LogReopened(_)
    ));
    let mut maker = Maker::open(maker.log, None, 5).await;
    maker.now = now().micros();
    maker.fill(10, 3).await;
    let report = verified(&maker.log).await;
    assert!(report.is_clean(), "{}", said(&report));
    carried(&maker.log, &there).await.unwrap();
    assert_carried(&maker.log, &there);
    assert!(verified(&there).await.is_clean());
    let mut on = Maker::open(there.clone(), None, 6).await;
    on.commit().await;
    let give_up = abandon(&maker.log, None, "here", Given::Log(&there), "no", now());
    assert!(matches!(give_up.await, Err(MigrateError::Served { .. })));
    assert!(recovered(&maker.log, 0).await.unwrap().sealed().is_some());
}

#[tokio::test]
async fn what_is_no_target_is_refused() {
    let maker = Maker::filled(4, 60, 5).await;
    let same = MemoryLog::new(log_id(1), 2);
    let seals = sealed(&maker.log, &same).await;
    let into_same = carry(
        &source(&maker.log),
        &seals,
        &same,
        small_batches(),
        |_, _| {},
    )
    .await;
    assert!(matches!(into_same, Err(MigrateError::Unfit { .. })));

    let maker = Maker::filled(5, 60, 5).await;
    let served = Maker::filled(6, 5, 5).await.log;
    let served = served.tampered(|_, _| {});
    let own = MemoryLog::new(log_id(7), 1);
    for entry in served.entries(0).iter().filter(|e| e.record_count > 0) {
        let mut writer = own.claim(0, Bytes::new()).await.unwrap();
        writer
            .commit(ports::log::Batch {
                epoch: 1,
                first_sequence: entry.first_sequence,
                record_count: entry.record_count,
                body: entry.body.clone(),
                attached: Default::default(),
            })
            .await;
    }
    // Records of another log with the source's own id and seed: they stand where the source's
    // should.
    assert!(
        check_target(&own, log_id(5)).await.is_ok(),
        "nothing tells yet"
    );
    assert!(check_target(&served, log_id(5)).await.is_err());
    let foreign = carried(&maker.log, &own).await.unwrap_err();
    assert_eq!(foreign.code(), "NOT_MIGRATED", "{foreign}");

    // A source that is damaged is not carried over.
    let maker = Maker::filled(8, 60, 5).await;
    let target = MemoryLog::new(log_id(9), 2);
    let seals = sealed(&maker.log, &target).await;
    let cut = maker.log.tampered(|_, entries| {
        entries.retain(|entry| entry.position != Position(3));
    });
    let damaged = carry(&source(&cut), &seals, &target, small_batches(), |_, _| {}).await;
    assert_eq!(damaged.unwrap_err().code(), "LOG_DAMAGED");
    let short = maker.log.tampered(|_, entries| {
        let last = entries.iter().rposition(|entry| entry.record_count > 0);
        entries.remove(last.unwrap());
    });
    let short = carry(&source(&short), &seals, &target, small_batches(), |_, _| {}).await;
    assert!(matches!(short, Err(MigrateError::End { .. })), "{short:?}");
    carry(
        &source(&maker.log),
        &seals,
        &target,
        small_batches(),
        |_, _| {},
    )
    .await
    .unwrap();
    assert_carried(&maker.log, &target);
}

#[tokio::test]
async fn an_empty_log_goes_over_too() {
    let empty = MemoryLog::new(log_id(1), 2);
    let target = MemoryLog::new(log_id(2), 3);
    let carried = carried(&empty, &target).await.unwrap();
    assert!(carried.heads.is_empty());
    assert_carried(&empty, &target);
    let report = verified(&target).await;
    assert!(report.is_clean(), "{}", said(&report));
    for shard in 0..3 {
        assert!(recovered(&target, shard).await.is_ok());
    }
}
