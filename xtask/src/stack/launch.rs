//! Starting servers, waiting until they answer, and ending them.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Place, Ports, Process, Server, Stack, StackError, State, files};

/// A server that does not answer by then has failed. Generous: a small machine may be compiling.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// A server that has not ended by then is killed.
pub(super) const END_WITHIN: Duration = Duration::from_secs(30);

impl Stack {
    /// Starts servers that do not run and waits until they answer; `state` knows them then, also
    /// those that were started before another one failed.
    pub(super) fn start_all(
        &self,
        servers: &[Server],
        ports: Ports,
        state: &mut State,
    ) -> Result<(), StackError> {
        let started = on_each(servers, |server| {
            self.with_place(server, ports, |place| self.launch(server, place))
        });
        // Also what was started before another could not be.
        let mut failed = None;
        for outcome in started? {
            match outcome {
                Ok((server, process)) => {
                    state.servers.insert(server, process);
                }
                Err(error) => failed = Some(error),
            }
        }
        state.write(&self.folder)?;
        if let Some(error) = failed {
            return Err(error);
        }
        let waited = on_each(servers, |server| {
            let process = &state.servers[&server];
            self.with_place(server, ports, |place| {
                self.wait_ready(server, place, process)
            })
        })?;
        for (server, process) in waited {
            state.servers.insert(server, process);
        }
        state.write(&self.folder)
    }

    /// The outcome of one is no failure of all: the others have to be remembered.
    fn launch(
        &self,
        server: Server,
        place: &Place<'_>,
    ) -> Result<Result<(Server, Process), StackError>, StackError> {
        files::make_folder(place.folder)?;
        Ok(server
            .prepare(place)
            .and_then(|command| Process::start(command, &self.log(server)))
            .map(|process| (server, process)))
    }

    /// Waits until the server answers; gives its process, which is another one where it had to be
    /// started again.
    fn wait_ready(
        &self,
        server: Server,
        place: &Place<'_>,
        first: &Process,
    ) -> Result<(Server, Process), StackError> {
        let until = Instant::now() + READY_WITHIN;
        let mut process = first.clone();
        let mut attempts = server.attempts();
        let failed = |what: String| StackError::NotReady {
            server: server.to_string(),
            what,
            log: self.log(server),
            output: self.log_tail(server, 20),
        };
        loop {
            if !process.is_alive() {
                attempts -= 1;
                if attempts == 0 {
                    return Err(failed("ended at once".into()));
                }
                std::thread::sleep(Duration::from_millis(500));
                process = Process::start(server.prepare(place)?, &self.log(server))?;
            } else if server.is_ready(place) {
                return Ok((server, process));
            } else if Instant::now() >= until {
                process.signal(Signal::KILL);
                return Err(failed(format!(
                    "did not answer within {} s",
                    READY_WITHIN.as_secs()
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends servers in order, all at the same time; by SIGKILL those that do not.
    pub(super) fn end(&self, state: &State, servers: &[Server]) -> Result<(), StackError> {
        let alive: Vec<(Server, &Process)> = servers
            .iter()
            .filter_map(|server| Some((*server, state.servers.get(server)?)))
            .filter(|(_, process)| process.is_alive())
            .collect();
        for (server, process) in &alive {
            process.signal(server.end_signal());
            // A paused one takes its signal only when it goes on.
            process.signal_family(Signal::CONT);
        }
        for (server, process) in alive {
            if process.wait_end(END_WITHIN) {
                continue;
            }
            process.signal(Signal::KILL);
            if !process.wait_end(END_WITHIN) {
                return Err(StackError::WillNotEnd {
                    server: server.to_string(),
                    pid: process.pid,
                });
            }
        }
        Ok(())
    }
}

/// Does `work` for each server, all at the same time.
pub(super) fn on_each<T: Send>(
    servers: &[Server],
    work: impl Fn(Server) -> Result<T, StackError> + Sync,
) -> Result<Vec<T>, StackError> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(move || work(*server)))
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}
