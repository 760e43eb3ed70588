//! The adapters in memory are held to the suite too: services are tested on them.

mod log {
    use std::sync::Arc;

    use async_trait::async_trait;
    use ports::conformance::log::{LogCapabilities, LogUnderTest};
    use ports::log::{EventLog, LogError, Position};
    use ports::memory::MemoryLog;
    use schemas::record::LogId;

    struct InMemory;

    #[async_trait]
    impl LogUnderTest for InMemory {
        fn capabilities(&self) -> LogCapabilities {
            LogCapabilities {
                reopens: false,
                locks: false,
                damages: false,
            }
        }

        async fn open(&mut self, shards: u32) -> Result<Arc<dyn EventLog>, LogError> {
            Ok(Arc::new(MemoryLog::new(LogId([1; 16]), shards)))
        }

        async fn close(&mut self) {}

        async fn damage(&mut self, _: u32, _: Position) {}
    }

    ports::event_log_conformance!(InMemory);
}

mod views {
    use std::sync::Arc;

    use async_trait::async_trait;
    use ports::conformance::projection::{Models, ViewsCapabilities, ViewsUnderTest};
    use ports::memory::MemoryViews;
    use schemas::record::LogId;

    struct InMemory;

    #[async_trait]
    impl ViewsUnderTest for InMemory {
        fn capabilities(&self) -> ViewsCapabilities {
            ViewsCapabilities {
                reopens: false,
                rebuilds: true,
            }
        }

        async fn open(&mut self, shards: u32) -> Models {
            let views = MemoryViews::new(shards);
            Models {
                projection: Arc::new(views.clone()),
                views: Arc::new(views.clone()),
                facts: Arc::new(views.clone()),
                switch: Some(Arc::new(views)),
                log_id: LogId([1; 16]),
            }
        }

        async fn close(&mut self) {}
    }

    ports::read_models_conformance!(InMemory);
}

mod history {
    use std::sync::Arc;

    use async_trait::async_trait;
    use ports::conformance::history::{HistoryUnderTest, OpenedHistory};
    use ports::memory::MemoryHistory;
    use schemas::record::LogId;

    /// Is closed by giving up its clone, and opened again as it was.
    struct InMemory(MemoryHistory);

    #[async_trait]
    impl HistoryUnderTest for InMemory {
        fn reopens(&self) -> bool {
            true
        }

        async fn open(&mut self, _: u32) -> OpenedHistory {
            OpenedHistory {
                history: Arc::new(self.0.clone()),
                log_id: LogId([1; 16]),
            }
        }

        async fn close(&mut self) {}
    }

    ports::history_conformance!(InMemory(MemoryHistory::new()));
}

mod archive {
    use std::sync::Arc;

    use async_trait::async_trait;
    use ports::archive::Archive;
    use ports::conformance::archive::ArchiveUnderTest;
    use ports::memory::MemoryArchive;

    #[derive(Default)]
    struct InMemory(Option<MemoryArchive>);

    #[async_trait]
    impl ArchiveUnderTest for InMemory {
        fn reopens(&self) -> bool {
            true
        }

        async fn open(&mut self, shards: u32) -> Arc<dyn Archive> {
            let archive = self.0.get_or_insert_with(|| MemoryArchive::new(shards));
            Arc::new(archive.clone())
        }

        async fn close(&mut self) {}
    }

    ports::archive_conformance!(InMemory::default());
}
