//! Starts the real `daybook` binary on a folder of its own, and runs programs against it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use schemas::proto::v1::GetServerInfoRequest;
use schemas::proto::v1::server_service_client::ServerServiceClient;
use tonic::transport::Channel;

/// How long a server may take until it serves: a debug build on a busy machine, with a log to
/// replay.
const START_MAX: Duration = Duration::from_secs(120);

/// The server binary: `DAYBOOK_BIN`, or built in the profile and folder of the programs.
pub fn daybook() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("DAYBOOK_BIN") {
            return path.into();
        }
        let folder = Path::new(env!("CARGO_BIN_EXE_czech-bank"))
            .parent()
            .unwrap();
        let profile = match folder.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "daybook",
                "--bin",
                "daybook",
            ])
            .args(["--profile", profile, "--target-dir"])
            .arg(folder.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "cargo could not build daybook");
        folder.join("daybook")
    })
}

/// A running server. Killed when dropped.
pub struct Server {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Server {
    /// Starts on `folder/data`.
    pub async fn start(folder: &Path) -> Self {
        Self::start_at(folder, free_port()).await
    }

    async fn start_at(folder: &Path, port: u16) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("server.log"))
            .unwrap();
        let process = Command::new(daybook())
            .arg("serve")
            .arg("--data")
            .arg(folder.join("data"))
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .args(["--operations-listen", &format!("127.0.0.1:{}", free_port())])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            process,
            folder: folder.to_owned(),
            port,
        };
        server.wait_until_it_serves().await;
        server
    }

    async fn wait_until_it_serves(&mut self) {
        let started = Instant::now();
        loop {
            if let Ok(channel) = Channel::from_shared(self.url()).unwrap().connect().await {
                let asked = ServerServiceClient::new(channel)
                    .get_server_info(GetServerInfoRequest {})
                    .await;
                if asked
                    .is_ok_and(|info| info.get_ref().shards.iter().all(|s| s.state == "serving"))
                {
                    return;
                }
            }
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the server ended with {ended:?}:\n{}",
                self.log()
            );
            assert!(
                started.elapsed() < START_MAX,
                "the server does not serve:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A connection.
    pub async fn channel(&self) -> Channel {
        Channel::from_shared(self.url())
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts again on the same folder and port.
    pub async fn start_again(self) -> Self {
        let (folder, port) = (self.folder.clone(), self.port);
        drop(self);
        Self::start_at(&folder, port).await
    }

    /// SIGTERM, as an operator stops it; must end well.
    pub fn stop(mut self) {
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let status = self.process.wait().unwrap();
        assert!(
            status.success(),
            "the server ended with {status}:\n{}",
            self.log()
        );
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

impl Ended {
    /// What it printed, where it ended well.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.out, self.errors);
        self.out
    }
}

/// Runs a program to its end.
pub async fn run(command: &mut Command) -> Ended {
    let output = tokio::process::Command::from(std::mem::replace(command, Command::new("")))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A port that nobody listens on now. (Another process could take it before the server does;
/// the server would then say so and end.)
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
