//! Secrets: from the environment, from files, or from the settings file; never in a log.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::client::failure::{Failure, Kind};

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for who needs it to connect.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads the variable `name`, or the file that `name_FILE` names; then `plain` or the file
/// `file` of the settings.
///
/// # Errors
/// A file cannot be read; both of a pair are given.
pub fn secret(
    environment: &dyn Fn(&str) -> Option<String>,
    name: &str,
    plain: Option<Secret>,
    file: Option<PathBuf>,
) -> Result<Option<Secret>, Failure> {
    let by_file = format!("{name}_FILE");
    match (environment(name), environment(&by_file)) {
        (Some(_), Some(_)) => {
            return Err(invalid(format!(
                "{name} and {by_file} are both set: set one of them"
            )));
        }
        (Some(text), None) => return Ok(Some(Secret::new(text))),
        (None, Some(path)) => return read(Path::new(&path), &by_file).map(Some),
        (None, None) => {}
    }
    match (plain, file) {
        (Some(_), Some(path)) => Err(invalid(format!(
            "a secret and its file {} are both in the settings: give one of them",
            path.display()
        ))),
        (Some(plain), None) => Ok(Some(plain)),
        (None, Some(path)) => read(&path, "the settings").map(Some),
        (None, None) => Ok(None),
    }
}

fn read(path: &Path, named_by: &str) -> Result<Secret, Failure> {
    std::fs::read_to_string(path)
        .map(|text| Secret::new(text.trim_end_matches(['\r', '\n'])))
        .map_err(|error| {
            invalid(format!(
                "{}, which {named_by} names, cannot be read: {error}",
                path.display()
            ))
        })
}

fn invalid(message: String) -> Failure {
    Failure::new(Kind::Usage, "CONFIG_INVALID", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_and_nothing_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "from a file\n").unwrap();
        let named = path.display().to_string();
        let by_file = move |name: &str| (name == "KEY_FILE").then(|| named.clone());
        let found = secret(&by_file, "KEY", Some(Secret::new("settings")), None).unwrap();
        let found = found.unwrap();
        assert_eq!(found.reveal(), "from a file");
        assert_eq!(format!("{found:?}"), "***");
        let both = |_: &str| Some("x".to_owned());
        assert!(secret(&both, "KEY", None, None).is_err());
        let none = |_: &str| None;
        let found = secret(&none, "KEY", None, Some(path)).unwrap().unwrap();
        assert_eq!(found.reveal(), "from a file");
        let missing = secret(&none, "KEY", None, Some("/nowhere/at all".into()));
        assert!(missing.unwrap_err().message.contains("/nowhere"));
    }
}
