//! The archive, held to the suite of all archives and to the log that it was made from.

use std::sync::Arc;

use adapter_bigtable::{Bigtable, BigtableConfig};
use async_trait::async_trait;
use ports::archive::{Archive, Spliced, read_back};
use ports::conformance::archive::ArchiveUnderTest;
use ports::log::{EventLog as _, LogReader as _, Position};
use ports::memory::{MemoryLog, RandomBooks, Scribe};
use schemas::record::LogId;

use crate::server;

#[derive(Default)]
struct InBigtable(Option<(BigtableConfig, LogId)>);

#[async_trait]
impl ArchiveUnderTest for InBigtable {
    fn reopens(&self) -> bool {
        true
    }

    async fn open(&mut self, _: u32) -> Arc<dyn Archive> {
        let (config, log_id) = self
            .0
            .get_or_insert_with(|| (server::config(), server::log_id()))
            .clone();
        Bigtable::setup(&config).await.unwrap();
        Bigtable::open(config, log_id).await.archive()
    }

    async fn close(&mut self) {}
}

ports::archive_conformance!(InBigtable::default());

#[tokio::test]
async fn a_trimmed_log_is_whole_with_its_archive() {
    let (bigtable, _, log_id) = server::opened().await;
    let scribe = Scribe::new(MemoryLog::new(log_id, 1)).await;
    RandomBooks::new(scribe.clone(), "bank", 9).write(300).await;
    let log = scribe.log();
    let archive = bigtable.archive();
    let entries = log.entries(0);
    let mut mark = None;
    for some in entries.chunks(40) {
        mark = archive.append(0, mark, some).await.unwrap();
    }
    let next = *log.watch(0).borrow();
    let begin = read_back(&*log.reader(), &*archive.reader(), 0, next).await;
    assert_eq!(begin.unwrap().sequence, next);

    log.trim(0, next / 2);
    let reader = Spliced::new(log.reader(), archive.reader());
    let mut expected = 1;
    let mut from = Position(0);
    loop {
        let read = reader.read(0, from, 10_000).await.unwrap();
        let Some(last) = read.last() else { break };
        from = Position(last.position.0 + 1);
        for entry in read {
            assert_eq!(entry.first_sequence, expected);
            expected = entry.next_sequence();
            assert!(entries.contains(&entry));
        }
    }
    assert_eq!(expected, next);
}

#[tokio::test]
async fn another_node_sees_how_far_it_has_got() {
    let (bigtable, config, log_id) = server::opened().await;
    let other = Bigtable::open(config, log_id).await;
    let mut watch = other.archive().reader().watch(3);
    let scribe = Scribe::new(MemoryLog::new(log_id, 1)).await;
    RandomBooks::new(scribe.clone(), "bank", 9).write(5).await;
    let entries = scribe.log().entries(0);
    let mark = bigtable.archive().append(3, None, &entries).await.unwrap();
    let next = mark.unwrap().next_sequence;
    let seen = watch.wait_for(|told| *told == next);
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, seen).await.unwrap().unwrap();
    let read = other.archive().reader().read(3, Position(0), 1 << 20).await;
    assert_eq!(
        read.unwrap().len(),
        entries.len() - 1,
        "all but the barrier"
    );
}
