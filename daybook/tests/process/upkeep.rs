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

#[test]
fn upkeep_without_a_server_says_how_to_name_its_operations_port() {
    for words in [
        &["verify"][..],
        &["replay"],
        &["snapshot", "create"],
        &["snapshot", "list"],
    ] {
        let mut all = words.to_vec();
        all.extend(["--operations", "http://127.0.0.1:9"]);
        let said = run(&all).failed(3);
        assert!(said.contains("--operations URL"), "{words:?}: {said}");
        assert!(said.contains("--data FOLDER"), "{words:?}: {said}");
        assert!(!said.contains("--server"), "{words:?}: {said}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    for missing in [folder.path().to_owned(), folder.path().join("none")] {
        let missing = missing.to_str().unwrap();
        for words in [
            &["verify", "--data", missing][..],
            &["snapshot", "list", "--data", missing],
        ] {
            let said = run(words).failed(2);
            assert!(said.contains("error FOLDER_UNREADABLE: "), "{said}");
            assert!(said.contains("holds no log"), "{said}");
            assert!(!said.contains("restore"), "{said}");
        }
    }
}

#[test]
fn the_heads_of_all_ledgers_are_kept_and_verified_at_once() {
    let server = Server::start();
    for ledger in ["main", "other", "third"] {
        server.ok(&["ledger", "create", ledger]);
    }
    let heads = server.ok(&["audit", "head", "--all"]);
    let ledgers: Vec<_> = heads.lines().map(|line| line.split('@').next()).collect();
    assert_eq!(
        ledgers,
        ["daybook:shard:0", "main", "other", "third"].map(Some),
        "{heads}"
    );
    let mut words = vec!["verify"];
    for head in heads.lines() {
        words.extend(["--expect-head", head]);
    }
    let said = server.ok(&words);
    assert!(said.contains("4 heads that were kept elsewhere"), "{said}");
    let json = server.ok(&["audit", "head", "--all", "--json"]);
    assert_eq!(json.lines().count(), 4, "{json}");
}
