//! A projector against a log and read models in memory.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ports::log::{EventLog, LogEntry, LogReader as _};
use ports::memory::{MemoryLog, MemoryViews, RandomBooks, Scribe};
use ports::projection::Projection;
use ports::views::Views;
use projector::{Config, Failure, Projector, State, Status, rebuild, spawn};
use schemas::record::{LogId, frame};

const LOG: LogId = LogId([3; 16]);

async fn books(seed: u64, count: usize) -> (Scribe, RandomBooks) {
    let scribe = Scribe::new(MemoryLog::new(LOG, 1)).await;
    let mut books = RandomBooks::new(scribe.clone(), "bank", seed);
    books.write(count).await;
    (scribe, books)
}

fn config(records_max: u64) -> Config {
    Config {
        records_max,
        ..Config::new(LOG, 0)
    }
}

fn follow(log: &MemoryLog, views: &MemoryViews, records_max: u64) -> Projector {
    spawn(config(records_max), log.reader(), Arc::new(views.clone())).unwrap()
}

async fn until(projector: &Projector, reached: impl FnMut(&Status) -> bool) -> Status {
    let mut watch = projector.watch();
    let waited = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(reached));
    waited.await.expect("in time").unwrap().clone()
}

/// Follows `log` to its end.
async fn projected(log: &MemoryLog, records_max: u64) -> MemoryViews {
    let views = MemoryViews::new(1);
    let projector = follow(log, &views, records_max);
    let last = *log.watch(0).borrow() - 1;
    until(&projector, |status| status.applied() == last).await;
    let status = projector.stop().await;
    assert!(matches!(status.state, State::Stopped));
    views
}

async fn failure(log: &MemoryLog, views: &MemoryViews) -> Arc<Failure> {
    let projector = follow(log, views, 1_000);
    match until(&projector, |status| !status.is_alive()).await.state {
        State::Failed(failure) => failure,
        state => panic!("{state:?}"),
    }
}

#[tokio::test]
async fn the_size_of_stretches_changes_nothing() {
    for seed in 0..12 {
        let (scribe, _) = books(seed, 150).await;
        let whole = projected(scribe.log(), 1_000_000).await;
        for records_max in [1, 7] {
            let pieces = projected(scribe.log(), records_max).await;
            assert!(whole == pieces, "seed {seed}, stretches of {records_max}");
        }
    }
}

#[tokio::test]
async fn the_read_models_are_what_the_ledger_decided() {
    let (scribe, _) = books(5, 400).await;
    let views = projected(scribe.log(), 100).await;
    let ledger = ledger_core::name::LedgerName::new("bank").unwrap();
    let accounts = views
        .accounts(&ledger, &Default::default(), 100)
        .await
        .unwrap();
    scribe.state("bank", |state| {
        assert_eq!(accounts, state.accounts());
        assert!(accounts.iter().any(|account| account.version > 50));
    });
    for hold in scribe.state("bank", |state| {
        state.open_holds().into_iter().cloned().collect::<Vec<_>>()
    }) {
        let view = views.transaction(&ledger, hold.id).await.unwrap().unwrap();
        assert_eq!(view.transaction, hold);
    }
    let view = views.ledger(&ledger).await.unwrap().unwrap();
    scribe.state("bank", |state| {
        assert_eq!(Some(&view.terms), state.terms());
        assert_eq!(view.closed_through, state.closed_through());
        assert_eq!(Some(view.created_at), state.created_at());
    });
}

#[tokio::test]
async fn a_stopped_projector_goes_on_where_it_was() {
    let (scribe, mut books) = books(1, 100).await;
    let views = MemoryViews::new(1);
    for _ in 0..5 {
        let projector = follow(scribe.log(), &views, 1_000);
        books.write(20).await;
        let last = *scribe.log().watch(0).borrow() - 1;
        until(&projector, |status| status.applied() == last).await;
        projector.stop().await;
    }
    assert!(views == projected(scribe.log(), 1_000).await);
}

#[tokio::test]
async fn a_pause_holds_still_and_pauses_add_up() {
    let (scribe, mut books) = books(2, 50).await;
    let views = MemoryViews::new(1);
    let projector = follow(scribe.log(), &views, 1_000);
    let paused = projector.pause().await;
    assert!(matches!(paused.state, State::Paused), "{paused:?}");
    projector.pause().await;
    let before = views.checkpoint(0).await.unwrap();
    books.write(20).await;
    projector.resume();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        views.checkpoint(0).await.unwrap(),
        before,
        "one pause is left"
    );
    projector.resume();
    let last = *scribe.log().watch(0).borrow() - 1;
    until(&projector, |status| status.applied() == last).await;
    projector.stop().await;
}

#[tokio::test]
async fn what_cannot_be_reached_is_tried_again() {
    let (scribe, _) = books(3, 50).await;
    let views = MemoryViews::new(1);
    views.fail_next(3);
    let projector = follow(scribe.log(), &views, 1_000);
    let last = *scribe.log().watch(0).borrow() - 1;
    let status = until(&projector, |status| status.applied() == last).await;
    assert_eq!(status.lag_records(), 0);
    projector.stop().await;
    assert!(views == projected(scribe.log(), 1_000).await);
}

/// The entry's records one by one, changed and put together again.
fn change_records(entry: &mut LogEntry, change: impl FnOnce(&mut Vec<bytes::Bytes>)) {
    let mut records = frame::split(entry.body.clone()).unwrap();
    change(&mut records);
    let mut body = BytesMut::new();
    for record in &records {
        frame::push(&mut body, record);
    }
    entry.body = body.freeze();
}

fn middle(entries: &mut [LogEntry]) -> &mut LogEntry {
    let at = entries.len() / 2;
    let found = entries[at..]
        .iter_mut()
        .find(|entry| entry.record_count > 0);
    found.unwrap()
}

#[tokio::test]
async fn damage_stops_it_at_the_place_and_what_is_before_stays() {
    let (scribe, _) = books(4, 120).await;
    let at = middle(&mut scribe.log().entries(0)).clone();

    let flipped = scribe.log().tampered(|_, entries| {
        change_records(middle(entries), |records| {
            let mut bytes = records[0].to_vec();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            records[0] = bytes.into();
        });
    });
    let views = MemoryViews::new(1);
    let found = failure(&flipped, &views).await;
    assert_eq!(found.code(), "LOG_DAMAGED", "{found}");
    // The flipped record itself may still be readable: then the next one says that its hash is
    // another.
    let Failure::Record { sequence, .. } = &*found else {
        panic!("{found:?}")
    };
    assert!(
        (at.first_sequence..=at.first_sequence + 1).contains(sequence),
        "{found}"
    );

    let missing = scribe.log().tampered(|_, entries| {
        let gone = middle(entries).position;
        entries.retain(|entry| entry.position != gone);
    });
    let found = failure(&missing, &MemoryViews::new(1)).await;
    assert!(
        matches!(&*found, Failure::Record { sequence, .. } if *sequence == at.first_sequence),
        "{found}"
    );

    let fewer = scribe.log().tampered(|_, entries| {
        let entry = entries.iter_mut().find(|entry| entry.record_count > 1);
        change_records(entry.unwrap(), |records| drop(records.pop()));
    });
    let found = failure(&fewer, &MemoryViews::new(1)).await;
    assert_eq!(found.code(), "LOG_DAMAGED", "{found}");

    let swapped = scribe.log().tampered(|_, entries| {
        let entry = entries.iter_mut().rfind(|entry| entry.record_count > 1);
        change_records(entry.unwrap(), |records| records.swap(0, 1));
    });
    let found = failure(&swapped, &MemoryViews::new(1)).await;
    assert_eq!(found.code(), "LOG_DAMAGED", "{found}");
}

#[tokio::test]
async fn read_models_ahead_of_the_log_or_of_another_past_are_refused() {
    let (scribe, mut books) = books(6, 60).await;
    let short = scribe.log().tampered(|_, _| {});
    books.write(40).await;
    let views = projected(scribe.log(), 1_000).await;

    let found = failure(&short, &views).await;
    assert_eq!(found.code(), "LOG_BEHIND", "{found}");

    let (other, mut books) = {
        let scribe = Scribe::new(MemoryLog::new(LOG, 1)).await;
        let books = RandomBooks::new(scribe.clone(), "bank", 77);
        (scribe, books)
    };
    books.write(300).await;
    let found = failure(other.log(), &views).await;
    assert_eq!(found.code(), "LOG_DIVERGED", "{found}");

    let of_another_log = Config::new(LogId([9; 16]), 0);
    let reader = scribe.log().reader();
    let projector = spawn(of_another_log, reader, Arc::new(views.clone())).unwrap();
    let status = until(&projector, |status| !status.is_alive()).await;
    let State::Failed(found) = status.state else {
        panic!("{:?}", status.state)
    };
    assert_eq!(found.code(), "LOG_DIVERGED", "{found}");
}

#[tokio::test]
async fn a_rebuild_finds_what_differs_and_switches() {
    let (scribe, mut books) = books(8, 200).await;
    let live = MemoryViews::new(1);
    let projector = follow(scribe.log(), &live, 50);
    let last = *scribe.log().watch(0).borrow() - 1;
    until(&projector, |status| status.applied() == last).await;
    let again = || {
        rebuild(
            vec![config(64)],
            scribe.log().reader(),
            Arc::new(live.clone()),
            vec![projector.clone()],
            Arc::new(live.clone()),
            Box::new(|_| {}),
        )
    };
    let rebuilt = again().await.unwrap();
    assert_eq!(rebuilt.differences, Vec::<String>::new());
    assert_eq!(rebuilt.sequences, vec![(0, last)]);
    assert!(!rebuilt.not_compared);

    // The projector follows on over the switched read models.
    books.write(50).await;
    let last = *scribe.log().watch(0).borrow() - 1;
    until(&projector, |status| status.applied() == last).await;
    assert!(live == projected(scribe.log(), 1_000).await);

    // Read models that are not what the log says.
    let wrong = MemoryViews::new(1);
    wrong.drop_keys(true);
    let projector = follow(scribe.log(), &wrong, 50);
    until(&projector, |status| status.applied() == last).await;
    wrong.drop_keys(false);
    let rebuilt = rebuild(
        vec![config(64)],
        scribe.log().reader(),
        Arc::new(wrong.clone()),
        vec![projector],
        Arc::new(wrong.clone()),
        Box::new(|_| {}),
    );
    assert_eq!(rebuilt.await.unwrap().differences.len(), 1);
    assert!(wrong == live);
}
