//! SIGKILL in the middle of a load, again and again: all that was acknowledged is there, once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schemas::proto::v1::command_service_client::CommandServiceClient;
use schemas::proto::v1::*;
use tokio::task::JoinSet;

use crate::support::Server;

const KILLS: u64 = 20;
const CLIENTS: u64 = 4;

/// What clients know of each key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// Sent; no answer.
    Unknown,
    /// Acknowledged, at this record.
    Acknowledged(u64),
}

type Book = Arc<Mutex<BTreeMap<String, Known>>>;

fn transfer(key: &str) -> Command {
    Command {
        idempotency_key: key.to_owned(),
        ledger: "main".to_owned(),
        operation: Some(command::Operation::CreateTransaction(CreateTransaction {
            postings: vec![PostingSpec {
                debit: "bank:cash".to_owned(),
                credit: "customers:ada".to_owned(),
                amount_spec: Some(posting_spec::AmountSpec::Amount("1".to_owned())),
                ..Default::default()
            }],
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// Sends batches until the server is gone.
async fn load(url: String, book: Book, round: u64, client: u64) {
    let Ok(mut commands) = CommandServiceClient::connect(url).await else {
        return;
    };
    for batch in 0.. {
        // One at a time, and many at once.
        let size = if client == 0 {
            1
        } else {
            1 + (batch * 37) % 200
        };
        let keys: Vec<String> = (0..size)
            .map(|at| match at % 2 {
                0 => uuid::Uuid::now_v7().to_string(),
                _ => format!("k-{round}-{client}-{batch}-{at}"),
            })
            .collect();
        {
            let mut book = book.lock().unwrap();
            for key in &keys {
                book.insert(key.clone(), Known::Unknown);
            }
        }
        let request = BatchWriteRequest {
            commands: keys.iter().map(|key| transfer(key)).collect(),
        };
        let Ok(reply) = commands.batch_write(request).await else {
            return;
        };
        let mut book = book.lock().unwrap();
        for (key, outcome) in keys.iter().zip(reply.into_inner().outcomes) {
            if let Some(outcome::Outcome::Receipt(receipt)) = outcome.outcome {
                book.insert(key.clone(), Known::Acknowledged(receipt.ledger_sequence));
            }
        }
    }
}

/// Sends every key again: an acknowledged one must be repeated at its record, an unknown one is
/// repeated or booked now.
async fn settle(url: String, book: &Book, keys: Vec<String>) {
    let mut commands = CommandServiceClient::connect(url).await.unwrap();
    for keys in keys.chunks(5_000) {
        let request = BatchWriteRequest {
            commands: keys.iter().map(|key| transfer(key)).collect(),
        };
        let outcomes = commands
            .batch_write(request)
            .await
            .unwrap()
            .into_inner()
            .outcomes;
        assert_eq!(outcomes.len(), keys.len());
        for (key, outcome) in keys.iter().zip(outcomes) {
            let Some(outcome::Outcome::Receipt(receipt)) = outcome.outcome else {
                panic!("{key} was refused: {outcome:?}");
            };
            let known = book.lock().unwrap().get(key).copied().unwrap();
            if let Known::Acknowledged(record) = known {
                assert!(receipt.repeated, "{key} was acknowledged, and then lost");
                assert_eq!(receipt.ledger_sequence, record, "{key} moved");
            }
            let now = Known::Acknowledged(receipt.ledger_sequence);
            book.lock().unwrap().insert(key.clone(), now);
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_booked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let book = Book::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    {
        let server = Server::on(&data, &[]);
        server.open_bank();
        server.kill();
    }
    for round in 0..KILLS {
        killed_in_mid_load(&runtime, &data, &book, round);
    }
    let server = Server::on(&data, &["--snapshot-every-records", "1000"]);
    let keys: Vec<_> = book.lock().unwrap().keys().cloned().collect();
    assert!(keys.len() > 1_000, "the load was too small: {}", keys.len());
    runtime.block_on(settle(server.url().to_owned(), &book, keys.clone()));
    assert_eq!(server.posted("customers:ada"), keys.len().to_string());
    assert_eq!(server.posted("bank:cash"), keys.len().to_string());
    let mut records: Vec<_> = book.lock().unwrap().values().copied().collect();
    records.sort_by_key(|known| match known {
        Known::Unknown => 0,
        Known::Acknowledged(record) => *record,
    });
    records.dedup();
    assert_eq!(
        records.len(),
        keys.len(),
        "each key has a record of its own"
    );
    server.ok(&["verify"]);
}

fn killed_in_mid_load(runtime: &tokio::runtime::Runtime, data: &Path, book: &Book, round: u64) {
    let server = Server::on(data, &["--snapshot-every-records", "1000"]);
    // What the last round left open, and what it had acknowledged last.
    let recent: Vec<_> = {
        let book = book.lock().unwrap();
        let unknown = book.iter().filter(|(_, known)| **known == Known::Unknown);
        let some = book.iter().filter(|(_, known)| **known != Known::Unknown);
        unknown
            .map(|(key, _)| key.clone())
            .chain(some.rev().take(500).map(|(key, _)| key.clone()))
            .collect()
    };
    runtime.block_on(settle(server.url().to_owned(), book, recent));
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(load(
                server.url().to_owned(),
                Arc::clone(book),
                round,
                client,
            ));
        }
        // Another moment each time, of starting and of full load.
        tokio::time::sleep(Duration::from_millis(30 + (round * 67) % 300)).await;
        server.kill();
        clients.join_all().await;
    });
}
