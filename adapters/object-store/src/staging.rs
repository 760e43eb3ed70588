//! What a crash left of objects that were being written to a local folder.
//!
//! The folder's store writes an object `NAME` as `NAME#1` first, and hides such files from every
//! listing: a crash leaves them, and the folder of a snapshot of which nothing else was written.

use std::fs::{DirEntry, read_dir, remove_dir, remove_file};
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// What was written to within this time may be what someone is still writing.
const STALE: Duration = Duration::from_secs(3_600);

/// Removes staging files in `dir` and in the folders within it that nobody has written to for an
/// hour, and those folders that are empty then.
pub(crate) fn sweep(dir: &Path) -> Result<(), Error> {
    for entry in entries(dir)? {
        if entry.file_type()?.is_dir() {
            // Before files are removed from it, which counts as a change.
            let is_stale = is_stale(&entry)?;
            for file in entries(&entry.path())? {
                remove_stale(&file)?;
            }
            if is_stale {
                // One that is not empty stays.
                match remove_dir(entry.path()) {
                    Err(error) if !is_harmless(&error) => return Err(error),
                    _ => {}
                }
            }
        } else {
            remove_stale(&entry)?;
        }
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<DirEntry>, Error> {
    match read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn remove_stale(file: &DirEntry) -> Result<(), Error> {
    let name = file.file_name();
    let is_staging = name
        .to_str()
        .and_then(|name| name.rsplit_once('#'))
        .is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
        });
    if !is_staging || !file.file_type()?.is_file() || !is_stale(file)? {
        return Ok(());
    }
    match remove_file(file.path()) {
        Err(error) if !is_harmless(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Gone already, or in use again.
fn is_harmless(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
    )
}

fn is_stale(entry: &DirEntry) -> Result<bool, Error> {
    let modified = match entry.metadata() {
        Ok(metadata) => metadata.modified()?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // A time that lies ahead is no old one.
    Ok(modified.elapsed().is_ok_and(|age| age > STALE))
}
