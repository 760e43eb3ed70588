//! Disks that fill up, and disks that fail.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::server::{CUSTOMER, Server, assert_verified, command, reason, shim};
use schemas::proto::v1 as api;

/// A file system of a few megabytes, unmounted when dropped.
struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(megabytes: u32) -> Self {
        let at = tempfile::tempdir().unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(at.path())
            .status()
            .expect("mount");
        assert!(
            status.success(),
            "this test mounts a small tmpfs, and must be run by root"
        );
        Self { at }
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.at.path())
            .status();
    }
}

/// A command of about 16 kB.
fn bulky(key: &str) -> api::Command {
    let metadata = (0..30)
        .map(|n| {
            let text = api::text::Text::Plain("x".repeat(500));
            (format!("note-{n}"), api::Text { text: Some(text) })
        })
        .collect();
    command(
        key,
        api::command::Operation::UpdateAccount(api::UpdateAccount {
            account: CUSTOMER.into(),
            metadata: Some(api::MetadataChange {
                set: metadata,
                ..Default::default()
            }),
            ..Default::default()
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing_and_comes_back_by_itself() {
    let disk = SmallDisk::mount(24);
    let data = disk.path().join("data");
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 4 << 20]).unwrap();
    let server = Server::start(&data, &[]).await;
    let bank = server.connect().await;
    bank.set_up().await;
    bank.deposit("first", 100).await.unwrap();

    let mut acknowledged = 0;
    let refused = loop {
        match bank.write(bulky(&format!("bulk-{acknowledged}"))).await {
            Ok(_) => acknowledged += 1,
            Err(status) => break status,
        }
        assert!(acknowledged < 5_000, "the disk does not fill");
    };
    assert!(
        ["DISK_FULL", "UNAVAILABLE"].contains(&reason(&refused).as_str()),
        "{refused:?}"
    );
    assert_eq!(bank.balance().await.unwrap(), 100, "reads go on");

    std::fs::remove_file(&ballast).unwrap();
    let give_up = Instant::now() + Duration::from_secs(60);
    while let Err(status) = bank.deposit("after", 11).await {
        assert!(
            Instant::now() < give_up,
            "it does not come back: {status:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for n in 0..acknowledged {
        let receipt = bank.write(bulky(&format!("bulk-{n}"))).await.unwrap();
        assert!(
            receipt.repeated,
            "bulk-{n} was acknowledged and is not there"
        );
    }
    assert_eq!(bank.balance().await.unwrap(), 111);
    server.stop();
    assert_verified(&data);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_fsync_that_fails_acknowledges_nothing_and_ends_service_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let library = shim("failing_fsync", folder.path());
    let trigger = folder.path().join("fail");
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("DAYBOOK_TEST_FAIL_FSYNC", trigger.to_str().unwrap()),
    ];
    let server = Server::start(&data, &environment).await;
    let bank = server.connect().await;
    bank.set_up().await;
    for n in 0..20 {
        bank.deposit(&format!("before-{n}"), 1).await.unwrap();
    }

    std::fs::write(&trigger, "").unwrap();
    let refused = bank.deposit("during", 1_000).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    std::fs::remove_file(&trigger).unwrap();
    // The pages may look written now without being so: this process must not go on.
    for n in 0..5 {
        let still = bank.deposit(&format!("still-{n}"), 1_000).await;
        assert!(still.is_err(), "the folder is served again: {still:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.kill();

    let server = Server::start(&data, &[]).await;
    let bank = server.connect().await;
    for n in 0..20 {
        let again = bank.deposit(&format!("before-{n}"), 1).await.unwrap();
        assert!(again.repeated, "before-{n} was acknowledged and is lost");
    }
    // Not acknowledged: in the log once, or not at all. Repeating it says which.
    bank.deposit("during", 1_000).await.unwrap();
    assert_eq!(bank.balance().await.unwrap(), 1_020);
    server.stop();
    assert_verified(&data);
}
