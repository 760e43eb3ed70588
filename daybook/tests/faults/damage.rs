//! Bytes that flip on the disk.

use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::proto::v1 as api;
use schemas::proto::v1::audit_service_client::AuditServiceClient;

use crate::server::{LEDGER, Server, assert_verified, verify};

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_anywhere_in_a_record_is_found_and_the_record_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]).await;
    let bank = server.connect().await;
    bank.set_up().await;
    for n in 0..60 {
        bank.deposit(&format!("deposit-{n}"), 1 + n).await.unwrap();
    }
    let records = AuditServiceClient::new(bank.channel())
        .list_records(api::ListRecordsRequest {
            ledger: LEDGER.into(),
            page_size: 1_000,
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner()
        .decisions;
    assert_eq!(records.len(), 63);
    server.stop();
    assert_verified(&data);

    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let file = data.join("log.db");
    let whole = std::fs::read(&file).unwrap();
    for _ in 0..40 {
        let record = &records[random.random_range(0..records.len())];
        let said = record.record.as_ref().unwrap();
        let places = [
            format!("record {} of the ledger", said.ledger_sequence),
            format!("record {} of the shard", said.sequence),
        ];
        let byte = random.random_range(0..record.record_bytes.len());
        let bit = 1 << random.random_range(0..8);
        let mut damaged = whole.clone();
        for start in positions_of(&whole, &record.record_bytes) {
            damaged[start + byte] ^= bit;
        }
        std::fs::write(&file, &damaged).unwrap();
        assert_names(&data, &places);
    }
    std::fs::write(&file, &whole).unwrap();
    assert_verified(&data);
}

/// Where a record stands: SQLite may have left an older copy in the unused part of a page, and
/// the file does not tell them apart.
fn positions_of(file: &[u8], bytes: &[u8]) -> Vec<usize> {
    let all: Vec<usize> = file
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, window)| window == &bytes)
        .map(|(start, _)| start)
        .collect();
    assert!(
        !all.is_empty(),
        "a record stands in the log as it was hashed"
    );
    all
}

/// The first finding names the record by one of `places`: the byte may have been a part of the other.
fn assert_names(data: &Path, places: &[String]) {
    let output = verify(data);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(1), "{places:?}: {said}");
    let first_finding = said.lines().next().unwrap_or_default();
    assert!(
        places.iter().any(|place| first_finding.contains(place)),
        "{places:?} is not named first: {said}"
    );
}

/// Whatever page of the read models is damaged: that is found, and the log is still checked to
/// its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_of_the_read_models_does_not_keep_the_log_from_being_verified() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]).await;
    let bank = server.connect().await;
    bank.set_up().await;
    for n in 0..60 {
        bank.deposit(&format!("deposit-{n}"), 1 + n).await.unwrap();
    }
    server.stop();
    assert_verified(&data);
    let checked = |output: &std::process::Output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said
            .lines()
            .find(|line| line.contains("records: hash chain"));
        line.map(str::to_owned)
    };
    let whole_log = checked(&verify(&data)).expect("verify tells what it checked");
    let file = data.join("views.db");
    let whole = std::fs::read(&file).unwrap();
    // As the file's header says it.
    let page = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let mut found = 0;
    for start in (0..whole.len()).step_by(page) {
        let mut damaged = whole.clone();
        // The header of the page, where SQLite looks first.
        damaged[start..start + 64].fill(0xa5);
        std::fs::write(&file, &damaged).unwrap();
        let output = verify(&data);
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let page = start / page;
        assert_eq!(
            checked(&output).as_ref(),
            Some(&whole_log),
            "page {page}: {said}"
        );
        assert!(!said.contains("LOG_DAMAGED"), "page {page}: {said}");
        match output.status.code() {
            // A page that is not in use.
            Some(0) => {}
            Some(1) => {
                assert!(said.contains("READ_MODELS_UNUSABLE"), "page {page}: {said}");
                found += 1;
            }
            other => panic!("page {page}: {other:?}: {said}"),
        }
    }
    assert!(found > 10, "only {found} pages were found damaged");
    std::fs::write(&file, &whole).unwrap();
    assert_verified(&data);
}
