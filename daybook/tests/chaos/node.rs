//! A process of a cluster that can be killed, stopped and started again where it was.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::operations::get;
use crate::ports::free_port;
use crate::process::{Ran, daybook};

/// A process of a cluster.
pub struct Node {
    name: String,
    folder: PathBuf,
    config: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    port: u16,
    operations: u16,
    child: Option<Child>,
    starts: usize,
}

impl Node {
    /// Says how it will be started.
    pub fn new(name: &str, folder: PathBuf, config: PathBuf, options: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            folder,
            config,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            environment: Vec::new(),
            port: free_port(),
            operations: free_port(),
            child: None,
            starts: 0,
        }
    }

    /// With one variable more.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, at the addresses that it always has.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        self.starts += 1;
        let log = File::create(self.log()).unwrap();
        let child = daybook()
            .args(["serve", "--config"])
            .arg(&self.config)
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args([
                "--operations-listen",
                &format!("127.0.0.1:{}", self.operations),
            ])
            .args(&self.options)
            .envs(self.environment.iter().cloned())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_ready(Duration::from_secs(90));
    }

    pub fn wait_ready(&mut self, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let page = self.page("/readyz");
            if page.starts_with("HTTP/1.1 200") {
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "{} is not ready (ended: {ended:?}); it says\n{page}\n{}",
                self.name,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn operations(&self) -> String {
        format!("http://127.0.0.1:{}", self.operations)
    }

    /// A page of its operations port, with its head; empty where it does not answer.
    pub fn page(&self, path: &str) -> String {
        get(&self.operations(), path)
    }

    /// What it says of itself.
    pub fn information(&self) -> serde_json::Value {
        let mut command = daybook();
        command.args(["server", "info", "--json", "--server", &self.url()]);
        let ran = Ran::of(&["server", "info"], command.output().unwrap()).ok();
        serde_json::from_str(&ran).unwrap_or_else(|error| panic!("{error}: {ran}"))
    }

    /// A number of a shard's, as it says.
    fn of_shard(&self, shard: usize, name: &str) -> u64 {
        let information = self.information();
        let value = &information["shards"][shard][name];
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: {information}"))
    }

    /// The last record of a shard that was committed.
    pub fn committed(&self, shard: usize) -> u64 {
        self.of_shard(shard, "committed_sequence")
    }

    /// The last record of a shard that is in the read models.
    pub fn projected(&self, shard: usize) -> u64 {
        self.of_shard(shard, "projected_sequence")
    }

    /// Bytes of memory that are in use.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes * 1_024
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// As a power cut.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.take().unwrap().wait().unwrap();
    }

    /// Stops it where it stands.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_end(Duration::from_secs(60));
        assert!(status.success(), "{}: {status}\n{}", self.name, self.said());
    }

    /// Waits for it to end by itself.
    pub fn wait_end(&mut self, within: Duration) -> ExitStatus {
        let until = Instant::now() + within;
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(
                Instant::now() < until,
                "{} does not end\n{}",
                self.name,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> PathBuf {
        self.folder
            .join(format!("{}-{}.log", self.name, self.starts))
    }

    /// The end of what it said since it was started.
    pub fn said(&self) -> String {
        let said = std::fs::read(self.log()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() && self.starts > 0 {
            eprintln!("--- {} said last\n{}", self.name, self.said());
        }
        if let Some(mut child) = self.child.take() {
            // SIGKILL ends a stopped process too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
