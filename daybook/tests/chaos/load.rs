//! `daybook load` beside the clients: it sends through everything that happens, and then proves
//! what it sent.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::Cluster;
use crate::process::daybook;

/// How long it may take to begin.
const SENDING: Duration = Duration::from_secs(120);
/// How long it may take to prove everything.
const PROVEN: Duration = Duration::from_secs(300);

/// By which way a load sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Calls to the nodes.
    Calls,
    /// The topics that commands come from.
    Topics,
}

impl Way {
    pub fn by_chance(chances: &mut StdRng) -> Self {
        let way = match chances.random() {
            true => Self::Calls,
            false => Self::Topics,
        };
        println!("  the load sends by {way:?}");
        way
    }

    /// Its options. Each look-up by key reads the log; the other claims look at every command,
    /// and those of the topics read every outcome too.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Calls => &["--to", "grpc", "--keys", "2000"],
            Self::Topics => &["--to", "kafka", "--keys", "500", "--malformed", "2%"],
        }
    }
}

/// A load that runs.
pub struct Load {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
}

impl Load {
    /// Sends to the books of a node, until it is told to prove.
    ///
    /// It sends when this returns: told to prove before that, it would just end.
    pub fn start(way: Way, url: &str, cluster: &Cluster, chances: &mut StdRng) -> Self {
        let folder = cluster.folder();
        let (output, errors) = (folder.join("load.json"), folder.join("load.log"));
        let seed: u32 = chances.random();
        let child = daybook()
            .env("DAYBOOK_CONFIG", cluster.config())
            .args(["load", "--server", url, "--json"])
            .args(way.options())
            .args(["--duration", "1h", "--rate", "100", "--batch", "10"])
            .args(["--clients", "3", "--ledgers", "3", "--accounts", "20"])
            .args(["--patience", "240s", "--seed", &seed.to_string()])
            .args(["--manifest", "load.manifest"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut load = Self {
            child,
            output,
            errors,
        };
        let manifest = folder.join("load.manifest");
        let written = || std::fs::metadata(&manifest).map_or(0, |found| found.len());
        let mut known = written();
        let until = Instant::now() + SENDING;
        while known == 0 || written() <= known {
            let ended = load.child.try_wait().unwrap();
            assert!(ended.is_none(), "daybook load ended:\n{}", load.said());
            assert!(
                Instant::now() < until,
                "daybook load does not send:\n{}",
                load.said()
            );
            std::thread::sleep(Duration::from_millis(50));
            if known == 0 {
                known = written();
            }
        }
        load
    }

    fn said(&self) -> String {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        format!("{}{}", read(&self.output), read(&self.errors))
    }

    /// Lets it end its sending; sees that it has proven everything.
    pub fn prove(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let until = Instant::now() + PROVEN;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < until,
                "daybook load does not end:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        };
        assert!(status.success(), "daybook load: {status}\n{}", self.said());
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
