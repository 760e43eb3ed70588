//! Verify, replay, snapshots and restores, on a running server and on a folder.

use std::path::Path;

use rustix::process::Signal;

use crate::support::{Server, run};

fn bank_with_history(data: &Path) -> Server {
    let server = Server::on(data, &[]);
    server.open_bank();
    for number in 0..20 {
        server.transfer(
            "bank:cash",
            "customers:ada",
            "10.00 USD",
            &format!("deposit-{number}"),
        );
    }
    server
}

#[test]
fn verification_holds_the_log_to_heads_that_were_kept_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = bank_with_history(&data);
    let head = server.ok(&["audit", "head"]).trim().to_owned();
    server.transfer("bank:cash", "customers:bob", "1.00 USD", "later");
    server.ok(&["verify", "--expect-head", &head]);
    let (place, hash) = head.rsplit_once(':').unwrap();
    let other = if hash.starts_with('0') { "1" } else { "0" };
    let forged = format!("{place}:{other}{}", &hash[1..]);
    assert!(server.run(&["verify", "--expect-head", &forged]).code == 1);
    assert!(server.run(&["verify", "--expect-head", "nonsense"]).code == 2);
    assert!(server.stop(Signal::TERM).success());
    let path = data.to_str().unwrap();
    run(&["verify", "--data", path, "--expect-head", &head]).ok();
    run(&["verify", "--data", path, "--expect-head", &forged]).failed(1);
    let missing = folder.path().join("nothing");
    assert_ne!(
        run(&["verify", "--data", missing.to_str().unwrap()]).code,
        0
    );
}

#[test]
fn one_flipped_byte_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = bank_with_history(&data);
    assert!(server.stop(Signal::TERM).success());
    drop(server);
    let log = data.join("log.db");
    let mut bytes = std::fs::read(&log).unwrap();
    let text = b"deposit-7";
    let at = bytes
        .windows(text.len())
        .position(|part| part == text)
        .expect("the key is there");
    bytes[at] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let ran = run(&["verify", "--data", data.to_str().unwrap()]);
    assert!(
        ran.stdout.contains("record 12 of the ledger"),
        "{}",
        ran.stdout
    );
    assert!(ran.failed(1).contains("LOG_DAMAGED"));
    let output = crate::support::daybook()
        .arg("serve")
        .arg("--data")
        .arg(&data)
        .args([
            "--listen",
            "127.0.0.1:0",
            "--operations-listen",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    let said = crate::support::Ran::of(&["serve"], output).failed(5);
    assert!(
        said.contains("daybook verify"),
        "it says what to run: {said}"
    );
}

#[test]
fn read_models_are_made_again_while_it_serves_and_when_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = bank_with_history(&data);
    let outcome = server.json(&["replay"]);
    assert_eq!(outcome["switched"], true);
    assert_eq!(outcome["differences"].as_array().unwrap().len(), 0);
    assert_eq!(server.posted("customers:ada"), "20000");
    server.transfer("bank:cash", "customers:ada", "1.00 USD", "after");
    server.ok(&["verify"]);
    assert!(server.stop(Signal::TERM).success());
    let path = data.to_str().unwrap();
    run(&["replay", "--data", path]).ok();
    for entry in std::fs::read_dir(&data).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("views") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    run(&["replay", "--data", path]).ok();
    run(&["verify", "--data", path]).ok();
    let server = Server::on(&data, &[]);
    assert_eq!(server.posted("customers:ada"), "20100");
    let list = server.json(&["transaction", "list", "--account", "customers:ada"]);
    assert_eq!(list["transactions"].as_array().unwrap().len(), 21);
}

#[test]
fn books_are_restored_to_a_new_folder_as_of_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = bank_with_history(&data);
    server.ok(&["snapshot", "create"]);
    let listed = server.json(&["snapshot", "list"]);
    assert_eq!(listed["snapshots"].as_array().unwrap().len(), 1);
    let path = data.to_str().unwrap();
    let (all, part) = (folder.path().join("all"), folder.path().join("part"));
    run(&[
        "snapshot",
        "restore",
        "--data",
        path,
        "--to",
        all.to_str().unwrap(),
    ])
    .ok();
    // Two records of the engine's own, one ledger, three accounts, ten deposits.
    run(&[
        "snapshot",
        "restore",
        "--data",
        path,
        "--to",
        part.to_str().unwrap(),
        "--sequence",
        "16",
    ])
    .ok();
    run(&[
        "snapshot",
        "restore",
        "--data",
        path,
        "--to",
        part.to_str().unwrap(),
    ])
    .failed(2);
    for (restored, balance) in [(&all, "20000"), (&part, "10000")] {
        run(&["verify", "--data", restored.to_str().unwrap()]).ok();
        let other = Server::on(restored, &[]);
        assert_eq!(other.posted("customers:ada"), balance);
        other.transfer("bank:cash", "customers:ada", "1.00 USD", "in-the-new-log");
        other.ok(&["verify"]);
    }
    assert_eq!(
        server.posted("customers:ada"),
        "20000",
        "the old one is as it was"
    );
}
