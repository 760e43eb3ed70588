//! `daybook load` through the topics: every record has its one outcome or dead letter, and every
//! outcome stands in Kafka, Postgres and Bigtable once.

use std::process::Stdio;
use std::time::Duration;

use crate::operations::{eventually, get};
use crate::process::{Ran, daybook};
use crate::support::Cluster;

#[test]
fn what_goes_through_the_topics_is_proven_through_kills() {
    let cluster = Cluster::new(2);
    let server = cluster.start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("load.manifest");
    let path = manifest.to_str().unwrap();
    let words = [
        "load",
        "--to",
        "kafka",
        "--server",
        server.url(),
        "--count",
        "3000",
    ];
    let shape = [
        "--ledgers",
        "3",
        "--accounts",
        "20",
        "--malformed",
        "4%",
        "--json",
    ];
    let said = cluster
        .run(&[&words[..], &shape, &["--manifest", path]].concat())
        .ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["proven"], true, "{said}");
    let count = |name: &str| said["counts"][name].as_u64().unwrap();
    assert!(
        count("accepted") > 2_000 && count("malformed") > 60,
        "{said}"
    );
    assert!(count("repeats") > 40 && count("refused") > 100, "{said}");
    let prove = [
        "load",
        "prove",
        path,
        "--server",
        server.url(),
        "--keys",
        "200",
    ];
    cluster.run(&prove).ok();

    // A manifest that says otherwise is found out.
    let sound = std::fs::read(&manifest).unwrap();
    let accepted = (0..3_000).map(|number| 64 * 1024 + number * 32);
    let accepted = accepted.clone().find(|at| sound[*at] == 2).unwrap();
    let mut changed = sound.clone();
    changed[accepted + 9] ^= 1;
    std::fs::write(&manifest, changed).unwrap();
    assert!(cluster.run(&prove).failed(1).contains("NOT_PROVEN"));
    std::fs::write(&manifest, sound).unwrap();

    // Beside it another node, which takes over half of the shards and is killed, again and again.
    let again = folder.path().join("again.manifest");
    let mut load = daybook();
    load.env("DAYBOOK_CONFIG", cluster.config());
    load.args([
        "load",
        "--to",
        "kafka",
        "--server",
        server.url(),
        "--duration",
        "30s",
    ]);
    load.args([
        "--rate",
        "300",
        "--ledgers",
        "3",
        "--accounts",
        "20",
        "--json",
    ]);
    load.args(["--patience", "120s", "--manifest"]).arg(&again);
    load.stdout(Stdio::piped()).stderr(Stdio::piped());
    let load = load.spawn().expect("it starts");
    for round in 0..3 {
        let other = cluster.start(&[]);
        std::thread::sleep(Duration::from_millis(2_000 + round * 700));
        other.kill();
    }
    let said = Ran::of(&["load"], load.wait_with_output().expect("it ends")).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["proven"], true, "{said}");
    drop(server);
    cluster.verify();
}

/// The topics never rest then: a load ends where they ended when it asked.
#[test]
fn a_load_is_proven_while_others_write_to_the_topics() {
    let cluster = Cluster::new(2);
    let server = cluster.start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, more: &[&str]| {
        let mut load = daybook();
        load.env("DAYBOOK_CONFIG", cluster.config());
        load.args(["load", "--to", "kafka", "--json", "--server", server.url()]);
        load.arg("--manifest").arg(folder.path().join(name));
        load.args(["--ledgers", "2", "--accounts", "10"]).args(more);
        load.stdout(Stdio::piped()).stderr(Stdio::piped());
        load
    };
    let others = ["--duration", "120s", "--rate", "200"];
    let mut others = load("others", &others).spawn().expect("it starts");
    eventually(Duration::from_secs(30), "the others send", || {
        let page = get(server.operations(), "/metrics");
        let mut ingested = page.lines();
        ingested.any(|line| line.starts_with("daybook_ingested_total"))
    });
    let mut ours = load("ours", &["--count", "500", "--malformed", "4%"]);
    let ours = ours.output().expect("it ends");
    let goes_on = others.try_wait().expect("it is ours").is_none();
    others.kill().expect("it is ours");
    others.wait().expect("it ends");
    let said = Ran::of(&["load"], ours).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["proven"], true, "{said}");
    assert!(goes_on, "it was proven only when the others had ended");
    drop(server);
    cluster.verify();
}
