//! The server that is loaded: one that runs already, or one that is started for it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint};

use super::{BenchArgs, BenchError};
use crate::serve::config::Profile;

/// A server, and its folder and process where it is ours.
pub struct Target {
    address: String,
    own: Option<Own>,
}

struct Own {
    child: Child,
    folder: PathBuf,
    keep: bool,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// Of the log.
    pub log: u64,
    /// Of the whole folder.
    pub all: u64,
}

impl Target {
    /// Reaches the server that `args` names, or starts one.
    pub async fn reach(args: &BenchArgs) -> Result<Self, BenchError> {
        let running = match (&args.server, args.profile) {
            (Some(address), _) => Some(address.clone()),
            (None, Some(Profile::Cluster)) => Some("http://127.0.0.1:7420".to_owned()),
            (None, _) => None,
        };
        let target = match running {
            Some(address) => Self { address, own: None },
            None => Self::start(args)?,
        };
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            match target.connect().await {
                Ok(_) => return Ok(target),
                Err(error) if Instant::now() > give_up => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn start(args: &BenchArgs) -> Result<Self, BenchError> {
        let failed = |what: &str, error: std::io::Error| {
            BenchError::Server(format!("cannot {what}: {error}"))
        };
        let (folder, keep) = match &args.data {
            Some(folder) => (folder.clone(), true),
            None => (
                std::env::temp_dir().join(format!("daybook-bench-{}", uuid::Uuid::now_v7())),
                false,
            ),
        };
        let port = free_port().map_err(|e| failed("find a free port", e))?;
        let operations = free_port().map_err(|e| failed("find a free port", e))?;
        let program = std::env::current_exe().map_err(|e| failed("find this program", e))?;
        let child = Command::new(program)
            .arg("serve")
            .arg("--data")
            .arg(&folder)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--operations-listen", &format!("127.0.0.1:{operations}")])
            .args(["--shards", &args.shards.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| failed("start the server", e))?;
        Ok(Self {
            address: format!("http://127.0.0.1:{port}"),
            own: Some(Own {
                child,
                folder,
                keep,
            }),
        })
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Result<Channel, BenchError> {
        Endpoint::from_shared(self.address.clone())
            .map_err(|e| BenchError::Usage(format!("--server {}: {e}", self.address)))?
            .tcp_nodelay(true)
            .initial_stream_window_size(16 << 20)
            .initial_connection_window_size(64 << 20)
            .connect()
            .await
            .map_err(|e| BenchError::Server(format!("{} cannot be reached: {e}", self.address)))
    }

    /// Resident memory of a server of ours, in bytes.
    pub async fn memory(&self) -> Option<u64> {
        let own = self.own.as_ref()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", own.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1_024)
    }

    /// Bytes in the folder of a server of ours.
    pub fn disk(&self) -> Option<Disk> {
        let own = self.own.as_ref()?;
        let log = ["log.db", "log.db-wal"]
            .iter()
            .filter_map(|name| std::fs::metadata(own.folder.join(name)).ok())
            .map(|metadata| metadata.len())
            .sum();
        Some(Disk {
            log,
            all: size_of_folder(&own.folder),
        })
    }

    /// Stops a server of ours, and removes its folder where it was temporary.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        let Some(mut own) = self.own.take() else {
            return Ok(());
        };
        let pid = rustix::process::Pid::from_child(&own.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|e| BenchError::Server(format!("cannot stop it: {e}")))?;
        let status = tokio::task::spawn_blocking(move || {
            let status = own.child.wait();
            own.clean_up();
            status
        })
        .await;
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            other => Err(BenchError::Server(format!(
                "it did not stop well: {other:?}"
            ))),
        }
    }
}

impl Own {
    fn clean_up(&self) {
        if !self.keep {
            // A leftover in the temporary folder harms nobody.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(own) = &mut self.own {
            let _ = own.child.kill();
            let _ = own.child.wait();
            own.clean_up();
        }
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

fn size_of_folder(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_folder(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
