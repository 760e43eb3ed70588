//! The read models are held to the suite of `ports`, on a real server.

#![allow(clippy::unwrap_used)]
#![allow(dead_code)]

mod common;

use adapter_postgres::Postgres;
use async_trait::async_trait;
use ports::conformance::projection::{Models, ViewsCapabilities, ViewsUnderTest};

use common::{Schema, models};

struct InPostgres {
    schema: Schema,
    opened: Option<Postgres>,
}

impl InPostgres {
    fn new() -> Self {
        Self {
            schema: Schema::new(),
            opened: None,
        }
    }
}

#[async_trait]
impl ViewsUnderTest for InPostgres {
    fn capabilities(&self) -> ViewsCapabilities {
        ViewsCapabilities {
            reopens: true,
            rebuilds: true,
        }
    }

    async fn open(&mut self, shards: u32) -> Models {
        let opened = self.schema.open(shards).await;
        let models = models(&opened);
        self.opened = Some(opened);
        models
    }

    async fn close(&mut self) {
        if let Some(opened) = self.opened.take() {
            opened.close().await;
        }
    }
}

ports::read_models_conformance!(InPostgres::new());
