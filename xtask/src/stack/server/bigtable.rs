//! Google's Bigtable emulator. It keeps all in memory.

use std::process::Command;

use super::Place;
use crate::stack::StackError;

pub(super) fn prepare(place: &Place<'_>) -> Result<Command, StackError> {
    let program = place
        .cache
        .go("bigtable", &place.versions.bigtable, &|_| {})?;
    let mut command = Command::new(program);
    command
        .args(["-host", "127.0.0.1", "-port"])
        .arg(place.ports.bigtable().to_string());
    Ok(command)
}
