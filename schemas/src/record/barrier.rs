//! Barriers: control records, which have no sequence and stand outside of the chains.

use bytes::Bytes;
use prost::Message as _;

use super::RecordError;
use super::error::exactly;
use crate::proto::record::v1 as proto;

/// What a claimant commits first; it then replays until it reads this very nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// At random.
    pub nonce: [u8; 16],
    /// The epoch that the claimant knew last; 0 where it knew none.
    pub epoch: u64,
}

impl Barrier {
    /// The bytes of a control entry's body.
    pub fn encode(&self) -> Bytes {
        let barrier = proto::Barrier {
            nonce: Bytes::copy_from_slice(&self.nonce),
            epoch: self.epoch,
        };
        barrier.encode_to_vec().into()
    }

    /// Reads a control entry's body.
    ///
    /// # Errors
    /// [`RecordError`] when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let barrier = proto::Barrier::decode(bytes)?;
        Ok(Self {
            nonce: exactly(&barrier.nonce, "barrier.nonce")?,
            epoch: barrier.epoch,
        })
    }
}
