//! STRONG reads over the writers of all shards.

use ledger_core::name::LedgerName;
use ports::routing::shard_of;
use ports::strong::{StrongError, StrongQuery, StrongRead, StrongReads};

use crate::writer::mailbox::Mailbox;

/// STRONG reads over the writers of all shards.
#[derive(Debug)]
pub(crate) struct Strong {
    pub(crate) writers: Vec<Mailbox>,
}

#[async_trait::async_trait]
impl StrongReads for Strong {
    async fn read(
        &self,
        ledger: &LedgerName,
        query: StrongQuery,
    ) -> Result<StrongRead, StrongError> {
        let shard = shard_of(ledger, self.writers.len() as u32);
        let answer = self.writers[shard as usize].read(ledger.clone(), query)?;
        answer.await.unwrap_or_else(|_| {
            Err(StrongError::Unavailable {
                shard,
                why: "its writer ended before it answered".to_owned(),
            })
        })
    }
}
