//! The folder: its lock, its files, and making durable what a crash left behind.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The event log.
pub(crate) const LOG_FILE: &str = "log.db";
/// The read models, unless [`CURRENT_FILE`] names another file.
pub(crate) const VIEWS_FILE: &str = "views.db";
/// Names the file of the live read models after a switch.
pub(crate) const CURRENT_FILE: &str = "views.current";
const LOCK_FILE: &str = "daybook.lock";
/// Added to a file's name while the file is made. It gets its own name when it is whole.
const UNFINISHED: &str = ".new";

/// Keeps every other process (and every other opening in this one) out of the folder.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `dir`, or says who has it.
    pub(crate) fn take(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| LockError::Io(path.clone(), error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(LockError::Held(match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                }));
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(path, error)),
        }
        // Only for the message above: a disk too full for it does not matter.
        let _ = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}

/// Why the lock was not taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// This one holds it.
    Held(String),
    /// The lock file could not be opened or locked.
    Io(PathBuf, io::Error),
}

/// Makes durable what stands in the database `file` and its WAL, before SQLite opens it.
///
/// After an fsync that failed, the system may hold pages in its cache that look written and are
/// not on the disk, and count them as clean: another fsync would succeed without writing them.
/// SQLite trusts what it reads, so whatever it will read from the WAL is written once more, byte
/// for byte, and synced. (Pages of the database file itself need no rewriting: the WAL that they
/// came from is only given up after a sync that succeeded.) Must not run while a connection to
/// the file is open in this process: closing a file drops this process's POSIX locks on it.
pub(crate) fn make_durable(file: &Path) -> io::Result<()> {
    let wal = beside(file, "-wal");
    match OpenOptions::new().read(true).write(true).open(&wal) {
        Ok(mut wal) => {
            let mut chunk = vec![0; 1 << 20];
            let mut at = 0;
            loop {
                wal.seek(SeekFrom::Start(at))?;
                let read = wal.read(&mut chunk)?;
                if read == 0 {
                    break;
                }
                wal.seek(SeekFrom::Start(at))?;
                wal.write_all(&chunk[..read])?;
                at += read as u64;
            }
            wal.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match File::open(file) {
        Ok(file) => file.sync_all()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    sync_directory(file.parent().unwrap_or(Path::new(".")))
}

/// Whether no log was ever made in `dir`: it is not there, or holds nothing but what is left of a
/// process that ended before it had made one.
pub(crate) fn is_new(dir: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let is_left = name == LOCK_FILE || unfinished(Path::new(LOG_FILE)).any(|left| left == name);
        if !is_left {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The name under which the database `file` is made, and what SQLite may keep beside it.
fn unfinished(file: &Path) -> impl Iterator<Item = PathBuf> {
    let new = beside(file, UNFINISHED);
    ["", "-wal", "-shm", "-journal"]
        .into_iter()
        .map(move |suffix| beside(&new, suffix))
}

/// Where the database `file` is to be made, without what an earlier attempt has left there. End
/// with [`put_in_place`].
pub(crate) fn begin_file(file: &Path) -> io::Result<PathBuf> {
    for left in unfinished(file) {
        match std::fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(beside(file, UNFINISHED))
}

/// Gives the database that was made at [`begin_file`]'s path, and closed, its name. `file` is there
/// as a whole or not at all, whatever happens in between.
pub(crate) fn put_in_place(file: &Path) -> io::Result<()> {
    let new = beside(file, UNFINISHED);
    File::open(&new)?.sync_all()?;
    std::fs::rename(&new, file)?;
    sync_directory(file.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// `file` with `suffix` added to its name, as SQLite names its companions.
pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
