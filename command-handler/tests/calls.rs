//! The command API over a log in memory: what each kind of call is answered.

mod common;

use std::sync::Arc;

use common::*;
use ledger_core::command::AccountRef;
use ledger_core::name::{AccountName, LedgerName};
use ports::strong::{StrongAnswer, StrongError, StrongQuery};
use schemas::api::token::ReadToken;
use schemas::proto::v1;
use schemas::record::Payload;
use tonic::{Code, Request};

const UUID: &str = "019e7044-8800-7000-8000-0000000000";

fn uuid(number: u32) -> String {
    format!("{UUID}{number:02x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn single_calls_show_what_they_made_or_changed() {
    let server = start(1).await;
    server.bank("bank").await;
    let request = v1::CreateTransactionRequest {
        options: Some(v1::CommandOptions {
            return_balances: true,
            ..options(&uuid(1)).unwrap()
        }),
        ledger: "bank".to_owned(),
        create: Some(create("cash", "a", 500)),
    };
    let reply = server
        .api
        .create_transaction(Request::new(request.clone()))
        .await
        .unwrap();
    let (receipt, transaction) = (reply.receipt.unwrap(), reply.transaction.unwrap());
    assert_eq!(receipt.transaction_id, uuid(1));
    assert_eq!(transaction.id, uuid(1));
    assert_eq!(transaction.postings[0].debit, "cash");
    assert_eq!(transaction.postings[0].asset, "USD/2");
    assert_eq!(transaction.ledger_sequence, receipt.ledger_sequence);
    assert_eq!(transaction.idempotency_key, uuid(1));
    let balances: Vec<_> = receipt
        .balances
        .iter()
        .map(|b| (b.account.as_str(), b.posted.as_str()))
        .collect();
    assert_eq!(balances, [("cash", "500"), ("a", "500")]);
    let sealed = records(&server.log, 0).pop().unwrap();
    assert_eq!(receipt.record_hash, sealed.hash.to_string());
    let token = ReadToken::parse(&receipt.token).unwrap();
    assert_eq!(token.sequence, sealed.record.sequence);
    assert_eq!(token.ledger_sequence, receipt.ledger_sequence);

    let mut again = server
        .api
        .create_transaction(Request::new(request))
        .await
        .unwrap();
    assert!(again.receipt.as_ref().unwrap().repeated);
    assert_eq!(again.transaction.as_ref(), Some(&transaction));
    again.receipt.as_mut().unwrap().repeated = false;
    assert_eq!(again.receipt.unwrap(), receipt);

    let update = v1::UpdateAccountRequest {
        options: options("update"),
        ledger: "bank".to_owned(),
        update: Some(v1::UpdateAccount {
            account: "a".to_owned(),
            limits: Some(v1::Limits {
                maximum: "900".to_owned(),
                ..v1::Limits::default()
            }),
            ..v1::UpdateAccount::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["limits.maximum".to_owned()],
        }),
    };
    let account = server
        .api
        .update_account(Request::new(update))
        .await
        .unwrap()
        .account
        .unwrap();
    let limits = account.limits.unwrap();
    assert_eq!(
        (limits.minimum.as_str(), limits.maximum.as_str()),
        ("0", "900")
    );
    assert_eq!(account.balance.unwrap().posted, "500");

    let books = v1::CloseBooksRequest {
        options: options("close"),
        ledger: "bank".to_owned(),
        close: Some(v1::CloseBooks {
            through: Some(prost_types::Timestamp {
                seconds: 1_000_000_000,
                nanos: 0,
            }),
            reason: None,
        }),
    };
    let ledger = server
        .api
        .close_books(Request::new(books))
        .await
        .unwrap()
        .ledger
        .unwrap();
    assert_eq!(ledger.closed_through.unwrap().seconds, 1_000_000_000);
    assert_eq!(ledger.version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_captured_voided_and_reversed() {
    let server = start(1).await;
    server.bank("bank").await;
    server
        .transfer("bank", "fund", "cash", "a", 100)
        .await
        .unwrap();
    let mut hold = create("a", "b", 60);
    hold.hold = Some(v1::HoldSpec::default());
    let request = v1::CreateTransactionRequest {
        options: options(&uuid(2)),
        ledger: "bank".to_owned(),
        create: Some(hold),
    };
    let held = server.api.create_transaction(Request::new(request)).await;
    assert!(held.unwrap().transaction.unwrap().hold.is_some());
    let capture = v1::CaptureTransactionRequest {
        options: options("capture"),
        ledger: "bank".to_owned(),
        capture: Some(v1::CaptureTransaction {
            hold: uuid(2),
            amounts: vec![v1::PostingAmount {
                posting: 0,
                amount: "20".to_owned(),
            }],
            ..v1::CaptureTransaction::default()
        }),
    };
    let captured = server.api.capture_transaction(Request::new(capture)).await;
    let captured = captured.unwrap().transaction.unwrap();
    assert_eq!(captured.capture_of, uuid(2));
    let void = v1::VoidTransactionRequest {
        options: options("void"),
        ledger: "bank".to_owned(),
        void: Some(v1::VoidTransaction {
            hold: uuid(2),
            reason: None,
        }),
    };
    let voided = server.api.void_transaction(Request::new(void)).await;
    let voided = voided.unwrap().transaction.unwrap();
    // Something was captured: it ends POSTED. Its own record is another one.
    assert_eq!(voided.status, i32::from(v1::TransactionStatus::Posted));
    assert_eq!(voided.idempotency_key, "");
    let reverse = v1::ReverseTransactionRequest {
        options: options("reverse"),
        ledger: "bank".to_owned(),
        reverse: Some(v1::ReverseTransaction {
            original: captured.id,
            ..v1::ReverseTransaction::default()
        }),
    };
    let reversed = server.api.reverse_transaction(Request::new(reverse)).await;
    let reversed = reversed.unwrap().transaction.unwrap();
    assert_eq!(reversed.postings[0].debit, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_faults_say_code_and_field() {
    let server = start(1).await;
    server.bank("bank").await;
    let refused = server.transfer("bank", "x", "a", "b", 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "INSUFFICIENT_FUNDS");
    let again = server.transfer("bank", "x", "a", "b", 1).await.unwrap_err();
    assert_eq!(reason(&again), "INSUFFICIENT_FUNDS");
    let reused = server.transfer("bank", "x", "a", "b", 2).await.unwrap_err();
    assert_eq!(reused.code(), Code::AlreadyExists);
    assert_eq!(reason(&reused), "IDEMPOTENCY_KEY_REUSED");
    let unknown = server.transfer("nowhere", "x", "a", "b", 2).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let mut bad = create("cash", "a", 5);
    bad.postings[0].credit = "a b".to_owned();
    let request = v1::CreateTransactionRequest {
        options: None,
        ledger: "bank".to_owned(),
        create: Some(bad),
    };
    let malformed = server.api.create_transaction(Request::new(request)).await;
    let malformed = malformed.unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument);
    let details = String::from_utf8_lossy(malformed.details()).into_owned();
    assert!(details.contains("create.postings[0].credit"), "{details}");
    assert!(details.contains("options.idempotency_key"), "{details}");
    let empty = v1::CloseBooksRequest {
        options: options("y"),
        ledger: "bank".to_owned(),
        close: None,
    };
    let empty = server
        .api
        .close_books(Request::new(empty))
        .await
        .unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_several_shards_is_answered_in_order() {
    let server = start(4).await;
    let ledgers = ["north", "south", "east", "west", "centre"];
    for ledger in ledgers {
        server.bank(ledger).await;
    }
    let used = (0..4).filter(|shard| records(&server.log, *shard).len() > 2);
    assert!(used.count() > 1, "the ledgers live in several shards");
    let mut commands = Vec::new();
    for number in 0..200u64 {
        let ledger = ledgers[number as usize % ledgers.len()];
        let key = format!("k{number}");
        commands.push(match number % 10 {
            3 => command(ledger, &key, "nobody", "a", 1),
            7 => command(ledger, "", "cash", "a", 1),
            _ => command(ledger, &key, "cash", "a", number + 1),
        });
    }
    let request = v1::BatchWriteRequest { commands };
    let response = server.api.batch_write(Request::new(request)).await.unwrap();
    assert_eq!(response.outcomes.len(), 200);
    let mut last = std::collections::HashMap::new();
    for (number, outcome) in response.outcomes.iter().enumerate() {
        let expected = match number % 10 {
            3 => "ACCOUNT_NOT_FOUND",
            7 => "INVALID_ARGUMENT",
            _ => "OK",
        };
        assert_eq!(said(outcome), expected, "{number}");
        if expected == "OK" {
            let receipt = receipt(outcome);
            assert_eq!(receipt.idempotency_key, format!("k{number}"));
            let before = last.insert(receipt.ledger.clone(), receipt.ledger_sequence);
            assert!(before < Some(receipt.ledger_sequence), "decided in order");
        }
    }
    let too_many = v1::BatchWriteRequest {
        commands: vec![v1::Command::default(); 8_191],
    };
    let refused = server.api.batch_write(Request::new(too_many)).await;
    assert_eq!(reason(&refused.unwrap_err()), "BATCH_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_and_friendly_transfers_give_the_same_events() {
    let (packed, friendly) = (start(1).await, start(1).await);
    packed.bank("bank").await;
    friendly.bank("bank").await;
    let ids: Vec<u128> = (0..50)
        .map(|n| u128::from_str_radix(&uuid(n).replace('-', ""), 16).unwrap())
        .collect();
    let request = v1::BatchTransferRequest {
        ledger: "bank".to_owned(),
        ids: ids
            .iter()
            .flat_map(|id| id.to_be_bytes())
            .collect::<Vec<u8>>()
            .into(),
        debits: (0..50).map(|n| if n == 0 { 2 } else { 1 }).collect(),
        credits: (0..50).map(|n| 2 + n % 2 + u32::from(n == 0)).collect(),
        amounts: (0..50).map(|n| 10 + n).collect(),
        effective_at: None,
    };
    let commands = (0..50u32)
        .map(|n| {
            let from = if n == 0 { "#2" } else { "#1" };
            let to = format!("#{}", 2 + n % 2 + u32::from(n == 0));
            command("bank", &uuid(n), from, &to, 10 + u64::from(n))
        })
        .collect();
    let answer = packed
        .api
        .batch_transfer(Request::new(request.clone()))
        .await;
    let answer = answer.unwrap();
    let outcomes = friendly
        .api
        .batch_write(Request::new(v1::BatchWriteRequest { commands }))
        .await
        .unwrap()
        .outcomes;
    let refused: Vec<_> = answer
        .refusals
        .iter()
        .map(|refusal| (refusal.index, refusal.reason.clone()))
        .collect();
    assert_eq!(refused, [(0, "INSUFFICIENT_FUNDS".to_owned())]);
    assert_eq!(said(&outcomes[0]), "INSUFFICIENT_FUNDS");
    let decisions = |server: &Server| -> Vec<_> {
        let records = records(&server.log, 0).into_iter();
        records
            .map(|sealed| sealed.record)
            .filter(|record| !record.ledger.is_engine())
            .map(|record| (record.key, record.request_hash, record.payload))
            .collect()
    };
    assert_eq!(decisions(&packed), decisions(&friendly));
    assert_eq!(answer.last_ledger_sequence, 54);
    let again = packed
        .api
        .batch_transfer(Request::new(request))
        .await
        .unwrap();
    assert_eq!(again.repeated_count, 50);
    assert_eq!(again.refusals, answer.refusals);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_answered_in_order_and_to_its_end() {
    let server = start(1).await;
    server.bank("bank").await;
    let requests: Vec<_> = (0..3_000u64)
        .map(|tag| {
            Ok(v1::WriteStreamRequest {
                tag,
                command: Some(command("bank", &format!("s{tag}"), "cash", "a", 1)),
            })
        })
        .collect();
    let requests = futures::stream::iter(requests);
    let replies = Arc::clone(&server.api)
        .write_stream(Request::new(requests))
        .await
        .unwrap();
    let replies: Vec<_> = futures::StreamExt::collect(replies).await;
    assert_eq!(replies.len(), 3_000);
    let mut last = 0;
    for (tag, reply) in replies.into_iter().enumerate() {
        let reply = reply.unwrap();
        assert_eq!(reply.tag, tag as u64);
        let outcome = reply.outcome.unwrap();
        assert!(receipt(&outcome).ledger_sequence > last);
        last = receipt(&outcome).ledger_sequence;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strong_reads_see_what_was_acknowledged() {
    let server = start(2).await;
    server.bank("bank").await;
    let strong = server.handler.strong();
    let ledger = LedgerName::new("bank").unwrap();
    let account = || AccountRef::Name(AccountName::new("a").unwrap());
    for number in 1..50 {
        let receipt = server
            .transfer("bank", &format!("r{number}"), "cash", "a", 1)
            .await
            .unwrap();
        let read = strong
            .read(&ledger, StrongQuery::Accounts(vec![account()]))
            .await
            .unwrap();
        assert!(read.ledger_sequence >= receipt.ledger_sequence);
        let StrongAnswer::Accounts(accounts) = read.answer else {
            panic!("accounts were asked for");
        };
        let totals = accounts[0].as_ref().unwrap().totals;
        assert_eq!(totals.credits_posted.minor_units(), number);
    }
    let nowhere = LedgerName::new("nowhere").unwrap();
    let unknown = strong.read(&nowhere, StrongQuery::Position).await;
    assert!(matches!(unknown, Err(StrongError::LedgerNotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_call_stands_in_its_record() {
    let server = start(1).await;
    server.bank("bank").await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = Request::new(command("bank", "traced", "cash", "a", 1));
    let value = trace.parse().unwrap();
    request.metadata_mut().insert("traceparent", value);
    server.api.write(request).await.unwrap();
    let sealed = records(&server.log, 0).pop().unwrap();
    assert_eq!(sealed.record.traceparent.as_deref(), Some(trace));
    assert_eq!(sealed.record.actor, None);
    assert!(matches!(sealed.record.payload, Payload::Event(_)));
}
