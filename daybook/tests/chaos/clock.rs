//! A clock that is off by more than the brokers' allow.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::operations::eventually;
use crate::servers::Servers;

/// Compiles what is preloaded to shift the clock.
fn shim(into: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shims/shifted_clock.c");
    let library = into.join("shifted_clock.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()
        .expect("a C compiler (Debian package build-essential) is needed for this test");
    assert!(status.success());
    library
}

#[test]
fn a_claimant_whose_clock_is_off_does_not_serve() {
    let _servers = Servers::take();
    let cluster = Cluster::new(1);
    let folder = cluster.folder();
    let library = shim(&folder);
    let offset = folder.join("offset");
    for seconds in [10_i64, -10] {
        std::fs::write(&offset, (seconds * 1_000_000).to_string()).unwrap();
        let mut node = cluster
            .node("off", &["--role", "command"])
            .with("LD_PRELOAD", library.to_str().unwrap())
            .with("DAYBOOK_TEST_CLOCK_OFFSET", offset.to_str().unwrap());
        node.spawn();
        eventually(
            Duration::from_secs(60),
            "it says that its clock is off",
            || {
                assert!(
                    !node.page("/readyz").starts_with("HTTP/1.1 200"),
                    "it serves"
                );
                node.said().contains("clock is")
            },
        );
        assert!(
            !node.page("/readyz").starts_with("HTTP/1.1 200"),
            "it serves"
        );
    }
    // With the right one it does.
    let mut node = cluster.node("right", &[]);
    node.start();
    node.stop();
}
