//! A stack with TLS, gone with the test, and processes of Daybook of which everything is kept that
//! they print.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use xtask::stack::tls::Authority;
use xtask::stack::{Ports, Server, Stack, Tls};

use crate::operations::{eventually, get};
use crate::process::{Ran, daybook};

/// The stack.
pub struct Encrypted {
    stack: Stack,
    tls: Tls,
    pub ports: Ports,
    folder: TempDir,
}

impl Encrypted {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stack = Stack::at(folder.path().join("stack")).unwrap().with_tls();
        if let Err(error) = stack.up(&Server::ALL, &|_| {}) {
            stack.wipe().unwrap();
            panic!("{error}");
        }
        // One whom nobody trusts.
        let other = Authority::new("another authority").unwrap();
        std::fs::write(folder.path().join("other-ca.pem"), other.pem()).unwrap();
        Self {
            tls: stack.tls().expect("it was made with TLS"),
            ports: stack.ports().unwrap(),
            stack,
            folder,
        }
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The authority that signed the servers' certificates.
    pub fn ca(&self) -> String {
        self.tls.ca().display().to_string()
    }

    /// Postgres's URL with its password.
    pub fn postgres(&self) -> String {
        std::fs::read_to_string(self.tls.secret("postgres")).unwrap()
    }

    /// The stack's settings, changed; gives their file.
    pub fn settings(&self, name: &str, change: impl FnOnce(&str) -> String) -> String {
        let text = std::fs::read_to_string(self.tls.settings()).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "{name}: nothing was changed");
        let path = self.file(&format!("{name}.toml"));
        std::fs::write(&path, changed).unwrap();
        path
    }

    /// Files of objects that MinIO holds for Daybook.
    pub fn objects(&self) -> usize {
        fn count(folder: &Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.path() {
                    path if path.is_dir() => count(&path),
                    _ => 1,
                })
                .sum()
        }
        count(&self.stack.folder().join("minio/data/daybook"))
    }

    /// Runs a command with the stack's settings, and `variables` on top of them.
    pub fn run(&self, words: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = daybook();
        command
            .current_dir(self.folder.path())
            .env("DAYBOOK_CONFIG", self.tls.settings())
            .envs(variables.iter().copied())
            .args(words);
        Ran::of(words, command.output().unwrap())
    }

    /// Starts a process with all roles that says everything it can say in `format`, with its
    /// operations port at `operations`.
    pub fn spawn(&self, format: &str, operations: &str, variables: &[(&str, &str)]) -> Node {
        let folder = self.folder.path();
        let log = folder.join(format!("{:08x}.log", rand::random::<u32>()));
        let out = File::create(&log).unwrap();
        let child = daybook()
            .current_dir(folder)
            .env("DAYBOOK_CONFIG", self.tls.settings())
            .envs(variables.iter().copied())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(["--operations-listen", operations])
            .args(["--log", "debug", "--log-format", format])
            .stdin(Stdio::null())
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn()
            .unwrap();
        Node {
            child,
            log,
            url: String::new(),
            operations: format!("http://{operations}"),
        }
    }

    /// Starts a process with all roles that says everything it can say in `format`, and waits until
    /// it says where it listens.
    pub fn serve(&self, format: &str) -> Node {
        let mut node = self.spawn(format, "127.0.0.1:0", &[]);
        eventually(Duration::from_secs(30), "it says where it listens", || {
            let printed = node.printed();
            let said = |word: &str| {
                let mut lines = printed.lines().map(str::split_whitespace);
                let mut words =
                    lines.find_map(|mut words| (words.next() == Some(word)).then_some(words))?;
                words.next().map(str::to_owned)
            };
            match (said("gRPC"), said("operations")) {
                (Some(url), Some(operations)) => {
                    (node.url, node.operations) = (url, operations);
                    true
                }
                _ => false,
            }
        });
        node
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        let gone = self.stack.wipe();
        // What failed before is what is to be told.
        if !std::thread::panicking() {
            gone.unwrap();
        }
    }
}

/// A process of Daybook.
pub struct Node {
    child: Child,
    log: PathBuf,
    url: String,
    operations: String,
}

impl Node {
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn operations(&self) -> &str {
        &self.operations
    }

    /// All that it has printed.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub fn wait_ready(&mut self) {
        eventually(Duration::from_secs(60), "it is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it has ended: {status}\n{}", self.printed());
            }
            get(&self.operations, "/readyz").starts_with("HTTP/1.1 200")
        });
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        let mut command = daybook();
        command
            .env("DAYBOOK_SERVER", &self.url)
            .env("DAYBOOK_OPERATIONS", &self.operations)
            .args(words);
        Ran::of(words, command.output().unwrap())
    }

    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok()
    }

    pub fn json(&self, words: &[&str]) -> serde_json::Value {
        let text = self.ok(&[words, &["--json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Ends it in order; gives all that it has printed.
    pub fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut ended = None;
        eventually(Duration::from_secs(30), "it ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        let printed = self.printed();
        assert!(
            ended.is_some_and(|status| status.success()),
            "{ended:?}\n{printed}"
        );
        printed
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
