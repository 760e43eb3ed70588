//! The demo's own server: this program, started again.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::failure::{Failure, Kind};
use crate::client::session::endpoint;

/// A server in a process of its own. Dropped, it is stopped.
pub struct Server {
    child: Option<Child>,
    address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub async fn start(
        folder: &Path,
        listen: SocketAddr,
        operations: SocketAddr,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
        let address = free(listen)?;
        let operations = free(operations)?;
        let log: PathBuf = folder.join("server.log");
        let lines = File::create(&log)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--data")
            .arg(folder)
            .args(["--listen", &address.to_string()])
            .args(["--operations-listen", &operations.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(lines)
            // Ctrl-C in this terminal is not meant for it.
            .process_group(0)
            .spawn()?;
        let mut server = Self {
            child: Some(child),
            address,
        };
        server.wait_until_it_answers(&log).await?;
        Ok(server)
    }

    async fn wait_until_it_answers(&mut self, log: &Path) -> Result<(), Failure> {
        let give_up = Instant::now() + Duration::from_secs(30);
        let endpoint = endpoint(&self.url())?;
        while Instant::now() < give_up {
            let ended = match &mut self.child {
                Some(child) => child.try_wait()?.is_some(),
                None => true,
            };
            if ended {
                break;
            }
            if endpoint.connect().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = std::fs::read_to_string(log).unwrap_or_default();
        Err(Failure::new(
            Kind::Unavailable,
            "UNAVAILABLE",
            format!("the server did not start: {}", said.trim()),
        ))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leaves it running; gives its process id.
    pub fn leave(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }

    /// Stops it cleanly, and waits for that.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| Failure::broken(error.to_string()))?;
        let status = tokio::task::spawn_blocking(move || child.wait()).await;
        match status {
            Ok(Ok(status)) if status.success() => Ok(()),
            other => Err(Failure::broken(format!(
                "the server did not stop well: {other:?}"
            ))),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The address, or one with another port where this one is taken.
fn free(address: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(address)
        .or_else(|_| TcpListener::bind((address.ip(), 0)))
        .map_err(|error| Failure::broken(format!("{address}: {error}")))?;
    Ok(listener.local_addr()?)
}
