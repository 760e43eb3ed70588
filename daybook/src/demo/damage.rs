//! A copy of a folder in which one byte of the log is another.

use std::path::Path;

use adapter_embedded::{Embedded, Options};
use tempfile::TempDir;

use crate::client::failure::Failure;
use crate::serve::embedded::open_failure;

/// The copy, removed when dropped.
pub struct Copy {
    folder: TempDir,
    /// The file in it.
    pub file: &'static str,
    /// Where the byte stands.
    pub offset: usize,
    /// What it was.
    pub before: char,
    /// What it is.
    pub after: char,
}

impl Copy {
    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

const LOG: &str = "log.db";

/// Copies the log and the read models of `folder`, and flips one bit of the first record that
/// has `text` (SQLite fills a page from its end).
///
/// # Errors
/// The files cannot be copied, or the text is not in the log.
pub async fn copy_with_one_byte_flipped(folder: &Path, text: &[u8]) -> Result<Copy, Failure> {
    let copy = tempfile::tempdir()?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // What SQLite shares between processes, and the lock, belong to the running server.
        let own = name.to_string_lossy().ends_with("-shm") || name == "daybook.lock";
        if entry.file_type()?.is_file() && !own {
            std::fs::copy(entry.path(), copy.path().join(name))?;
        }
    }
    // Brings what stands in the write-ahead log into the file.
    let opened = Embedded::open(copy.path(), Options::default())
        .await
        .map_err(|error| open_failure(error, copy.path()))?;
    opened.close().await;
    let path = copy.path().join(LOG);
    let mut bytes = std::fs::read(&path)?;
    let offset = bytes
        .windows(text.len())
        .rposition(|window| window == text)
        .ok_or_else(|| Failure::broken("the text is not in the log"))?;
    let before = char::from(bytes[offset]);
    bytes[offset] ^= 1;
    let after = char::from(bytes[offset]);
    std::fs::write(&path, bytes)?;
    Ok(Copy {
        folder: copy,
        file: LOG,
        offset,
        before,
        after,
    })
}
