//! Small work on files, with errors that name the file.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::StackError;

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StackError {
    let path = path.to_path_buf();
    move |source| StackError::File {
        doing,
        path,
        source,
    }
}

/// A folder in memory that is named after `folder`; `None` where the system has no such place, or
/// not `free` bytes in it and in memory itself.
pub fn in_memory(folder: &Path, free: u64) -> Option<PathBuf> {
    let place = Path::new("/dev/shm");
    let found = rustix::fs::statvfs(place).ok()?;
    let memory = fs::read_to_string("/proc/meminfo").ok()?;
    let available = memory.lines().find_map(|line| {
        let kibibytes = line
            .strip_prefix("MemAvailable:")?
            .trim()
            .strip_suffix(" kB")?;
        kibibytes.trim().parse::<u64>().ok()
    })?;
    // What runs beside needs memory too.
    let has_room = found.f_bavail.saturating_mul(found.f_frsize) >= free
        && available.saturating_mul(1024) >= 2 * free;
    let folder = place.join(format!("daybook-stack{}", flat(folder)));
    // One that was left there is to be found again.
    (has_room || folder.exists()).then_some(folder)
}

/// The path as one name.
pub fn flat(folder: &Path) -> String {
    let name = folder.to_string_lossy();
    let flat = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' });
    flat.collect()
}

/// Makes a folder and those above it.
pub fn make_folder(path: &Path) -> Result<(), StackError> {
    fs::create_dir_all(path).map_err(failed("make", path))
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String, StackError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// Writes a file.
pub fn write(path: &Path, text: &str) -> Result<(), StackError> {
    fs::write(path, text).map_err(failed("write", path))
}

/// Writes a file so that a reader sees the old text or the new, never a part.
pub fn replace(path: &Path, text: &str) -> Result<(), StackError> {
    let beside = path.with_extension("new");
    write(&beside, text)?;
    rename(&beside, path)
}

/// Moves a file or folder.
pub fn rename(from: &Path, to: &Path) -> Result<(), StackError> {
    fs::rename(from, to).map_err(failed("move", from))
}

/// Removes a folder with all in it; one that is not there is all right.
pub fn remove_folder(path: &Path) -> Result<(), StackError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a file; one that is not there is all right.
pub fn remove_file(path: &Path) -> Result<(), StackError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Opens a log file to write at its end.
pub fn open_log(path: &Path) -> Result<fs::File, StackError> {
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(failed("open", path))
}

/// Takes the lock file at `path`, waiting for who has it. It is let go when the file is dropped, or
/// its process ends.
pub fn lock(path: &Path) -> Result<fs::File, StackError> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(failed("open", path))?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}

/// The last `lines` lines of a file, or nothing where there is none.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    const BYTES: u64 = 64 << 10;
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.take(BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
