//! Every question that read models answer, put to two of them.

use std::fmt::Debug;

use ledger_core::account::{Account, AccountNumber, AccountStatus, AccountType, FreezeScope};
use ledger_core::asset::Asset;
use ledger_core::facts::FactsNeeded;
use ledger_core::key::{IdempotencyKey, TransactionId};
use ledger_core::name::{AccountName, LedgerName};
use ledger_core::time::{Day, Timestamp};
use ledger_core::transaction::TransactionStatus;

use super::projection::Models;
use super::samples::{at, ledger};
use super::story::{BEGIN, Story, uuid};
use crate::memory::MemoryViews;
use crate::projection::{HeadRow, Projection as _};
use crate::views::{
    AccountFilter, FactsSource as _, HistoryRange, TransactionFilter, TransactionView, Views as _,
};

/// Fails with `what` where the two differ.
pub fn same<T: PartialEq + Debug>(found: T, expected: T, what: &str) {
    assert!(
        found == expected,
        "{what}:\n   found {found:?}\nexpected {expected:?}"
    );
}

/// Asks both the same, and compares.
macro_rules! ask {
    ($models:expr, $plain:expr, $method:ident($($argument:expr),*)) => {{
        let found = $models.views.$method($($argument),*).await.expect("it answers");
        let expected = $plain.$method($($argument),*).await.expect("it answers");
        same(found.clone(), expected, stringify!($method($($argument),*)));
        found
    }};
}

impl MemoryViews {
    /// Its heads, without a shard.
    pub(super) async fn heads_of(&self, ledgers: &[LedgerName]) -> Vec<Option<HeadRow>> {
        crate::projection::Projection::heads(self, 0, ledgers)
            .await
            .expect("it answers")
    }
}

/// Asks `models` and `plain` everything about `names`, which live in `shard`.
///
/// # Panics
/// Where they answer differently.
pub async fn assert_alike(
    models: &Models,
    plain: &MemoryViews,
    shard: u32,
    names: &[&str],
    story: &Story,
) {
    let found = models
        .projection
        .checkpoint(shard)
        .await
        .expect("it answers");
    same(
        found,
        plain.checkpoint(shard).await.expect("it answers"),
        "checkpoint",
    );
    for (after, most) in [
        (None, 100),
        (None, 1),
        (Some("bank"), 100),
        (Some("zzz"), 5),
    ] {
        let found = models.views.ledgers(after, most).await.expect("it answers");
        let expected = plain.ledgers(after, most).await.expect("it answers");
        same(found, expected, "ledgers");
    }
    let heads = models.views.heads(shard).await.expect("it answers");
    let expected = crate::views::Views::heads(plain, shard)
        .await
        .expect("it answers");
    let plainly = |heads: Vec<(LedgerName, HeadRow)>| -> Vec<_> {
        heads
            .into_iter()
            .map(|(name, head)| {
                (
                    name,
                    head.ledger_sequence,
                    head.record_hash,
                    head.recorded_at,
                )
            })
            .collect()
    };
    same(plainly(heads), plainly(expected), "heads");
    for name in names.iter().chain(&["nobody"]) {
        let name = ledger(name);
        ask!(models, plain, progress(&name));
        ask!(models, plain, ledger(&name));
        let accounts = compare_accounts(models, plain, &name).await;
        let transactions = compare_transactions(models, plain, &name, story).await;
        compare_keys(models, plain, shard, &name, story, &transactions).await;
        for account in &accounts {
            compare_history(models, plain, &name, account.number, story).await;
        }
        compare_history(models, plain, &name, AccountNumber(77_777), story).await;
        compare_places(models, plain, &name, story).await;
    }
}

async fn compare_accounts(models: &Models, plain: &MemoryViews, name: &LedgerName) -> Vec<Account> {
    let all = ask!(
        models,
        plain,
        accounts(name, &AccountFilter::default(), 10_000)
    );
    for account in &all {
        ask!(models, plain, account(name, account.terms.name.as_str()));
    }
    ask!(models, plain, account(name, "no:such"));
    ask!(models, plain, account(name, "not a name"));
    let mut numbers: Vec<_> = all.iter().rev().map(|account| account.number).collect();
    numbers.insert(0, AccountNumber(4_000_000));
    numbers.push(AccountNumber(1));
    numbers.push(AccountNumber(1));
    ask!(models, plain, accounts_by_number(name, &numbers));
    ask!(models, plain, accounts_by_number(name, &[]));
    let mut names: Vec<_> = all
        .iter()
        .map(|account| account.terms.name.clone())
        .collect();
    names.push(AccountName::new("no:such").expect("a right name"));
    names.reverse();
    ask!(models, plain, accounts_by_name(name, &names));
    let prefixes = [
        "",
        "customers",
        "customers:",
        "customers:v",
        "c",
        "fees:3",
        "x",
    ];
    for prefix in prefixes {
        let filter = AccountFilter {
            prefix: prefix.to_owned(),
            ..AccountFilter::default()
        };
        for most in [1, 5, 1_000] {
            ask!(models, plain, accounts(name, &filter, most));
        }
        let some = AccountFilter {
            after: Some(AccountNumber(3)),
            through: Some(AccountNumber(11)),
            ..filter
        };
        ask!(models, plain, accounts(name, &some, 1_000));
    }
    for status in [
        AccountStatus::Open,
        AccountStatus::Frozen(FreezeScope::Debits),
        AccountStatus::Frozen(FreezeScope::Credits),
        AccountStatus::Frozen(FreezeScope::All),
        AccountStatus::Closed,
    ] {
        for account_type in [None, Some(AccountType::Liability), Some(AccountType::Memo)] {
            let filter = AccountFilter {
                status: Some(status),
                account_type,
                asset: account_type.map(|_| Asset::parse("EUR/2").expect("a right asset")),
                ..AccountFilter::default()
            };
            ask!(models, plain, accounts(name, &filter, 1_000));
        }
    }
    all
}

async fn compare_transactions(
    models: &Models,
    plain: &MemoryViews,
    name: &LedgerName,
    story: &Story,
) -> Vec<TransactionView> {
    let all = ask!(
        models,
        plain,
        transactions(name, &TransactionFilter::default(), 100_000)
    );
    let mut ids: Vec<_> = all.iter().map(|view| view.transaction.id).collect();
    ids.push(TransactionId(5));
    ask!(models, plain, transactions_by_id(name, &ids));
    ask!(models, plain, transaction(name, TransactionId(5)));
    if let Some(id) = ids.first() {
        ask!(models, plain, transaction(name, *id));
    }
    for filter in filters(story, all.len() as u64) {
        for most in [3, 100_000] {
            ask!(models, plain, transactions(name, &filter, most));
        }
        // Page by page gives the same as at once.
        let mut paged = Vec::new();
        let mut page = filter.clone();
        loop {
            let found = ask!(models, plain, transactions(name, &page, 7));
            let Some(last) = found.last() else { break };
            page.after = Some((last.ledger_sequence, last.transaction.id));
            paged.extend(found);
        }
        let whole = plain
            .transactions(name, &filter, 100_000)
            .await
            .expect("it answers");
        same(paged, whole, "pages");
    }
    all
}

fn filters(story: &Story, count: u64) -> Vec<TransactionFilter> {
    let middle = at((BEGIN + story.now().micros()) / 2);
    let early = middle.saturating_add(-3_600_000_000);
    let base = TransactionFilter::default();
    let mut filters = vec![
        base.clone(),
        TransactionFilter {
            effective_from: Some(early),
            effective_to: Some(middle),
            ..base.clone()
        },
        TransactionFilter {
            recorded_from: Some(early),
            recorded_to: Some(middle),
            ..base.clone()
        },
        TransactionFilter {
            recorded_from: Some(middle),
            through: Some(count),
            ..base.clone()
        },
        TransactionFilter {
            recorded_to: Some(at(0)),
            ..base.clone()
        },
        TransactionFilter {
            recorded_from: Some(Timestamp::MAX),
            ..base.clone()
        },
    ];
    for status in [
        TransactionStatus::Posted,
        TransactionStatus::Pending,
        TransactionStatus::Voided,
        TransactionStatus::Expired,
    ] {
        filters.push(TransactionFilter {
            status: Some(status),
            effective_to: Some(middle),
            ..base.clone()
        });
    }
    let oldest_first: Vec<_> = filters
        .iter()
        .map(|filter| TransactionFilter {
            oldest_first: true,
            ..filter.clone()
        })
        .collect();
    filters.extend(oldest_first);
    filters
}

async fn compare_keys(
    models: &Models,
    plain: &MemoryViews,
    shard: u32,
    name: &LedgerName,
    story: &Story,
    transactions: &[TransactionView],
) {
    let last = story
        .checkpoint()
        .map_or(0, |checkpoint| checkpoint.sequence);
    let mut needed = Vec::new();
    for sequence in 0..=last + 1 {
        let mut keys = vec![IdempotencyKey::from_uuid(uuid(sequence)).expect("a right key")];
        for word in ["k", "no ", "c", "t", "v"] {
            let text = format!("{word}{sequence}");
            keys.push(IdempotencyKey::text(&text).expect("a right key"));
        }
        if sequence % 16 == 0 {
            for key in &keys {
                ask!(models, plain, key(name, key));
            }
        }
        needed.extend(keys.into_iter().map(|key| FactsNeeded {
            key: Some(key),
            transactions: Vec::new(),
        }));
    }
    for view in transactions {
        needed.push(FactsNeeded {
            key: Some(view.key.clone()),
            transactions: vec![view.transaction.id, TransactionId(9), view.transaction.id],
        });
    }
    for some in [&needed[..], &needed[..1], &[]] {
        let found = models
            .facts
            .load(shard, name, some)
            .await
            .expect("it answers");
        let expected = plain.load(shard, name, some).await.expect("it answers");
        same(found, expected, "facts");
    }
}

async fn compare_history(
    models: &Models,
    plain: &MemoryViews,
    name: &LedgerName,
    account: AccountNumber,
    story: &Story,
) {
    for (from, through) in [(0, u64::MAX), (5, 20), (7, 7), (30, 9)] {
        for newest_first in [false, true] {
            let range = HistoryRange {
                from,
                through,
                newest_first,
            };
            for most in [2, 100_000] {
                ask!(models, plain, history(name, account, range, most));
            }
        }
    }
    for moment in moments(story) {
        ask!(models, plain, history_at(name, account, moment));
    }
    let day = at(BEGIN).utc_day();
    for (from, through, most) in [
        (Day(i32::MIN), Day(i32::MAX), 1_000),
        (Day(i32::MIN), Day(i32::MAX), 2),
        (day, Day(day.0 + 1), 1_000),
        (Day(day.0 + 1), day, 1_000),
    ] {
        ask!(models, plain, days(name, account, from, through, most));
    }
}

async fn compare_places(models: &Models, plain: &MemoryViews, name: &LedgerName, story: &Story) {
    for sequence in (0..40).chain([1_000, u64::MAX]) {
        ask!(models, plain, place(name, sequence));
    }
    for moment in moments(story) {
        ask!(models, plain, place_at(name, moment));
    }
}

pub(super) fn moments(story: &Story) -> Vec<Timestamp> {
    let last = story.now().micros();
    let step = (last - BEGIN) / 9 + 1;
    let mut moments: Vec<_> = (0..=9).map(|n| at(BEGIN + n * step)).collect();
    moments.extend([
        Timestamp::MIN,
        at(BEGIN - 1),
        at(last),
        at(last - 1),
        Timestamp::MAX,
    ]);
    moments
}
