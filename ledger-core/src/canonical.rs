//! The canonical form of a command, over which its request hash is made. Versioned, and
//! independent of protobuf, so that gRPC, Kafka JSON and a newer client hash alike. Key, trace,
//! actor and deadline are left out.

use crate::command::Command;
use crate::facts::RequestHash;
use crate::name::LedgerName;

/// The request hash of `command` to `ledger`.
pub fn request_hash(ledger: &LedgerName, command: &Command) -> RequestHash {
    unimplemented!("{ledger} {command:?}")
}
