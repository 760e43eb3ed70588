//! Servers as processes: started apart from us, known again later, ended by their id.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::{StackError, files};

/// A process that was started. Ids are given again by the system, so its start time belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it was started, in the system's own terms.
    pub born: String,
}

impl Process {
    /// Starts `command` in a process group of its own (Ctrl-C here does not reach it), with what it
    /// prints appended to `log`.
    ///
    /// # Errors
    /// [`StackError`] when it cannot be started.
    pub fn start(mut command: Command, log: &Path) -> Result<Self, StackError> {
        use std::os::unix::process::CommandExt;
        let out = files::open_log(log)?;
        let err = files::open_log(log)?;
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|source| StackError::Program { program, source })?;
        let pid = child.id();
        let born = born(pid).unwrap_or_default();
        // While we live we are its parent, and it stays a zombie unless somebody waits for it.
        std::thread::spawn(move || child.wait());
        Ok(Self { pid, born })
    }

    /// Whether it still runs, and is still the one that was started.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.born.is_empty() && born(self.pid).as_deref() == Some(self.born.as_str())
    }

    /// Sends `signal`, where it is still the same process.
    pub fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended in between, which is no error.
            rustix::process::kill_process(pid, signal).ok();
        }
    }

    /// Sends `signal` to it and to the processes that it started: Postgres serves each connection by
    /// a process of its own, in a session of its own.
    pub fn signal_family(&self, signal: Signal) {
        self.signal(signal);
        if !self.is_alive() {
            return;
        }
        for pid in children(self.pid) {
            rustix::process::kill_process(pid, signal).ok();
        }
    }

    /// Waits until it has ended; says whether it has.
    #[must_use]
    pub fn wait_end(&self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        while self.is_alive() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// When the process `pid` was started: `None` where there is none, or it has ended already and only
/// waits to be collected.
fn born(pid: u32) -> Option<String> {
    if !Path::new("/proc/self/stat").exists() {
        return born_by_ps(pid);
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; what follows the last one is regular.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let state = *fields.first()?;
    // The 22nd field of all, in ticks since the machine was started.
    let ticks = *fields.get(19)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (!matches!(state, "Z" | "X")).then(|| format!("{}+{ticks}", boot.trim()))
}

/// The processes that `pid` started, while it is their parent.
fn children(pid: u32) -> Vec<Pid> {
    let output = Command::new("ps").args(["-eo", "pid=,ppid="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let of_line = |line: &str| {
        let mut fields = line.split_whitespace().map(str::parse::<i32>);
        let (child, parent) = (fields.next()?.ok()?, fields.next()?.ok()?);
        (u32::try_from(parent) == Ok(pid))
            .then(|| Pid::from_raw(child))
            .flatten()
    };
    text.unwrap_or_default()
        .lines()
        .filter_map(of_line)
        .collect()
}

fn born_by_ps(pid: u32) -> Option<String> {
    let output = Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (state, born) = text.split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| born.trim().to_owned())
}

/// Runs a piece of work to its end.
///
/// # Errors
/// [`StackError::Failed`] with the end of what it printed.
pub fn run(what: &str, command: &mut Command) -> Result<String, StackError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| StackError::Program {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = printed.lines().collect();
    Err(StackError::Failed {
        what: what.to_owned(),
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(30)..].join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("600");
        let process = Process::start(command, &folder.path().join("log")).unwrap();
        assert!(process.is_alive());
        let other = Process {
            pid: process.pid,
            born: "another time".into(),
        };
        assert!(!other.is_alive(), "the same id, but another process");
        other.signal(Signal::KILL);
        assert!(process.is_alive(), "somebody else's process was ended");
        process.signal(Signal::KILL);
        assert!(process.wait_end(Duration::from_secs(5)));
    }

    #[test]
    fn a_family_is_stopped_and_goes_on_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sleep 600 & echo $!; wait"]);
        let log = folder.path().join("log");
        let process = Process::start(command, &log).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let child = loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Ok(child) = said.trim().parse::<i32>() {
                break Pid::from_raw(child).unwrap();
            }
            assert!(Instant::now() < until, "the child does not start: {said}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let is = |wanted: char| {
            let stat = || {
                let output = Command::new("ps")
                    .args(["-o", "stat=", "-p", &child.as_raw_nonzero().to_string()])
                    .output()
                    .unwrap();
                String::from_utf8(output.stdout).unwrap()
            };
            while !stat().starts_with(wanted) {
                assert!(Instant::now() < until, "{} is not {wanted}", stat());
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        process.signal_family(Signal::STOP);
        is('T');
        process.signal_family(Signal::CONT);
        is('S');
        rustix::process::kill_process(child, Signal::KILL).unwrap();
        process.signal(Signal::KILL);
        assert!(process.wait_end(Duration::from_secs(5)));
    }

    #[test]
    fn work_that_fails_shows_what_it_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        let error = run("a test", &mut command).unwrap_err().to_string();
        assert!(error.contains("a test failed"), "{error}");
        assert!(
            error.contains("| one") && error.contains("| two"),
            "{error}"
        );
    }
}
