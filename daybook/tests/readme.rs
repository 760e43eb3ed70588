//! The README's commands are run, in order, and their outputs compared with what stands there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "process/ports.rs"]
mod ports;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ports::free_port;

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command of a `console` block, and the lines that it is said to print.
struct Step {
    command: String,
    expected: Vec<String>,
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            line if inside => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step {
                    command: command.to_owned(),
                    expected: Vec::new(),
                }),
                None => steps
                    .last_mut()
                    .expect("a console block begins with a command")
                    .expected
                    .push(line.to_owned()),
            },
            _ => {}
        }
    }
    steps
}

/// `...` alone stands for any lines; at the start of a line for any start of it.
fn matches(expected: &[String], printed: &[&str]) -> bool {
    let Some((first, rest)) = expected.split_first() else {
        return printed.is_empty();
    };
    if first == "..." {
        return (0..=printed.len()).any(|skip| matches(rest, &printed[skip..]));
    }
    let Some((line, more)) = printed.split_first() else {
        return false;
    };
    let same = match first.strip_prefix("... ") {
        Some(end) => line.trim_end().ends_with(end),
        None => line.trim_end() == first.trim_end(),
    };
    same && matches(rest, more)
}

#[test]
fn the_readme_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_daybook"));
    let folder = tempfile::tempdir().unwrap();
    assert!(readme.contains("\ncargo run --release -- serve\n"));
    assert!(readme.contains("\ncargo xtask test\n"));
    assert!(
        std::fs::read_to_string(root.join(".ci/run"))
            .unwrap()
            .contains("cargo xtask test"),
        "CI runs what the README names"
    );

    // The usual ports, which the README's commands rely on, may be taken on this machine.
    let port = free_port();
    let operations = free_port();
    let server = Command::new(binary)
        .arg("serve")
        .args(["--listen", &format!("127.0.0.1:{port}")])
        .args(["--operations-listen", &format!("127.0.0.1:{operations}")])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Serving(server);
    let give_up = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < give_up, "the server does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }

    let path = format!(
        "{}:{}",
        binary.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let steps = steps(&readme);
    assert!(steps.len() >= 8, "the README shows real use");
    for step in steps {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("{} 2>&1", step.command))
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("DAYBOOK_SERVER", format!("http://127.0.0.1:{port}"))
            .env(
                "DAYBOOK_OPERATIONS",
                format!("http://127.0.0.1:{operations}"),
            )
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = printed.lines().collect();
        assert!(
            matches(&step.expected, &lines),
            "{}\nprinted:\n{printed}\nthe README says:\n{}",
            step.command,
            step.expected.join("\n")
        );
    }
}
