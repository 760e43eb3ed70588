//! What every set of read models is held to: the same steps are applied to it and to the plain
//! maps of [`MemoryViews`](crate::memory::MemoryViews), and every question must get the same
//! answer from both.

use std::sync::Arc;

use async_trait::async_trait;
use schemas::record::LogId;

use super::compare::{assert_alike, same};
use super::samples::ledger;
use super::skipped;
use super::story::{Step, Story};
use crate::memory::MemoryViews;
use crate::projection::{Changes, LedgerIndex, Projection, ProjectionError, ProjectionSwitch};
use crate::views::{FactsSource, Views};

/// What an adapter can do in these tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewsCapabilities {
    /// They can be closed and opened again.
    pub reopens: bool,
    /// They can be rebuilt beside the live ones.
    pub rebuilds: bool,
}

/// The ports of a set of read models.
#[derive(Clone)]
pub struct Models {
    /// To be written.
    pub projection: Arc<dyn Projection>,
    /// To be read.
    pub views: Arc<dyn Views>,
    /// To load facts.
    pub facts: Arc<dyn FactsSource>,
    /// To be rebuilt, where that can be.
    pub switch: Option<Arc<dyn ProjectionSwitch>>,
    /// The log that they belong to.
    pub log_id: LogId,
}

/// An adapter's read models, to be tested.
#[async_trait]
pub trait ViewsUnderTest: Send {
    /// What it can do.
    fn capabilities(&self) -> ViewsCapabilities;

    /// Opens the read models of a log with so many shards; makes empty ones the first time.
    async fn open(&mut self, shards: u32) -> Models;

    /// Closes what [`Self::open`] opened.
    async fn close(&mut self);
}

/// Ledgers of the stories.
const LEDGERS: [&str; 3] = ["bank", "game:shop", "zoo"];

async fn apply(to: &dyn Projection, shard: u32, step: &Step) {
    to.apply(shard, step.from.as_ref(), &step.to, step.changes.clone())
        .await
        .expect("the step is applied");
}

/// Applies `steps` steps of `story` to both.
async fn tell(models: &Models, plain: &MemoryViews, shard: u32, story: &mut Story, steps: u32) {
    for _ in 0..steps {
        let step = story.step(3, 12);
        apply(&*models.projection, shard, &step).await;
        apply(plain, shard, &step).await;
    }
}

/// See the name.
pub async fn empty_read_models_know_nothing(test: &mut impl ViewsUnderTest) {
    let models = test.open(2).await;
    let plain = MemoryViews::new(2);
    assert_eq!(models.projection.checkpoint(0).await.expect("reads"), None);
    assert_eq!(*models.projection.watch(1).borrow(), 0);
    let story = Story::new(models.log_id, 1, &LEDGERS);
    assert_alike(&models, &plain, 0, &LEDGERS, &story).await;
    test.close().await;
}

/// See the name.
pub async fn every_question_is_answered_as_by_plain_maps(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 20_240_607, &LEDGERS);
    for _ in 0..4 {
        tell(&models, &plain, 0, &mut story, 6).await;
        assert_alike(&models, &plain, 0, &LEDGERS, &story).await;
    }
    test.close().await;
}

/// See the name.
pub async fn large_steps_are_answered_alike(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 99, &LEDGERS);
    for _ in 0..2 {
        let step = story.step(40, 80);
        apply(&*models.projection, 0, &step).await;
        apply(&plain, 0, &step).await;
    }
    assert_alike(&models, &plain, 0, &LEDGERS, &story).await;
    test.close().await;
}

/// See the name.
pub async fn single_records_are_answered_alike(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 3, &["bank"]);
    for _ in 0..60 {
        let step = story.step(1, 1);
        apply(&*models.projection, 0, &step).await;
        apply(&plain, 0, &step).await;
    }
    assert_alike(&models, &plain, 0, &["bank"], &story).await;
    test.close().await;
}

/// See the name.
pub async fn a_checkpoint_moves_only_from_where_it_is(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 4, &LEDGERS);
    let first = story.step(2, 5);
    let second = story.step(2, 5);
    // The second before the first.
    let early = models
        .projection
        .apply(0, second.from.as_ref(), &second.to, second.changes.clone())
        .await;
    assert!(
        matches!(early, Err(ProjectionError::CheckpointMoved { .. })),
        "{early:?}"
    );
    apply(&*models.projection, 0, &first).await;
    apply(&plain, 0, &first).await;
    // The first again: each record is applied once.
    let again = models
        .projection
        .apply(0, first.from.as_ref(), &first.to, first.changes.clone())
        .await;
    match again {
        Err(ProjectionError::CheckpointMoved {
            shard,
            expected,
            found,
        }) => {
            assert_eq!((shard, expected), (0, None));
            assert_eq!(found.as_deref(), Some(&first.to));
        }
        other => panic!("a step was applied twice: {other:?}"),
    }
    // The same place with another hash.
    let mut other = first.to;
    other.record_hash.0[0] ^= 1;
    let moved = models
        .projection
        .apply(0, Some(&other), &second.to, second.changes.clone())
        .await;
    assert!(
        matches!(moved, Err(ProjectionError::CheckpointMoved { .. })),
        "{moved:?}"
    );
    let told = Story::new(models.log_id, 4, &LEDGERS);
    assert_alike(&models, &plain, 0, &LEDGERS, &told).await;
    apply(&*models.projection, 0, &second).await;
    assert_eq!(*models.projection.watch(0).borrow(), second.to.sequence);
    assert_eq!(
        models.projection.checkpoint(0).await.expect("reads"),
        Some(second.to)
    );
    test.close().await;
}

/// See the name.
pub async fn changes_that_contradict_are_refused_whole(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 5, &["bank"]);
    tell(&models, &plain, 0, &mut story, 10).await;
    let told = story.clone();
    let step = story.step(20, 20);
    let good = step.changes;
    assert!(!good.transactions.is_empty() && !good.balances.is_empty() && !good.keys.is_empty());
    let mut unknown_account = good.clone();
    unknown_account.balances[0].account.0 = 1_000_000;
    let mut unknown_transaction = good.clone();
    let mut row = unknown_transaction.transactions[0].clone();
    row.made = None;
    row.transaction.id.0 = 12;
    unknown_transaction.transactions.insert(0, row);
    let mut key_twice = good.clone();
    let mut row = good.keys[0].clone();
    row.entry.sequence += 1;
    key_twice.keys.insert(0, row);
    for (what, changes) in [
        ("a balance of no account", unknown_account),
        ("a change of no transaction", unknown_transaction),
        ("a key that is used twice", key_twice),
    ] {
        let refused = models
            .projection
            .apply(0, step.from.as_ref(), &step.to, changes)
            .await;
        assert!(
            matches!(refused, Err(ProjectionError::Unusable(_))),
            "{what}: {refused:?}"
        );
        assert_alike(&models, &plain, 0, &["bank"], &told).await;
    }
    let step = Step {
        changes: good,
        ..step
    };
    apply(&*models.projection, 0, &step).await;
    apply(&plain, 0, &step).await;
    assert_alike(&models, &plain, 0, &["bank"], &story).await;
    test.close().await;
}

/// See the name.
pub async fn changes_of_another_log_are_refused(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let mut story = Story::new(models.log_id, 6, &LEDGERS);
    let first = story.step(1, 3);
    apply(&*models.projection, 0, &first).await;
    let mut next = story.step(1, 3);
    next.to.log_id.0[0] ^= 1;
    let refused = models
        .projection
        .apply(0, Some(&first.to), &next.to, next.changes)
        .await;
    assert!(
        matches!(refused, Err(ProjectionError::Unusable(_))),
        "{refused:?}"
    );
    let found = models.projection.checkpoint(0).await.expect("reads");
    assert_eq!(found, Some(first.to));
    test.close().await;
}

/// See the name.
pub async fn a_checkpoint_can_move_without_rows(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let mut story = Story::new(models.log_id, 7, &LEDGERS);
    let step = story.step(1, 3);
    models
        .projection
        .apply(0, None, &step.to, Changes::default())
        .await
        .expect("nothing but the checkpoint");
    assert_eq!(
        models.projection.checkpoint(0).await.expect("reads"),
        Some(step.to)
    );
    test.close().await;
}

/// See the name.
pub async fn shards_move_apart_and_at_once(test: &mut impl ViewsUnderTest) {
    let models = test.open(3).await;
    let plain = MemoryViews::new(3);
    let names = ["a", "b", "c"];
    let mut stories: Vec<_> = names
        .iter()
        .zip(10..)
        .map(|(name, seed)| Story::new(models.log_id, seed, &[name]))
        .collect();
    for _ in 0..5 {
        let mut tasks = tokio::task::JoinSet::new();
        for (shard, story) in stories.iter_mut().enumerate() {
            let step = story.step(3, 10);
            apply(&plain, shard as u32, &step).await;
            let projection = Arc::clone(&models.projection);
            tasks.spawn(async move { apply(&*projection, shard as u32, &step).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("every shard is applied");
        }
    }
    for (shard, story) in stories.iter().enumerate() {
        assert_alike(&models, &plain, shard as u32, &[names[shard]], story).await;
    }
    test.close().await;
}

/// See the name.
pub async fn projection_heads_are_those_of_the_ledgers(test: &mut impl ViewsUnderTest) {
    let models = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 8, &LEDGERS);
    tell(&models, &plain, 0, &mut story, 8).await;
    let asked = [ledger("zoo"), ledger("nobody"), ledger("bank")];
    let found = models.projection.heads(0, &asked).await.expect("reads");
    assert_eq!(found, plain.heads_of(&asked).await);
    assert_eq!(found[0].map(|head| head.ledger), Some(LedgerIndex(0)));
    assert_eq!(found[1], None);
    assert_eq!(found[2].map(|head| head.ledger), Some(LedgerIndex(2)));
    test.close().await;
}

/// See the name.
pub async fn what_was_applied_survives_reopening(test: &mut impl ViewsUnderTest) {
    if !test.capabilities().reopens {
        return skipped("what_was_applied_survives_reopening", "reopens");
    }
    let models = test.open(1).await;
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 9, &LEDGERS);
    tell(&models, &plain, 0, &mut story, 5).await;
    drop(models);
    test.close().await;
    let models = test.open(1).await;
    assert_eq!(
        Some(*models.projection.watch(0).borrow()),
        story.checkpoint().map(|checkpoint| checkpoint.sequence)
    );
    assert_alike(&models, &plain, 0, &LEDGERS, &story).await;
    tell(&models, &plain, 0, &mut story, 5).await;
    assert_alike(&models, &plain, 0, &LEDGERS, &story).await;
    test.close().await;
}

/// See the name.
pub async fn a_rebuild_is_compared_and_switched(test: &mut impl ViewsUnderTest) {
    if !test.capabilities().rebuilds {
        return skipped("a_rebuild_is_compared_and_switched", "rebuilds");
    }
    let models = test.open(1).await;
    let switch = models.switch.clone().expect("it can be rebuilt");
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 11, &LEDGERS);
    // Other numbers for the same ledgers: the live ones met them in another order.
    let mut steps = vec![story.step(1, 1)];
    steps.extend((0..8).map(|_| story.step(3, 12)));
    for step in &steps {
        apply(&*models.projection, 0, step).await;
        apply(&plain, 0, step).await;
    }
    let rebuild = switch.begin_rebuild().await.expect("begins");
    let rebuilt = rebuild.projection();
    assert_eq!(rebuilt.checkpoint(0).await.expect("reads"), None);
    let differences = rebuild.differences().await.expect("compares");
    assert!(!differences.is_empty(), "an empty rebuild is no match");
    for step in &steps {
        apply(&*rebuilt, 0, step).await;
    }
    assert_eq!(*rebuilt.watch(0).borrow(), steps[8].to.sequence);
    assert_eq!(
        rebuild.differences().await.expect("compares"),
        Vec::<String>::new()
    );
    // The live ones serve beside it, and go on.
    tell(&models, &plain, 0, &mut story, 1).await;
    assert_alike(&models, &plain, 0, &LEDGERS, &story).await;
    let differences = rebuild.differences().await.expect("compares");
    assert!(!differences.is_empty(), "the live ones are ahead");
    let mut watch = models.projection.watch(0);
    rebuild.switch().await.expect("switches");
    // The rebuilt ones are live: at the checkpoint that they had.
    assert_eq!(
        models.projection.checkpoint(0).await.expect("reads"),
        Some(steps[8].to)
    );
    let told = watch
        .wait_for(|sequence| *sequence == steps[8].to.sequence)
        .await;
    assert!(told.is_ok());
    let behind = MemoryViews::new(1);
    for step in &steps {
        apply(&behind, 0, step).await;
    }
    assert_alike(&models, &behind, 0, &LEDGERS, &story).await;
    if test.capabilities().reopens {
        drop(models);
        test.close().await;
        let models = test.open(1).await;
        assert_alike(&models, &behind, 0, &LEDGERS, &story).await;
    }
    test.close().await;
}

/// See the name.
pub async fn a_rebuild_that_differs_says_where(test: &mut impl ViewsUnderTest) {
    if !test.capabilities().rebuilds {
        return skipped("a_rebuild_that_differs_says_where", "rebuilds");
    }
    let models = test.open(1).await;
    let switch = models.switch.clone().expect("it can be rebuilt");
    let mut story = Story::new(models.log_id, 12, &["bank"]);
    let step = story.step(10, 20);
    apply(&*models.projection, 0, &step).await;
    let breaks: [fn(&mut Changes); 4] = [
        |changes| changes.history[0].version += 1,
        |changes| changes.transactions[0].transaction.version += 1,
        |changes| drop(changes.keys.pop()),
        |changes| changes.balances[0].totals.debits_pending = ledger_core::amount::Amount::MAX,
    ];
    for (broken, table) in breaks
        .iter()
        .zip(["history", "transactions", "keys", "balances"])
    {
        let rebuild = switch.begin_rebuild().await.expect("begins");
        let mut other = step.clone();
        broken(&mut other.changes);
        apply(&*rebuild.projection(), 0, &other).await;
        let found = rebuild.differences().await.expect("compares");
        assert_eq!(found.len(), 1, "{table}: {found:?}");
        same(
            models.projection.checkpoint(0).await.expect("reads"),
            Some(step.to),
            "live",
        );
    }
    test.close().await;
}

/// See the name.
pub async fn a_rebuild_that_is_given_up_changes_nothing(test: &mut impl ViewsUnderTest) {
    if !test.capabilities().rebuilds {
        return skipped("a_rebuild_that_is_given_up_changes_nothing", "rebuilds");
    }
    let models = test.open(1).await;
    let switch = models.switch.clone().expect("it can be rebuilt");
    let plain = MemoryViews::new(1);
    let mut story = Story::new(models.log_id, 13, &LEDGERS);
    tell(&models, &plain, 0, &mut story, 4).await;
    let rebuild = switch.begin_rebuild().await.expect("begins");
    let step = Story::new(models.log_id, 14, &LEDGERS).step(2, 5);
    apply(&*rebuild.projection(), 0, &step).await;
    drop(rebuild);
    tell(&models, &plain, 0, &mut story, 2).await;
    assert_alike(&models, &plain, 0, &LEDGERS, &story).await;
    let again = switch.begin_rebuild().await.expect("begins again");
    assert_eq!(again.projection().checkpoint(0).await.expect("reads"), None);
    drop(again);
    test.close().await;
}
