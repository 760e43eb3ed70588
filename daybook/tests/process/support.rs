//! The binary as users have it: a server that is stopped by its process id when dropped, and
//! commands against it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The program.
pub const DAYBOOK: &str = env!("CARGO_BIN_EXE_daybook");

/// A command of the program with none of the caller's settings.
pub fn daybook() -> Command {
    let mut command = Command::new(DAYBOOK);
    for (name, _) in std::env::vars() {
        if name.starts_with("DAYBOOK_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1");
    command
}

/// A running server.
pub struct Server {
    child: Child,
    folder: PathBuf,
    url: String,
    operations: String,
    /// Its folder, where it is its own.
    _temporary: Option<TempDir>,
}

impl Server {
    /// On a folder of its own.
    pub fn start() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self::on(&temporary.path().join("data"), &[]);
        server._temporary = Some(temporary);
        server
    }

    /// On `folder`, with more options.
    pub fn on(folder: &Path, options: &[&str]) -> Self {
        let mut child = daybook()
            .arg("serve")
            .arg("--data")
            .arg(folder)
            .args(["--listen", "127.0.0.1:0"])
            .args(["--operations-listen", "127.0.0.1:0"])
            .args(["--log", "warn"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = child.stdout.take().expect("it was piped");
        let mut lines = BufReader::new(stdout).lines();
        let (mut url, mut operations) = (None, None);
        while let Some(Ok(line)) = lines.next() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("gRPC") => url = words.next().map(str::to_owned),
                Some("operations") => operations = words.next().map(str::to_owned),
                _ => {}
            }
            if url.is_some() && operations.is_some() {
                break;
            }
        }
        // So that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            folder: folder.to_owned(),
            url: url.expect("the server says where it listens"),
            operations: operations.expect("the server says where its operations port is"),
            _temporary: None,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn operations(&self) -> &str {
        &self.operations
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// As a power cut would.
    pub fn kill(mut self) {
        self.signal(Signal::KILL);
        self.child.wait().expect("it ends");
    }

    /// Stops it by `signal`, and tells how it ended.
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(Instant::now() < give_up, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs a command against it.
    pub fn run(&self, words: &[&str]) -> Ran {
        let mut command = daybook();
        command
            .env("DAYBOOK_SERVER", &self.url)
            .env("DAYBOOK_OPERATIONS", &self.operations)
            .args(words);
        Ran::of(words, command.output().expect("the command runs"))
    }

    /// Runs a command that must succeed; gives what it printed.
    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok()
    }

    /// Runs a command with `--json` that must succeed.
    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        let words: Vec<_> = words.iter().copied().chain(["--json"]).collect();
        let text = self.ok(&words);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}\n{text}"))
    }

    /// A ledger with cash and two customers, who cannot be overdrawn.
    pub fn open_bank(&self) {
        self.ok(&["ledger", "create"]);
        for (name, kind, minimum) in [
            ("bank:cash", "asset", None),
            ("customers:ada", "liability", Some("0")),
            ("customers:bob", "liability", Some("0")),
        ] {
            let mut words = vec!["account", "open", name, "--asset", "USD", "--type", kind];
            if let Some(minimum) = minimum {
                words.extend(["--minimum", minimum]);
            }
            self.ok(&words);
        }
    }

    /// Moves an amount under a key; gives the transaction's id.
    pub fn transfer(&self, from: &str, to: &str, amount: &str, key: &str) -> String {
        let reply = self.json(&[
            "transaction",
            "create",
            "--from",
            from,
            "--to",
            to,
            amount,
            "--key",
            key,
        ]);
        reply["transaction"]["id"]
            .as_str()
            .expect("the transaction has an id")
            .to_owned()
    }

    /// The posted balance in minor units.
    pub fn posted(&self, account: &str) -> String {
        let reply = self.json(&["balance", account]);
        reply["balance"]["posted"]
            .as_str()
            .expect("a balance")
            .to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command came to.
pub struct Ran {
    words: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(words: &[&str], output: Output) -> Self {
        Self {
            words: words.join(" "),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What it printed, when it succeeded.
    pub fn ok(self) -> String {
        assert_eq!(
            self.code, 0,
            "{}\n{}{}",
            self.words, self.stdout, self.stderr
        );
        self.stdout
    }

    /// What it said on standard error, when it ended with this status.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(
            self.code, code,
            "{}\n{}{}",
            self.words, self.stdout, self.stderr
        );
        self.stderr
    }
}

/// Runs a command without a server.
pub fn run(words: &[&str]) -> Ran {
    let output = daybook().args(words).output().expect("the command runs");
    Ran::of(words, output)
}

/// `text` with ids, hashes, times and addresses masked, so that it can be compared.
pub fn masked(text: &str) -> String {
    let mut masked = String::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
            let (before, from) = rest.split_at(start);
            masked.push_str(before);
            let end = from
                .find(|c: char| !(c.is_ascii_alphanumeric() || "-:.".contains(c)))
                .unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            masked.push_str(&mask(word));
            rest = after;
        }
        masked.push_str(rest.trim_end());
        masked.push('\n');
    }
    masked
}

fn mask(word: &str) -> String {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let is_date = word.len() == 10 && word.as_bytes()[4] == b'-' && digits(word);
    let is_time = word.ends_with('Z') && word.matches(':').count() == 2;
    match word.len() {
        36 if digits(word) => "<uuid>".to_owned(),
        64 if digits(word) => "<hash>".to_owned(),
        32 if digits(word) => "<log>".to_owned(),
        _ if is_date => "<date>".to_owned(),
        _ if is_time => "<time>".to_owned(),
        _ if word.starts_with("127.0.0.1:") => "<address>".to_owned(),
        _ => word.to_owned(),
    }
}
