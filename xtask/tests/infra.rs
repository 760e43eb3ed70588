//! The files under infra/, docker-compose.yml and the Dockerfile agree with each other and with the
//! code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use xtask::stack::versions::Versions;
use xtask::stack::{PASSWORD, Ports, USER};

fn read(path: &str) -> String {
    let path = xtask::root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What follows `key` on the lines of `text` that begin with it.
fn values<'a>(text: &'a str, key: &str) -> BTreeSet<&'a str> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(key))
        .map(str::trim)
        .collect()
}

#[test]
fn compose_and_dockerfile_have_the_pinned_versions() {
    let versions = Versions::read(&xtask::root()).expect("infra/versions.toml");
    let kafka = format!("apache/kafka:{}", versions.kafka.version);
    let postgres = format!("postgres:{}", versions.postgres.version);
    let images = &versions.images;
    let (compose, dockerfile) = (read("docker-compose.yml"), read("Dockerfile"));

    assert_eq!(
        values(&compose, "image:"),
        [
            kafka.as_str(),
            &postgres,
            "daybook:local",
            "daybook-bigtable:local",
            "daybook-minio:local"
        ]
        .into()
    );
    assert!(
        versions
            .postgres
            .version
            .starts_with(&format!("{}.", versions.postgres.major))
    );
    for (name, pinned) in [
        ("RUST_IMAGE", &images.rust),
        ("GOLANG_IMAGE", &images.golang),
        ("RUNTIME_IMAGE", &images.runtime),
        ("BIGTABLE_VERSION", &versions.bigtable.version),
        ("MINIO_VERSION", &versions.minio.version),
    ] {
        assert_eq!(
            values(&compose, &format!("{name}:")),
            [pinned.as_str()].into(),
            "{name}"
        );
        assert_eq!(
            values(&dockerfile, &format!("ARG {name}=")),
            [pinned.as_str()].into(),
            "{name}"
        );
    }
    for module in [&versions.bigtable.module, &versions.minio.module] {
        assert!(dockerfile.contains(&format!("{module}@")), "{module}");
    }
    // Only what the arguments name, and stages of its own.
    for from in values(&dockerfile, "FROM ") {
        let base = from.split_whitespace().next().expect("a base");
        assert!(
            base.starts_with("${") || base == "runtime",
            "{base} is not pinned"
        );
    }
    let rust = images.rust.trim_start_matches("rust:");
    let needed = read("Cargo.toml");
    let needed = values(&needed, "rust-version = ");
    let needed = needed.first().expect("a Rust version").trim_matches('"');
    assert!(
        rust.starts_with(needed),
        "the image has Rust {rust}, Daybook needs {needed}"
    );
}

#[test]
fn the_settings_file_names_the_first_stack() {
    let settings: toml::Table = read("infra/daybook.toml").parse().expect("TOML");
    let ports = Ports::from(xtask::stack::FIRST_PORT);
    let at = |port: u16| format!("127.0.0.1:{port}");
    let get = |section: &str, key: &str| {
        settings[section][key]
            .as_str()
            .unwrap_or_else(|| panic!("[{section}] {key}"))
            .to_owned()
    };
    assert_eq!(settings["profile"].as_str(), Some("cluster"));
    assert_eq!(get("kafka", "servers"), at(ports.kafka()));
    assert_eq!(get("bigtable", "address"), at(ports.bigtable()));
    let postgres = format!(
        "postgres://{USER}:{PASSWORD}@{}/{USER}",
        at(ports.postgres())
    );
    assert_eq!(get("postgres", "url"), postgres);
    assert_eq!(
        get("s3", "endpoint"),
        format!("http://{}", at(ports.minio()))
    );
    assert_eq!(get("s3", "access_key"), USER);
    assert_eq!(get("s3", "secret_key"), PASSWORD);
}

fn sources(under: &Path, to: &mut String) {
    for entry in fs::read_dir(under).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            let name = path.file_name().unwrap_or_default();
            if name != "target" && name != ".git" {
                sources(&path, to);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            to.push_str(&fs::read_to_string(&path).expect("a source file"));
        }
    }
}

/// Names of metrics in `text`.
fn metrics(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("daybook_"))
        .map(|word| word.trim_end_matches("_bucket").to_owned())
        .collect()
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_exist() {
    let mut code = String::new();
    sources(&xtask::root(), &mut code);
    let dashboard = read("infra/grafana/daybook.json");
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    assert!(
        parsed["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 5)
    );
    for (file, text) in [
        ("infra/grafana/daybook.json", &dashboard),
        (
            "infra/prometheus/alerts.yml",
            &read("infra/prometheus/alerts.yml"),
        ),
    ] {
        let named = metrics(text);
        assert!(named.len() > 4, "{file} names {named:?}");
        for metric in named {
            assert!(
                code.contains(&format!("\"{metric}\"")),
                "{file}: no code counts {metric}"
            );
        }
    }
}
