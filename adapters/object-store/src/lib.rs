//! Snapshots in any object store, a local folder included.
