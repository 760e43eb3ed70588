//! Topics that were put back as they were before: what knows more than they do is refused, and so
//! is what remembers another history.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use schemas::proto::v1 as api;
use schemas::proto::v1::audit_service_client::AuditServiceClient;
use tonic::Request;
use xtask::stack::{Server, Stack};

use crate::bank::{Bank, reason, transfer};
use crate::cluster::Cluster;
use crate::killed::Running;
use crate::length::chances;
use crate::node::Node;
use crate::operations::eventually;
use crate::servers::Servers;
use crate::traffic::{Plan, ledgers};

/// A copy of Kafka's data, while it is stopped.
struct Copy {
    of: PathBuf,
    at: PathBuf,
}

impl Copy {
    fn make(stack: &Stack, folder: &Path) -> Self {
        let copy = Self {
            of: stack.folder().join("kafka"),
            at: folder.join("kafka-before"),
        };
        stack.stop(Server::Kafka).unwrap();
        copy_folder(&copy.of, &copy.at);
        stack.start(Server::Kafka).unwrap();
        copy
    }

    fn restore(&self, stack: &Stack) {
        stack.stop(Server::Kafka).unwrap();
        std::fs::remove_dir_all(&self.of).unwrap();
        copy_folder(&self.at, &self.of);
        stack.start(Server::Kafka).unwrap();
    }
}

/// With owners, times and holes.
fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(from)
        .arg(to)
        .status();
    assert!(status.unwrap().success());
}

/// A cluster whose log was put back to before what its stores and its callers know of.
struct PutBack {
    books: Node,
    views: Node,
    cluster: Cluster,
    servers: Servers,
    /// The shard's last record before.
    committed: u64,
    held: Held,
}

/// What a caller still has of the history that is gone.
struct Held {
    /// Of the last record.
    token: String,
    /// The second page of a statement.
    statement: api::GetStatementRequest,
}

const ACCOUNT: &str = "client:0:one";

async fn hold(bank: &Bank) -> Held {
    let (ledger, account) = (ledgers(1)[0].clone(), ACCOUNT.to_owned());
    let balance = api::GetBalanceRequest {
        ledger: ledger.clone(),
        account: account.clone(),
        ..Default::default()
    };
    let mut statement = api::GetStatementRequest {
        ledger,
        account,
        page_size: 1,
        ..Default::default()
    };
    let first = bank.queries().get_statement(statement.clone()).await;
    statement.page_token = first.unwrap().into_inner().page.unwrap().next_page_token;
    assert!(!statement.page_token.is_empty(), "there is a second page");
    let reply = bank.queries().get_balance(balance).await.unwrap();
    let token = reply.into_inner().position.unwrap().token;
    Held { token, statement }
}

/// A log that does not reach so far refuses all of it, each with its reason.
async fn refused_beyond(fork: &Node, held: &Held) {
    let bank = Bank::new(&[fork.url()]);
    let (ledger, account) = (ledgers(1)[0].clone(), ACCOUNT.to_owned());
    let at_least = api::consistency::Consistency::AtLeast(held.token.clone());
    let mut balance = Request::new(api::GetBalanceRequest {
        ledger: ledger.clone(),
        account,
        consistency: Some(api::Consistency {
            consistency: Some(at_least),
        }),
        ..Default::default()
    });
    balance.set_timeout(Duration::from_secs(5));
    let told = bank.queries().get_balance(balance).await.unwrap_err();
    assert_eq!(reason(&told), "READ_TIMEOUT", "{told:?}");
    let told = bank.queries().get_statement(held.statement.clone()).await;
    let told = told.unwrap_err();
    assert_eq!(reason(&told), "SEQUENCE_NOT_REACHED", "{told:?}");
    let resume = api::WatchRecordsRequest {
        ledger,
        resume_after: held.token.clone(),
        ..Default::default()
    };
    let mut audit = AuditServiceClient::connect(fork.url()).await.unwrap();
    let told = audit.watch_records(resume).await.unwrap_err();
    assert_eq!(reason(&told), "TOKEN_INVALID", "{told:?}");
}

fn put_back(chances: &mut StdRng) -> PutBack {
    let running = Running::start(Plan::of(1), chances);
    let copy = Copy::make(running.servers.stack(), &running.cluster.folder());
    running.traffic.wait_progress(
        Duration::from_secs(90),
        "commands are decided after the copy",
    );
    let operations = running.books.operations();
    let snapshot = ["snapshot", "create", "--operations", &operations];
    running.cluster.run(&snapshot).ok();
    let Running {
        servers,
        load,
        traffic,
        mut books,
        mut views,
        cluster,
    } = running;
    let finished = traffic.finish();
    load.prove();
    finished.prove(&cluster);
    // Two lines of a statement at least, however few the client came to.
    for key in ["held 1", "held 2"] {
        let deposit = transfer(&ledgers(1)[0], key, "client:0:cash", ACCOUNT, 1);
        let written = finished.runtime.block_on(finished.bank.write(&deposit));
        written.unwrap();
    }
    let committed = books.committed(0);
    let held = finished.runtime.block_on(hold(&finished.bank));
    books.stop();
    views.stop();

    copy.restore(servers.stack());
    PutBack {
        books,
        views,
        cluster,
        servers,
        committed,
        held,
    }
}

pub fn older_log(chances: &mut StdRng) {
    let PutBack {
        servers: _servers,
        mut books,
        mut views,
        cluster,
        ..
    } = put_back(chances);
    books.spawn();
    views.spawn();
    for node in [&books, &views] {
        eventually(
            Duration::from_secs(60),
            "it says that the log is behind",
            || {
                let page = node.page("/readyz");
                assert!(
                    !page.starts_with("HTTP/1.1 200"),
                    "{} serves an older log",
                    node.name()
                );
                page.contains("LOG_BEHIND") || node.said().contains("LOG_BEHIND")
            },
        );
    }
    let found = cluster.run(&["verify", "--deep", "--profile", "cluster"]);
    let told = format!("{}{}", found.stdout, found.stderr);
    assert_ne!(found.code, 0, "{told}");
    assert!(told.contains("LOG_BEHIND"), "{told}");
}

/// The older log is written on, past where the stores were: what they know is another history.
pub fn forked_log(chances: &mut StdRng) {
    let PutBack {
        servers: _servers,
        mut books,
        mut views,
        cluster,
        committed,
        held,
    } = put_back(chances);
    let config = cluster.with_other_stores(1);
    let mut fork = Node::new("fork", cluster.folder(), config, &[]);
    fork.start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        refused_beyond(&fork, &held).await;
        let bank = Bank::new(&[fork.url()]);
        let ledger = &ledgers(1)[0];
        let (cash, one) = ("client:0:cash", ACCOUNT);
        let mut count = 0;
        while fork.committed(0) <= committed {
            let commands: Vec<_> = (count..count + 1_000)
                .map(|number| transfer(ledger, &format!("fork {number}"), cash, one, 1))
                .collect();
            count += 1_000;
            let written = bank.write_all(&commands).await.unwrap();
            assert!(written.iter().all(Result::is_ok));
        }
    });
    fork.stop();
    books.spawn();
    views.spawn();
    for node in [&books, &views] {
        eventually(
            Duration::from_secs(60),
            "it says that the log is another",
            || {
                let page = node.page("/readyz");
                assert!(
                    !page.starts_with("HTTP/1.1 200"),
                    "{} serves a log that its stores do not belong to",
                    node.name()
                );
                page.contains("LOG_DIVERGED") || node.said().contains("LOG_DIVERGED")
            },
        );
    }
    let found = cluster.run(&["verify", "--deep", "--profile", "cluster"]);
    let told = format!("{}{}", found.stdout, found.stderr);
    assert_ne!(found.code, 0, "{told}");
}

#[test]
fn what_remembers_another_history_is_refused() {
    let mut chances = chances("an older log was put back and written on");
    forked_log(&mut chances);
}

#[test]
fn what_knows_more_than_the_log_is_refused() {
    let mut chances = chances("an older log was put back");
    older_log(&mut chances);
}
