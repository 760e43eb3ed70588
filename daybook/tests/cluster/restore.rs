//! Snapshots, restores that fork the log, and trimming.

use std::time::Duration;

use rustix::process::Signal;

use crate::operations::eventually;
use crate::process::{Server, run};
use crate::support::Cluster;

fn deposits(server: &Server, from: u32, to: u32) {
    for index in from..to {
        let key = format!("deposit-{index}");
        server.transfer("bank:cash", "customers:ada", "1.00 USD", &key);
    }
}

#[test]
fn a_restore_forks_the_log_into_a_folder_or_another_cluster() {
    let cluster = Cluster::new(1);
    let mut server = cluster.start(&[]);
    server.open_bank();
    deposits(&server, 0, 5);
    let token = server.json(&["balance", "customers:ada"])["position"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    // Records of the shard: LogStarted, WriterClaimed, the ledger, three accounts, deposits.
    let heads = server.json(&["server", "info"]);
    let committed: u64 = heads["shards"][0]["committed_sequence"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    deposits(&server, 5, 8);

    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("restored");
    let said = cluster
        .run(&[
            "snapshot",
            "restore",
            "--profile",
            "cluster",
            "--to",
            to.to_str().unwrap(),
            "--sequence",
            &committed.to_string(),
            "--json",
        ])
        .ok();
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["shards"][0]["left_behind"], 3, "{report}");
    let restored = Server::on(&to, &[]);
    assert_eq!(restored.posted("customers:ada"), "500");
    let refused = restored.run(&["balance", "customers:ada", "--consistency", &token]);
    assert!(refused.failed(1).contains("TOKEN_OF_ANOTHER_LOG"));
    drop(restored);
    run(&["verify", "--data", to.to_str().unwrap()]).ok();

    let name = cluster.other_name();
    let said = cluster
        .run(&[
            "snapshot",
            "restore",
            "--profile",
            "cluster",
            "--to-cluster",
            &name,
            "--single-broker",
            "--sequence",
            &committed.to_string(),
        ])
        .ok();
    assert!(said.contains(&name), "{said}");
    assert!(server.stop(Signal::TERM).success());
    let fork = cluster.start(&["--cluster", &name]);
    assert_eq!(fork.posted("customers:ada"), "500");
    let refused = fork.run(&["balance", "customers:ada", "--consistency", &token]);
    assert!(refused.failed(1).contains("TOKEN_OF_ANOTHER_LOG"));
    // The fork goes on where the other one did otherwise: the same key is new here.
    deposits(&fork, 5, 6);
    assert_eq!(fork.posted("customers:ada"), "600");
    assert!(fork.ok(&["verify", "--deep"]).contains("clean"));
    // The read models of one are refused by the other.
    let foreign = cluster
        .run(&["verify", "--profile", "cluster", "--cluster", &name])
        .code;
    assert_eq!(foreign, 0);
    cluster.verify();
    let twice = cluster.run(&[
        "snapshot",
        "restore",
        "--profile",
        "cluster",
        "--to-cluster",
        &name,
        "--single-broker",
    ]);
    assert!(twice.failed(1).contains("NOT_RESTORED"));
}

#[test]
fn what_two_snapshots_and_the_archive_hold_is_trimmed_and_still_read() {
    let cluster = Cluster::new(1);
    let mut server = cluster.start(&[]);
    server.open_bank();
    let trim = |more: &[&str]| {
        let words: Vec<_> = ["trim", "--profile", "cluster", "--keep", "3", "--json"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let said = cluster.run(&words).ok();
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        report["shards"][0]["removed"].as_u64().unwrap()
    };
    deposits(&server, 0, 5);
    server.ok(&["snapshot", "create"]);
    assert_eq!(trim(&[]), 0, "one snapshot is not enough");
    deposits(&server, 5, 10);
    server.ok(&["snapshot", "create"]);
    deposits(&server, 10, 15);
    eventually(Duration::from_secs(20), "all is archived", || {
        trim(&["--dry-run"]) > 5
    });
    assert!(trim(&[]) > 5);
    assert_eq!(trim(&[]), 0, "it is done");
    // Old records are read from the archive.
    let first = server.ok(&["audit", "records", "--limit", "5"]);
    assert!(first.lines().count() >= 5, "{first}");
    assert!(server.ok(&["verify", "--deep"]).contains("clean"));
    server.kill();
    server = cluster.start(&[]);
    assert_eq!(server.posted("customers:ada"), "1500");
    assert_eq!(
        server.json(&["replay"])["differences"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert!(server.stop(Signal::TERM).success());
    let listed = cluster
        .run(&["snapshot", "list", "--profile", "cluster"])
        .ok();
    assert_eq!(listed.lines().count(), 3, "{listed}");
    cluster.verify();
}
