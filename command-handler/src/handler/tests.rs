//! What came by topics, and the claim that it was read for.

use async_trait::async_trait;
use ledger_core::facts::{Facts, FactsNeeded};
use ledger_core::time::Timestamp;
use ports::log::Attached;
use ports::memory::{Fault, MemoryLog, MemorySnapshots};
use ports::projection::ProjectionError;
use schemas::record::LogId;

use super::*;
use crate::writer::request::{Outcome, Request};
use crate::writer::tests::world;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        world::t(0)
    }
}

/// Memory still holds everything: there is nothing to load.
struct NoFacts;

#[async_trait]
impl FactsSource for NoFacts {
    async fn load(
        &self,
        _: u32,
        _: &LedgerName,
        _: &[FactsNeeded],
    ) -> Result<Facts, ProjectionError> {
        Ok(Facts::default())
    }
}

fn ledger(number: u64) -> Vec<Request> {
    let name = LedgerName::new(&format!("bank{number}")).unwrap();
    vec![world::request(
        name,
        world::uuid_key(0, number),
        world::create_ledger(),
    )]
}

async fn decided(writer: &Mailbox, number: u64, claim: Option<u64>) -> Outcome {
    let answer = writer.submit(ledger(number), claim).unwrap();
    answer.await.unwrap().remove(0)
}

/// It may be submitted in the very moment that its shard moves away, and be heard by the claim
/// after: that one reads it again, behind what stands before it on its topic.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_for_an_earlier_claim_is_not_decided_by_a_later_one() {
    let log = MemoryLog::new(LogId([3; 16]), 1);
    let (_projected, passed) = watch::channel(0);
    let handler = start(
        Config::new("test"),
        Arc::new(log.clone()),
        Arc::new(NoFacts),
        Arc::new(MemorySnapshots::default()),
        vec![passed],
        Arc::new(Still),
    )
    .await
    .unwrap();
    let writer = &handler.writers[0];
    let mut reign = writer.shared.reign.subscribe();
    let first = reign.borrow_and_update().claim;
    let accepted = decided(writer, 1, Some(first)).await;
    assert!(matches!(accepted, Outcome::Decided(_)), "{accepted:?}");

    log.fail_next(0, Fault::Aborted);
    let lost = decided(writer, 2, None).await;
    assert!(matches!(lost, Outcome::Declined(_)), "{lost:?}");
    let later = reign.wait_for(|reign| reign.serves && reign.claim > first);
    let later = later.await.unwrap().claim;

    let late = decided(writer, 3, Some(first)).await;
    assert!(
        matches!(&late, Outcome::Declined(why) if why.code() == "UNAVAILABLE"),
        "{late:?}"
    );
    let attached = || Attached::default();
    let told = writer.attach(attached(), first).ok().unwrap();
    assert_eq!(told.await.unwrap().unwrap_err().code(), "UNAVAILABLE");
    assert_eq!(log.attached(0), []);

    let again = decided(writer, 3, Some(later)).await;
    assert!(matches!(again, Outcome::Decided(_)), "{again:?}");
    let told = writer.attach(attached(), later).ok().unwrap();
    assert_eq!(told.await.unwrap(), Ok(()));
    let by_a_call = decided(writer, 4, None).await;
    assert!(matches!(by_a_call, Outcome::Decided(_)), "{by_a_call:?}");
    handler.stop().await;
}
