//! The tours in Rust and in Python: they assert what they see, and tell the same story.

use std::path::Path;
use std::process::Command;

use crate::support::{Server, run};

/// What a tour prints, without the ledger's name and the order of figures.
fn story(out: &str) -> Vec<&str> {
    let told = |line: &&str| !line.starts_with("ledger ") && !line.contains("is refused");
    out.lines().filter(told).collect()
}

#[tokio::test]
async fn tours_in_rust_and_python_tell_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;

    let rust = env!("CARGO_BIN_EXE_rust-client");
    let rust = run(Command::new(rust).args(["--server", &server.url()]))
        .await
        .well();

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python_client/run.sh");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python_client");
    let mut python = Command::new(script);
    python
        .args(["--server", &server.url()])
        .env("DAYBOOK_PYTHON_FOLDER", kept);
    let python = run(&mut python).await;
    assert_ne!(
        python.code,
        Some(3),
        "The Python client needs python3 with venv and the package index (pip), once:\n{}",
        python.errors
    );
    let python = python.well();

    for out in [&rust, &python] {
        assert!(
            out.contains("25.01 is refused: INSUFFICIENT_FUNDS"),
            "{out}"
        );
        assert!(out.ends_with("all as it should be\n"), "{out}");
    }
    assert_eq!(story(&rust), story(&python));
    server.stop();
}

#[tokio::test]
async fn programs_say_plainly_that_nobody_listens() {
    let nobody = "http://127.0.0.1:1";
    let data = tempfile::tempdir().unwrap();
    let ended = run(Command::new(env!("CARGO_BIN_EXE_czech-bank"))
        .arg(data.path())
        .args(["--server", nobody]))
    .await;
    assert_eq!(ended.code, Some(2), "no files: {ended:?}");
    assert!(ended.errors.contains("client.asc"), "{ended:?}");

    let ended =
        run(Command::new(env!("CARGO_BIN_EXE_rust-client")).args(["--server", nobody])).await;
    assert_ne!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended
            .errors
            .contains("no server answers at http://127.0.0.1:1"),
        "{ended:?}"
    );
}
