//! The house rules that a compiler does not check: who may depend on whom, what the map says,
//! which licences come in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(root())
        .other_options(vec!["--locked".into()])
        .exec()
        .expect("cargo metadata")
}

/// Normal dependencies of each crate of the workspace.
fn dependencies(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|d| d.kind == DependencyKind::Normal)
                .map(|d| d.name.clone())
                .collect();
            (package.name.to_string(), names)
        })
        .collect()
}

const SERVICES: [&str; 3] = ["command-handler", "projector", "query-api"];
const ADAPTERS: [&str; 5] = [
    "adapter-embedded",
    "adapter-object-store",
    "adapter-kafka",
    "adapter-bigtable",
    "adapter-postgres",
];
const SEES_EVERYTHING: [&str; 3] = ["daybook", "xtask", "examples"];

/// What a crate of the house may depend on within the house.
fn allowed(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "ledger-core" => &[],
        "schemas" => &["ledger-core"],
        "ports" => &["ledger-core", "schemas"],
        "shard-state" => &["ledger-core", "schemas", "ports"],
        name if SERVICES.contains(&name) => &["ledger-core", "schemas", "ports", "shard-state"],
        name if ADAPTERS.contains(&name) => &["ledger-core", "schemas", "ports"],
        _ => return None,
    })
}

#[test]
fn crates_depend_only_on_whom_they_may() {
    let metadata = metadata();
    let all = dependencies(&metadata);
    let house: BTreeSet<&str> = all.keys().map(String::as_str).collect();
    let mut broken = Vec::new();
    for (name, dependencies) in &all {
        match allowed(name) {
            Some(allowed) => {
                for dependency in dependencies {
                    if house.contains(dependency.as_str())
                        && !allowed.contains(&dependency.as_str())
                    {
                        broken.push(format!("{name} depends on {dependency}"));
                    }
                }
            }
            None if SEES_EVERYTHING.contains(&name.as_str()) => {}
            None => broken.push(format!("{name} has no rule here: give it one")),
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_core_has_no_async_no_io_and_no_formats() {
    let metadata = metadata();
    let core = &dependencies(&metadata)["ledger-core"];
    let expected: BTreeSet<String> = ["blake3", "foldhash", "thiserror"].map(String::from).into();
    assert_eq!(core, &expected, "ledger-core is pure");
}

#[test]
fn the_examples_use_the_api_alone() {
    let metadata = metadata();
    let examples = &dependencies(&metadata)["examples"];
    for inner in ["ledger-core", "ports", "shard-state", "daybook"]
        .iter()
        .chain(&SERVICES)
        .chain(&ADAPTERS)
    {
        assert!(!examples.contains(*inner), "examples depend on {inner}");
    }
}

#[test]
fn every_licence_may_be_shipped() {
    const ALLOWED: [&str; 11] = [
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "MIT",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Unicode-3.0",
        "Zlib",
        "CC0-1.0",
        "MPL-2.0",
        "CDLA-Permissive-2.0",
    ];
    let allowed: Vec<spdx::Licensee> = ALLOWED
        .iter()
        .map(|id| spdx::Licensee::parse(id).expect("a licence id"))
        .collect();
    let mut refused = Vec::new();
    for package in &metadata().packages {
        let Some(licence) = &package.license else {
            refused.push(format!("{} names no licence", package.name));
            continue;
        };
        // Old manifests write "MIT/Apache-2.0".
        let expression = spdx::Expression::parse(&licence.replace('/', " OR "));
        let good = expression.is_ok_and(|expression| {
            expression.evaluate(|required| allowed.iter().any(|a| a.satisfies(required)))
        });
        if !good {
            refused.push(format!("{}: {licence}", package.name));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

fn source_files(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | ".git" | ".venv" | "node_modules") {
                source_files(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_says_what_it_is_and_fits_in_a_head() {
    const LINES_MAX: usize = 600;
    let root = root();
    let mut files = Vec::new();
    source_files(&root, &mut files);
    let mut broken = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        let shown = file.strip_prefix(&root).unwrap_or(&file).display();
        if !text.starts_with("//!") {
            broken.push(format!("{shown} does not begin with //!"));
        }
        let is_test = file.components().any(|c| c.as_os_str() == "tests");
        let lines = text.lines().count();
        if lines > LINES_MAX && !is_test {
            broken.push(format!(
                "{shown} has {lines} lines: which second thing does it hold?"
            ));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_map_names_every_crate_and_only_what_exists() {
    let root = root();
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut broken = Vec::new();
    for package in metadata().workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|p| p.strip_prefix(&root).ok())
            .expect("a crate lies in the workspace");
        if !map.contains(&format!("`{folder}/`")) {
            broken.push(format!("{folder}/ is not on the map"));
        }
    }
    for document in ["ARCHITECTURE.md", "README.md"] {
        let text = fs::read_to_string(root.join(document)).expect(document);
        for path in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| is_project_path(code))
        {
            if !root.join(path).exists() {
                broken.push(format!("{document} names {path}, which is not there"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Inline code that is meant as a path of the project: has a slash, and neither blanks nor what
/// only addresses, flags and placeholders have.
fn is_project_path(code: &str) -> bool {
    code.contains('/')
        && !code.starts_with(['/', '.', '-', '<', '$'])
        && code
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'))
        && code
            .split('/')
            .next()
            .is_some_and(|first| !first.chars().all(|c| c.is_ascii_uppercase()))
}

#[test]
fn every_decision_is_in_the_index() {
    let folder = root().join("docs/adr");
    let index = fs::read_to_string(folder.join("README.md")).expect("docs/adr/README.md");
    let mut broken = Vec::new();
    let mut numbers = BTreeSet::new();
    for entry in fs::read_dir(&folder).expect("docs/adr") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name == "README.md" {
            continue;
        }
        if !index.contains(&format!("({name})")) {
            broken.push(format!("docs/adr/README.md does not name {name}"));
        }
        if !numbers.insert(name.chars().take(4).collect::<String>()) {
            broken.push(format!("the number of {name} is taken"));
        }
        let text = fs::read_to_string(folder.join(&name)).expect("an ADR");
        for heading in ["Status:", "## Context", "## Decision", "## Consequences"] {
            if !text.contains(heading) {
                broken.push(format!("{name} lacks '{heading}'"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
