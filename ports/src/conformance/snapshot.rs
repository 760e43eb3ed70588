//! What every store of snapshots must do.

use bytes::Bytes;
use schemas::proto::snapshot::v1::{Chunk, Manifest};

use crate::snapshot::{SnapshotError, SnapshotStore};

/// A snapshot of `sequence` with these chunks.
pub fn sample(shard: u32, sequence: u64, chunks: &[&str]) -> (Manifest, Vec<Bytes>) {
    let chunks: Vec<_> = chunks
        .iter()
        .map(|chunk| Bytes::copy_from_slice(chunk.as_bytes()))
        .collect();
    let named = chunks.iter().enumerate().map(|(index, chunk)| Chunk {
        name: format!("chunk-{index:04}.zst"),
        bytes: chunk.len() as u64,
        blake3: schemas::record::hash(chunk).0.to_vec(),
    });
    let manifest = Manifest {
        format: 1,
        evolve_version: 1,
        log_id: vec![7; 16],
        shard,
        shard_count: 2,
        sequence,
        record_hash: vec![9; 32],
        chunks: named.collect(),
        ..Manifest::default()
    };
    (manifest, chunks)
}

/// Checks a store that is empty.
///
/// # Panics
/// Where the store does not do what the port says.
pub async fn check(store: &dyn SnapshotStore) {
    assert!(store.list(0).await.expect("an empty list").is_empty());
    store.prune(0, 2).await.expect("nothing to prune");
    let missing = store.get(0, "00000000000000000001-none").await;
    assert!(
        matches!(missing, Err(SnapshotError::NotFound { .. })),
        "{missing:?}"
    );

    let mut names = Vec::new();
    for sequence in [3, 10, 200] {
        let chunks = ["one".to_owned(), format!("two of {sequence}")];
        let chunks: Vec<_> = chunks.iter().map(String::as_str).collect();
        let (manifest, chunks) = sample(0, sequence, &chunks);
        let name = store
            .put(manifest.clone(), chunks.clone())
            .await
            .expect("put");
        let read = store.get(0, &name).await.expect("what was put");
        assert_eq!(read, (manifest, chunks), "read back as written");
        names.push(name);
    }
    let (manifest, chunks) = sample(1, 5, &["of another shard"]);
    let other = store.put(manifest, chunks).await.expect("put");

    let listed = store.list(0).await.expect("list");
    let sequences: Vec<_> = listed
        .iter()
        .map(|entry| entry.manifest.as_ref().expect("undamaged").sequence)
        .collect();
    assert_eq!(sequences, [200, 10, 3], "newest first");
    assert!(
        listed
            .iter()
            .map(|entry| &entry.name)
            .eq(names.iter().rev())
    );
    assert_eq!(
        listed[0].bytes,
        "one".len() as u64 + "two of 200".len() as u64
    );

    // One older than the newest, put late, takes its place in the order.
    let (manifest, chunks) = sample(0, 50, &["late"]);
    store.put(manifest, chunks).await.expect("put");
    let listed = store.list(0).await.expect("list");
    assert_eq!(listed[0].name, names[2], "the newest is still the newest");
    assert_eq!(listed.len(), 4);

    // Without chunks: a shard whose ledgers are all empty.
    let (manifest, chunks) = sample(0, 300, &[]);
    let empty = store.put(manifest, chunks).await.expect("put");
    assert!(store.get(0, &empty).await.expect("get").1.is_empty());

    // What does not fit its manifest is refused, and nothing of it is listed.
    let (manifest, mut chunks) = sample(0, 400, &["right"]);
    chunks[0] = Bytes::from_static(b"wrong");
    let refused = store.put(manifest, chunks).await;
    assert!(
        matches!(refused, Err(SnapshotError::Damaged { .. })),
        "{refused:?}"
    );
    let (manifest, _) = sample(0, 400, &["missing"]);
    let refused = store.put(manifest, Vec::new()).await;
    assert!(
        matches!(refused, Err(SnapshotError::Damaged { .. })),
        "{refused:?}"
    );
    assert_eq!(store.list(0).await.expect("list")[0].name, empty);

    // The same again changes nothing.
    let (manifest, chunks) = sample(0, 50, &["late"]);
    store.put(manifest, chunks).await.expect("put");
    assert_eq!(store.list(0).await.expect("list").len(), 5);

    store.prune(0, 2).await.expect("prune");
    let left: Vec<_> = store.list(0).await.expect("list");
    let left: Vec<_> = left.into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, [empty, names[2].clone()], "the newest two stay");
    store.get(0, &names[2]).await.expect("what stays is whole");
    let pruned = store.get(0, &names[0]).await;
    assert!(
        matches!(pruned, Err(SnapshotError::NotFound { .. })),
        "{pruned:?}"
    );
    store.get(1, &other).await.expect("another shard's stays");
}
