//! Books that go from a folder to the cluster, and back.

use rustix::process::Signal;

use crate::process::{Server, run};
use crate::support::Cluster;

#[test]
fn books_go_to_the_cluster_and_back_with_every_outcome() {
    let cluster = Cluster::new(3);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (here, back, load, later) = (at("here"), at("back"), at("load"), at("later"));

    let mut server = Server::on(folder.path().join("here").as_path(), &["--shards", "2"]);
    let words = [
        "load",
        "--server",
        server.url(),
        "--count",
        "3000",
        "--ledgers",
        "4",
    ];
    run(&[&words[..], &["--accounts", "20", "--manifest", &load]].concat()).ok();
    assert!(server.stop(Signal::TERM).success());
    drop(server);
    let asked = [
        "migrate", "--from", &here, "--to", "cluster", "--shards", "2",
    ];
    assert!(cluster.run(&asked).failed(2).contains("3 shards"));
    let said = cluster
        .run(&["migrate", "--from", &here, "--to", "cluster"])
        .ok();
    assert!(said.contains("clean"), "{said}");
    // Once more changes nothing.
    cluster
        .run(&["migrate", "--from", &here, "--to", "cluster"])
        .ok();
    let sealed = crate::process::daybook()
        .args(["serve", "--data", &here, "--listen", "127.0.0.1:0"])
        .args(["--operations-listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let sealed = String::from_utf8_lossy(&sealed.stderr).into_owned();
    assert!(
        sealed.contains("LOG_SEALED") && sealed.contains("cluster"),
        "{sealed}"
    );

    // All that was answered in the folder is so in Kafka, Postgres and Bigtable.
    let mut server = cluster.start(&[]);
    let prove = [
        "load",
        "prove",
        &load,
        "--keys",
        "500",
        "--server",
        server.url(),
    ];
    run(&[&prove[..], &["--deep", "--operations", server.operations()]].concat()).ok();
    let words = [
        "load",
        "--server",
        server.url(),
        "--count",
        "2000",
        "--ledgers",
        "3",
    ];
    run(&[&words[..], &["--accounts", "20", "--manifest", &later]].concat()).ok();
    assert!(server.stop(Signal::TERM).success());
    drop(server);
    cluster.verify();

    let said = cluster
        .run(&["migrate", "--from", "cluster", "--to", &back, "--json"])
        .ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["clean"], true, "{said}");
    assert_eq!(said["heads"].as_array().unwrap().len(), 7, "{said}");
    let server = Server::on(folder.path().join("back").as_path(), &[]);
    for manifest in [&load, &later] {
        run(&["load", "prove", manifest, "--server", server.url()]).ok();
    }
    let refused = cluster.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(
        refused.code != 0 && refused.stderr.contains("LOG_SEALED"),
        "{}",
        refused.stderr
    );
}
