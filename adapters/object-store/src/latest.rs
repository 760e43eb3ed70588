//! `latest.json`: names the newest snapshot of a shard; moves only up.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};

/// Times that a lost race is run again.
const ATTEMPTS: usize = 16;

/// Moves the pointer at `path` up to the snapshot `name` of `sequence`, unless it names one of
/// that sequence or a later one.
///
/// A store with conditional puts decides races itself. The local file system has none: there
/// the caller's lock keeps this process from racing with itself (the folder belongs to one
/// process), and the put is an atomic rename.
pub(crate) async fn move_up(
    store: &dyn ObjectStore,
    path: &Path,
    name: &str,
    sequence: u64,
) -> Result<(), Error> {
    let body = Bytes::from(format!("{{\"name\":\"{name}\",\"sequence\":{sequence}}}\n"));
    for _ in 0..ATTEMPTS {
        let (mode, present) = match store.get(path).await {
            Ok(found) => {
                let version = UpdateVersion {
                    e_tag: found.meta.e_tag.clone(),
                    version: found.meta.version.clone(),
                };
                (PutMode::Update(version), sequence_of(&found.bytes().await?))
            }
            Err(Error::NotFound { .. }) => (PutMode::Create, None),
            Err(error) => return Err(error),
        };
        if present.is_some_and(|present| present >= sequence) {
            return Ok(());
        }
        let conditional = store
            .put_opts(path, body.clone().into(), PutOptions::from(mode))
            .await;
        match conditional {
            Ok(_) => return Ok(()),
            Err(Error::NotImplemented { .. }) => {
                store
                    .put_opts(
                        path,
                        body.clone().into(),
                        PutOptions::from(PutMode::Overwrite),
                    )
                    .await?;
                return Ok(());
            }
            Err(Error::Precondition { .. } | Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Generic {
        store: "latest.json",
        source: "others moved it at the same time, again and again".into(),
    })
}

/// The sequence that `latest.json` names; `None` where it is damaged (and is then replaced).
pub(crate) fn sequence_of(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()?
        .get("sequence")?
        .as_u64()
}
