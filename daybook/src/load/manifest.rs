//! What was sent, and what was answered: a file with a header and a slot of fixed size for each
//! command, so that memory stays bounded and a load can be gone on with and proven later.
//!
//! The header is JSON, filled up with spaces to [`HEADER_BYTES`]. A slot is written before its
//! command is sent, and again when it is answered.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::plan::Shape;
use crate::client::failure::{Failure, Kind};

const HEADER_BYTES: usize = 64 * 1024;
const SLOT_BYTES: usize = 32;

/// The form of the file.
const VERSION: u32 = 1;

/// Slots that are read at once.
pub const STRETCH: usize = 4_096;

/// Where commands are sent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// Calls.
    Grpc,
    /// The topics deposits, withdrawals and transfers.
    Kafka,
}

/// What a load is, as its manifest says it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Header {
    version: u32,
    /// What is sent.
    pub shape: Shape,
    /// Where to.
    pub way: Way,
    /// Servers of the API.
    pub servers: Vec<String>,
    /// How many commands; until it is stopped without.
    pub count: Option<u64>,
    /// When it began, in milliseconds.
    pub started_at: u64,
    /// Where each topic ended when it began: (partition, offset).
    pub topics: BTreeMap<String, Vec<(u32, u64)>>,
}

impl Header {
    /// Of a load that begins now.
    pub fn new(shape: Shape, way: Way, servers: Vec<String>, count: Option<u64>) -> Self {
        Self {
            version: VERSION,
            shape,
            way,
            servers,
            count,
            started_at: now(),
            topics: BTreeMap::new(),
        }
    }
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Sent, or about to be; no outcome is known.
    #[default]
    Sent,
    /// Carried out.
    Accepted,
    /// The rules said no, and that is on record.
    Refused,
    /// It was no command: nothing is on record.
    NoCommand,
    /// Neither, and asking again would not help.
    Declined,
}

/// What is known of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// What it came to.
    pub state: State,
    /// Four bytes that stand for the code of its refusal.
    pub code: u32,
    /// Sequence in its ledger of its record; 0 where none is known.
    pub ledger_sequence: u64,
    /// The first 8 bytes of that record's hash.
    pub hash: u64,
    /// When it was first sent, in milliseconds: part of its key.
    pub stamp: u64,
}

impl Slot {
    /// A command that is about to be sent.
    pub fn sent(stamp: u64) -> Self {
        Self {
            stamp,
            ..Self::default()
        }
    }

    fn bytes(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[0] = match self.state {
            State::Sent => 1,
            State::Accepted => 2,
            State::Refused => 3,
            State::NoCommand => 4,
            State::Declined => 5,
        };
        bytes[4..8].copy_from_slice(&self.code.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ledger_sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.hash.to_le_bytes());
        bytes[24..].copy_from_slice(&self.stamp.to_le_bytes());
        bytes
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let u64_at = |at: usize| bytes[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        Some(Self {
            state: match bytes[0] {
                1 => State::Sent,
                2 => State::Accepted,
                3 => State::Refused,
                4 => State::NoCommand,
                5 => State::Declined,
                _ => return None,
            },
            code: bytes[4..8].try_into().ok().map(u32::from_le_bytes)?,
            ledger_sequence: u64_at(8)?,
            hash: u64_at(16)?,
            stamp: u64_at(24)?,
        })
    }
}

/// Four bytes that stand for `code`.
pub fn code_of(code: &str) -> u32 {
    let hash = blake3::hash(code.as_bytes());
    hash.as_bytes()[..4]
        .try_into()
        .map_or(0, u32::from_le_bytes)
}

/// The code that four bytes stand for, where it is one of ours.
pub fn code_said(short: u32) -> String {
    let known = schemas::error::explanations();
    let mut codes = known.iter().map(|explanation| explanation.code);
    codes
        .find(|code| code_of(code) == short)
        .map_or_else(|| format!("{short:08x}"), str::to_owned)
}

/// The first 8 bytes of a hash in hex.
pub fn hash_of(hex: &str) -> u64 {
    hex.get(..16)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
}

/// The file.
pub struct Manifest {
    /// What it is the manifest of.
    pub header: Header,
    /// Where it is.
    pub path: PathBuf,
    file: File,
    len: AtomicU64,
}

impl Manifest {
    /// A new file.
    ///
    /// # Errors
    /// It is there already, or cannot be written.
    pub fn create(path: &Path, header: Header) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| unreadable(path, &error))?;
        let mut bytes = serde_json::to_vec(&header)
            .map_err(|error| Failure::broken(format!("the manifest's header: {error}")))?;
        if bytes.len() > HEADER_BYTES {
            return Err(Failure::usage("the topics have too many partitions"));
        }
        bytes.resize(HEADER_BYTES, b' ');
        file.write_all_at(&bytes, 0)
            .map_err(|error| unreadable(path, &error))?;
        Ok(Self {
            header,
            path: path.to_owned(),
            file,
            len: AtomicU64::new(0),
        })
    }

    /// A file of an earlier load.
    ///
    /// # Errors
    /// It is none.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|error| unreadable(path, &error))?;
        let mut bytes = vec![0; HEADER_BYTES];
        let header: Header = file
            .read_exact_at(&mut bytes, 0)
            .and_then(|()| serde_json::from_slice(&bytes).map_err(io::Error::other))
            .map_err(|error| unreadable(path, &error))?;
        if header.version != VERSION {
            return Err(Failure::usage(format!(
                "{} has version {}; this build reads {VERSION}",
                path.display(),
                header.version
            )));
        }
        let size = file.metadata().map_err(|error| unreadable(path, &error))?;
        // A slot that was not written to its end was not sent.
        let len = size.len().saturating_sub(HEADER_BYTES as u64) / SLOT_BYTES as u64;
        Ok(Self {
            header,
            path: path.to_owned(),
            file,
            len: AtomicU64::new(len),
        })
    }

    /// Commands that were sent, or were about to be.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Writes slots from `first` on. New ones stand at the end: one writer at a time adds those.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, first: u64, slots: &[Slot]) -> Result<(), Failure> {
        if slots.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = slots.iter().flat_map(Slot::bytes).collect();
        self.file
            .write_all_at(&bytes, place(first))
            .map_err(|error| unreadable(&self.path, &error))?;
        let end = first + slots.len() as u64;
        self.len.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }

    /// Up to `most` slots from `first` on.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub fn read(&self, first: u64, most: usize) -> Result<Vec<Slot>, Failure> {
        let left = self.len().saturating_sub(first).min(most as u64) as usize;
        let mut bytes = vec![0; left * SLOT_BYTES];
        self.file
            .read_exact_at(&mut bytes, place(first))
            .map_err(|error| unreadable(&self.path, &error))?;
        let slots = bytes.chunks_exact(SLOT_BYTES).map(Slot::of);
        slots.collect::<Option<_>>().ok_or_else(|| {
            let error = io::Error::other(format!("a slot behind command {first} is damaged"));
            unreadable(&self.path, &error)
        })
    }

    /// The slot of one command.
    ///
    /// # Errors
    /// As [`Self::read`]; there is none.
    pub fn slot(&self, number: u64) -> Result<Slot, Failure> {
        let slot = self.read(number, 1)?.pop();
        slot.ok_or_else(|| Failure::broken(format!("command {number} was never sent")))
    }

    /// Every slot in order, in stretches: the number of the first, and the slots.
    pub fn stretches(&self) -> impl Iterator<Item = Result<(u64, Vec<Slot>), Failure>> + '_ {
        (0..self.len()).step_by(STRETCH).map(|first| {
            let slots = self.read(first, STRETCH)?;
            Ok((first, slots))
        })
    }

    /// Puts what was written onto the disk.
    ///
    /// # Errors
    /// It cannot.
    pub fn sync(&self) -> Result<(), Failure> {
        let synced = self.file.sync_all();
        synced.map_err(|error| unreadable(&self.path, &error))
    }
}

fn place(number: u64) -> u64 {
    HEADER_BYTES as u64 + number * SLOT_BYTES as u64
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound => Kind::Usage,
        _ => Kind::Broken,
    };
    Failure::new(
        kind,
        "FILE_UNREADABLE",
        format!("the manifest {}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::mix::{Mix, Permille};

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("load.manifest");
        let shape = Shape {
            seed: 1,
            run: 2,
            ledgers: 3,
            accounts: 4,
            mix: Mix::default(),
            refused: Permille(50),
            repeats: Permille(30),
            malformed: Permille(10),
        };
        let header = Header::new(shape, Way::Grpc, vec!["http://a".to_owned()], Some(9));
        let manifest = Manifest::create(&path, header.clone()).expect("it is new");
        assert!(Manifest::create(&path, header.clone()).is_err(), "kept");
        let slots: Vec<Slot> = (0..10).map(Slot::sent).collect();
        manifest.write(0, &slots).expect("written");
        let answered = Slot {
            state: State::Refused,
            code: code_of("INSUFFICIENT_FUNDS"),
            ledger_sequence: u64::MAX,
            hash: hash_of(&"ab".repeat(32)),
            stamp: 7,
        };
        manifest.write(7, &[answered]).expect("written");
        drop(manifest);
        let manifest = Manifest::open(&path).expect("it is one");
        assert_eq!(manifest.header, header);
        assert_eq!(manifest.len(), 10);
        assert_eq!(manifest.slot(7).expect("a slot"), answered);
        assert_eq!(manifest.slot(8).expect("a slot"), Slot::sent(8));
        assert_eq!(code_said(answered.code), "INSUFFICIENT_FUNDS");
        assert!(manifest.slot(10).is_err());
        std::fs::write(&path, b"nothing of the kind").expect("written");
        assert!(Manifest::open(&path).is_err());
    }
}
