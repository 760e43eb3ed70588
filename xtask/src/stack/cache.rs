//! What was fetched or built once, kept outside the repository and used again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::versions::{GoModule, Kafka};
use super::{StackError, files, process, tools};

/// The cache: a folder per server and version. A folder is there whole or not at all.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The folder of `DAYBOOK_STACK_CACHE`, or `~/.cache/daybook/stack`.
    #[must_use]
    pub fn from_env() -> Self {
        let folder = std::env::var_os("DAYBOOK_STACK_CACHE").map_or_else(
            || {
                std::env::var_os("XDG_CACHE_HOME")
                    .map(PathBuf::from)
                    .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
                    .unwrap_or_else(std::env::temp_dir)
                    .join("daybook/stack")
            },
            PathBuf::from,
        );
        Self { folder }
    }

    /// A lock that all stacks of this user share.
    ///
    /// # Errors
    /// [`StackError::File`] when the lock file cannot be used.
    pub fn lock(&self, name: &str) -> Result<File, StackError> {
        files::make_folder(&self.folder)?;
        files::lock(&self.folder.join(format!("{name}.lock")))
    }

    /// Makes the folder `name` by `make`, once: whoever comes second waits, and finds it made.
    fn once(
        &self,
        name: &str,
        say: &dyn Fn(&str),
        make: impl FnOnce(&Path) -> Result<(), StackError>,
    ) -> Result<PathBuf, StackError> {
        let done = self.folder.join(name);
        if done.is_dir() {
            return Ok(done);
        }
        let _lock = self.lock(name)?;
        if done.is_dir() {
            return Ok(done);
        }
        say(&format!("fetching {name} (once)"));
        let half = self.folder.join(format!("{name}.part"));
        files::remove_folder(&half)?;
        files::make_folder(&half)?;
        make(&half)?;
        files::rename(&half, &done)?;
        Ok(done)
    }

    /// The folder with Kafka's jars.
    ///
    /// # Errors
    /// [`StackError`] when Maven cannot fetch them.
    pub fn kafka(&self, pins: &Kafka, say: &dyn Fn(&str)) -> Result<PathBuf, StackError> {
        let name = format!("kafka-{}", pins.version);
        let folder = self.once(&name, say, |folder| {
            need("mvn", "fetches Kafka", tools::GET_MAVEN)?;
            let pom = folder.join("pom.xml");
            files::write(&pom, &project(pins))?;
            let plugin = format!(
                "org.apache.maven.plugins:maven-dependency-plugin:{}:copy-dependencies",
                pins.dependency_plugin
            );
            let mut maven = Command::new("mvn");
            maven
                .args(["--batch-mode", "--quiet", "--file"])
                .arg(&pom)
                .arg(plugin)
                .arg(format!(
                    "-DoutputDirectory={}",
                    folder.join("libs").display()
                ));
            process::run("fetching Kafka by Maven", &mut maven).map(drop)
        })?;
        Ok(folder.join("libs"))
    }

    /// The program that is built from a Go module.
    ///
    /// # Errors
    /// [`StackError`] when Go cannot build it.
    pub fn go(
        &self,
        name: &str,
        pins: &GoModule,
        say: &dyn Fn(&str),
    ) -> Result<PathBuf, StackError> {
        let folder = self.once(&format!("{name}-{}", pins.version), say, |folder| {
            need(
                "go",
                "builds the Bigtable emulator and MinIO",
                tools::GET_GO,
            )?;
            let mut go = Command::new("go");
            go.args(["install", "-ldflags=-s -w"])
                .arg(format!("{}@{}", pins.module, pins.version))
                .current_dir(folder)
                .env("GOBIN", folder);
            process::run(&format!("building {name} by Go"), &mut go).map(drop)
        })?;
        let program = pins.module.rsplit('/').next().unwrap_or(name);
        Ok(folder.join(program))
    }

    /// Whether the folder for `name` at `version` is already made.
    #[must_use]
    pub fn holds(&self, name: &str, version: &str) -> bool {
        self.folder.join(format!("{name}-{version}")).is_dir()
    }
}

fn need(program: &str, wanted_for: &str, how: &str) -> Result<(), StackError> {
    match tools::missing(program, wanted_for, how) {
        Some(line) => Err(StackError::Missing(vec![line])),
        None => Ok(()),
    }
}

/// A Maven project that depends on Kafka and on something for it to log through.
fn project(pins: &Kafka) -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  \
         <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>daybook</groupId><artifactId>kafka</artifactId><version>1</version>\n  \
         <dependencies>\n{}{}  </dependencies>\n</project>\n",
        dependency("org.apache.kafka", "kafka_2.13", &pins.version),
        dependency("org.slf4j", "slf4j-simple", &pins.slf4j),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn two_at_once_make_it_once_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache {
            folder: folder.path().to_path_buf(),
        };
        let refused = cache.once("thing", &|_| {}, |_| {
            Err(StackError::NotRunning("a test".into()))
        });
        assert!(refused.is_err());
        assert!(!cache.holds("thing", "") && !folder.path().join("thing").exists());

        let made = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let path = cache
                        .once("thing", &|_| {}, |path| {
                            made.fetch_add(1, Ordering::SeqCst);
                            std::thread::sleep(std::time::Duration::from_millis(50));
                            files::write(&path.join("inside"), "whole")
                        })
                        .unwrap();
                    assert_eq!(files::read(&path.join("inside")).unwrap(), "whole");
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }
}
