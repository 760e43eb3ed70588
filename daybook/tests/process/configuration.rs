//! Settings, the folder's lock, signals, the operations port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::{Ran, Server, daybook};

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let server = Server::start();
    server.open_bank();
    let output = daybook()
        .arg("serve")
        .arg("--data")
        .arg(server.folder())
        .args([
            "--listen",
            "127.0.0.1:0",
            "--operations-listen",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    let said = Ran::of(&["serve"], output).failed(4);
    assert!(said.contains("LOG_LOCKED"), "{said}");
    assert!(said.contains(&server.pid().to_string()), "{said}");
    server.transfer("bank:cash", "customers:ada", "1.00 USD", "still-served");
}

#[test]
fn signals_stop_it_cleanly_and_keys_hold_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::on(&data, &[]);
    server.open_bank();
    let words = [
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "5.00 USD",
        "--key",
        "deposit-1",
    ];
    let first = server.json(&words);
    assert_eq!(first["receipt"]["repeated"], false);
    assert!(server.stop(Signal::TERM).success());
    let mut server = Server::on(&data, &[]);
    let again = server.json(&words);
    assert_eq!(again["receipt"]["repeated"], true);
    assert_eq!(
        again["receipt"]["record_hash"],
        first["receipt"]["record_hash"]
    );
    let other = server.run(&[
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "6.00 USD",
        "--key",
        "deposit-1",
    ]);
    assert!(other.failed(1).contains("IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(server.posted("customers:ada"), "500");
    assert!(server.stop(Signal::INT).success());
}

#[test]
fn a_stream_that_follows_does_not_keep_it_from_stopping() {
    let mut server = Server::start();
    server.open_bank();
    let mut follower = daybook()
        .env("DAYBOOK_SERVER", server.url())
        .args(["log", "-f", "--retry-for", "0s"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    follower
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    assert!(server.stop(Signal::TERM).success());
    let status = follower.wait().unwrap();
    assert_eq!(status.code(), Some(3), "it says that the server is gone");
}

#[test]
fn settings_that_are_not_understood_name_file_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.toml");
    for (text, parts) in [
        (
            "shards = 1\nlisen = '127.0.0.1:0'\n",
            &["line 2", "lisen", "did you mean listen"][..],
        ),
        ("shards = 'many'\n", &["line 1", "shards"]),
        ("listen = 'here'\n", &["line 1", "listen"]),
        ("shards = 0\n", &["shards"]),
        ("data = [", &["line 1"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = daybook()
            .current_dir(folder.path())
            .arg("serve")
            .output()
            .unwrap();
        let said = Ran::of(&["serve"], output).failed(2);
        assert!(
            said.contains("CONFIG_INVALID") && said.contains("daybook.toml"),
            "{said}"
        );
        for part in parts {
            assert!(said.contains(part), "{text}: {said}");
        }
    }
    assert!(
        !folder.path().join("daybook-data").exists(),
        "nothing was begun"
    );
}

fn get(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn the_operations_port_tells_health_and_metrics() {
    let server = Server::start();
    server.open_bank();
    let refused = server.run(&[
        "transaction",
        "create",
        "--from",
        "customers:ada",
        "--to",
        "bank:cash",
        "1.00 USD",
    ]);
    refused.failed(1);
    assert!(get(server.operations(), "/healthz").contains("200 OK"));
    assert!(get(server.operations(), "/readyz").contains("ready"));
    let metrics = get(server.operations(), "/metrics");
    for name in [
        "daybook_decisions_total{code=\"INSUFFICIENT_FUNDS\"} 1",
        "daybook_commit_seconds_bucket",
        "daybook_process_resident_bytes",
        "daybook_projection_lag_records",
        "daybook_queue_commands",
    ] {
        assert!(metrics.contains(name), "{name} is not in\n{metrics}");
    }
}

#[test]
fn several_shards_share_a_folder_and_their_number_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::on(&data, &["--shards", "3"]);
    for ledger in ["one", "two", "three", "four", "five"] {
        server.ok(&["ledger", "create", ledger]);
        server.ok(&[
            "account", "open", "a", "--asset", "USD", "--type", "asset", "--ledger", ledger,
        ]);
    }
    assert!(server.stop(Signal::TERM).success());
    let output = daybook()
        .arg("serve")
        .arg("--data")
        .arg(&data)
        .args([
            "--shards",
            "2",
            "--listen",
            "127.0.0.1:0",
            "--operations-listen",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    let said = Ran::of(&["serve"], output).failed(5);
    assert!(said.contains("3"), "{said}");
    let server = Server::on(&data, &[]);
    assert_eq!(
        server.json(&["ledger", "list"])["ledgers"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    assert_eq!(
        server.json(&["server", "info"])["shards"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    server.ok(&["verify"]);
}
