//! The steps of a check, each a command whose failure ends the run with its name.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use crate::failures::Failures;
use crate::stack::{Server, Stack, StackError};
use crate::targets::{CHAOS, Targets};
use crate::totals::Totals;

/// A step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The command could not be started at all.
    #[error("{step}: cannot start {program}: {source}")]
    Start {
        /// The step.
        step: &'static str,
        /// What was to be run.
        program: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It ran, and said no.
    #[error("{step} failed ({status})")]
    Failed {
        /// The step.
        step: &'static str,
        /// How it ended.
        status: String,
    },
    /// Some of the tests failed; their names stand above.
    #[error("failed: {0}")]
    Tests(String),
    /// The manifests could not be read.
    #[error("cannot read the workspace: {0}")]
    Workspace(#[from] cargo_metadata::Error),
    /// Nothing has been run.
    #[error("no test target is named {0}…")]
    NoTests(&'static str),
    /// Cargo cannot tell them apart.
    #[error("{0} is the name of a test that needs the stack and of one that does not")]
    Ambiguous(String),
    /// The servers that the tests need could not be had.
    #[error("the tests need the local stack: {0}")]
    Stack(#[from] StackError),
}

/// The stack that the tests run on: not the one that somebody works with.
const TEST_STACK: &str = "test";
/// That of the long failure tests.
const CHAOS_STACK: &str = "chaos";
/// How long failure tests go on; they are short where it is not set.
const CHAOS_MINUTES: &str = "DAYBOOK_CHAOS_MINUTES";
/// What decides their chances.
const CHAOS_SEED: &str = "DAYBOOK_CHAOS_SEED";
/// The failure test that runs all of them in a loop.
const CHAOS_LOOP: &str = "at_random::";
/// Says to failure tests that nobody else uses the stack.
const MAY_BE_HURT: &str = "DAYBOOK_STACK_MAY_BE_HURT";

/// What all test binaries said.
#[derive(Default)]
struct Said {
    totals: Totals,
    failures: Failures,
}

impl Said {
    fn add_line(&mut self, line: &str) {
        self.totals.add_line(line);
        self.failures.add_line(line);
    }

    /// Where a long output ends: there it is looked for.
    fn print(&self) {
        anstream::print!("{}", self.failures);
        anstream::println!("{}", self.totals);
    }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run(step: &'static str, mut command: Command) -> Result<(), StepError> {
    announce(step);
    let started = Instant::now();
    let status = command
        .status()
        .map_err(|source| start(step, &command, source))?;
    finish(step, started, status)
}

fn start(step: &'static str, command: &Command, source: std::io::Error) -> StepError {
    StepError::Start {
        step,
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    }
}

fn announce(step: &str) {
    anstream::eprintln!("==> {step}");
}

fn finish(step: &'static str, started: Instant, status: ExitStatus) -> Result<(), StepError> {
    anstream::eprintln!("<== {step}: {status}, {:.0?}", started.elapsed());
    if status.success() {
        Ok(())
    } else {
        Err(StepError::Failed {
            step,
            status: status.to_string(),
        })
    }
}

/// Formatting, then clippy with warnings denied.
///
/// # Errors
/// [`StepError`] of the first that says no.
pub fn lint() -> Result<(), StepError> {
    let mut format = cargo();
    format.args(["fmt", "--all", "--check"]);
    run("formatting", format)?;
    let targets = Targets::of_workspace()?;
    let mut clippy = cargo();
    clippy
        .args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--locked",
        ])
        .args(["--features", &targets.features])
        .args(["--", "-D", "warnings"]);
    run("lints", clippy)
}

/// Lints (where `lints` says so) and every test of the workspace, those that need real servers
/// too: for these the stack is brought up, and taken down again. Prints last what failed, and the
/// totals.
///
/// # Errors
/// [`StepError`] when any test fails or cannot be built, or the stack cannot be had.
pub fn check(lints: bool) -> Result<(), StepError> {
    // Before an hour has been spent on the rest.
    Stack::named(TEST_STACK)?.check_tools(&Server::ALL)?;
    if lints {
        lint()?;
    }
    let targets = Targets::of_workspace()?;
    if !targets.ambiguous.is_empty() {
        let names: Vec<String> = targets.ambiguous.into_iter().collect();
        return Err(StepError::Ambiguous(names.join(", ")));
    }
    let mut said = Said::default();
    let mut failed = Vec::new();

    // What does not compile is no failed test: there is nothing to go on with.
    let mut build = tests(&targets);
    build.args([
        "--lib",
        "--bins",
        "--examples",
        "--tests",
        "--no-run",
        "--quiet",
    ]);
    run("building", build)?;

    let mut quick = tests(&targets);
    quick.args(["--lib", "--bins", "--examples"]);
    for name in &targets.quick {
        quick.args(["--test", name]);
    }
    note(
        &mut failed,
        counted("tests without servers", quick, &mut said),
    )?;

    let mut doc = tests(&targets);
    doc.arg("--doc");
    note(&mut failed, counted("examples in the docs", doc, &mut said))?;

    let mut stack = tests(&targets);
    for name in &targets.stack {
        stack.args(["--test", name]);
    }
    note(&mut failed, on_stack(TEST_STACK, stack, &mut said))?;

    said.print();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(StepError::Tests(failed.join(", ")))
    }
}

/// A failed step does not keep the others from being run; one that could not be run at all does.
fn note(failed: &mut Vec<&'static str>, outcome: Result<(), StepError>) -> Result<(), StepError> {
    match outcome {
        Err(StepError::Failed { step, .. }) => {
            failed.push(step);
            Ok(())
        }
        outcome => outcome,
    }
}

/// `cargo test` over the whole workspace. All steps take the same packages and features, so that
/// what one has built the next one finds; the binary is built with them, for whole-process tests.
fn tests(targets: &Targets) -> Command {
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--locked", "--no-fail-fast"])
        .args(["--features", &targets.features]);
    command
}

/// Runs `command` with a stack of its own up, and takes that down again.
fn on_stack(name: &str, mut command: Command, said: &mut Said) -> Result<(), StepError> {
    let stack = Stack::for_tests(name)?;
    // What a run that was broken off has left, also where there was no room in memory.
    Stack::named(name)?.wipe()?;
    stack.wipe()?;
    announce(&format!("the stack, in {}", stack.folder().display()));
    let started = Instant::now();
    let outcome = stack
        .up(&Server::ALL, &|line| anstream::eprintln!("{line}"))
        .map_err(StepError::from)
        .and_then(|()| {
            anstream::eprintln!("<== the stack: ready, {:.0?}", started.elapsed());
            // Cargo runs one test target after the other, so failure tests are alone on it.
            command.envs(stack.env()?).env(MAY_BE_HURT, "1");
            counted("tests on the stack", command, said)
        });
    if outcome.is_err() {
        for server in Server::ALL {
            anstream::eprintln!("--- the end of {}", stack.log(server).display());
            anstream::eprintln!("{}", stack.log_tail(server, 40));
        }
    }
    // It must not stay, whatever became of the tests.
    let gone = stack.wipe();
    outcome?;
    gone.map_err(Into::into)
}

/// The failure tests in their long form: at random, in a loop, for about `minutes`.
///
/// # Errors
/// [`StepError`] when one fails, or there is none.
pub fn chaos(minutes: u32, seed: Option<u64>) -> Result<(), StepError> {
    let targets = Targets::of_workspace()?;
    let names = targets.chaos();
    if names.is_empty() {
        return Err(StepError::NoTests(CHAOS));
    }
    let mut command = tests(&targets);
    for name in &names {
        command.args(["--test", name]);
    }
    command
        .env(CHAOS_MINUTES, minutes.to_string())
        .args(["--", CHAOS_LOOP, "--nocapture"]);
    if let Some(seed) = seed {
        command.env(CHAOS_SEED, seed.to_string());
    }
    let mut said = Said::default();
    let outcome = on_stack(CHAOS_STACK, command, &mut said);
    said.print();
    outcome
}

/// Runs tests, shows what they print, and adds up what they say.
fn counted(step: &'static str, mut command: Command, said: &mut Said) -> Result<(), StepError> {
    announce(step);
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|source| start(step, &command, source))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            said.add_line(&line);
            anstream::println!("{line}");
        }
    }
    let status = child
        .wait()
        .map_err(|source| start(step, &command, source))?;
    finish(step, started, status)
}
