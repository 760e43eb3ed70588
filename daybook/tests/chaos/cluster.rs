//! A cluster of its own on the stack's servers: topics, tables, schema and bucket have a name
//! that nobody else has.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::node::Node;
use crate::process::{Ran, daybook};

/// A cluster that was set up.
pub struct Cluster {
    folder: TempDir,
    pub name: String,
}

/// A variable of the stack's.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the real servers (cargo xtask test)")
    })
}

impl Cluster {
    pub fn new(shards: u32) -> Self {
        let name = format!("x{:012x}", rand::random::<u64>() >> 16);
        let cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            name,
        };
        std::fs::write(cluster.config(), cluster.settings(shards, &cluster.name)).unwrap();
        cluster.run(&["setup", "--single-broker"]).ok();
        cluster
    }

    /// The same topics, with empty stores of everything else; gives its settings.
    pub fn with_other_stores(&self, shards: u32) -> PathBuf {
        let config = self.folder.path().join("other-stores.toml");
        let settings = self.settings(shards, &format!("{}o", self.name));
        std::fs::write(&config, settings).unwrap();
        let file = config.to_str().unwrap();
        self.run(&["setup", "--single-broker", "--config", file])
            .ok();
        config
    }

    fn settings(&self, shards: u32, name: &str) -> String {
        let topics = &self.name;
        format!(
            "profile = 'cluster'\nshards = {shards}\nsnapshot_every_records = 2000\n\
             [cluster]\nname = '{name}'\n\
             [kafka]\nservers = '{}'\ntopics = '{topics}.'\n\
             [postgres]\nurl = '{}'\nconnections = 10\n\
             [bigtable]\naddress = '{}'\n\
             [s3]\nendpoint = '{}'\nbucket = 'daybook-{name}'\n\
             access_key = '{}'\nsecret_key = '{}'\n",
            variable("DAYBOOK_KAFKA"),
            variable("DAYBOOK_POSTGRES"),
            variable("DAYBOOK_BIGTABLE"),
            variable("DAYBOOK_S3"),
            variable("DAYBOOK_S3_ACCESS_KEY"),
            variable("DAYBOOK_S3_SECRET_KEY"),
        )
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("daybook.toml")
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A process of it, not started yet.
    pub fn node(&self, name: &str, options: &[&str]) -> Node {
        Node::new(name, self.folder(), self.config(), options)
    }

    /// Runs a command with the cluster's settings.
    pub fn run(&self, words: &[&str]) -> Ran {
        let mut command = daybook();
        command
            .current_dir(self.folder.path())
            .env("DAYBOOK_CONFIG", self.config())
            .args(words);
        Ran::of(words, command.output().unwrap())
    }

    /// All stores agree with each other, once the projection is through.
    pub fn verify(&self) {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let ran = self.run(&["verify", "--deep", "--profile", "cluster"]);
            if ran.code == 0 {
                assert!(ran.stdout.contains("clean"), "{}", ran.stdout);
                return;
            }
            assert!(
                Instant::now() < until,
                "verify --deep is not clean ({}):\n{}{}",
                ran.code,
                ran.stdout,
                ran.stderr
            );
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
