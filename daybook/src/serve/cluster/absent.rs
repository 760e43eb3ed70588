//! A build without the cluster profile.

use std::net::SocketAddr;

use super::without_feature;
use crate::client::failure::Failure;
use crate::serve::config::Config;
use crate::serve::node::Node;
use crate::serve::operations::Waiting;

/// Says that the profile is not in this build.
///
/// # Errors
/// Always.
pub async fn start(_: &Config, _: SocketAddr, _: Waiting) -> Result<Node, Failure> {
    Err(without_feature())
}
