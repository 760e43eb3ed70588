//! PostgreSQL of the system, in a folder of its own, never as root.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PASSWORD, Place, USER};
use crate::stack::tls::{Tls, secret};
use crate::stack::versions::Versions;
use crate::stack::{StackError, files, process, tools};

pub(super) fn missing(versions: &Versions) -> Option<String> {
    let major = versions.postgres.major;
    if tools::postgres(major).is_none() {
        return Some(format!(
            "PostgreSQL {major} or newer (initdb, postgres): {}",
            tools::GET_POSTGRES
        ));
    }
    (is_root() && unprivileged().is_none())
        .then(|| "a user postgres or nobody, since Postgres does not run as root".to_owned())
}

pub(super) fn prepare(place: &Place<'_>) -> Result<Command, StackError> {
    let bin = bin(place)?;
    let data = data(place.folder);
    files::make_folder(place.folder)?;
    if !data.join("PG_VERSION").exists() {
        make(&bin, &data)?;
    }
    let conf = files::read(&place.root.join("infra/postgres/postgresql.conf"))?;
    files::write(&data.join("postgresql.conf"), &conf)?;
    let mut command = as_unprivileged(&bin.join("postgres"));
    command
        .arg("-D")
        .arg(&data)
        .args(["-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories="])
        .arg("-p")
        .arg(place.ports.postgres().to_string())
        .current_dir(&data);
    if let Some(tls) = &place.tls {
        encrypt(&mut command, tls, &data)?;
    }
    Ok(command)
}

/// The server takes encrypted connections alone. It reads certificate and key as its own user.
fn encrypt(command: &mut Command, tls: &Tls, data: &Path) -> Result<(), StackError> {
    let (certificate, key) = (data.join("server.crt"), data.join("server.key"));
    files::write(&certificate, &files::read(&tls.certificate())?)?;
    secret(&key, &files::read(&tls.key())?)?;
    if let Some((user, group)) = switched() {
        chown(&key, Some(user), Some(group)).map_err(|source| StackError::File {
            doing: "give away",
            path: key.clone(),
            source,
        })?;
    }
    files::write(
        &data.join("pg_hba.conf"),
        "# Made anew by cargo xtask stack up at each start.\n\
         hostssl all all 127.0.0.1/32 scram-sha-256\n",
    )?;
    command
        .args(["-c", "ssl=on", "-c"])
        .arg(format!("ssl_cert_file={}", certificate.display()))
        .arg("-c")
        .arg(format!("ssl_key_file={}", key.display()));
    Ok(())
}

/// Ready means that pg_isready says so and that the database is there: it is made when the server
/// answers for the first time.
pub(super) fn is_ready(place: &Place<'_>) -> bool {
    let Ok(bin) = bin(place) else {
        return false;
    };
    let port = place.ports.postgres().to_string();
    let client = |program: &str| {
        let mut command = Command::new(bin.join(program));
        command
            .args(["-h", "127.0.0.1", "-p", &port, "-U", USER])
            .env("PGPASSWORD", PASSWORD)
            .env("PGCONNECT_TIMEOUT", "5");
        if let Some(tls) = &place.tls {
            command
                .env("PGSSLMODE", "verify-full")
                .env("PGSSLROOTCERT", tls.ca());
        }
        command
    };
    if process::run("pg_isready", client("pg_isready").args(["-d", "postgres"])).is_err() {
        return false;
    }
    let answers = || {
        process::run(
            "psql",
            client("psql").args(["-d", USER, "-Atc", "SELECT 1"]),
        )
    };
    answers().is_ok()
        || (process::run("createdb", client("createdb").arg(USER)).is_ok() && answers().is_ok())
}

/// Makes a new cluster of databases at `data`.
fn make(bin: &Path, data: &Path) -> Result<(), StackError> {
    files::remove_folder(data)?;
    files::make_folder(data)?;
    let failed = |doing: &'static str, path: &Path| {
        let path = path.to_path_buf();
        move |source| StackError::File {
            doing,
            path,
            source,
        }
    };
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))
        .map_err(failed("set the mode of", data))?;
    // The password is handed over in a file that only the server's user can read.
    let password = data.with_extension("password");
    files::write(&password, PASSWORD)?;
    if let Some((user, group)) = switched() {
        for path in [data, &password] {
            chown(path, Some(user), Some(group)).map_err(failed("give away", path))?;
        }
    }
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600))
        .map_err(failed("set the mode of", &password))?;
    let mut initdb = as_unprivileged(&bin.join("initdb"));
    initdb
        .arg("-D")
        .arg(data)
        .args([
            "-U",
            USER,
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
        ])
        .arg("--pwfile")
        .arg(&password)
        .current_dir(data);
    let made = process::run("initdb", &mut initdb);
    files::remove_file(&password)?;
    made.map(drop).inspect_err(|_| {
        // A half-made one would look like one that is there.
        files::remove_folder(data).ok();
    })?;
    Ok(())
}

fn bin(place: &Place<'_>) -> Result<PathBuf, StackError> {
    tools::postgres(place.versions.postgres.major)
        .ok_or_else(|| StackError::Missing(missing(place.versions).into_iter().collect()))
}

/// Where the data lies: in the stack's folder, or, where the server's user cannot get there (a
/// checkout under /root), in one under /var/tmp that is named after it.
fn data(folder: &Path) -> PathBuf {
    if switched().is_none() || everybody_gets_to(folder) {
        return folder.join("data");
    }
    elsewhere(folder)
}

fn elsewhere(folder: &Path) -> PathBuf {
    PathBuf::from("/var/tmp").join(format!("daybook-stack{}", files::flat(folder)))
}

pub(super) fn folders_elsewhere(folder: &Path) -> Vec<PathBuf> {
    vec![elsewhere(folder)]
}

fn everybody_gets_to(folder: &Path) -> bool {
    folder
        .ancestors()
        .filter(|path| path.exists())
        .all(|path| std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o001 != 0))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user and group to run as, when we are root.
fn switched() -> Option<(u32, u32)> {
    is_root().then(unprivileged).flatten()
}

fn unprivileged() -> Option<(u32, u32)> {
    let id = |what: &str, user: &str| -> Option<u32> {
        let printed = process::run("id", Command::new("id").args([what, user])).ok()?;
        printed.trim().parse().ok()
    };
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|user| Some((id("-u", user)?, id("-g", user)?)))
}

fn as_unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = switched() {
        command.uid(user).gid(group);
    }
    command
}
