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
