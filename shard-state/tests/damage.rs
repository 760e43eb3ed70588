//! Damage anywhere in a log is found, and the record that is damaged is named.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use common::{Maker, check, said, source};
use ports::log::{LogEntry, LogError, LogReader, Position};
use ports::memory::MemoryLog;
use proptest::prelude::*;
use schemas::record::frame;
use shard_state::Source;
use shard_state::verify::{Options, verify};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// Where a record stands: entry, byte of the body, and its length.
fn places(log: &MemoryLog) -> Vec<(usize, usize, usize, u64)> {
    let mut places = Vec::new();
    for (index, entry) in log.entries(0).iter().enumerate() {
        if entry.record_count == 0 {
            continue;
        }
        let start = entry.body.as_ptr() as usize;
        for (sequence, bytes) in
            (entry.first_sequence..).zip(frame::split(entry.body.clone()).unwrap())
        {
            places.push((
                index,
                bytes.as_ptr() as usize - start,
                bytes.len(),
                sequence,
            ));
        }
    }
    places
}

fn flip(body: &Bytes, at: usize, bits: u8) -> Bytes {
    let mut bytes = body.to_vec();
    bytes[at] ^= bits;
    bytes.into()
}

/// A log whose store checks its entries, as every real one does, and knows those of `good`.
struct Checking {
    good: Vec<LogEntry>,
    log: MemoryLog,
}

#[async_trait]
impl LogReader for Checking {
    async fn read(
        &self,
        shard: u32,
        from: Position,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, LogError> {
        let mut read = Vec::new();
        for entry in self.log.read(shard, from, bytes_max).await? {
            if self.good.contains(&entry) {
                read.push(entry);
            } else if read.is_empty() {
                return Err(LogError::Damaged {
                    shard,
                    position: entry.position,
                    what: "the checksum does not fit".to_owned(),
                });
            } else {
                break;
            }
        }
        Ok(read)
    }

    async fn entry_of(&self, shard: u32, sequence: u64) -> Result<Option<LogEntry>, LogError> {
        self.log.entry_of(shard, sequence).await
    }

    async fn read_damaged(
        &self,
        _shard: u32,
        position: Position,
    ) -> Result<Option<LogEntry>, LogError> {
        let entries = self.log.entries(0);
        Ok(entries.into_iter().find(|entry| entry.position == position))
    }

    fn watch(&self, shard: u32) -> tokio::sync::watch::Receiver<u64> {
        LogReader::watch(&self.log, shard)
    }
}

proptest! {
    #![proptest_config(config(100))]

    /// Without a checksum: the chain alone tells, but for the last record of each ledger.
    #[test]
    fn a_flipped_byte_is_found_by_the_chain_and_its_record_is_named(
        seed in 0_u64..4, record: prop::sample::Index, byte: prop::sample::Index, bits in 1_u8..=255,
    ) {
        block_on(async {
            let maker = Maker::filled(seed, 60, 8).await;
            let heads: Vec<_> = maker.state.heads().iter().map(|(_, head)| head.hash).collect();
            let places: Vec<_> = places(&maker.log);
            let (entry, start, length, sequence) = places[record.index(places.len())];
            let at = start + byte.index(length);
            let original = &maker.log.entries(0)[entry].body;
            let is_head = heads.contains(&schemas::record::hash(&original[start..start + length]));
            let damaged = maker.log.tampered(|_, entries| {
                entries[entry].body = flip(&entries[entry].body, at, bits);
            });
            let report = check(&damaged, None).await;
            if is_head && report.is_clean() {
                return Ok(()); // Only a head that was kept elsewhere can tell.
            }
            prop_assert!(!report.is_clean());
            let first = &report.findings[0];
            let name = |log: &MemoryLog| {
                let body = &log.entries(0)[entry].body;
                let bytes = body.slice(start..start + length);
                schemas::record::decode(bytes).ok().map(|record| record.record.ledger)
            };
            if name(&damaged).is_some_and(|renamed| Some(renamed) != name(&maker.log)) {
                return Ok(()); // The first of a ledger seems to begin another, and to be missing.
            }
            // Nothing follows a head that could tell it from the record before it.
            let told = first.sequence == Some(sequence)
                || is_head && first.message.contains("this one was changed, or that one");
            prop_assert!(told, "{sequence}: {}", said(&report));
            Ok(())
        })?;
    }

    /// With one, as every real store has: any byte of the log, framing included.
    #[test]
    fn any_flipped_byte_is_found_and_its_record_is_named(
        seed in 0_u64..4, entry: prop::sample::Index, byte: prop::sample::Index, bits in 1_u8..=255,
    ) {
        block_on(async {
            let maker = Maker::filled(seed, 60, 8).await;
            let entries = maker.log.entries(0);
            let index = entry.index(entries.len());
            let at = byte.index(entries[index].body.len());
            let log = maker.log.tampered(|_, entries| {
                entries[index].body = flip(&entries[index].body, at, bits);
            });
            let source = Source {
                reader: Arc::new(Checking { good: entries.clone(), log: log.clone() }),
                ..source(&log)
            };
            let report = verify(&source, None, None, &Options::default(), |_| {}).await.unwrap();
            prop_assert!(!report.is_clean());
            let named = report.findings[0].sequence.unwrap();
            let places = places(&maker.log);
            let within = places.iter().find(|(entry, start, length, _)| {
                *entry == index && (*start..start + length).contains(&at)
            });
            match within {
                Some((.., sequence)) => {
                    let heads = maker.state.heads().iter().filter(|(_, head)| {
                        places.iter().any(|(entry, start, length, _)| *entry == index
                            && schemas::record::hash(&entries[index].body[*start..start + length]) == head.hash)
                    }).count();
                    // Where several chains end in this entry, or both sides of a link that does
                    // not fit stand in it, only one of them can be named.
                    let either = report.findings[0].message.contains("this one was changed, or that one");
                    prop_assert!(named == *sequence || either || heads > 1 && named <= *sequence, "{sequence}: {}", said(&report));
                }
                // A length between records, or a barrier: the entry is named.
                None => prop_assert!(
                    (entries[index].first_sequence..=entries[index].next_sequence()).contains(&named),
                    "{}", said(&report)
                ),
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_missing_entry_is_found(seed in 0_u64..4, which: prop::sample::Index) {
        block_on(async {
            let maker = Maker::filled(seed, 60, 8).await;
            let entries = maker.log.entries(0);
            let with_records: Vec<_> =
                (0..entries.len() - 1).filter(|i| entries[*i].record_count > 0).collect();
            let missing = with_records[which.index(with_records.len())];
            let log = maker.log.tampered(|_, entries| {
                entries.remove(missing);
            });
            let report = check(&log, None).await;
            prop_assert!(!report.is_clean());
            prop_assert_eq!(report.findings[0].code, "SEQUENCE_GAP");
            prop_assert_eq!(report.findings[0].sequence, Some(entries[missing].first_sequence));
            Ok(())
        })?;
    }

    #[test]
    fn entries_out_of_order_are_found(seed in 0_u64..4, which: prop::sample::Index) {
        block_on(async {
            let maker = Maker::filled(seed, 60, 8).await;
            let entries = maker.log.entries(0);
            let first = 1 + which.index(entries.len() - 2);
            let log = maker.log.tampered(|_, entries| {
                let (one, other) = (entries[first].position, entries[first + 1].position);
                entries.swap(first, first + 1);
                (entries[first].position, entries[first + 1].position) = (one, other);
            });
            let report = check(&log, None).await;
            prop_assert!(!report.is_clean());
            prop_assert_eq!(report.findings[0].code, "SEQUENCE_GAP");
            prop_assert_eq!(report.findings[0].sequence, Some(entries[first].first_sequence));
            Ok(())
        })?;
    }

    /// Bytes that were never records, and records in any order: nothing panics.
    #[test]
    fn hostile_logs_do_not_panic(seed in 0_u64..4, swaps in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..6), junk: Vec<u8>) {
        block_on(async {
            let maker = Maker::filled(seed, 40, 8).await;
            let log = maker.log.tampered(|_, entries| {
                for entry in entries.iter_mut().filter(|entry| entry.record_count > 0) {
                    let mut records = frame::split(entry.body.clone()).unwrap();
                    for (a, b) in &swaps {
                        let (a, b) = (a.index(records.len()), b.index(records.len()));
                        records.swap(a, b);
                    }
                    let mut body = BytesMut::new();
                    records.iter().for_each(|record| frame::push(&mut body, record));
                    entry.body = body.freeze();
                }
                let last = entries.last_mut().unwrap();
                last.body = junk.clone().into();
            });
            let report = check(&log, None).await;
            prop_assert!(!report.is_clean());
            Ok(())
        })?;
    }
}
