//! The account history, held to the suite of all histories.

use adapter_bigtable::{Bigtable, BigtableConfig};
use async_trait::async_trait;
use ports::conformance::history::{HistoryUnderTest, OpenedHistory};
use schemas::record::LogId;

use crate::server;

#[derive(Default)]
struct InBigtable(Option<(BigtableConfig, LogId)>);

#[async_trait]
impl HistoryUnderTest for InBigtable {
    fn reopens(&self) -> bool {
        true
    }

    async fn open(&mut self, _: u32) -> OpenedHistory {
        let (config, log_id) = self
            .0
            .get_or_insert_with(|| (server::config(), server::log_id()))
            .clone();
        Bigtable::setup(&config).await.unwrap();
        OpenedHistory {
            history: Bigtable::open(config, log_id).await.history(),
            log_id,
        }
    }

    async fn close(&mut self) {}
}

ports::history_conformance!(InBigtable::default());
