//! Snapshots: the state of a shard at a sequence, as chunks of parts and a manifest.
//!
//! A chunk is parts one after another, each behind its length (protobuf varint), compressed
//! with zstd; the manifest has each chunk's BLAKE3, the place in the log and the heads.

mod parts;

use bytes::Bytes;
use ledger_core::ledger::LedgerState;
use ledger_core::name::LedgerName;
use ledger_core::time::Timestamp;
use ports::log::Position;
use prost::Message as _;
use schemas::proto::snapshot::v1 as proto;
use schemas::record::{LogId, RecordError, RecordHash};

use crate::place::{Head, LastRecord};
use crate::state::{Chain, ShardState};

/// The form of snapshots that this build writes and reads.
pub const FORMAT: u32 = 1;

/// The version of the rules that move the state. A snapshot of another version is not used: the
/// log is replayed instead. To be raised whenever `evolve` gives another state for an old event.
pub const EVOLVE_VERSION: u32 = 1;

/// Parts are gathered to about this much before they are compressed.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// No chunk is larger than this uncompressed: a full one and the largest part.
const CHUNK_BYTES_MAX: usize = CHUNK_BYTES + 4 * 1024 * 1024;

/// Fast, and already a fraction of the size.
const ZSTD_LEVEL: i32 = 1;

/// Why a snapshot cannot be used (`SNAPSHOT_DAMAGED`, but for the versions).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Written by a newer build, or a much older one.
    #[error("the snapshot has format {found}; this build reads {FORMAT}")]
    Format {
        /// What the manifest says.
        found: u32,
    },
    /// Made by other rules.
    #[error("the snapshot was made by evolve version {found}; this build has {EVOLVE_VERSION}")]
    EvolveVersion {
        /// What the manifest says.
        found: u32,
    },
    /// The manifest contradicts itself.
    #[error("the manifest is damaged: {0}")]
    Manifest(String),
    /// A chunk is not what the manifest says.
    #[error("chunk {index} is damaged: {what}")]
    Chunk {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        what: String,
    },
    /// A part is damaged.
    #[error("a part of ledger {ledger} is damaged: {source}")]
    Part {
        /// The ledger that it belongs to.
        ledger: String,
        /// What is wrong.
        source: RecordError,
    },
    /// A ledger's parts contradict each other.
    #[error("ledger {ledger} contradicts itself: {what}")]
    Ledger {
        /// The ledger.
        ledger: String,
        /// What is wrong.
        what: String,
    },
}

/// The snapshot of `state`, whose last record stands in the entry at `position`. `None` for a
/// state before its log's first record.
pub fn write(
    state: &ShardState,
    position: Position,
    build: &str,
) -> Option<(proto::Manifest, Vec<Bytes>)> {
    let last = state.last()?;
    let log_id = state.current_log()?;
    let mut chunks = Chunks::default();
    for source in &state.sources {
        chunks.push(&parts::source_part(source));
    }
    for ledger in state.ledgers() {
        if state.head(ledger.name()).is_some() {
            parts::to_parts(ledger.to_image(), |part| chunks.push(&part));
        }
    }
    let chunks = chunks.finish();
    let manifest = proto::Manifest {
        format: FORMAT,
        evolve_version: EVOLVE_VERSION,
        log_id: log_id.0.to_vec(),
        shard: state.shard,
        shard_count: state.shard_count,
        sequence: last.sequence,
        position: position.0,
        record_hash: last.hash.0.to_vec(),
        recorded_at: last.recorded_at.micros(),
        epoch: state.epoch(),
        heads: state
            .heads()
            .into_iter()
            .map(|(name, head)| proto::Head {
                ledger: name.as_str().to_owned(),
                ledger_sequence: head.ledger_sequence,
                hash: head.hash.0.to_vec(),
                recorded_at: head.recorded_at.micros(),
            })
            .collect(),
        chunks: chunks
            .iter()
            .enumerate()
            .map(|(index, chunk)| proto::Chunk {
                name: format!("chunk-{index:04}.zst"),
                bytes: chunk.len() as u64,
                blake3: blake3::hash(chunk).as_bytes().to_vec(),
            })
            .collect(),
        build: build.to_owned(),
    };
    Some((manifest, chunks))
}

/// The state that a snapshot was made of.
///
/// # Errors
/// [`ReadError`] says what is damaged, or that the snapshot was made by other rules.
pub fn read(
    manifest: &proto::Manifest,
    chunks: &[Bytes],
    hash_seed: u64,
) -> Result<ShardState, ReadError> {
    let place = Place::of(manifest)?;
    if chunks.len() != manifest.chunks.len() {
        return Err(ReadError::Manifest(format!(
            "it names {} chunks, {} are there",
            manifest.chunks.len(),
            chunks.len()
        )));
    }
    let mut images = parts::Images::default();
    let (mut ledgers, mut sources) = (Vec::new(), Vec::new());
    for (index, (bytes, named)) in chunks.iter().zip(&manifest.chunks).enumerate() {
        let damaged = |what: String| ReadError::Chunk { index, what };
        if blake3::hash(bytes).as_bytes()[..] != named.blake3[..] {
            return Err(damaged("its BLAKE3 is another".to_owned()));
        }
        let plain = zstd::bulk::decompress(bytes, CHUNK_BYTES_MAX)
            .map_err(|error| damaged(format!("it cannot be decompressed: {error}")))?;
        let mut rest = &plain[..];
        while !rest.is_empty() {
            let part = proto::Part::decode_length_delimited(&mut rest)
                .map_err(|error| damaged(error.to_string()))?;
            if let Some(proto::part::Part::Source(source)) = part.part {
                sources.push(source);
            } else if let Some(image) = images.push(part)? {
                ledgers.push(ledger_of(image, hash_seed)?);
            }
        }
    }
    if let Some(image) = images.finish() {
        ledgers.push(ledger_of(image, hash_seed)?);
    }
    let mut state = place.state(ledgers, hash_seed)?;
    for source in sources {
        state.read_on(&source.topic.into(), source.partition, source.next_offset);
    }
    Ok(state)
}

fn ledger_of(
    image: ledger_core::ledger::LedgerImage,
    hash_seed: u64,
) -> Result<LedgerState, ReadError> {
    let ledger = image.name.to_string();
    LedgerState::from_image(image, hash_seed).map_err(|why| ReadError::Ledger {
        ledger,
        what: why.to_string(),
    })
}

/// What a manifest says of its place in the log, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The log.
    pub log_id: LogId,
    /// The shard.
    pub shard: u32,
    /// Shards of the log.
    pub shard_count: u32,
    /// The last record.
    pub last: LastRecord,
    /// Its epoch.
    pub epoch: u64,
    /// Heads of all chains.
    pub heads: Vec<(LedgerName, Head)>,
}

impl Place {
    /// Reads `manifest`.
    ///
    /// # Errors
    /// [`ReadError`] when this build cannot use the snapshot.
    pub fn of(manifest: &proto::Manifest) -> Result<Self, ReadError> {
        if manifest.format != FORMAT {
            return Err(ReadError::Format {
                found: manifest.format,
            });
        }
        if manifest.evolve_version != EVOLVE_VERSION {
            return Err(ReadError::EvolveVersion {
                found: manifest.evolve_version,
            });
        }
        let wrong = |what: &str| ReadError::Manifest(what.to_owned());
        let time = |micros| Timestamp::from_micros(micros).ok_or(wrong("a time is out of range"));
        let hash = |bytes: &[u8]| {
            bytes
                .try_into()
                .map(RecordHash)
                .map_err(|_| wrong("a hash has not 32 bytes"))
        };
        let heads = manifest.heads.iter().map(|head| {
            let name = LedgerName::from_record(&head.ledger)
                .map_err(|why| ReadError::Manifest(why.to_string()))?;
            let head = Head {
                ledger_sequence: head.ledger_sequence,
                hash: hash(&head.hash)?,
                recorded_at: time(head.recorded_at)?,
            };
            Ok((name, head))
        });
        Ok(Self {
            log_id: manifest.log_id[..]
                .try_into()
                .map(LogId)
                .map_err(|_| wrong("the log's id has not 16 bytes"))?,
            shard: manifest.shard,
            shard_count: manifest.shard_count,
            last: LastRecord {
                sequence: manifest.sequence,
                hash: hash(&manifest.record_hash)?,
                recorded_at: time(manifest.recorded_at)?,
            },
            epoch: manifest.epoch,
            heads: heads.collect::<Result<_, _>>()?,
        })
    }

    fn state(self, ledgers: Vec<LedgerState>, hash_seed: u64) -> Result<ShardState, ReadError> {
        let mut state = ShardState::new(self.log_id, self.shard, self.shard_count, hash_seed);
        state.current = Some(self.log_id);
        state.last = Some(self.last);
        state.epoch = self.epoch;
        let mut ledgers = ledgers.into_iter().peekable();
        // Both are in order of name; the engine's own chain has no ledger.
        for (name, head) in self.heads {
            let ledger = ledgers.next_if(|ledger| *ledger.name() == name);
            if ledger.is_none() != name.is_engine() || state.chain(&name).is_some() {
                return Err(ReadError::Manifest(format!(
                    "the parts of ledger {name} are missing, or it is named twice"
                )));
            }
            state.restore_chain(Chain {
                name,
                head: Some(head),
                ledger,
            });
        }
        match ledgers.next() {
            Some(ledger) => Err(ReadError::Manifest(format!(
                "it does not name the head of ledger {}",
                ledger.name()
            ))),
            None => Ok(state),
        }
    }
}

/// Gathers parts into compressed chunks.
#[derive(Default)]
struct Chunks {
    plain: Vec<u8>,
    done: Vec<Bytes>,
}

impl Chunks {
    fn push(&mut self, part: &proto::Part) {
        part.encode_length_delimited(&mut self.plain)
            .expect("a vector grows as needed");
        if self.plain.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let packed = zstd::bulk::compress(&self.plain, ZSTD_LEVEL)
            .expect("compressing from memory to memory at a known level has no cause to fail");
        self.done.push(packed.into());
        self.plain.clear();
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.plain.is_empty() {
            self.flush();
        }
        self.done
    }
}
