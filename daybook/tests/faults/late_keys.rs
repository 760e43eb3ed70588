//! Keys that come back when their records have left memory.

use schemas::proto::v1 as api;

use crate::server::{LEDGER, Server, assert_verified, deposit, reason};

/// More than what a writer keeps in memory when nothing holds it back.
const TRANSFERS: u32 = 320_000;
const BATCH: u32 = 8_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holds_after_its_record_has_left_memory_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]).await;
    let bank = server.connect().await;
    bank.set_up().await;
    let uuid_key = uuid::Uuid::now_v7().to_string();
    let first = bank.deposit(&uuid_key, 5).await.unwrap();
    let text = bank.deposit("invoice-1", 7).await.unwrap();
    let mut refused = deposit("refused", 1);
    if let Some(api::command::Operation::CreateTransaction(create)) = &mut refused.operation {
        create.postings[0].debit = "nobody".into();
    }
    let refusal = bank.write(refused.clone()).await.unwrap_err();
    assert_eq!(reason(&refusal), "ACCOUNT_NOT_FOUND");

    for _ in 0..TRANSFERS / BATCH {
        let ids: Vec<u8> = (0..BATCH)
            .flat_map(|_| uuid::Uuid::now_v7().into_bytes())
            .collect();
        let reply = bank
            .commands()
            .batch_transfer(api::BatchTransferRequest {
                ledger: LEDGER.into(),
                ids: ids.into(),
                debits: vec![1; BATCH as usize],
                credits: vec![2; BATCH as usize],
                amounts: vec![1; BATCH as usize],
                effective_at: None,
            })
            .await
            .unwrap()
            .into_inner();
        assert!(reply.refusals.is_empty() && reply.repeated_count == 0);
    }

    let expected = u64::from(TRANSFERS) + 12;
    repeats(&bank, &uuid_key, &first, &text, &refused, expected).await;
    server.kill();
    let server = Server::start(&data, &[]).await;
    let bank = server.connect().await;
    repeats(&bank, &uuid_key, &first, &text, &refused, expected).await;
    server.stop();
    assert_verified(&data);
}

async fn repeats(
    bank: &crate::server::Bank,
    uuid_key: &str,
    first: &api::Receipt,
    text: &api::Receipt,
    refused: &api::Command,
    expected: u64,
) {
    for (key, cents, original) in [(uuid_key, 5, first), ("invoice-1", 7, text)] {
        let again = bank.deposit(key, cents).await.unwrap();
        assert!(again.repeated);
        assert_eq!(again.transaction_id, original.transaction_id);
        assert_eq!(again.ledger_sequence, original.ledger_sequence);
        assert_eq!(again.record_hash, original.record_hash);
        let other = bank.deposit(key, cents + 1).await.unwrap_err();
        assert_eq!(reason(&other), "IDEMPOTENCY_KEY_REUSED", "{other:?}");
    }
    let refusal = bank.write(refused.clone()).await.unwrap_err();
    assert_eq!(reason(&refusal), "ACCOUNT_NOT_FOUND");
    assert_eq!(bank.balance().await.unwrap(), expected);
}
