//! What a stack remembers between commands: `stack.json` in its folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::process::Process;
use super::server::Server;
use super::{StackError, files};

/// A stack's memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Where its block of ports begins.
    pub port_base: Option<u16>,
    /// The processes that were started, the ended ones too until they are started again.
    #[serde(default)]
    pub servers: BTreeMap<Server, Process>,
}

impl State {
    /// Reads it; a stack that was never started has an empty one.
    pub(super) fn read(folder: &Path) -> Result<Self, StackError> {
        let path = folder.join("stack.json");
        if !path.exists() {
            return Ok(Self::default());
        }
        serde_json::from_str(&files::read(&path)?).map_err(|error| StackError::File {
            doing: "understand",
            path,
            source: error.into(),
        })
    }

    /// Writes it.
    pub(super) fn write(&self, folder: &Path) -> Result<(), StackError> {
        let path = folder.join("stack.json");
        let text = serde_json::to_string_pretty(self).map_err(|error| StackError::File {
            doing: "write",
            path: path.clone(),
            source: error.into(),
        })?;
        files::replace(&path, &text)
    }
}
