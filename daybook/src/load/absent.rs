//! The topics, in a build without the cluster profile: there are none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use super::feed::Feed;
use super::manifest::Manifest;
use super::proof::Item;
use super::send::Sending;
use crate::client::failure::Failure;
use crate::serve::config::ClusterPlace;

/// The topics of a cluster; there is no such value.
#[derive(Clone, Copy)]
pub enum Topics {}

impl Topics {
    /// Says that the profile is not in this build.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: &ClusterPlace) -> Result<Self, Failure> {
        Err(crate::serve::cluster::without_feature())
    }

    /// Where all topics end now.
    ///
    /// # Errors
    /// None: there is no such value.
    pub async fn ends(&self) -> Result<BTreeMap<String, Vec<(u32, u64)>>, Failure> {
        match *self {}
    }

    /// Produces all that `feed` hands out.
    ///
    /// # Errors
    /// None: there is no such value.
    pub async fn send(
        &self,
        _: &Arc<Feed>,
        _: &Arc<Manifest>,
        _: Sending,
        _: Duration,
    ) -> Result<(), Failure> {
        match *self {}
    }

    /// Reads what stands on the topics.
    ///
    /// # Errors
    /// None: there is no such value.
    pub async fn gather(
        &self,
        _: &Arc<Manifest>,
        _: Duration,
        _: &ProgressBar,
    ) -> Result<Vec<Item>, Failure> {
        match *self {}
    }
}
