//! Audit: decisions, lists and watches of records, over ledgers and shards.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{Server, request};
use futures::StreamExt as _;
use schemas::proto::v1;
use schemas::record::{Payload, hash};
use v1::get_decision_request::By;

async fn decision(server: &Server, ledger: &str, by: By) -> Result<v1::Decision, tonic::Status> {
    let asked = v1::GetDecisionRequest {
        ledger: ledger.to_owned(),
        by: Some(by),
    };
    server.api.get_decision(request(asked)).await
}

#[tokio::test]
async fn every_decision_is_found_every_way() {
    let server = Server::new(2).await;
    for ledger in ["bank", "shop"] {
        server.books(ledger, 7).write(80).await;
        // Waits until all of it is in the read models: a decision shows transactions as they are.
        let settled = server.api.get_ledger(request(v1::GetLedgerRequest {
            ledger: ledger.to_owned(),
        }));
        settled.await.unwrap();
    }
    let mut refused = 0;
    let mut made = 0;
    for record in server.records().await {
        let ledger = record.ledger.as_str();
        let by_sequence = decision(&server, ledger, By::LedgerSequence(record.ledger_sequence));
        let found = by_sequence.await.unwrap();
        assert_eq!(found.record.as_ref().unwrap().sequence, record.sequence);
        assert_eq!(hash(&found.record_bytes).to_string(), found.record_hash);
        let previous = record.previous_hash.map(|hash| hash.to_string());
        assert_eq!(found.previous_hash, previous.unwrap_or_default());
        if record.ledger.is_engine() {
            assert!(found.outcome.is_none());
            continue;
        }
        let by_key = decision(&server, ledger, By::IdempotencyKey(record.key.to_string()));
        assert_eq!(by_key.await.unwrap(), found);
        match found.outcome.clone().and_then(|outcome| outcome.outcome) {
            Some(v1::outcome::Outcome::Error(status)) => {
                refused += 1;
                assert!(matches!(record.payload, Payload::Rejection(_)));
                assert_ne!(status.code, 0);
            }
            Some(v1::outcome::Outcome::Receipt(receipt)) => {
                assert_eq!(receipt.record_hash, found.record_hash);
                if let Some(transaction) = found.transactions.first()
                    && transaction.ledger_sequence == record.ledger_sequence
                {
                    made += 1;
                    let by = By::TransactionId(transaction.id.clone());
                    assert_eq!(decision(&server, ledger, by).await.unwrap(), found);
                    assert!(!found.accounts.is_empty());
                }
            }
            None => assert!(record.request_hash.is_none()),
        }
    }
    assert!(refused > 5 && made > 20, "{refused} refused, {made} made");
    let missing = decision(&server, "bank", By::IdempotencyKey("never".to_owned())).await;
    assert!(
        missing
            .unwrap_err()
            .message()
            .starts_with("DECISION_NOT_FOUND")
    );
    let missing = decision(&server, "bank", By::LedgerSequence(100_000)).await;
    assert!(
        missing
            .unwrap_err()
            .message()
            .starts_with("DECISION_NOT_FOUND")
    );
}

#[tokio::test]
async fn records_are_listed_by_ledger_in_pages() {
    let server = Server::new(1).await;
    for ledger in ["bank", "shop"] {
        server.books(ledger, 3).write(60).await;
    }
    let records = server.records().await;
    let list = |asked: v1::ListRecordsRequest| async {
        let mut asked = asked;
        let mut found = Vec::new();
        loop {
            let reply = server
                .api
                .list_records(request(asked.clone()))
                .await
                .unwrap();
            found.extend(
                reply
                    .decisions
                    .into_iter()
                    .map(|decision| decision.record.unwrap().sequence),
            );
            asked.page_token = reply.page.unwrap().next_page_token;
            if asked.page_token.is_empty() {
                return found;
            }
        }
    };
    let asked = v1::ListRecordsRequest {
        ledger: "shop".to_owned(),
        page_size: 7,
        ..v1::ListRecordsRequest::default()
    };
    let of_shop = || {
        records
            .iter()
            .filter(|record| record.ledger.as_str() == "shop")
    };
    let all: Vec<u64> = of_shop().map(|record| record.sequence).collect();
    assert_eq!(list(asked.clone()).await, all);

    let middle = of_shop().nth(30).unwrap();
    let mut from = asked.clone();
    from.from_ledger_sequence = middle.ledger_sequence;
    assert_eq!(list(from).await, all[30..]);
    let mut from = asked.clone();
    from.recorded_from = common::time(middle.moment.recorded_at);
    let at = of_shop()
        .position(|record| record.moment.recorded_at >= middle.moment.recorded_at)
        .unwrap();
    assert_eq!(list(from).await, all[at..]);

    let mut refusals = asked.clone();
    refusals.filter = Some(v1::RecordFilter {
        rejections_only: true,
        ..v1::RecordFilter::default()
    });
    let expected: Vec<u64> = of_shop()
        .filter(|record| matches!(record.payload, Payload::Rejection(_)))
        .map(|record| record.sequence)
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(list(refusals).await, expected);

    let mut engine = asked.clone();
    engine.ledger = "daybook:shard:0".to_owned();
    assert_eq!(list(engine).await, [1, 2]);

    let mut wrong = asked;
    wrong.filter = Some(v1::RecordFilter {
        codes: vec!["NO_SUCH_CODE".to_owned()],
        ..v1::RecordFilter::default()
    });
    let refused = server.api.list_records(request(wrong)).await.unwrap_err();
    assert!(String::from_utf8_lossy(refused.details()).contains("filter.codes[0]"));
}

/// Asks by one who does not wait long.
fn hurried<T>(message: T) -> tonic::Request<T> {
    let mut asked = request(message);
    asked.set_timeout(Duration::from_millis(300));
    asked
}

/// What of `ledger` is listed within a moment: how many records, or why not.
async fn listed(server: &Server, ledger: &str) -> Result<usize, tonic::Status> {
    let asked = hurried(v1::ListRecordsRequest {
        ledger: ledger.to_owned(),
        ..Default::default()
    });
    let listed = server.api.list_records(asked).await?;
    Ok(listed.decisions.len())
}

/// The same, of what is watched.
async fn watched(server: &Server, ledger: &str) -> Result<usize, tonic::Status> {
    let asked = hurried(v1::WatchRecordsRequest {
        ledger: ledger.to_owned(),
        ..Default::default()
    });
    let watched = server.api.watch_records(asked).await?;
    Ok(watched.count().await)
}

#[tokio::test]
async fn a_ledger_that_the_read_models_do_not_have_yet_is_not_said_not_to_be() {
    let server = Server::new(1).await;
    server.books("bank", 3).write(20).await;
    let all = listed(&server, "bank").await.unwrap();
    server.pause().await;
    server.books("shop", 3).write(20).await;

    for found in [
        listed(&server, "shop").await,
        watched(&server, "shop").await,
        listed(&server, "bank").await,
    ] {
        let refused = found.unwrap_err();
        assert!(refused.message().starts_with("READ_TIMEOUT"), "{refused}");
    }

    server.send_writer_away();
    for found in [
        listed(&server, "shop").await,
        watched(&server, "shop").await,
    ] {
        let refused = found.unwrap_err();
        assert!(refused.message().starts_with("UNAVAILABLE"), "{refused}");
    }
    // What the read models have is shown all the same.
    assert_eq!(listed(&server, "bank").await.unwrap(), all);
}

type Seen = Vec<(String, u64)>;

fn seen(reply: &v1::WatchRecordsResponse) -> (String, u64) {
    let record = reply.decision.as_ref().unwrap().record.as_ref().unwrap();
    (record.ledger.clone(), record.ledger_sequence)
}

#[tokio::test]
async fn a_watch_follows_and_resumes_without_gap_or_double() {
    for ledger in ["", "shop"] {
        let server = Server::new(3).await;
        let mut books = Vec::new();
        for name in ["bank", "shop", "game"] {
            books.push(server.books(name, 5));
        }
        for of in &mut books {
            of.write(20).await;
        }
        let mut asked = v1::WatchRecordsRequest {
            ledger: ledger.to_owned(),
            follow: true,
            ..v1::WatchRecordsRequest::default()
        };
        let mut found: Seen = Vec::new();
        for _ in 0..4 {
            let mut stream = server
                .api
                .watch_records(request(asked.clone()))
                .await
                .unwrap();
            for _ in 0..9 {
                let reply = stream.next().await.unwrap().unwrap();
                found.push(seen(&reply));
                asked.resume_after = reply.resume_token;
            }
            for of in &mut books {
                of.write(5).await;
            }
        }
        asked.follow = false;
        let mut rest = server.api.watch_records(request(asked)).await.unwrap();
        while let Some(reply) = rest.next().await {
            found.push(seen(&reply.unwrap()));
        }
        let mut by_ledger: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (of, sequence) in found {
            by_ledger.entry(of).or_default().push(sequence);
        }
        let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for record in server.records().await {
            let of = record.ledger.as_str().to_owned();
            if ledger.is_empty() || of == ledger {
                expected.entry(of).or_default().push(record.ledger_sequence);
            }
        }
        assert_eq!(by_ledger, expected, "{ledger:?}");
    }
}

#[tokio::test]
async fn a_watch_from_now_shows_only_what_comes_and_filters() {
    let server = Server::new(1).await;
    let mut books = server.books("bank", 5);
    books.write(30).await;
    let asked = v1::WatchRecordsRequest {
        ledger: "bank".to_owned(),
        follow: true,
        from_now: true,
        filter: Some(v1::RecordFilter {
            account: "customers:1:euro".to_owned(),
            events_only: true,
            ..v1::RecordFilter::default()
        }),
        ..v1::WatchRecordsRequest::default()
    };
    let mut stream = server.api.watch_records(request(asked)).await.unwrap();
    let before = server
        .scribe
        .log()
        .entries(0)
        .last()
        .unwrap()
        .next_sequence();
    books.write(60).await;
    for _ in 0..3 {
        let reply = stream.next().await.unwrap().unwrap();
        let decision = reply.decision.unwrap();
        assert!(decision.record.unwrap().sequence >= before);
        assert!(decision.accounts.contains(&"customers:1:euro".to_owned()));
    }
    drop(stream);

    let nonsense = v1::WatchRecordsRequest {
        resume_after: "w1-nonsense".to_owned(),
        ..v1::WatchRecordsRequest::default()
    };
    let refused = server
        .api
        .watch_records(request(nonsense))
        .await
        .err()
        .unwrap();
    assert!(refused.message().starts_with("TOKEN_INVALID"), "{refused}");
}
