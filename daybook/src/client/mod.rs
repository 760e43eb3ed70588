//! The client that all commands against a running server share.

pub mod failure;
pub mod iso4217;
pub mod moment;
pub mod money;
pub mod output;
pub mod rpc;
pub mod session;
