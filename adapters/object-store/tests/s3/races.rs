//! Snapshots in a real object store, several nodes at once, and with the store out of reach.

use std::time::{Duration, Instant};

use adapter_object_store::{ObjectSnapshots, S3Config};
use object_store::ObjectStoreExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use ports::conformance::snapshot::sample;
use ports::snapshot::{SnapshotError, SnapshotStore as _};

use crate::config;

/// What `latest.json` says.
async fn latest(config: &S3Config) -> serde_json::Value {
    let (id, key) = config.keys.clone().unwrap();
    let bucket = AmazonS3Builder::new()
        .with_region(&config.region)
        .with_bucket_name(&config.bucket)
        .with_endpoint(config.endpoint.clone().unwrap())
        .with_allow_http(true)
        .with_access_key_id(id)
        .with_secret_access_key(key)
        .build()
        .unwrap();
    let path = Path::from("books/shard-0000/latest.json");
    let found = bucket.get(&path).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&found).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_racing_nodes_leave_the_newest_as_latest() {
    let config = config();
    config.setup().await.unwrap();
    for round in 0..3 {
        let puts = (1..=16).map(|n| {
            let store = ObjectSnapshots::s3(&config).unwrap();
            tokio::spawn(async move {
                let (manifest, chunks) = sample(0, round * 100 + n, &["state"]);
                store.put(manifest, chunks).await.unwrap()
            })
        });
        let mut names = Vec::new();
        for put in puts.collect::<Vec<_>>() {
            names.push(put.await.unwrap());
        }
        let latest = latest(&config).await;
        assert_eq!(latest["sequence"], round * 100 + 16);
        assert_eq!(latest["name"], names[15]);
    }
    let store = ObjectSnapshots::s3(&config).unwrap();
    assert_eq!(store.list(0).await.unwrap().len(), 48);
    // One that is late takes its place below, and moves nothing.
    let (manifest, chunks) = sample(0, 7, &["late"]);
    store.put(manifest, chunks).await.unwrap();
    assert_eq!(latest(&config).await["sequence"], 216);
}

#[tokio::test]
async fn out_of_reach_is_unavailable_soon() {
    let nowhere = S3Config {
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        ..config()
    };
    let store = ObjectSnapshots::s3(&nowhere).unwrap();
    let started = Instant::now();
    let (manifest, chunks) = sample(0, 1, &["state"]);
    let put = store.put(manifest, chunks).await;
    assert!(matches!(put, Err(SnapshotError::Unavailable(_))), "{put:?}");
    let listed = store.list(0).await;
    assert!(
        matches!(listed, Err(SnapshotError::Unavailable(_))),
        "{listed:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(60));
}
