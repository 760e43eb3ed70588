//! The local stack: real Kafka, Bigtable emulator, Postgres and MinIO as processes of this machine,
//! without containers. `cargo xtask stack` is its command line ([`cli`]); failure tests use
//! [`Stack`] itself to have servers of their own which they may hurt.

mod cache;
pub mod cli;
mod error;
mod files;
mod launch;
mod ports;
mod probe;
mod process;
mod server;
mod state;
pub mod tls;
mod tools;
pub mod versions;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

pub use error::StackError;
pub use ports::{FIRST as FIRST_PORT, Lane, Ports};
pub use process::Process;
pub use server::{PASSWORD, Place, Server, USER};
pub use state::State;
pub use tls::Tls;

use cache::Cache;
use launch::{END_WITHIN, on_each};
use versions::Versions;

/// The name of the stack that is meant where none is given.
pub const DEFAULT_NAME: &str = "daybook";

/// Room in memory for a stack of the tests: their data take less than a quarter of it.
const MEMORY_FREE: u64 = 6 << 30;

/// A stack, running or not. All servers listen on 127.0.0.1.
#[derive(Debug)]
pub struct Stack {
    root: PathBuf,
    folder: PathBuf,
    versions: Versions,
    cache: Cache,
    port_base: Option<u16>,
    with_tls: bool,
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It takes requests.
    Ready,
    /// Its process runs, but does not answer.
    Silent,
    /// It does not run.
    Down,
}

impl Stack {
    /// The stack of that name under the project's `target/stack/`.
    ///
    /// # Errors
    /// [`StackError`] when the pinned versions cannot be read.
    pub fn named(name: &str) -> Result<Self, StackError> {
        Self::at(crate::root().join("target/stack").join(name))
    }

    /// A stack for tests of that name, in memory where there is room for it. What its servers make
    /// durable outlives their processes there too, and a disk that stands still for seconds, as
    /// shared machines' do, is not taken for a fault of what is tested.
    ///
    /// # Errors
    /// [`StackError`] when the pinned versions cannot be read.
    pub fn for_tests(name: &str) -> Result<Self, StackError> {
        let on_disk = crate::root().join("target/stack").join(name);
        Self::at(files::in_memory(&on_disk, MEMORY_FREE).unwrap_or(on_disk))
    }

    /// The stack in that folder.
    ///
    /// # Errors
    /// [`StackError`] when the pinned versions cannot be read.
    pub fn at(folder: impl Into<PathBuf>) -> Result<Self, StackError> {
        let root = crate::root();
        let folder = folder.into();
        let folder = std::path::absolute(&folder).map_err(|source| StackError::File {
            doing: "find",
            path: folder.clone(),
            source,
        })?;
        Ok(Self {
            versions: Versions::read(&root)?,
            cache: Cache::from_env(),
            port_base: None,
            with_tls: false,
            root,
            folder,
        })
    }

    /// The stack that the environment names (`DAYBOOK_STACK_DIR`, as [`Self::env`] gives it).
    ///
    /// # Errors
    /// [`StackError::NotNamed`] where none is.
    pub fn from_env() -> Result<Self, StackError> {
        match std::env::var_os("DAYBOOK_STACK_DIR") {
            Some(folder) => Self::at(folder),
            None => Err(StackError::NotNamed),
        }
    }

    /// Uses the ports from `base` on; without this, the ones it had, or a block that is free.
    #[must_use]
    pub fn with_port_base(mut self, base: u16) -> Self {
        self.port_base = Some(base);
        self
    }

    /// Makes it with TLS and passwords towards Kafka, Postgres and MinIO, when it is first brought
    /// up. One that was made so stays so.
    #[must_use]
    pub fn with_tls(mut self) -> Self {
        self.with_tls = true;
        self
    }

    /// Its certificates, settings and secrets, where it has TLS.
    #[must_use]
    pub fn tls(&self) -> Option<Tls> {
        Tls::of(&self.folder)
    }

    /// Where its data, logs and memory lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a server's log lies.
    #[must_use]
    pub fn log(&self, server: Server) -> PathBuf {
        self.folder
            .join("logs")
            .join(format!("{}.log", server.name()))
    }

    /// The last lines of a server's log.
    #[must_use]
    pub fn log_tail(&self, server: Server, lines: usize) -> String {
        files::tail(&self.log(server), lines)
    }

    /// What it remembers.
    ///
    /// # Errors
    /// [`StackError`] when that cannot be read.
    pub fn state(&self) -> Result<State, StackError> {
        State::read(&self.folder)
    }

    /// Its ports.
    ///
    /// # Errors
    /// [`StackError::NoStack`] when it was never started.
    pub fn ports(&self) -> Result<Ports, StackError> {
        self.state()?
            .port_base
            .map(Ports::from)
            .ok_or_else(|| StackError::NoStack(self.folder.clone()))
    }

    /// The variables by which programs find its servers.
    ///
    /// # Errors
    /// [`StackError::NoStack`] when it was never started.
    pub fn env(&self) -> Result<Vec<(&'static str, String)>, StackError> {
        let ports = self.ports()?;
        let mut env: Vec<_> = match self.tls() {
            Some(tls) => tls.env(ports),
            None => Server::ALL
                .into_iter()
                .flat_map(|server| server.env(ports))
                .collect(),
        };
        env.push(("DAYBOOK_STACK_DIR", self.folder.display().to_string()));
        Ok(env)
    }

    /// Says which tools of the system `servers` need and this machine does not have.
    ///
    /// # Errors
    /// [`StackError::Missing`] with how to get each.
    pub fn check_tools(&self, servers: &[Server]) -> Result<(), StackError> {
        let mut missing = Vec::new();
        for server in servers {
            for line in server.missing(&self.versions, &self.cache) {
                if !missing.contains(&line) {
                    missing.push(line);
                }
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(StackError::Missing(missing))
        }
    }

    /// Brings `servers` up, and returns when all of them answer. Those that already run are left
    /// alone. `say` hears what takes long.
    ///
    /// # Errors
    /// [`StackError`] when a tool is missing, nothing can be fetched, a port is taken or a server
    /// does not answer; what this call started is ended then.
    pub fn up(&self, servers: &[Server], say: &(dyn Fn(&str) + Sync)) -> Result<(), StackError> {
        self.bring_up(servers, false, say)
    }

    fn bring_up(
        &self,
        servers: &[Server],
        stay: bool,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<(), StackError> {
        self.check_tools(servers)?;
        // Beside each other: Maven waits for the network while Go compiles.
        on_each(servers, |server| {
            server.fetch(&self.versions, &self.cache, &|line| say(line))
        })?;

        let _lock = self.lock()?;
        let mut state = self.state()?;
        if self.with_tls && self.tls().is_none() {
            if state.port_base.is_some() {
                return Err(StackError::NoTls(self.folder.clone()));
            }
            Tls::make(&self.folder)?;
        }
        let running = state.servers.values().any(Process::is_alive);
        // Until our servers listen nobody else may choose ports.
        let choosing = (!running).then(|| self.cache.lock("ports")).transpose()?;
        let ports = self.choose_ports(&state, running || stay)?;
        state.port_base = Some(ports.base());
        state.write(&self.folder)?;
        if let Some(tls) = self.tls() {
            tls.write_settings(&self.root, ports)?;
        }

        let stopped: Vec<Server> = servers
            .iter()
            .copied()
            .filter(|server| !state.servers.get(server).is_some_and(Process::is_alive))
            .collect();
        let outcome = self.start_all(&stopped, ports, &mut state);
        drop(choosing);
        if outcome.is_err() {
            for server in &stopped {
                if let Some(process) = state.servers.get(server) {
                    process.signal(Signal::KILL);
                }
            }
        }
        outcome
    }

    /// Starts a server that is stopped, and returns when it answers.
    ///
    /// # Errors
    /// As [`Self::up`].
    pub fn start(&self, server: Server) -> Result<(), StackError> {
        // Where it was: its clients know that address, and a proxy may be listening beside it.
        self.bring_up(&[server], true, &|_| {})
    }

    /// Ends a server in order.
    ///
    /// # Errors
    /// [`StackError`] when it does not end.
    pub fn stop(&self, server: Server) -> Result<(), StackError> {
        let _lock = self.lock()?;
        self.end(&self.state()?, &[server])
    }

    /// Ends a server by SIGKILL, and returns when it has ended.
    ///
    /// # Errors
    /// [`StackError::NotRunning`] when there is nothing to kill.
    pub fn kill(&self, server: Server) -> Result<(), StackError> {
        let _lock = self.lock()?;
        let process = self.running(server)?;
        process.signal(Signal::KILL);
        if process.wait_end(END_WITHIN) {
            Ok(())
        } else {
            Err(StackError::WillNotEnd {
                server: server.to_string(),
                pid: process.pid,
            })
        }
    }

    /// Stops a server where it stands (SIGSTOP): it holds its connections and says nothing.
    ///
    /// # Errors
    /// [`StackError::NotRunning`] when it does not run.
    pub fn pause(&self, server: Server) -> Result<(), StackError> {
        self.running(server)?.signal_family(Signal::STOP);
        Ok(())
    }

    /// Lets a paused server go on.
    ///
    /// # Errors
    /// [`StackError::NotRunning`] when it does not run.
    pub fn resume(&self, server: Server) -> Result<(), StackError> {
        self.running(server)?.signal_family(Signal::CONT);
        Ok(())
    }

    /// Ends all servers in order. Their data stays.
    ///
    /// # Errors
    /// [`StackError`] when one does not end.
    pub fn down(&self) -> Result<(), StackError> {
        if !self.folder.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.end(&self.state()?, &Server::ALL)
    }

    /// Ends all servers and removes the stack with its data.
    ///
    /// # Errors
    /// [`StackError`] when one does not end, or something cannot be removed.
    pub fn wipe(&self) -> Result<(), StackError> {
        self.down()?;
        for server in Server::ALL {
            for folder in server.folders_elsewhere(&self.server_folder(server)) {
                files::remove_folder(&folder)?;
            }
        }
        files::remove_folder(&self.folder)
    }

    /// How each server is.
    ///
    /// # Errors
    /// [`StackError::NoStack`] when it was never started.
    pub fn health(&self) -> Result<BTreeMap<Server, Health>, StackError> {
        let state = self.state()?;
        let ports = self.ports()?;
        Ok(Server::ALL
            .into_iter()
            .map(|server| {
                let health = if !state.servers.get(&server).is_some_and(Process::is_alive) {
                    Health::Down
                } else if self.with_place(server, ports, |place| server.is_ready(place)) {
                    Health::Ready
                } else {
                    Health::Silent
                };
                (server, health)
            })
            .collect())
    }

    fn running(&self, server: Server) -> Result<Process, StackError> {
        self.state()?
            .servers
            .remove(&server)
            .filter(Process::is_alive)
            .ok_or_else(|| StackError::NotRunning(server.to_string()))
    }

    fn lock(&self) -> Result<File, StackError> {
        files::make_folder(&self.folder.join("logs"))?;
        files::lock(&self.folder.join("stack.lock"))
    }

    fn server_folder(&self, server: Server) -> PathBuf {
        self.folder.join(server.name())
    }

    fn with_place<T>(
        &self,
        server: Server,
        ports: Ports,
        use_it: impl FnOnce(&Place<'_>) -> T,
    ) -> T {
        use_it(&Place {
            root: &self.root,
            folder: &self.server_folder(server),
            ports,
            versions: &self.versions,
            cache: &self.cache,
            tls: self.tls(),
        })
    }

    fn choose_ports(&self, state: &State, stay: bool) -> Result<Ports, StackError> {
        let before = state.port_base.map(Ports::from);
        match (self.port_base.map(Ports::from), before) {
            // What runs stays where it is.
            (_, Some(before)) if stay => Ok(before),
            (Some(asked), _) => asked.check_free().map(|()| asked),
            (None, Some(before)) if before.check_free().is_ok() => Ok(before),
            (None, _) => Ports::find(),
        }
    }
}

/// The folder with Kafka's jars, fetched where they are not there yet: its own tools are among them.
///
/// # Errors
/// [`StackError`] when they cannot be fetched.
pub fn kafka_libraries() -> Result<PathBuf, StackError> {
    let versions = Versions::read(&crate::root())?;
    Cache::from_env().kafka(&versions.kafka, &|_| {})
}
