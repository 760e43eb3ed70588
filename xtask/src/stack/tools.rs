//! Programs of the system that the stack needs, and how to get those that are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `program` is found on the path.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Says what to do about `program`, unless it is there.
#[must_use]
pub fn missing(program: &str, wanted_for: &str, how: &str) -> Option<String> {
    find(program)
        .is_none()
        .then(|| format!("{program} ({wanted_for}): {how}"))
}

/// How to get Java.
pub const GET_JAVA: &str = "a Java runtime, 17 or newer: apt-get install openjdk-17-jre-headless (or default-jre-headless)";
/// How to get Maven.
pub const GET_MAVEN: &str = "apt-get install maven";
/// How to get Go.
pub const GET_GO: &str =
    "Go 1.24 or newer: apt-get install golang where it is new enough, otherwise https://go.dev/dl";
/// How to get Postgres.
pub const GET_POSTGRES: &str = "apt-get install postgresql";

/// Where the server programs of PostgreSQL lie: version `major` of the system's packages, or else
/// the newest above it.
#[must_use]
pub fn postgres(major: u32) -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .map(|(version, folder)| (version, folder.join("bin")))
        .filter(|(version, bin)| *version >= major && bin.join("initdb").is_file())
        .collect();
    found.sort_by_key(|(version, _)| (*version != major, std::cmp::Reverse(*version)));
    if let Some((_, bin)) = found.into_iter().next() {
        return Some(bin);
    }
    // Not Debian's layout: whatever the path holds, where it is new enough.
    let initdb = find("initdb")?;
    let printed = Command::new(&initdb).arg("--version").output().ok()?;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let version: u32 = printed
        .split_whitespace()
        .find_map(|word| word.split('.').next()?.parse().ok())?;
    (version >= major)
        .then(|| initdb.parent().map(Path::to_path_buf))
        .flatten()
}
