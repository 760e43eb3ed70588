//! Several processes: command nodes that share the shards, and one role each.

use std::time::Duration;

use daybook::client::rpc;
use daybook::client::session::{ClientArgs, Session, new_key};
use rustix::process::Signal;
use schemas::proto::v1::*;

use crate::operations::eventually;
use crate::process::Server;
use crate::support::Cluster;

const LEDGERS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Shards that the node serves as their writer.
fn serving(server: &Server) -> usize {
    let info = server.json(&["server", "info"]);
    let shards = info["shards"].as_array().unwrap().iter();
    shards.filter(|shard| shard["state"] == "serving").count()
}

fn open_books(server: &Server, ledger: &str) {
    server.ok(&["ledger", "create", ledger]);
    for (name, kind) in [("cash", "asset"), ("ada", "liability")] {
        server.ok(&[
            "account", "open", name, "--asset", "USD", "--type", kind, "--ledger", ledger,
        ]);
    }
}

fn deposit(server: &Server, ledger: &str, key: &str) -> serde_json::Value {
    server.json(&[
        "transaction",
        "create",
        "--from",
        "cash",
        "--to",
        "ada",
        "1.00 USD",
        "--ledger",
        ledger,
        "--key",
        key,
    ])
}

fn balance(server: &Server, ledger: &str) -> String {
    let reply = server.json(&["balance", "ada", "--ledger", ledger]);
    reply["balance"]["posted"].as_str().unwrap().to_owned()
}

fn transfer(ledger: &str) -> Command {
    Command {
        ledger: ledger.to_owned(),
        idempotency_key: new_key(),
        operation: Some(command::Operation::CreateTransaction(CreateTransaction {
            postings: vec![PostingSpec {
                debit: "cash".to_owned(),
                credit: "ada".to_owned(),
                asset: "USD/2".to_owned(),
                amount_spec: Some(posting_spec::AmountSpec::Amount("100".to_owned())),
            }],
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// One batch over all ledgers, through one node: its outcomes in order.
fn batch(server: &Server) -> Vec<bool> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = Session::new(ClientArgs::of(server.url(), "a"));
        let mut commands: Vec<_> = LEDGERS.iter().map(|ledger| transfer(ledger)).collect();
        commands.push(transfer("no such ledger"));
        commands.push(transfer(""));
        let reply = session
            .call(rpc::BATCH_WRITE, BatchWriteRequest { commands })
            .await
            .unwrap();
        let outcomes = reply.outcomes.into_iter();
        outcomes
            .map(|outcome| matches!(outcome.outcome, Some(outcome::Outcome::Receipt(_))))
            .collect()
    })
}

#[test]
fn two_command_nodes_share_the_shards_and_one_takes_over_from_the_other() {
    let cluster = Cluster::new(4);
    let first = cluster.start(&[]);
    eventually(Duration::from_secs(30), "all shards are served", || {
        serving(&first) == 4
    });
    let second = cluster.start(&[]);
    eventually(Duration::from_secs(30), "the shards are shared", || {
        serving(&first) == 2 && serving(&second) == 2
    });
    for (index, ledger) in LEDGERS.into_iter().enumerate() {
        let node = [&first, &second][index % 2];
        open_books(node, ledger);
    }
    // Every command and every STRONG read reaches the owner, wherever it arrives.
    for node in [&first, &second] {
        for ledger in LEDGERS {
            deposit(node, ledger, &format!("{}-{ledger}", node.pid()));
        }
        for ledger in LEDGERS {
            let said = balance(node, ledger);
            // A batch over all of them came through the first node, too.
            assert!(["100", "300"].contains(&said.as_str()), "{ledger}: {said}");
        }
        let outcomes = batch(node);
        assert_eq!(outcomes[..8], [true; 8], "all ledgers, in order");
        assert_eq!(outcomes[8..], [false; 2], "what names no ledger is refused");
    }
    let before = std::time::Instant::now();
    let again = format!("{}-a", first.pid());
    first.kill();
    for ledger in LEDGERS {
        deposit(&second, ledger, &format!("after-{ledger}"));
    }
    assert!(
        before.elapsed() < Duration::from_secs(20),
        "{:?}",
        before.elapsed()
    );
    for ledger in LEDGERS {
        assert_eq!(balance(&second, ledger), "500", "{ledger}");
    }
    assert_eq!(deposit(&second, "a", &again)["receipt"]["repeated"], true);
    let mut second = second;
    eventually(Duration::from_secs(30), "all is archived", || {
        second.run(&["verify", "--deep"]).code == 0
    });
    assert!(second.stop(Signal::TERM).success());
    cluster.verify();
}

#[test]
fn roles_in_processes_of_their_own_answer_through_each_other() {
    let cluster = Cluster::new(2);
    let command = cluster.start(&["--role", "command"]);
    let projector = cluster.start(&["--role", "projector"]);
    let query = cluster.start(&["--role", "query"]);
    eventually(Duration::from_secs(30), "all shards are served", || {
        serving(&command) == 2
    });
    // The query node forwards commands and STRONG reads, and answers the rest itself.
    eventually(Duration::from_secs(30), "the owners are known", || {
        query
            .run(&["ledger", "create", "a", "--key", "make a"])
            .code
            == 0
    });
    for (name, kind) in [("cash", "asset"), ("ada", "liability")] {
        query.ok(&[
            "account", "open", name, "--asset", "USD", "--type", kind, "--ledger", "a",
        ]);
    }
    deposit(&query, "a", "one");
    assert_eq!(balance(&query, "a"), "100", "STRONG");
    assert_eq!(balance(&command, "a"), "100");
    let statement = query.json(&[
        "statement",
        "ada",
        "--ledger",
        "a",
        "--consistency",
        "strong",
    ]);
    assert_eq!(statement["closing_balance"], "100");
    eventually(
        Duration::from_secs(20),
        "the query node follows the read models",
        || {
            let reply = query.json(&[
                "balance",
                "ada",
                "--ledger",
                "a",
                "--consistency",
                "eventual",
            ]);
            reply["balance"]["posted"] == "100"
        },
    );
    let refused = projector.run(&["balance", "ada", "--ledger", "a", "--retry-for", "0s"]);
    let refused = refused.failed(3);
    assert!(refused.contains("role query"), "{refused}");
    for mut server in [query, projector, command] {
        assert!(server.stop(Signal::TERM).success());
    }
    cluster.verify();
}
