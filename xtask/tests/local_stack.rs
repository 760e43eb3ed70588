//! The local stack does what its commands say, with real servers of its own.

use std::path::Path;
use std::process::Command;

use xtask::stack::{Health, Server, Stack};

/// A stack in a temporary folder, gone with the test.
struct Own {
    stack: Stack,
    _folder: tempfile::TempDir,
}

impl Own {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            stack: Stack::at(folder.path().join("stack")).expect("a stack"),
            _folder: folder,
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.stack.wipe().expect("the stack goes away");
    }
}

fn health(stack: &Stack, server: Server) -> Health {
    stack.health().expect("the stack was started")[&server]
}

fn psql(stack: &Stack, sql: &str) -> String {
    let env = stack.env().expect("the stack was started");
    let address = &env
        .iter()
        .find(|(name, _)| *name == "DAYBOOK_POSTGRES")
        .expect("Postgres has a variable")
        .1;
    let output = Command::new("psql")
        .args([address.as_str(), "-v", "ON_ERROR_STOP=1", "-Atc", sql])
        .output()
        .expect("psql");
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn two_stacks_live_side_by_side_and_one_survives_kill_down_and_up() {
    let (one, other) = (Own::new(), Own::new());
    let (one, other) = (&one.stack, &other.stack);
    let servers = [Server::Postgres, Server::Minio, Server::Bigtable];
    one.up(&servers, &|_| {}).expect("the first comes up");
    other.up(&servers, &|_| {}).expect("the second comes up");
    let (ports, others) = (one.ports().expect("ports"), other.ports().expect("ports"));
    assert!(ports.base().abs_diff(others.base()) >= 20);
    assert_eq!(
        health(one, Server::Kafka),
        Health::Down,
        "it was not asked for"
    );

    psql(
        one,
        "CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)",
    );
    assert_eq!(psql(one, "SHOW fsync"), "on");
    let before = one.state().expect("a state").servers;
    one.up(&servers, &|_| {}).expect("up again changes nothing");
    assert_eq!(one.state().expect("a state").servers, before);

    one.kill(Server::Postgres).expect("it is killed");
    assert_eq!(health(one, Server::Postgres), Health::Down);
    assert_eq!(
        health(other, Server::Postgres),
        Health::Ready,
        "the other one lives"
    );
    let error = one
        .kill(Server::Postgres)
        .expect_err("it is dead")
        .to_string();
    assert!(error.contains("not running"), "{error}");
    one.start(Server::Postgres).expect("it comes back");
    assert_eq!(psql(one, "SELECT n FROM kept"), "42");

    one.pause(Server::Minio).expect("it stands still");
    assert_eq!(health(one, Server::Minio), Health::Silent);
    one.resume(Server::Minio).expect("it goes on");
    assert_eq!(health(one, Server::Minio), Health::Ready);

    one.down().expect("it goes down");
    assert!(
        servers
            .iter()
            .all(|server| health(one, *server) == Health::Down)
    );
    one.up(&servers, &|_| {}).expect("it comes up again");
    assert_eq!(one.ports().expect("ports"), ports, "where it was");
    assert_eq!(psql(one, "SELECT n FROM kept"), "42");

    let folder = one.folder().to_path_buf();
    one.wipe().expect("it is wiped");
    assert!(!folder.exists());
    assert!(!processes_name(&folder), "a server of it is still there");
    assert_eq!(health(other, Server::Minio), Health::Ready);
}

#[test]
fn a_killed_broker_keeps_its_storage() {
    let own = Own::new();
    let stack = &own.stack;
    stack.up(&[Server::Kafka], &|_| {}).expect("Kafka comes up");
    let identity = stack.folder().join("kafka/data/meta.properties");
    let before = std::fs::read_to_string(&identity).expect("Kafka's identity");
    stack.kill(Server::Kafka).expect("it is killed");
    stack.start(Server::Kafka).expect("it comes back");
    assert_eq!(health(stack, Server::Kafka), Health::Ready);
    let after = std::fs::read_to_string(&identity).expect("Kafka's identity");
    assert_eq!(after, before, "the storage was made anew");
}

#[test]
fn a_port_that_is_taken_is_refused_and_nothing_is_left_running() {
    let own = Own::new();
    let held = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = held.local_addr().expect("its address").port();
    let folder = own.stack.folder().to_path_buf();
    let stack = Stack::at(&folder).expect("a stack").with_port_base(port);
    let error = stack.up(&[Server::Bigtable], &|_| {}).expect_err("taken");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(!processes_name(&folder));
}

/// Whether a process's command line names `folder`.
fn processes_name(folder: &Path) -> bool {
    let wanted = folder.to_string_lossy().into_owned();
    std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(Result::ok)
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(&wanted))
}
