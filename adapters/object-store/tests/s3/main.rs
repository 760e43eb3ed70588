//! Snapshots in a real object store: `DAYBOOK_S3`, `DAYBOOK_S3_ACCESS_KEY` and
//! `DAYBOOK_S3_SECRET_KEY` say where.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod races;

use adapter_object_store::{ObjectSnapshots, S3Config, S3Error};
use ports::conformance::snapshot::check;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: this test needs a store (cargo xtask stack up)")
    })
}

fn config() -> S3Config {
    S3Config {
        endpoint: Some(variable("DAYBOOK_S3")),
        region: "us-east-1".to_owned(),
        bucket: format!("test-{:016x}", rand::random::<u64>()),
        folder: "books".to_owned(),
        ca_file: None,
        keys: Some((
            variable("DAYBOOK_S3_ACCESS_KEY"),
            variable("DAYBOOK_S3_SECRET_KEY"),
        )),
    }
}

#[tokio::test]
async fn setup_makes_the_bucket_once_and_names_what_is_refused() {
    let config = config();
    assert!(config.setup().await.unwrap(), "it was not there");
    assert!(!config.setup().await.unwrap(), "it is there");
    let stranger = S3Config {
        keys: Some(("stranger".to_owned(), "not-the-key-at-all".to_owned())),
        ..config.clone()
    };
    let refused = stranger.setup().await.unwrap_err();
    assert!(matches!(refused, S3Error::Denied(_)), "{refused}");
    let nowhere = S3Config {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        ..config
    };
    let gone = nowhere.setup().await.unwrap_err();
    assert!(matches!(gone, S3Error::Unavailable(_)), "{gone}");
}

#[tokio::test]
async fn it_passes_the_suite_of_the_port() {
    let config = config();
    config.setup().await.unwrap();
    check(&ObjectSnapshots::s3(&config).unwrap()).await;
}
