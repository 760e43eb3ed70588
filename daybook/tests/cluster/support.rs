//! A cluster of its own on the stack's servers: topics, tables, schema and folder of a name that
//! nobody else has.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::operations::{eventually, get};
use crate::process::{Ran, Server, daybook};

/// A cluster, set up.
pub struct Cluster {
    folder: TempDir,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the real servers (cargo xtask stack up)")
    })
}

impl Cluster {
    /// Names one and writes its settings; sets nothing up.
    pub fn named(shards: u32) -> Self {
        let name = format!("t{:012x}", rand::random::<u64>() >> 16);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let settings = format!(
            "profile = 'cluster'\nshards = {shards}\n[cluster]\nname = '{name}'\n\
             [kafka]\nservers = '{}'\n[postgres]\nurl = '{}'\nconnections = 10\n\
             [bigtable]\naddress = '{}'\n[s3]\nendpoint = '{}'\nbucket = '{bucket}'\n\
             access_key = '{}'\nsecret_key = '{}'\n",
            variable("DAYBOOK_KAFKA"),
            variable("DAYBOOK_POSTGRES"),
            variable("DAYBOOK_BIGTABLE"),
            variable("DAYBOOK_S3"),
            variable("DAYBOOK_S3_ACCESS_KEY"),
            variable("DAYBOOK_S3_SECRET_KEY"),
            bucket = format_args!("daybook-{name}"),
        );
        std::fs::write(folder.path().join("daybook.toml"), settings).expect("a file");
        Self { folder }
    }

    /// Sets one up.
    pub fn new(shards: u32) -> Self {
        let cluster = Self::named(shards);
        cluster.run(&["setup", "--single-broker"]).ok();
        cluster
    }

    /// A name for a cluster beside it.
    pub fn other_name(&self) -> String {
        format!("o{:012x}", rand::random::<u64>() >> 16)
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("daybook.toml")
    }

    /// Runs a command with the cluster's settings.
    pub fn run(&self, words: &[&str]) -> Ran {
        let mut command = daybook();
        command
            .current_dir(self.folder.path())
            .env("DAYBOOK_CONFIG", self.config())
            .args(words);
        Ran::of(words, command.output().expect("the command runs"))
    }

    /// Starts a process with these options, and waits until it is ready.
    pub fn start(&self, options: &[&str]) -> Server {
        let config = self.config();
        let config = config.to_str().expect("a path of our own");
        let options: Vec<_> = ["--config", config]
            .into_iter()
            .chain(options.iter().copied())
            .collect();
        let server = Server::on(&self.folder.path().join("no-data"), &options);
        eventually(Duration::from_secs(60), "it is ready", || {
            get(server.operations(), "/readyz").starts_with("HTTP/1.1 200")
        });
        server
    }

    /// Everything agrees with everything, from the outside.
    pub fn verify(&self) {
        let said = self.run(&["verify", "--deep", "--profile", "cluster"]).ok();
        assert!(said.contains("clean"), "{said}");
        assert!(said.contains("byte for byte"), "{said}");
        assert!(said.contains("row by row"), "{said}");
    }
}
