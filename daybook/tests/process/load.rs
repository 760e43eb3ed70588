//! `daybook load`: it proves what is so, through kills, and finds what is not.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::ports::free_port;
use crate::support::{Ran, Server, daybook, run};

/// A server on a port of its own that is killed and started again.
struct Mortal {
    child: Child,
    port: u16,
    operations: u16,
}

impl Mortal {
    fn start(data: &Path, port: u16, operations: u16) -> Self {
        let mut command = daybook();
        command.arg("serve").arg("--data").arg(data);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--operations-listen", &format!("127.0.0.1:{operations}")]);
        command.args(["--shards", "2", "--log", "error"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("the server starts");
        Self {
            child,
            port,
            operations,
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn again(&mut self, data: &Path) {
        *self = Self::start(data, self.port, self.operations);
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn prove(manifest: &Path, url: &str) -> Ran {
    let words = ["load", "prove", manifest.to_str().unwrap(), "--server", url];
    run(&words)
}

#[test]
fn it_proves_what_is_so_and_finds_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("load.manifest");
    let path = manifest.to_str().unwrap();
    let server = Server::start();
    let words = [
        "load",
        "--server",
        server.url(),
        "--operations",
        server.operations(),
        "--deep",
        "--count",
        "4000",
        "--ledgers",
        "2",
        "--accounts",
        "20",
        "--refused",
        "8%",
        "--repeats",
        "6%",
        "--malformed",
        "4%",
        "--batch",
        "37",
        "--manifest",
        path,
        "--json",
    ];
    let said: serde_json::Value = serde_json::from_str(&run(&words).ok()).unwrap();
    assert_eq!(said["proven"], true, "{said}");
    let count = |name: &str| said["counts"][name].as_u64().unwrap();
    assert_eq!(count("sent"), 4_000);
    assert_eq!(
        count("accepted") + count("refused") + count("repeats") + count("malformed"),
        4_000
    );
    assert!(count("accepted") > 2_500, "{said}");
    assert!(count("refused") > 250 && count("repeats") > 150 && count("malformed") > 100);
    for code in ["INSUFFICIENT_FUNDS", "ACCOUNT_NOT_FOUND", "SAME_ACCOUNT"] {
        assert!(
            said["counts"]["codes"][code].as_u64() > Some(20),
            "{code}: {said}"
        );
    }
    let items = said["items"].as_array().unwrap();
    assert!(items.len() >= 12, "{said}");
    for item in items {
        assert!(
            item["checked"].as_u64() > Some(0),
            "nothing was looked at: {item}"
        );
    }
    let text = prove(&manifest, server.url()).ok();
    assert!(text.contains("PROVEN"), "{text}");

    // Single calls prove as well.
    let singles = folder.path().join("singles.manifest");
    let words = [
        "load",
        "--server",
        server.url(),
        "--count",
        "300",
        "--ledgers",
        "1",
        "--accounts",
        "5",
        "--batch",
        "1",
        "--rate",
        "1500",
        "--malformed",
        "5%",
        "--mix",
        "deposits=1,transfers=1",
        "--manifest",
        singles.to_str().unwrap(),
    ];
    run(&words).ok();

    // What is not so: each slot of the manifest that is changed is named. By chance the command
    // is one that repeats another or is repeated; then that is what is found first.
    let sound = std::fs::read(&manifest).unwrap();
    let slot = |number: usize| 64 * 1024 + number * 32;
    let of_state = |state: u8| {
        (0..4_000)
            .find(|number| sound[slot(*number)] == state)
            .expect("there is one")
    };
    let accepted = of_state(2);
    for (what, at, byte, found) in [
        (
            "an outcome that was never",
            slot(accepted),
            1,
            "has an outcome|the outcome of the first",
        ),
        (
            "a refusal that was none",
            slot(accepted),
            3,
            "in the log exactly once|the outcome of the first",
        ),
        (
            "another record",
            slot(accepted) + 8,
            255,
            "in the log exactly once|the outcome of the first",
        ),
        (
            "another hash",
            slot(accepted) + 17,
            255,
            "in the log exactly once|the outcome of the first",
        ),
        (
            "an acceptance that was none",
            slot(of_state(3)),
            2,
            "has to be refused|had to be refused|in the log",
        ),
        ("a command that was none", slot(of_state(4)), 2, "told so"),
    ] {
        let mut changed = sound.clone();
        changed[at] = if changed[at] == byte { byte - 1 } else { byte };
        std::fs::write(&manifest, &changed).unwrap();
        let ran = prove(&manifest, server.url());
        let text = ran.stdout.clone();
        let error = ran.failed(1);
        assert!(error.contains("NOT_PROVEN"), "{what}: {error}");
        assert!(
            found.split('|').any(|found| error.contains(found)),
            "{what}: {error}"
        );
        assert!(text.contains("NOT PROVEN"), "{what}: {text}");
    }
    // A command that was sent and is not in the manifest.
    let shorter = &sound[..slot(3_990)];
    std::fs::write(&manifest, shorter).unwrap();
    assert!(
        prove(&manifest, server.url())
            .failed(1)
            .contains("NOT_PROVEN")
    );
    std::fs::write(&manifest, &sound).unwrap();
    prove(&manifest, server.url()).ok();

    // Something that nobody sent.
    let ledger = said["ledgers"][0].as_str().unwrap();
    let words = [
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:0000001",
        "1.00 USD",
        "--ledger",
        ledger,
    ];
    server.ok(&words);
    let ran = prove(&manifest, server.url());
    assert!(
        ran.stdout.contains("nobody") || ran.stdout.contains("decisions, and"),
        "{}",
        ran.stdout
    );
    assert!(ran.failed(1).contains("NOT_PROVEN"));
}

#[test]
fn it_proves_through_twenty_kills() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let manifest = folder.path().join("load.manifest");
    let mut server = Mortal::start(&data, free_port(), free_port());
    let mut load = daybook();
    load.args([
        "load",
        "--server",
        &server.url(),
        "--duration",
        "25s",
        "--rate",
        "1500",
    ]);
    load.args([
        "--ledgers",
        "3",
        "--accounts",
        "30",
        "--batch",
        "20",
        "--clients",
        "6",
    ]);
    load.args(["--patience", "60s", "--json", "--manifest"])
        .arg(&manifest);
    load.stdout(Stdio::piped()).stderr(Stdio::piped());
    let load = load.spawn().expect("it starts");
    let mut random = 7_u64;
    for _ in 0..20 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_millis(300 + (random >> 33) % 900));
        server.kill();
        std::thread::sleep(Duration::from_millis((random >> 45) % 200));
        server.again(&data);
    }
    let words = ["load", "through kills"];
    let said = Ran::of(&words, load.wait_with_output().expect("it ends")).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["proven"], true, "{said}");
    assert!(said["counts"]["accepted"].as_u64() > Some(1_000), "{said}");
    server.kill();
    run(&["verify", "--data", data.to_str().unwrap()]).ok();
}

#[test]
fn what_got_no_outcome_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let manifest = folder.path().join("load.manifest");
    let mut server = Mortal::start(&data, free_port(), free_port());
    let mut load = daybook();
    load.args([
        "load",
        "--server",
        &server.url(),
        "--count",
        "6000",
        "--rate",
        "2000",
    ]);
    load.args([
        "--ledgers",
        "2",
        "--accounts",
        "20",
        "--batch",
        "25",
        "--patience",
        "8s",
    ]);
    load.arg("--manifest").arg(&manifest);
    load.stdout(Stdio::piped()).stderr(Stdio::piped());
    let load = load.spawn().expect("it starts");
    // Until some were sent.
    let give_up = Instant::now() + Duration::from_secs(60);
    let sent = |least: u64| {
        let size = std::fs::metadata(&manifest).map_or(0, |metadata| metadata.len());
        size > 64 * 1024 + least * 32
    };
    while !sent(1_000) {
        assert!(Instant::now() < give_up, "nothing is sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.kill();
    let words = ["load", "without a server"];
    let ran = Ran::of(&words, load.wait_with_output().expect("it ends"));
    let error = ran.failed(3);
    assert!(
        error.contains("NOT_ANSWERED") && error.contains("--resume"),
        "{error}"
    );
    server.again(&data);
    let path = manifest.to_str().unwrap();
    let words = [
        "load",
        "--resume",
        path,
        "--server",
        &server.url(),
        "--json",
    ];
    let said: serde_json::Value = serde_json::from_str(&run(&words).ok()).unwrap();
    assert_eq!(said["counts"]["sent"], 6_000, "{said}");
    assert_eq!(said["proven"], true, "{said}");
}
