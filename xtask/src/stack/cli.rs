//! `cargo xtask stack`: the command line of the local stack.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{DEFAULT_NAME, FIRST_PORT, Health, Server, Stack, StackError};

/// Which stack is meant.
#[derive(Debug, Args)]
pub struct Which {
    /// The stack's name; stacks of different names live side by side.
    #[arg(long, global = true, env = "DAYBOOK_STACK_NAME", default_value = DEFAULT_NAME)]
    name: String,
    /// Its folder, instead of target/stack/NAME.
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
}

impl Which {
    /// The flags that name it again.
    fn flags(&self) -> String {
        match &self.dir {
            Some(folder) => format!("--dir {} ", folder.display()),
            None if self.name != DEFAULT_NAME => format!("--name {} ", self.name),
            None => String::new(),
        }
    }

    fn stack(&self) -> Result<Stack, StackError> {
        match &self.dir {
            Some(folder) => Stack::at(folder),
            None => Stack::named(&self.name),
        }
    }
}

/// What to do with it.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Start all servers, or the named ones; returns when they answer.
    Up {
        /// These alone.
        #[arg(value_enum)]
        servers: Vec<Server>,
        /// The first of its 20 ports. Without it: those that it had, or a free block.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1024..=65_515))]
        port_base: Option<u16>,
        /// With TLS and passwords towards Kafka, Postgres and MinIO; the emulator has neither. To be
        /// said when it is first brought up, and kept.
        #[arg(long)]
        tls: bool,
    },
    /// End all servers in order; their data stays.
    Down {
        /// Remove the data too.
        #[arg(long)]
        wipe: bool,
    },
    /// How each server is. Exit status 1 when one is not ready.
    Status {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// The servers' logs.
    Logs {
        /// Of this one alone.
        #[arg(value_enum)]
        server: Option<Server>,
        /// Go on as they grow.
        #[arg(short, long)]
        follow: bool,
        /// How many lines of each.
        #[arg(short = 'n', long, default_value_t = 50)]
        lines: usize,
    },
    /// Print the variables by which tests and Daybook find it: eval "$(cargo xtask stack env)"
    Env,
    /// Start one server.
    Start {
        /// Which.
        #[arg(value_enum)]
        server: Server,
    },
    /// End one server in order.
    Stop {
        /// Which.
        #[arg(value_enum)]
        server: Server,
    },
    /// End one server by SIGKILL.
    Kill {
        /// Which.
        #[arg(value_enum)]
        server: Server,
    },
    /// Stop one server where it stands (SIGSTOP).
    Pause {
        /// Which.
        #[arg(value_enum)]
        server: Server,
    },
    /// Let a paused server go on.
    Resume {
        /// Which.
        #[arg(value_enum)]
        server: Server,
    },
}

/// Does it. Says whether all is well.
///
/// # Errors
/// [`StackError`] when it cannot be done.
pub fn run(which: &Which, action: Action) -> Result<bool, StackError> {
    let stack = which.stack()?;
    match action {
        Action::Up {
            servers,
            port_base,
            tls,
        } => {
            let stack = match port_base {
                Some(base) => stack.with_port_base(base),
                None => stack,
            };
            let stack = match tls {
                true => stack.with_tls(),
                false => stack,
            };
            let servers = if servers.is_empty() {
                Server::ALL.to_vec()
            } else {
                servers
            };
            let started = Instant::now();
            stack.up(&servers, &|line| anstream::eprintln!("{line}"))?;
            anstream::eprintln!("ready after {:.1?}", started.elapsed());
            status(&stack, false).map(drop)?;
            if let Some(tls) = stack.tls() {
                anstream::eprintln!("settings: {}", tls.settings().display());
            } else if stack.ports()?.base() != FIRST_PORT {
                anstream::eprintln!(
                    "infra/daybook.toml names the ports from {FIRST_PORT} on; for this stack: \
                     eval \"$(cargo xtask stack {}env)\"",
                    which.flags()
                );
            }
        }
        Action::Down { wipe: false } => stack.down()?,
        Action::Down { wipe: true } => stack.wipe()?,
        Action::Status { json } => return status(&stack, json),
        Action::Logs {
            server,
            follow,
            lines,
        } => logs(&stack, server, lines, follow)?,
        Action::Env => {
            for (name, value) in stack.env()? {
                print(&format!(
                    "export {name}='{}'\n",
                    value.replace('\'', r"'\''")
                ))?;
            }
        }
        Action::Start { server } => stack.start(server)?,
        Action::Stop { server } => stack.stop(server)?,
        Action::Kill { server } => stack.kill(server)?,
        Action::Pause { server } => stack.pause(server)?,
        Action::Resume { server } => stack.resume(server)?,
    }
    Ok(true)
}

/// A server's line of the status.
#[derive(Serialize)]
struct Line {
    server: Server,
    health: Health,
    port: u16,
    pid: Option<u32>,
    version: String,
    log: PathBuf,
}

fn status(stack: &Stack, json: bool) -> Result<bool, StackError> {
    let state = stack.state()?;
    let ports = stack.ports()?;
    let lines: Vec<Line> = stack
        .health()?
        .into_iter()
        .map(|(server, health)| Line {
            server,
            health,
            port: server.port(ports),
            pid: (health != Health::Down)
                .then(|| Some(state.servers.get(&server)?.pid))
                .flatten(),
            version: server.version(&stack.versions),
            log: stack.log(server),
        })
        .collect();
    if json {
        let text = serde_json::json!({
            "folder": stack.folder(),
            "port_base": ports.base(),
            "servers": lines,
        });
        print(&format!("{text:#}\n"))?;
    } else {
        for line in &lines {
            let health = match line.health {
                Health::Ready => "ready",
                Health::Silent => "silent",
                Health::Down => "down",
            };
            let pid = line.pid.map_or_else(|| "-".into(), |pid| pid.to_string());
            print(&format!(
                "{:<9} {health:<7} 127.0.0.1:{:<6} pid {pid:<8} {}\n",
                line.server.name(),
                line.port,
                line.version
            ))?;
        }
        print(&format!("{}\n", stack.folder().display()))?;
    }
    Ok(lines.iter().all(|line| line.health == Health::Ready))
}

fn logs(
    stack: &Stack,
    server: Option<Server>,
    lines: usize,
    follow: bool,
) -> Result<(), StackError> {
    let servers: Vec<Server> = server.map_or_else(|| Server::ALL.to_vec(), |one| vec![one]);
    let length =
        |server: &Server| std::fs::metadata(stack.log(*server)).map_or(0, |meta| meta.len());
    let mut shown: Vec<(Server, u64)> = servers
        .into_iter()
        .map(|server| (server, length(&server)))
        .collect();
    let alone = shown.len() == 1;
    let show = |server: Server, text: &str| -> Result<(), StackError> {
        for line in text.lines() {
            if alone {
                print(&format!("{line}\n"))?;
            } else {
                print(&format!("{:<8} | {line}\n", server.name()))?;
            }
        }
        Ok(())
    };
    for (server, _) in &shown {
        show(*server, &stack.log_tail(*server, lines))?;
    }
    if !follow {
        return Ok(());
    }
    // Until it is broken off.
    loop {
        std::thread::sleep(Duration::from_millis(200));
        for (server, from) in &mut shown {
            let end = length(server);
            if end > *from {
                show(*server, &part(stack, *server, *from, end))?;
            }
            *from = end;
        }
    }
}

fn part(stack: &Stack, server: Server, from: u64, to: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(stack.log(server))?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(to - from).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// To standard output; a reader that has gone away (`| head`) ends us without a word.
fn print(text: &str) -> Result<(), StackError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome.map_err(StackError::Print),
    }
}
