//! Any record that can be, edges preferred.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use ledger_core::account::{
    AccountNumber, AccountStatus, AccountTerms, AccountType, Direction, FreezeScope, Limits,
    Totals, VelocityLimit, VelocityWindow,
};
use ledger_core::amount::Amount;
use ledger_core::asset::Asset;
use ledger_core::event::{
    AccountOpened, AccountStatusChanged, AccountUpdated, BooksChanged, Event, LedgerTerms,
    ResultingBalance, TransactionCaptured, TransactionCreated, TransactionReleased,
    TransactionReversed, TransactionUpdated,
};
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::limits::AMOUNT_MAX;
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::rejection::{Code, Rejection};
use ledger_core::text::{Metadata, Sealed, Text};
use ledger_core::time::{Day, Moment, Timestamp};
use ledger_core::transaction::{
    HoldTerms, LimitsMode, Posting, Progress, Transaction, TransactionKind, TransactionStatus,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use schemas::record::{
    LogId, LogMigrated, LogReopened, LogSealed, LogStarted, Origin, Parent, Payload, Record,
    RecordHash, SealedShard, WriterClaimed,
};

fn edge_u64() -> BoxedStrategy<u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(127),
        Just(128),
        Just(u64::MAX),
        any::<u64>()
    ]
    .boxed()
}

fn number() -> BoxedStrategy<AccountNumber> {
    prop_oneof![Just(1), Just(u32::MAX), 1..=u32::MAX]
        .prop_map(AccountNumber)
        .boxed()
}

pub(super) fn amount() -> BoxedStrategy<Amount> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u128::from(u64::MAX)),
        Just(1 << 64),
        Just(AMOUNT_MAX),
        0..=AMOUNT_MAX,
        0..1_000_000u128
    ]
    .prop_map(|minor| Amount::new(minor).expect("in range"))
    .boxed()
}

fn signed() -> BoxedStrategy<i128> {
    prop_oneof![
        Just(0),
        Just(-1),
        Just(i128::MIN),
        Just(i128::MAX),
        any::<i128>()
    ]
    .boxed()
}

fn timestamp() -> BoxedStrategy<Timestamp> {
    prop_oneof![
        Just(0),
        Just(-1),
        Just(Timestamp::MIN.micros()),
        Just(Timestamp::MAX.micros()),
        Timestamp::MIN.micros()..=Timestamp::MAX.micros()
    ]
    .prop_map(|micros| Timestamp::from_micros(micros).expect("in range"))
    .boxed()
}

fn text() -> BoxedStrategy<Text> {
    let sealed = (
        "[a-z0-9]{0,12}",
        vec(any::<u8>(), 0..24),
        vec(any::<u8>(), 0..64),
    );
    prop_oneof![
        Just(Text::plain("")),
        ".{0,24}".prop_map(Text::plain),
        sealed.prop_map(|(key_id, nonce, ciphertext)| {
            Text::Sealed(Box::new(Sealed {
                key_id: key_id.into(),
                nonce: nonce.into(),
                ciphertext: ciphertext.into(),
            }))
        })
    ]
    .boxed()
}

fn metadata() -> BoxedStrategy<Metadata> {
    let entries = btree_map("[a-zé]{1,8}".prop_map(String::into_boxed_str), text(), 0..4);
    entries
        .prop_map(|entries: BTreeMap<_, _>| Metadata::new(entries).expect("within limits"))
        .boxed()
}

fn asset() -> BoxedStrategy<Asset> {
    ("[A-Z][A-Z0-9_.-]{0,15}", 0..=30u32)
        .prop_map(|(code, exponent)| Asset::new(&code, exponent).expect("of the form"))
        .boxed()
}

fn account_name() -> BoxedStrategy<AccountName> {
    "[A-Za-z0-9_.-]{1,9}(:[A-Za-z0-9_.-]{1,8}){0,4}"
        .prop_filter("reserved", |name| !name.starts_with("daybook"))
        .prop_map(|name| AccountName::new(&name).expect("of the form"))
        .boxed()
}

fn ledger_name() -> BoxedStrategy<LedgerName> {
    prop_oneof![
        any::<u32>().prop_map(LedgerName::of_shard),
        account_name().prop_map(|name| LedgerName::new(name.as_str()).expect("of the form"))
    ]
    .boxed()
}

fn velocity() -> BoxedStrategy<VelocityLimit> {
    let direction = prop_oneof![Just(Direction::Outflow), Just(Direction::Inflow)];
    let window = prop_oneof![
        Just(VelocityWindow::CalendarDay),
        Just(VelocityWindow::CalendarMonth),
        (60..=31 * 86_400u32).prop_map(|seconds| VelocityWindow::Rolling { seconds })
    ];
    (direction, window, amount())
        .prop_map(|(direction, window, amount)| VelocityLimit {
            direction,
            window,
            amount,
        })
        .boxed()
}

fn limits() -> BoxedStrategy<Limits> {
    let bounds = (option::of(signed()), option::of(signed()));
    (bounds, option::of(amount()), vec(velocity(), 0..4))
        .prop_map(|((a, b), per_transaction, velocity)| {
            let (minimum, maximum) = match (a, b) {
                (Some(a), Some(b)) => (Some(a.min(b)), Some(a.max(b))),
                open => open,
            };
            Limits {
                minimum,
                maximum,
                per_transaction,
                velocity,
            }
        })
        .boxed()
}

fn account_terms() -> BoxedStrategy<AccountTerms> {
    let account_type = prop_oneof![
        Just(AccountType::Asset),
        Just(AccountType::Liability),
        Just(AccountType::Equity),
        Just(AccountType::Income),
        Just(AccountType::Expense),
        Just(AccountType::Memo)
    ];
    (account_name(), asset(), account_type, limits(), metadata())
        .prop_map(
            |(name, asset, account_type, limits, metadata)| AccountTerms {
                name,
                asset,
                account_type,
                limits,
                metadata,
            },
        )
        .boxed()
}

fn ledger_terms() -> BoxedStrategy<LedgerTerms> {
    let settlement_accounts = vec((asset(), account_name()), 0..3);
    let words = (option::of(text()), metadata());
    (
        "[A-Z][a-z]{0,8}/?[A-Z]?",
        0..86_400u32,
        words,
        settlement_accounts,
        edge_u64(),
    )
        .prop_map(
            |(
                time_zone,
                cut_off_seconds,
                (description, metadata),
                settlement_accounts,
                version,
            )| {
                LedgerTerms {
                    time_zone: Arc::from(time_zone),
                    cut_off_seconds,
                    description,
                    metadata,
                    settlement_accounts,
                    version,
                }
            },
        )
        .boxed()
}

fn status() -> BoxedStrategy<AccountStatus> {
    prop_oneof![
        Just(AccountStatus::Open),
        Just(AccountStatus::Frozen(FreezeScope::Debits)),
        Just(AccountStatus::Frozen(FreezeScope::Credits)),
        Just(AccountStatus::Frozen(FreezeScope::All)),
        Just(AccountStatus::Closed)
    ]
    .boxed()
}

fn balances() -> BoxedStrategy<Vec<ResultingBalance>> {
    let totals = (amount(), amount(), amount(), amount());
    let balance =
        (number(), edge_u64(), totals).prop_map(|(account, version, t)| ResultingBalance {
            account,
            version,
            totals: Totals {
                debits_posted: t.0,
                credits_posted: t.1,
                debits_pending: t.2,
                credits_pending: t.3,
            },
        });
    vec(balance, 0..4).boxed()
}

fn kind() -> BoxedStrategy<TransactionKind> {
    let hold = (option::of(timestamp()), option::of(amount()));
    prop_oneof![
        3 => Just(TransactionKind::Direct),
        1 => hold.prop_map(|(expires_at, over_capture_up_to)| TransactionKind::Hold(HoldTerms {
            expires_at,
            over_capture_up_to,
        })),
        1 => any::<u128>().prop_map(|id| TransactionKind::Capture(TransactionId(id))),
        1 => any::<u128>().prop_map(|id| TransactionKind::Reversal(TransactionId(id))),
    ]
    .boxed()
}

/// What a transaction may share with its record.
#[derive(Debug, Clone)]
struct Shared {
    key: IdempotencyKey,
    recorded_at: Timestamp,
}

fn transaction(shared: &Shared) -> BoxedStrategy<Transaction> {
    let own = match shared.key {
        IdempotencyKey::Uuid(uuid) => TransactionId(uuid),
        IdempotencyKey::Text(_) => TransactionId(7),
    };
    let id = prop_oneof![Just(own), any::<u128>().prop_map(TransactionId)];
    let effective_at = prop_oneof![Just(shared.recorded_at), timestamp()];
    let status = prop_oneof![
        Just(TransactionStatus::Posted),
        Just(TransactionStatus::Pending),
        Just(TransactionStatus::Voided),
        Just(TransactionStatus::Expired)
    ];
    let posting = (number(), number(), amount()).prop_map(|(debit, credit, amount)| Posting {
        debit,
        credit,
        amount,
    });
    let progress =
        (amount(), amount()).prop_map(|(captured, reversed)| Progress { captured, reversed });
    let words = (option::of(text()), metadata(), option::of(text()));
    // Plain ones, which go the fast way, as often as all others.
    let plain = (
        Just(TransactionKind::Direct),
        Just(vec![]),
        Just(vec![]),
        Just((None, Metadata::default(), None)),
    );
    let rest = prop_oneof![
        plain,
        (
            kind(),
            vec(progress, 0..3),
            vec(prop_oneof![Just(0), any::<u32>()], 0..3),
            words
        )
    ];
    (
        id,
        effective_at,
        status,
        vec(posting, 0..5),
        rest,
        edge_u64(),
    )
        .prop_map(
            |(id, effective_at, status, postings, (kind, progress, sources, words), version)| {
                let (description, metadata, reason) = words;
                Transaction {
                    id,
                    status,
                    kind,
                    effective_at,
                    postings,
                    progress,
                    sources,
                    description,
                    metadata,
                    limits: reason.map_or(LimitsMode::Enforce, LimitsMode::RecordOnly),
                    version,
                }
            },
        )
        .boxed()
}

fn single(shared: &Shared) -> BoxedStrategy<Event> {
    let account_updated = (number(), edge_u64(), account_terms());
    let status_changed = (number(), edge_u64(), status(), option::of(text()));
    let t = || transaction(shared);
    prop_oneof![
        ledger_terms().prop_map(Event::LedgerCreated),
        ledger_terms().prop_map(Event::LedgerUpdated),
        (number(), account_terms())
            .prop_map(|(number, terms)| Event::AccountOpened(AccountOpened { number, terms })),
        account_updated.prop_map(|(number, version, terms)| Event::AccountUpdated(
            AccountUpdated {
                number,
                version,
                terms
            }
        )),
        status_changed.prop_map(|(number, version, status, reason)| {
            Event::AccountStatusChanged(AccountStatusChanged {
                number,
                version,
                status,
                reason,
            })
        }),
        (t(), balances()).prop_map(|(transaction, balances)| Event::TransactionCreated(
            TransactionCreated {
                transaction,
                balances
            }
        )),
        (t(), t(), balances()).prop_map(|(capture, hold, balances)| Event::TransactionCaptured(
            TransactionCaptured {
                capture,
                hold,
                balances
            }
        )),
        (t(), any::<bool>(), option::of(text()), balances()).prop_map(
            |(hold, expired, reason, balances)| Event::TransactionReleased(TransactionReleased {
                hold,
                expired,
                reason,
                balances
            })
        ),
        (t(), t(), balances()).prop_map(|(reversal, original, balances)| {
            Event::TransactionReversed(TransactionReversed {
                reversal,
                original,
                balances,
            })
        }),
        t().prop_map(|transaction| Event::TransactionUpdated(TransactionUpdated { transaction })),
        (option::of(timestamp()), option::of(text()), edge_u64()).prop_map(
            |(closed_through, reason, version)| Event::BooksChanged(BooksChanged {
                closed_through,
                reason,
                version
            })
        ),
    ]
    .boxed()
}

fn rejection() -> BoxedStrategy<Rejection> {
    let figures = vec(("[a-z_]{1,9}", ".{0,9}"), 0..4);
    let code = proptest::sample::select(Code::ALL);
    (code, figures, option::of(any::<u32>()))
        .prop_map(|(code, figures, member)| Rejection {
            code,
            figures: figures
                .into_iter()
                .map(|(name, value)| (Cow::Owned(name), value))
                .collect(),
            member,
        })
        .boxed()
}

fn payload(shared: &Shared) -> BoxedStrategy<Payload> {
    let claimed = (edge_u64(), any::<[u8; 16]>(), ".{0,9}");
    let parent = (any::<[u8; 16]>(), edge_u64(), any::<[u8; 32]>());
    let shard = (edge_u64(), any::<[u8; 32]>()).prop_map(|(sequence, hash)| SealedShard {
        sequence,
        hash: RecordHash(hash),
    });
    let migrated = (
        any::<u32>(),
        any::<[u8; 16]>(),
        vec(shard, 0..4),
        option::of(any::<[u8; 32]>()),
    );
    prop_oneof![
        6 => single(shared).prop_map(Payload::Event),
        1 => vec(single(shared), 1..4).prop_map(|events| Payload::Event(Event::Atomic(events))),
        1 => rejection().prop_map(Payload::Rejection),
        1 => claimed.prop_map(|(epoch, nonce, build)| Payload::WriterClaimed(WriterClaimed {
            epoch,
            nonce,
            build: Arc::from(build),
        })),
        1 => migrated.prop_map(|(shard_count, source, shards, last_hash)| {
            Payload::LogMigrated(LogMigrated {
                shard_count,
                source: LogId(source),
                shards,
                last_hash: last_hash.map(RecordHash),
            })
        }),
        1 => (any::<[u8; 16]>(), ".{0,9}").prop_map(|(moved_to, place)| {
            Payload::LogSealed(LogSealed {
                moved_to: LogId(moved_to),
                place: Arc::from(place),
            })
        }),
        1 => ".{0,9}".prop_map(|reason: String| Payload::LogReopened(LogReopened {
            reason: Arc::from(reason),
        })),
        1 => (any::<u32>(), option::of(parent)).prop_map(|(shard_count, parent)| {
            Payload::LogStarted(LogStarted {
                shard_count,
                parent: parent.map(|(log_id, sequence, hash)| Parent {
                    log_id: LogId(log_id),
                    sequence,
                    hash: RecordHash(hash),
                }),
            })
        }),
    ]
    .boxed()
}

fn key() -> BoxedStrategy<IdempotencyKey> {
    let uuid = any::<u128>().prop_map(|bits| {
        let versioned = bits & !(0xf << 76) | 7 << 76;
        let uuid = versioned & !(0b11 << 62) | 0b10 << 62;
        IdempotencyKey::from_uuid(uuid).expect("a UUIDv7")
    });
    prop_oneof![
        uuid,
        "[ -~]{1,64}".prop_map(|text| IdempotencyKey::text(&text).expect("of the form"))
    ]
    .boxed()
}

fn origin() -> BoxedStrategy<Origin> {
    prop_oneof![
        Just(Origin::Grpc),
        Just(Origin::Timer),
        ".{0,20}".prop_map(|place| Origin::Import(Arc::from(place))),
        ("[a-z]{0,9}", any::<u32>(), edge_u64(), edge_u64()).prop_map(
            |(topic, partition, offset, resume)| Origin::Kafka {
                topic: Arc::from(topic),
                partition,
                offset,
                resume: resume.min(offset),
            }
        )
    ]
    .boxed()
}

/// Any record.
pub(super) fn record() -> BoxedStrategy<Record> {
    (key(), timestamp())
        .prop_flat_map(|(key, recorded_at)| {
            let shared = Shared { key, recorded_at };
            let place = (
                any::<[u8; 16]>(),
                prop_oneof![Just(0), any::<u32>()],
                edge_u64(),
                edge_u64(),
                ledger_name(),
                edge_u64(),
            );
            let day = prop_oneof![Just(i32::MIN), Just(i32::MAX), Just(-1), any::<i32>()];
            let call = (
                option::of(any::<[u8; 32]>()),
                option::of(any::<[u8; 16]>()),
                option::of(".{1,20}"),
                origin(),
                option::of("00-[0-9a-f]{32}-[0-9a-f]{16}-01"),
            );
            let payload = payload(&shared);
            (Just(shared), place, day, call, payload).prop_map(
                |(shared, place, day, call, payload)| {
                    let (log_id, shard, epoch, sequence, ledger, ledger_sequence) = place;
                    let (previous_hash, request_hash, actor, origin, traceparent) = call;
                    Record {
                        log_id: LogId(log_id),
                        shard,
                        epoch,
                        sequence,
                        ledger,
                        ledger_sequence,
                        previous_hash: previous_hash.map(RecordHash),
                        moment: Moment {
                            recorded_at: shared.recorded_at,
                            business_date: Day(day),
                        },
                        key: shared.key,
                        request_hash,
                        actor: actor.map(Arc::from),
                        origin,
                        traceparent: traceparent.map(Arc::from),
                        payload,
                    }
                },
            )
        })
        .boxed()
}
