//! The read models are held to the suite of `ports`.

#![allow(clippy::unwrap_used)]

use adapter_embedded::{Embedded, Options};
use async_trait::async_trait;
use ports::conformance::projection::{Models, ViewsCapabilities, ViewsUnderTest};

/// Read models in a folder that is removed at the end.
struct Folder {
    dir: tempfile::TempDir,
    opened: Option<Embedded>,
}

impl Folder {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            opened: None,
        }
    }
}

#[async_trait]
impl ViewsUnderTest for Folder {
    fn capabilities(&self) -> ViewsCapabilities {
        ViewsCapabilities {
            reopens: true,
            rebuilds: true,
        }
    }

    async fn open(&mut self, shards: u32) -> Models {
        let options = Options {
            shards: Some(shards),
            create: true,
            ..Options::default()
        };
        let opened = Embedded::open(self.dir.path(), options).await.unwrap();
        let models = Models {
            projection: opened.projection(),
            views: opened.views(),
            facts: opened.facts(),
            switch: Some(opened.switch()),
            log_id: opened.log().log_id(),
        };
        self.opened = Some(opened);
        models
    }

    async fn close(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.close().await;
        }
    }
}

ports::read_models_conformance!(Folder::new());
