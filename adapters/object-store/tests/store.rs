//! Snapshots in a local folder.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adapter_object_store::ObjectSnapshots;
use object_store::memory::InMemory;
use ports::conformance::snapshot::{check, sample};
use ports::snapshot::{SnapshotError, SnapshotStore};

fn latest(dir: &Path) -> serde_json::Value {
    let text = std::fs::read(dir.join("shard-0000/latest.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test]
async fn a_local_folder_conforms() {
    let dir = tempfile::tempdir().unwrap();
    check(&ObjectSnapshots::local(dir.path()).unwrap()).await;
}

#[tokio::test]
async fn a_store_with_conditional_puts_conforms() {
    check(&ObjectSnapshots::new(Arc::new(InMemory::new()))).await;
}

#[tokio::test]
async fn latest_moves_only_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectSnapshots::local(dir.path()).unwrap();
    for (sequence, named) in [(7, 7), (3, 7), (7, 7), (9, 9)] {
        let (manifest, chunks) = sample(0, sequence, &["state"]);
        let name = store.put(manifest, chunks).await.unwrap();
        let latest = latest(dir.path());
        assert_eq!(latest["sequence"], named);
        if sequence == named {
            assert_eq!(latest["name"], name);
        }
    }
    // A pointer that is no JSON any more does not stand in the way.
    std::fs::write(dir.path().join("shard-0000/latest.json"), b"{\"seq").unwrap();
    let (manifest, chunks) = sample(0, 1, &["state"]);
    store.put(manifest, chunks).await.unwrap();
    assert_eq!(latest(dir.path())["sequence"], 1);
}

#[tokio::test]
async fn racing_writers_leave_the_newest_as_latest() {
    let objects = Arc::new(InMemory::new());
    // Each its own adapter: no lock in common, only the conditional put.
    let puts = (1..=8).map(|sequence| {
        let store = ObjectSnapshots::new(Arc::<InMemory>::clone(&objects) as _);
        tokio::spawn(async move {
            let (manifest, chunks) = sample(0, sequence, &["state"]);
            store.put(manifest, chunks).await.unwrap()
        })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    let path = object_store::path::Path::from("shard-0000/latest.json");
    let found = object_store::ObjectStoreExt::get(&*objects, &path).await;
    let bytes = found.unwrap().bytes().await.unwrap();
    let latest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(latest["sequence"], 8);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_damage_is_named_and_never_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectSnapshots::local(dir.path()).unwrap();
    let (manifest, chunks) = sample(0, 1, &["good"]);
    let good = store.put(manifest, chunks).await.unwrap();
    let (manifest, chunks) = sample(0, 2, &["one", "two"]);
    let name = store.put(manifest.clone(), chunks.clone()).await.unwrap();
    let folder = dir.path().join("shard-0000").join(&name);
    let whole = files(&folder);
    assert_eq!(whole.len(), 3, "{whole:?}");

    for file in &whole {
        let bytes = std::fs::read(file).unwrap();
        let is_manifest = file.ends_with("manifest");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            std::fs::write(file, &flipped).unwrap();
            let read = store.get(0, &name).await;
            assert!(
                matches!(&read, Err(SnapshotError::Damaged { name: named, .. }) if *named == name),
                "byte {at} of {file:?}: {read:?}"
            );
        }
        std::fs::remove_file(file).unwrap();
        let read = store.get(0, &name).await;
        assert!(
            match is_manifest {
                true => matches!(read, Err(SnapshotError::NotFound { .. })),
                false => matches!(read, Err(SnapshotError::Damaged { .. })),
            },
            "{file:?}: {read:?}"
        );
        let listed = store.list(0).await.unwrap();
        assert_eq!(listed[0].name, name, "a damaged one is listed");
        assert_eq!(listed[0].manifest.is_none(), is_manifest);
        std::fs::write(file, &bytes).unwrap();
    }
    store.get(0, &name).await.unwrap();

    std::fs::write(&whole[0], b"damaged").unwrap();
    store.prune(0, 1).await.unwrap();
    let left = store.list(0).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, good, "the undamaged one stays");

    // A put of the same snapshot is whole again.
    store.put(manifest, chunks).await.unwrap();
    store.get(0, &name).await.unwrap();
}

#[tokio::test]
async fn an_interrupted_put_is_listed_as_damaged_and_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectSnapshots::local(dir.path()).unwrap();
    let folder = dir
        .path()
        .join("shard-0000/00000000000000000009-0123456789abcdef");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("chunk-0000.zst"), b"half").unwrap();
    let listed = store.list(0).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].manifest, None);
    store.prune(0, 2).await.unwrap();
    assert!(store.list(0).await.unwrap().is_empty());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(
        ObjectSnapshots::local(&file.join("under")),
        Err(SnapshotError::Unavailable(_))
    ));
}

fn written_to(path: &Path, ago: Duration) {
    let file = std::fs::File::open(path).unwrap();
    file.set_modified(SystemTime::now() - ago).unwrap();
}

#[tokio::test]
async fn what_a_crash_left_in_staging_is_swept_and_what_is_being_written_is_not() {
    const OLD: Duration = Duration::from_secs(2 * 3_600);
    const YOUNG: Duration = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let store = ObjectSnapshots::local(dir.path()).unwrap();
    let (manifest, chunks) = sample(0, 7, &["state"]);
    let name = store.put(manifest, chunks).await.unwrap();
    let shard = dir.path().join("shard-0000");
    let make = |folder: &str, file: &str, ago| {
        let folder = shard.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), b"half").unwrap();
        written_to(&folder.join(file), ago);
        written_to(&folder, ago);
        folder.join(file)
    };
    let left = [
        make(
            "00000000000000000008-0123456789abcdef",
            "chunk-0000.zst#1",
            OLD,
        ),
        make("00000000000000000009-0123456789abcdef", "manifest#2", OLD),
        make("", "latest.json#1", OLD),
        make(&name, "manifest#1", OLD),
    ];
    let in_use = [
        make(
            "00000000000000000010-0123456789abcdef",
            "chunk-0000.zst#1",
            YOUNG,
        ),
        make("", "latest.json#2", YOUNG),
    ];
    let foreign = make("", "notes#of mine", OLD);
    // None of them is a snapshot, or seen as one.
    assert_eq!(store.list(0).await.unwrap().len(), 1 + 3);
    store.prune(0, 2).await.unwrap();
    for path in &left {
        assert!(!path.exists(), "{path:?}");
    }
    assert!(!left[0].parent().unwrap().exists());
    assert!(!left[1].parent().unwrap().exists());
    for path in in_use.iter().chain([&foreign]) {
        assert!(path.exists(), "{path:?}");
    }
    store.get(0, &name).await.unwrap();
    // A shard that never had a snapshot has nothing to sweep.
    store.prune(1, 2).await.unwrap();
}
