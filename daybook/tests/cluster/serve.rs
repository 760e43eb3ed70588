//! One process with all roles.

use std::time::Duration;

use rustix::process::Signal;

use crate::operations::{eventually, get};
use crate::support::Cluster;

#[test]
fn all_roles_in_one_process_keep_books_that_survive_a_power_cut() {
    let cluster = Cluster::new(2);
    let server = cluster.start(&[]);
    server.open_bank();
    for index in 0..20 {
        let key = format!("deposit-{index}");
        server.transfer("bank:cash", "customers:ada", "5.00 USD", &key);
    }
    server.transfer("customers:ada", "customers:bob", "30.00 USD", "rent");
    // STRONG by default: it passes through the writer.
    assert_eq!(server.posted("customers:ada"), "7000");
    assert_eq!(server.posted("customers:bob"), "3000");
    let statement = server.json(&["statement", "customers:ada", "--consistency", "strong"]);
    assert_eq!(
        statement["lines"].as_array().unwrap().len(),
        21,
        "{statement}"
    );
    let refused = server.run(&[
        "transaction",
        "create",
        "--from",
        "customers:bob",
        "--to",
        "customers:ada",
        "31.00 USD",
    ]);
    assert!(refused.failed(1).contains("INSUFFICIENT_FUNDS"));
    let info = server.json(&["server", "info"]);
    assert_eq!(info["profile"], "cluster");
    let metrics = get(server.operations(), "/metrics");
    for name in [
        "daybook_commit_seconds_bucket",
        "daybook_projection_lag_records",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
    server.ok(&["snapshot", "create"]);
    assert!(server.ok(&["verify", "--deep"]).contains("clean"));
    server.kill();

    let mut server = cluster.start(&[]);
    let again = server.json(&[
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "customers:bob",
        "30.00 USD",
        "--key",
        "rent",
    ]);
    assert_eq!(again["receipt"]["repeated"], true);
    assert_eq!(server.posted("customers:ada"), "7000");
    server.transfer("bank:cash", "customers:bob", "1.00 USD", "after");
    // The archive follows by itself.
    eventually(Duration::from_secs(20), "all is archived", || {
        server.run(&["verify", "--deep"]).code == 0
    });
    assert!(server.stop(Signal::TERM).success());
    cluster.verify();
}

#[test]
fn a_rebuild_from_either_log_is_equal_and_switched() {
    let cluster = Cluster::new(1);
    let mut server = cluster.start(&[]);
    server.open_bank();
    for index in 0..10 {
        let key = format!("deposit-{index}");
        server.transfer("bank:cash", "customers:ada", "5.00 USD", &key);
    }
    let online = server.json(&["replay"]);
    assert_eq!(online["switched"], true);
    assert_eq!(
        online["differences"].as_array().unwrap().len(),
        0,
        "{online}"
    );
    assert_eq!(server.posted("customers:ada"), "5000");
    server.transfer("bank:cash", "customers:ada", "5.00 USD", "after the switch");
    let balance = server.json(&["balance", "customers:ada", "--consistency", "strong"]);
    assert_eq!(balance["balance"]["posted"], "5500");
    assert!(server.stop(Signal::TERM).success());
    for from in ["kafka", "bigtable"] {
        let said = cluster
            .run(&["replay", "--profile", "cluster", "--from", from])
            .ok();
        assert!(said.contains("equal, row by row"), "{from}: {said}");
    }
    cluster.verify();
}
