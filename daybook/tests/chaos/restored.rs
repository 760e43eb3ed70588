//! Topics that were put back as they were before: what knows more than they do is refused, and so
//! is what remembers another history.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use xtask::stack::{Server, Stack};

use crate::bank::{Bank, transfer};
use crate::cluster::Cluster;
use crate::killed::Running;
use crate::length::chances;
use crate::node::{Node, eventually};
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
    let committed = books.committed(0);
    books.stop();
    views.stop();

    copy.restore(servers.stack());
    PutBack {
        books,
        views,
        cluster,
        servers,
        committed,
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
    } = put_back(chances);
    let config = cluster.with_other_stores(1);
    let mut fork = Node::new("fork", cluster.folder(), config, &[]);
    fork.start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bank = Bank::new(&[fork.url()]);
        let ledger = &ledgers(1)[0];
        let (cash, one) = ("client:0:cash", "client:0:one");
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
