//! TLS and passwords towards Kafka, Postgres and MinIO: on a stack of its own, which speaks nothing
//! else, and with the settings that the project gives (`infra/daybook-tls.toml`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../process/operations.rs"]
mod operations;
#[allow(dead_code, reason = "shared with the tests of single processes")]
#[path = "../process/support.rs"]
mod process;
mod refusals;
mod support;

use std::time::Duration;

use operations::{eventually, get};
use support::Encrypted;
use xtask::stack::PASSWORD;

/// Passwords that are tried and are wrong. They are somebody's secrets all the same.
const WRONG: &str = "an-other-secret";

#[test]
fn all_that_is_stored_goes_by_tls_and_no_secret_is_told() {
    let stack = Encrypted::start();
    let set_up = stack.run(&["setup", "--single-broker"], &[]).ok();
    let mut printed = std::thread::scope(|scope| {
        let refused = scope.spawn(|| refusals::all(&stack));
        let kept = scope.spawn(|| books(&stack));
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<String>>| match thread.join() {
            Ok(printed) => printed,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        [join(kept), join(refused)].concat()
    });
    printed.push(set_up);
    // What is looked through is what was meant to be: both forms of log lines, in detail.
    assert!(printed.iter().any(|text| text.contains(" DEBUG ")));
    assert!(
        printed
            .iter()
            .any(|text| text.contains(r#""level":"DEBUG""#))
    );
    assert!(
        printed
            .iter()
            .any(|text| text.contains("daybook_commit_seconds"))
    );
    for text in &printed {
        for secret in [PASSWORD, WRONG] {
            if let Some(at) = text.find(secret) {
                let from = text[..at].rfind('\n').map_or(0, |line| line + 1);
                let to = text[at..].find('\n').map_or(text.len(), |end| at + end);
                panic!("a secret was told: {}", &text[from..to]);
            }
        }
    }
}

/// Commands by gRPC and by topic, statements, snapshots and proofs; a restart in between. Gives all
/// that was printed.
fn books(stack: &Encrypted) -> Vec<String> {
    let mut printed = Vec::new();
    let mut node = stack.serve("human");
    node.wait_ready();
    node.ok(&["ledger", "create"]);
    for (name, kind) in [("bank:cash", "asset"), ("customers:ada", "liability")] {
        node.ok(&["account", "open", name, "--asset", "USD", "--type", kind]);
    }
    let deposit = |node: &support::Node, key: &str| {
        let words = ["--from", "bank:cash", "--to", "customers:ada", "5.00 USD"];
        node.ok(&[&["transaction", "create"][..], &words, &["--key", key]].concat());
    };
    deposit(&node, "one");
    deposit(&node, "two");
    let statement = ["statement", "customers:ada", "--consistency", "strong"];
    let said = node.json(&statement);
    assert_eq!(said["closing_balance"], "1000", "{said}");
    node.ok(&["snapshot", "create"]);
    assert!(stack.objects() > 0, "no snapshot stands in MinIO");
    printed.push(get(node.operations(), "/metrics"));
    printed.push(node.ok(&["server", "info"]));
    printed.push(node.end());

    // Again from what is stored.
    let mut node = stack.serve("json");
    node.wait_ready();
    deposit(&node, "one");
    deposit(&node, "three");
    let said = node.json(&statement);
    assert_eq!(said["closing_balance"], "1500", "{said}");
    let (url, manifest) = (node.url().to_owned(), stack.file("load.manifest"));
    let by_topic = ["load", "--to", "kafka", "--count", "300", "--json"];
    let shape = ["--ledgers", "1", "--accounts", "10", "--server", &url];
    let load = [&by_topic[..], &shape, &["--manifest", &manifest]].concat();
    let said = stack.run(&load, &[]).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["proven"], true, "{said}");
    printed.push(get(node.operations(), "/metrics"));
    // The archive follows by itself.
    eventually(Duration::from_secs(30), "all is archived", || {
        node.run(&["verify", "--deep"]).code == 0
    });
    printed.push(node.end());
    let said = stack
        .run(&["verify", "--deep", "--profile", "cluster"], &[])
        .ok();
    assert!(
        said.contains("clean") && said.contains("row by row"),
        "{said}"
    );
    printed.push(said);
    printed
}
