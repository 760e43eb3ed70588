//! Feeds one shard's writer for as long as it serves.

use std::sync::Arc;

use ports::ingestion::CommandSource;
use tokio::sync::watch;

use super::IngestionConfig;
use super::session::Session;
use crate::writer::mailbox::Mailbox;
use crate::writer::status::Reign;

/// Feeds one shard's writer with the commands of its topics.
pub(crate) struct Service {
    writer: Mailbox,
    shard_count: u32,
    source: Arc<dyn CommandSource>,
    config: IngestionConfig,
}

impl Service {
    pub(crate) fn new(
        writer: Mailbox,
        shard_count: u32,
        source: Arc<dyn CommandSource>,
        config: IngestionConfig,
    ) -> Self {
        Self {
            writer,
            shard_count,
            source,
            config,
        }
    }

    /// Runs until the writer is gone for good.
    pub(crate) async fn run(self) {
        let mut reign = self.writer.shared.reign.subscribe();
        while let Some(now) = served(&mut reign).await {
            let session = Session::new(
                self.writer.clone(),
                self.shard_count,
                Arc::clone(&self.source),
                self.config.clone(),
                &now,
            );
            let Err(error) = session.run(&mut reign).await else {
                continue;
            };
            let shard = self.writer.shard;
            tracing::error!(shard, %error, "INGESTION_GAP: no commands are taken from the topics of this shard");
            let why = format!("INGESTION_GAP: {error}");
            let stopped =
                metrics::gauge!("daybook_ingestion_stopped", "shard" => shard.to_string());
            stopped.set(1.0);
            self.writer.shared.set_ingestion_stopped(Some(why));
            // Nothing but a new reign, or a restart that accepts it, changes this.
            let ended = reign.wait_for(|reign| reign.claim != now.claim).await;
            if ended.is_err() {
                return;
            }
            self.writer.shared.set_ingestion_stopped(None);
            stopped.set(0.0);
        }
    }
}

/// Waits until the writer serves; `None` when it never will again.
async fn served(reign: &mut watch::Receiver<Reign>) -> Option<Reign> {
    let now = reign
        .wait_for(|reign| reign.claim > 0 && reign.serves)
        .await;
    now.ok().map(|now| now.clone())
}
