//! Which features everything is built with, and which test targets need the stack: both are read
//! from the manifests.

use std::collections::BTreeSet;

use cargo_metadata::{Metadata, MetadataCommand, TargetKind};

/// The feature whose tests need real servers.
pub const STACK_TESTS: &str = "stack-tests";

/// What the names of failure tests begin with: they run in a short form among the others, and in a
/// long one by `cargo xtask chaos`.
pub const CHAOS: &str = "chaos";

/// The test targets of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// What everything is built with, lints and tests alike, so that nothing is built twice:
    /// `package/feature`, separated by commas.
    pub features: String,
    /// Integration tests that need no server.
    pub quick: BTreeSet<String>,
    /// Those that need the stack.
    pub stack: BTreeSet<String>,
    /// Names that are in both: cargo selects tests by name, so neither can be run alone.
    pub ambiguous: BTreeSet<String>,
}

impl Targets {
    /// Reads them from the workspace's manifests.
    ///
    /// # Errors
    /// What `cargo metadata` says.
    pub fn of_workspace() -> Result<Self, cargo_metadata::Error> {
        let metadata = MetadataCommand::new()
            .current_dir(crate::root())
            .no_deps()
            .exec()?;
        Ok(Self::of(&metadata))
    }

    /// The failure tests.
    #[must_use]
    pub fn chaos(&self) -> BTreeSet<String> {
        self.stack
            .iter()
            .filter(|name| name.starts_with(CHAOS))
            .cloned()
            .collect()
    }

    fn of(metadata: &Metadata) -> Self {
        let mut found = Self::default();
        let mut features = Vec::new();
        for package in metadata.workspace_packages() {
            let needed = package.targets.iter().flat_map(|t| &t.required_features);
            let wanted: BTreeSet<&str> = ["cluster", STACK_TESTS]
                .into_iter()
                .filter(|feature| package.features.contains_key(*feature))
                .chain(needed.map(String::as_str))
                .collect();
            for feature in wanted {
                features.push(format!("{}/{feature}", package.name));
            }
            for target in &package.targets {
                if !target.kind.contains(&TargetKind::Test) || !target.test {
                    continue;
                }
                if target.required_features.iter().any(|f| f == STACK_TESTS) {
                    found.stack.insert(target.name.clone());
                } else {
                    found.quick.insert(target.name.clone());
                }
            }
        }
        found.features = features.join(",");
        found.ambiguous = found.quick.intersection(&found.stack).cloned().collect();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_target_is_run_in_exactly_one_way() {
        let targets = Targets::of_workspace().unwrap();
        assert!(
            targets.ambiguous.is_empty(),
            "these names are of a test that needs the stack and of one that does not; give them \
             different names: {:?}",
            targets.ambiguous
        );
        assert!(targets.features.split(',').any(|f| f == "daybook/cluster"));
        // Known ones of both kinds.
        assert!(
            targets.quick.contains("architecture"),
            "{:?}",
            targets.quick
        );
        assert!(targets.stack.contains("local_stack"), "{:?}", targets.stack);
        assert!(
            targets
                .features
                .split(',')
                .any(|f| f == "xtask/stack-tests")
        );
    }
}
