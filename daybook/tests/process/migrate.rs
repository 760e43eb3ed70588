//! Books that go over to another folder: by the program as users have it, killed at any moment.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Server, daybook, run};

const LEDGERS: [&str; 5] = ["main", "shop", "berlin", "tokyo", "lima"];

/// A server with several ledgers, and transfers in each.
fn bank(data: &Path) -> Server {
    let server = Server::on(data, &[]);
    for ledger in LEDGERS {
        server.ok(&["ledger", "create", "--ledger", ledger]);
        for (name, kind) in [("bank:cash", "asset"), ("customers:ada", "liability")] {
            let words = ["account", "open", name, "--asset", "USD", "--type", kind];
            server.ok(&[&words[..], &["--ledger", ledger]].concat());
        }
        for number in 0..5 {
            deposit(&server, ledger, &format!("deposit-{number}")).ok();
        }
    }
    server
}

fn deposit(server: &Server, ledger: &str, key: &str) -> crate::support::Ran {
    server.run(&[
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "10.00 USD",
        "--key",
        key,
        "--ledger",
        ledger,
        "--json",
    ])
}

fn heads(server: &Server) -> Vec<String> {
    LEDGERS
        .iter()
        .map(|ledger| server.ok(&["audit", "head", "--ledger", ledger]))
        .map(|head| head.trim().to_owned())
        .collect()
}

fn migrate(from: &Path, to: &Path, more: &[&str]) -> crate::support::Ran {
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let words = [&["migrate", "--from", from, "--to", to], more].concat();
    run(&words)
}

fn serve_refused(data: &Path) -> String {
    let mut command = daybook();
    command.arg("serve").arg("--data").arg(data);
    command.args(["--listen", "127.0.0.1:0"]);
    command.args(["--operations-listen", "127.0.0.1:0"]);
    let output = command.output().expect("it ends");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn books_go_over_to_three_shards_and_on_to_two() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (one, three, two) = (at("one"), at("three"), at("two"));
    let mut server = bank(&one);
    let kept = heads(&server);
    let first = deposit(&server, "tokyo", "deposit-3").ok();
    let token = serde_json::from_str::<serde_json::Value>(&first).unwrap()["receipt"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();

    // While it is served it can be rehearsed, and no more.
    let planned = migrate(&one, &three, &["--shards", "3", "--dry-run"]).ok();
    assert!(planned.contains("nothing was changed"), "{planned}");
    assert!(!three.exists());
    migrate(&one, &three, &["--shards", "3"]).failed(4);
    assert!(server.stop(Signal::TERM).success());

    let said = migrate(&one, &three, &["--shards", "3"]).ok();
    for head in &kept {
        assert!(said.contains(head), "{head} in {said}");
    }
    assert!(said.contains("clean"), "{said}");
    let refused = serve_refused(&one);
    assert!(refused.contains("LOG_SEALED"), "{refused}");
    assert!(refused.contains(three.to_str().unwrap()), "{refused}");
    run(&["verify", "--data", one.to_str().unwrap()]).ok();

    let mut server = Server::on(&three, &[]);
    assert_eq!(heads(&server), kept);
    // Keys keep their meaning; the old log's tokens have none.
    for ledger in LEDGERS {
        let again = deposit(&server, ledger, "deposit-3").ok();
        let again: serde_json::Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["receipt"]["repeated"], true, "{again}");
        deposit(&server, ledger, "later").ok();
    }
    let stale = server.run(&[
        "balance",
        "customers:ada",
        "--ledger",
        "tokyo",
        "--consistency",
        &token,
    ]);
    assert_ne!(stale.code, 0, "{}", stale.stdout);
    assert!(stale.stderr.contains("log"), "{}", stale.stderr);
    let decision = server.ok(&[
        "audit",
        "decision",
        "--key",
        "deposit-3",
        "--ledger",
        "lima",
    ]);
    assert!(decision.contains("deposit-3"), "{decision}");
    server.ok(&["verify"]);
    let kept = heads(&server);
    assert!(server.stop(Signal::TERM).success());
    drop(server);

    let said = migrate(&three, &two, &["--shards", "2", "--json"]).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["clean"], true, "{said}");
    assert_eq!(said["heads"].as_array().unwrap().len(), LEDGERS.len());
    let server = Server::on(&two, &[]);
    assert_eq!(heads(&server), kept);
    for ledger in LEDGERS {
        let balance = server.json(&["balance", "customers:ada", "--ledger", ledger]);
        assert_eq!(balance["balance"]["posted"], "6000", "{ledger}");
    }
    server.ok(&["verify"]);
    server.ok(&["snapshot", "create"]);
    drop(server);
    run(&["verify", "--data", two.to_str().unwrap()]).ok();
}

#[test]
fn a_migration_that_is_given_up_leaves_one_log_that_serves() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (one, other, third) = (at("one"), at("other"), at("third"));
    let mut server = bank(&one);
    assert!(server.stop(Signal::TERM).success());
    drop(server);
    migrate(&one, &other, &["--shards", "2"]).ok();
    // Sealed for one log, it goes to no other.
    let elsewhere = migrate(&one, &third, &[]).failed(1);
    assert!(elsewhere.contains("LOG_SEALED"), "{elsewhere}");
    let said = migrate(&one, &other, &["--abandon", "--reason", "a rehearsal"]).ok();
    assert!(said.contains("open again"), "{said}");
    assert!(serve_refused(&other).contains("LOG_SEALED"));
    let server = Server::on(&one, &[]);
    deposit(&server, "main", "after").ok();
    server.ok(&["verify"]);
    drop(server);

    std::fs::remove_dir_all(&third).unwrap();
    migrate(&one, &third, &[]).ok();
    let mut server = Server::on(&third, &[]);
    assert!(server.stop(Signal::TERM).success());
    drop(server);
    let served = migrate(&one, &third, &["--abandon"]).failed(1);
    assert!(served.contains("NOT_MIGRATED"), "{served}");
    assert!(serve_refused(&one).contains("LOG_SEALED"));
}

/// A migration that was killed before it had made the log in its new folder.
#[test]
fn what_is_left_where_no_log_was_made_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (one, other, back) = (at("one"), at("other"), at("back"));
    let mut server = bank(&one);
    let kept = heads(&server);
    assert!(server.stop(Signal::TERM).success());
    drop(server);
    for left in [&other, &back] {
        std::fs::create_dir(left).unwrap();
        for name in ["daybook.lock", "log.db.new", "log.db.new-wal"] {
            std::fs::write(left.join(name), "").unwrap();
        }
    }
    migrate(&one, &other, &["--shards", "3"]).ok();
    let restore = ["snapshot", "restore", "--data", other.to_str().unwrap()];
    run(&[&restore[..], &["--to", back.to_str().unwrap()]].concat()).ok();
    for data in [&other, &back] {
        let server = Server::on(data, &[]);
        assert_eq!(heads(&server), kept);
        server.ok(&["verify"]);
    }
}

/// Runs a migration to 3 shards again and again, killed later each time, until one ends by itself;
/// how many were killed.
fn kill_until_it_ends(from: &Path, to: &Path) -> u64 {
    for killed in 0..400 {
        let mut command = daybook();
        command.arg("migrate").arg("--from").arg(from);
        command.arg("--to").arg(to).args(["--shards", "3"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(10 + killed * 37));
        if child.try_wait().expect("it is ours").is_some() {
            let ended = child.wait_with_output().expect("it has ended");
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "killed {killed} times: {said}");
            return killed;
        }
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
    panic!("it does not get on");
}

#[test]
fn killed_at_any_moment_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: String| folder.path().join(name);
    let books = at("books".to_owned());
    let mut server = Server::on(&books, &["--shards", "2"]);
    let words = ["bench", "--server", server.url(), "--json"];
    let loaded = run(&[&words[..], &["--transfers", "20000", "--accounts", "200"]].concat());
    loaded.ok();
    for ledger in LEDGERS {
        server.ok(&["ledger", "create", "--ledger", ledger]);
    }
    let kept = heads(&server);
    assert!(server.stop(Signal::TERM).success());
    drop(server);
    // A machine that holds this test up lets a migration end before it was killed often: the
    // same books go over once more then.
    let mut killed = Vec::new();
    let (one, three) = loop {
        let (one, three) = [1, 3]
            .map(|shards| at(format!("{shards}-{}", killed.len())))
            .into();
        let copied = Command::new("cp").arg("-a").args([&books, &one]).status();
        assert!(copied.expect("cp is there").success());
        killed.push(kill_until_it_ends(&one, &three));
        if killed.last() >= Some(&5) {
            break (one, three);
        }
        assert!(killed.len() < 5, "killed {killed:?} times only");
    };
    migrate(&one, &three, &[]).ok();
    assert!(serve_refused(&one).contains("LOG_SEALED"));
    let server = Server::on(&three, &[]);
    assert_eq!(heads(&server), kept);
    server.ok(&["verify"]);
}
