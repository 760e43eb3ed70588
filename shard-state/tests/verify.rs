//! Verification finds what was tampered with, and names the first damaged record.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use common::{Maker, check, options, projected, said, source};
use ledger_core::account::{Account, AccountNumber};
use ledger_core::amount::Amount;
use ledger_core::facts::KeyEntry;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::LedgerName;
use ledger_core::time::{Day, Timestamp};
use ports::log::EventLog as _;
use ports::memory::{MemorySnapshots, MemoryViews};
use ports::projection::{Changes, HeadRow, HistoryRow, PlaceRow, ProjectionError};
use ports::snapshot::{SnapshotEntry, SnapshotError, SnapshotStore};
use ports::views::{
    AccountFilter, DayBucket, HistoryRange, LedgerProgress, LedgerView, TransactionFilter,
    TransactionView, Views,
};
use schemas::proto::snapshot::v1::Manifest;
use schemas::record::{RecordHash, frame};
use shard_state::build;
use shard_state::verify::{About, ExpectedHead, Options, Report, verify};

#[tokio::test]
async fn a_sound_log_is_clean_and_counted() {
    let maker = Maker::filled(1, 200, 10).await;
    let store: Arc<dyn SnapshotStore> = Arc::new(MemorySnapshots::default());
    build::build_snapshot(
        maker.log.reader(),
        Arc::clone(&store),
        options(&maker.log, None),
        "test".into(),
        Box::new(|_| {}),
    )
    .await
    .unwrap();
    let views = projected(&maker.log, |_| {}).await;
    let heads: Vec<_> = maker.state.heads().into_iter().collect();
    let expect_heads = heads
        .iter()
        .map(|(name, head)| {
            let text = format!("{name}@{}:{}", head.ledger_sequence, head.hash);
            let head: ExpectedHead = text.parse().unwrap();
            assert_eq!(head.to_string(), text);
            head
        })
        .collect();
    let options = Options {
        expect_heads,
        hash_seed: 3,
    };
    let mut last = None;
    let report = verify(
        &source(&maker.log),
        Some(store),
        Some(Arc::new(views)),
        &options,
        |p| {
            last = Some(p);
        },
    )
    .await
    .unwrap();
    assert!(report.is_clean(), "{}", said(&report));
    let summary = report.summary;
    let end = maker.state.next_sequence() - 1;
    assert_eq!(summary.records, end);
    assert_eq!(summary.log_ends, [end]);
    assert_eq!(summary.compared_at, [Some(end)]);
    assert_eq!((summary.ledgers, summary.accounts), (2, 8));
    assert_eq!(summary.view_accounts, 8);
    assert!(summary.transactions > 50);
    assert_eq!(summary.view_transactions, summary.transactions);
    assert_eq!((summary.snapshots, summary.expected_heads), (1, 3));
    assert_eq!(summary.heads.len(), 3);
    assert_eq!(last.unwrap().sequence, end);
}

#[tokio::test]
async fn a_cut_tail_and_a_rewritten_chain_are_found_by_a_head_kept_elsewhere() {
    let maker = Maker::filled(2, 60, 4).await;
    let (name, head) = maker.state.heads()[1];
    let kept = ExpectedHead {
        ledger: name.clone(),
        ledger_sequence: head.ledger_sequence,
        hash: head.hash,
    };
    let cut = maker.log.tampered(|_, entries| {
        entries.truncate(entries.len() / 2);
    });
    assert!(
        check(&cut, None).await.is_clean(),
        "a chain does not show it"
    );
    let expect = |hash| Options {
        expect_heads: vec![ExpectedHead {
            hash,
            ..kept.clone()
        }],
        ..Options::default()
    };
    let report = verify(&source(&cut), None, None, &expect(head.hash), |_| {}).await;
    let finding = report.unwrap().findings.remove(0);
    assert_eq!(
        (finding.about, finding.code),
        (About::Head, "HEAD_MISMATCH")
    );
    assert_eq!(finding.ledger_sequence, Some(head.ledger_sequence));
    let other = RecordHash([0xab; 32]);
    let report = verify(&source(&maker.log), None, None, &expect(other), |_| {}).await;
    assert_eq!(report.unwrap().findings[0].code, "HEAD_MISMATCH");
    for wrong in ["main", "main@x:00", "main@1:zz", "daybook:x@1:00"] {
        assert!(wrong.parse::<ExpectedHead>().is_err());
    }
}

#[tokio::test]
async fn a_snapshot_with_a_changed_total_is_found() {
    let maker = Maker::filled(3, 80, 8).await;
    let store = Arc::new(MemorySnapshots::default());
    let as_store = || Arc::clone(&store) as Arc<dyn SnapshotStore>;
    let built = build::build_snapshot(
        maker.log.reader(),
        as_store(),
        options(&maker.log, None),
        "test".into(),
        Box::new(|_| {}),
    );
    let name = built.await.unwrap().name.unwrap();
    let run = || async {
        verify(
            &source(&maker.log),
            Some(as_store()),
            None,
            &Options::default(),
            |_| {},
        )
        .await
        .unwrap()
    };
    assert!(run().await.is_clean());

    // Its hash made to fit, so that only the comparison can tell.
    store.tamper(0, &name, |manifest, chunks| {
        use prost::Message as _;
        use schemas::proto::snapshot::v1::{Part, part};
        let plain = zstd::bulk::decompress(&chunks[0], 1 << 24).unwrap();
        let mut rest = &plain[..];
        let mut forged = Vec::new();
        let mut changed = false;
        while !rest.is_empty() {
            let mut part = Part::decode_length_delimited(&mut rest).unwrap();
            if let Some(part::Part::Account(account)) = &mut part.part
                && !changed
            {
                // Both sides, so that the account still makes sense by itself.
                let balance = account.balance.as_mut().unwrap();
                balance.debits_posted += 7;
                balance.credits_posted += 7;
                changed = true;
            }
            part.encode_length_delimited(&mut forged).unwrap();
        }
        assert!(changed);
        chunks[0] = zstd::bulk::compress(&forged, 1).unwrap().into();
        manifest.chunks[0].blake3 = schemas::record::hash(&chunks[0]).0.to_vec();
    });
    let report = run().await;
    assert_eq!(
        report.findings[0].code, "STATE_DIFFERS",
        "{:#?}",
        report.findings
    );
    assert!(report.findings[0].message.contains("cash"));

    store.tamper(0, &name, |manifest, _| manifest.record_hash[0] ^= 1);
    assert_eq!(run().await.findings[0].code, "LOG_DIVERGED");
    store.tamper(0, &name, |manifest, _| manifest.sequence += 1_000);
    assert_eq!(run().await.findings[0].code, "LOG_BEHIND");
    store.tamper(0, &name, |manifest, _| manifest.log_id[0] ^= 1);
    assert_eq!(run().await.findings[0].code, "LOG_DIVERGED");
    store.tamper(0, &name, |manifest, _| manifest.log_id.clear());
    assert_eq!(run().await.findings[0].code, "SNAPSHOT_DAMAGED");
    store.tamper(0, &name, |manifest, _| manifest.evolve_version = 9);
    let report = run().await;
    assert!(report.is_clean());
    assert_eq!(report.summary.left_out.len(), 1);
}

/// Tampers once, with the n-th stretch where `change` finds something to tamper with.
async fn tampered(
    maker: &Maker,
    nth: usize,
    change: impl Fn(&mut Changes) -> bool + Send + Sync + 'static,
) -> Report {
    let seen = Mutex::new(0);
    let views = projected(&maker.log, move |changes| {
        let mut seen = seen.lock().unwrap();
        if *seen <= nth && change(&mut changes.clone()) {
            if *seen == nth {
                change(changes);
            }
            *seen += 1;
        }
    })
    .await;
    check(&maker.log, Some(views)).await
}

#[tokio::test]
async fn every_tampering_with_the_read_models_is_found() {
    let mut maker = Maker::filled(4, 150, 6).await;
    maker.fill(10, 6).await;
    type Change = Box<dyn Fn(&mut Changes) -> bool + Send + Sync>;
    let more = |amount: &mut Amount| *amount = amount.checked_add(Amount::new(1).unwrap()).unwrap();
    let changes: Vec<(&str, Change)> = vec![
        (
            "a balance",
            Box::new(move |c| {
                c.balances.last_mut().is_some_and(|row| {
                    more(&mut row.totals.debits_posted);
                    more(&mut row.totals.credits_posted);
                    true
                })
            }),
        ),
        (
            "a history row",
            Box::new(move |c| {
                c.history.last_mut().is_some_and(|row| {
                    more(&mut row.totals.debits_pending);
                    true
                })
            }),
        ),
        (
            "an amount",
            Box::new(move |c| {
                c.transactions
                    .iter_mut()
                    .find(|row| row.made.is_some())
                    .is_some_and(|row| {
                        more(&mut row.transaction.postings[0].amount);
                        true
                    })
            }),
        ),
        (
            "a description",
            Box::new(|c| {
                c.transactions.last_mut().is_some_and(|row| {
                    row.transaction.description = Some(ledger_core::text::Text::plain("forged"));
                    true
                })
            }),
        ),
        (
            "a head",
            Box::new(|c| {
                c.heads.last_mut().is_some_and(|row| {
                    row.record_hash.0[3] ^= 1;
                    true
                })
            }),
        ),
        (
            "a lost transaction",
            Box::new(|c| {
                let made = c.transactions.iter().position(|row| row.made.is_some());
                made.is_some_and(|index| {
                    c.transactions.remove(index);
                    true
                })
            }),
        ),
        (
            "an invented transaction",
            Box::new(|c| {
                let made = c
                    .transactions
                    .iter()
                    .find(|row| row.made.is_some())
                    .cloned();
                made.is_some_and(|mut row| {
                    row.transaction.id.0 ^= 1;
                    c.transactions.push(row);
                    true
                })
            }),
        ),
        (
            "a key of another",
            Box::new(|c| {
                c.transactions
                    .iter_mut()
                    .find_map(|row| row.made.as_mut())
                    .is_some_and(|made| {
                        made.key = ledger_core::key::IdempotencyKey::text("forged").unwrap();
                        true
                    })
            }),
        ),
    ];
    for (what, change) in changes {
        let change = Arc::new(change);
        // The last that can be tampered with: nothing later covers it up.
        let count = {
            let counted = Arc::new(Mutex::new(0));
            let (told, change) = (Arc::clone(&counted), Arc::clone(&change));
            projected(&maker.log, move |changes| {
                *told.lock().unwrap() += usize::from(change(&mut changes.clone()));
            })
            .await;
            *counted.lock().unwrap()
        };
        assert!(count > 0, "{what}: nothing to tamper with");
        let report = tampered(&maker, count - 1, move |changes| change(changes)).await;
        assert!(!report.is_clean(), "{what} was not found");
        let finding = &report.findings[0];
        assert_eq!(finding.about, About::ReadModels, "{what}: {finding}");
        assert!(finding.ledger.is_some(), "{what}: {finding}");
    }
}

#[tokio::test]
async fn read_models_that_are_behind_are_compared_where_they_are() {
    let mut maker = Maker::filled(5, 60, 6).await;
    let views = projected(&maker.log, |_| {}).await;
    let at = maker.state.next_sequence() - 1;
    maker.fill(60, 6).await;
    let report = check(&maker.log, Some(views.clone())).await;
    assert!(report.is_clean(), "{}", said(&report));
    assert_eq!(report.summary.compared_at, [Some(at)]);
    assert_eq!(report.summary.log_ends, [maker.state.next_sequence() - 1]);

    // Ahead of the log: an older one was put back.
    let older = maker.log.tampered(|_, entries| entries.truncate(3));
    let report = check(&older, Some(views)).await;
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.code == "LOG_BEHIND")
    );
    let nothing = MemoryViews::new(1);
    let report = check(&maker.log, Some(nothing)).await;
    assert!(report.is_clean());
    assert_eq!(report.summary.compared_at, [None]);
}

#[tokio::test]
async fn it_is_exact_while_a_server_writes_and_projects() {
    let maker = Maker::filled(6, 100, 6).await;
    let log = maker.log.clone();
    let views = MemoryViews::new(1);
    let config = projector::Config::new(log.log_id(), 0);
    let projection: Arc<dyn ports::projection::Projection> = Arc::new(views.clone());
    let projector = projector::spawn(config, log.reader(), projection).unwrap();
    let writing = tokio::spawn(async move {
        let mut maker = maker;
        for _ in 0..60 {
            maker.fill(10, 4).await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
    let mut compared = 0;
    while !writing.is_finished() {
        let report = check(&log, Some(views.clone())).await;
        assert!(report.is_clean(), "{}", said(&report));
        compared += u64::from(report.summary.compared_at[0].is_some());
    }
    writing.await.unwrap();
    assert!(compared > 0);
    projector.stop().await;
}

#[tokio::test]
async fn damage_in_one_ledger_leaves_the_others_verified() {
    let maker = Maker::filled(9, 120, 8).await;
    let victim = LedgerName::new("shop").unwrap();
    let log = maker.log.tampered(|_, entries| {
        for entry in entries.iter_mut().filter(|entry| entry.record_count > 0) {
            let records = frame::split(entry.body.clone()).unwrap();
            let hit = records.iter().any(|bytes| {
                let record = schemas::record::decode(bytes.clone()).unwrap().record;
                record.ledger == victim && record.ledger_sequence == 20
            });
            if hit {
                let mut body = BytesMut::new();
                for bytes in &records {
                    let mut record = schemas::record::decode(bytes.clone()).unwrap().record;
                    if record.ledger == victim && record.ledger_sequence == 20 {
                        record.actor = Some("someone else".into());
                    }
                    frame::push(&mut body, &schemas::record::encode(&record).bytes);
                }
                entry.body = body.freeze();
            }
        }
    });
    let views = projected(&maker.log, |_| {}).await;
    let report = check(&log, Some(views)).await;
    let first = &report.findings[0];
    assert_eq!(
        (first.code, first.ledger_sequence),
        ("CHAIN_BROKEN", Some(20)),
        "{first}"
    );
    assert_eq!(first.ledger, Some(victim.clone()));
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.ledger == Some(victim.clone())),
        "{:#?}",
        report.findings
    );
    assert_eq!(report.summary.records, maker.state.next_sequence() - 1);
    assert_eq!(
        report.summary.ledgers, 1,
        "the other one was recomputed to its end"
    );
}

/// Read models of which some cannot be read: every call after the first so many fails.
struct Failing {
    views: MemoryViews,
    calls: std::sync::atomic::AtomicUsize,
}

impl Failing {
    fn after(views: &MemoryViews, calls: usize) -> Self {
        Self {
            views: views.clone(),
            calls: calls.into(),
        }
    }

    fn call(&self) -> Result<&MemoryViews, ProjectionError> {
        use std::sync::atomic::Ordering::SeqCst;
        let left = self
            .calls
            .fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1));
        left.map(|_| &self.views)
            .map_err(|_| ProjectionError::Unusable("a page is damaged".to_owned()))
    }
}

macro_rules! failing_views {
    ($($name:ident($($of:ident: $type:ty),*) -> $found:ty;)*) => {
        #[async_trait::async_trait]
        impl Views for Failing {
            $(
                async fn $name(&self, $($of: $type),*) -> Result<$found, ProjectionError> {
                    self.call()?.$name($($of),*).await
                }
            )*
        }
    };
}

failing_views! {
    progress(ledger: &LedgerName) -> Option<LedgerProgress>;
    ledger(ledger: &LedgerName) -> Option<LedgerView>;
    ledgers(after: Option<&str>, most: usize) -> Vec<LedgerView>;
    account(ledger: &LedgerName, name: &str) -> Option<Account>;
    accounts_by_number(ledger: &LedgerName, numbers: &[AccountNumber]) -> Vec<Option<Account>>;
    accounts(ledger: &LedgerName, filter: &AccountFilter, most: usize) -> Vec<Account>;
    transaction(ledger: &LedgerName, id: TransactionId) -> Option<TransactionView>;
    key(ledger: &LedgerName, key: &IdempotencyKey) -> Option<KeyEntry>;
    transactions(
        ledger: &LedgerName,
        filter: &TransactionFilter,
        most: usize
    ) -> Vec<TransactionView>;
    history(
        ledger: &LedgerName,
        account: AccountNumber,
        range: HistoryRange,
        most: usize
    ) -> Vec<HistoryRow>;
    history_at(
        ledger: &LedgerName,
        account: AccountNumber,
        at: Timestamp
    ) -> Option<HistoryRow>;
    days(
        ledger: &LedgerName,
        account: AccountNumber,
        from: Day,
        through: Day,
        most: usize
    ) -> Vec<DayBucket>;
    place(ledger: &LedgerName, ledger_sequence: u64) -> Option<PlaceRow>;
    place_at(ledger: &LedgerName, at: Timestamp) -> Option<PlaceRow>;
    heads(shard: u32) -> Vec<(LedgerName, HeadRow)>;
}

#[tokio::test]
async fn read_models_that_cannot_be_read_leave_the_log_verified_to_its_end() {
    let maker = Maker::filled(5, 200, 10).await;
    let views = projected(&maker.log, |_| {}).await;
    let end = maker.state.next_sequence() - 1;
    let mut failed = 0;
    for calls in 0.. {
        let failing: Arc<dyn Views> = Arc::new(Failing::after(&views, calls));
        let report = verify(
            &source(&maker.log),
            None,
            Some(failing),
            &Options::default(),
            |_| {},
        )
        .await
        .unwrap();
        assert_eq!(report.summary.records, end, "after {calls} calls");
        assert_eq!(report.summary.heads.len(), 3, "after {calls} calls");
        if report.is_clean() {
            break;
        }
        failed += 1;
        let [finding] = &report.findings[..] else {
            panic!("after {calls} calls: {}", said(&report));
        };
        assert_eq!(finding.code, "READ_MODELS_UNUSABLE");
        assert_eq!(finding.about, About::ReadModels);
        assert!(finding.message.contains("a page is damaged"), "{finding}");
        assert_eq!(report.summary.compared_at, [None]);
    }
    assert!(failed > 5, "only {failed} calls were made");
}

/// A store that is pruned of everything between the listing and the reading.
struct Pruned(MemorySnapshots);

#[async_trait::async_trait]
impl SnapshotStore for Pruned {
    async fn put(&self, manifest: Manifest, chunks: Vec<Bytes>) -> Result<String, SnapshotError> {
        self.0.put(manifest, chunks).await
    }

    async fn list(&self, shard: u32) -> Result<Vec<SnapshotEntry>, SnapshotError> {
        self.0.list(shard).await
    }

    async fn get(&self, shard: u32, name: &str) -> Result<(Manifest, Vec<Bytes>), SnapshotError> {
        self.0.prune(shard, 0).await?;
        self.0.get(shard, name).await
    }

    async fn prune(&self, shard: u32, keep: usize) -> Result<(), SnapshotError> {
        self.0.prune(shard, keep).await
    }
}

#[tokio::test]
async fn a_snapshot_that_is_pruned_meanwhile_is_left_out_and_no_damage() {
    let maker = Maker::filled(6, 100, 10).await;
    let store: Arc<dyn SnapshotStore> = Arc::new(MemorySnapshots::default());
    let built = build::build_snapshot(
        maker.log.reader(),
        Arc::clone(&store),
        options(&maker.log, None),
        "test".into(),
        Box::new(|_| {}),
    );
    built.await.unwrap();
    let listed = store.list(0).await.unwrap();
    let (manifest, chunks) = store.get(0, &listed[0].name).await.unwrap();
    let pruned = MemorySnapshots::default();
    let name = pruned.put(manifest, chunks).await.unwrap();
    let report = verify(
        &source(&maker.log),
        Some(Arc::new(Pruned(pruned))),
        None,
        &Options::default(),
        |_| {},
    )
    .await
    .unwrap();
    assert!(report.is_clean(), "{}", said(&report));
    assert_eq!(report.summary.snapshots, 0);
    let left_out = &report.summary.left_out;
    assert!(
        left_out.len() == 1 && left_out[0].contains(&name) && left_out[0].contains("removed"),
        "{left_out:?}"
    );
}
