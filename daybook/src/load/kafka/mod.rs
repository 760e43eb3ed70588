//! The topics: commands are produced to deposits, withdrawals and transfers, and their outcomes
//! are read from the topics beside the log.

mod form;
mod gather;
mod produce;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_kafka::Connection;

use crate::client::failure::{Failure, Kind};
use crate::serve::cluster::settings;
use crate::serve::config::ClusterPlace;

/// The header that tells a load's own messages: its run and the command's number.
const HEADER: &str = "daybook-load";

/// The topics of a cluster.
#[derive(Clone)]
pub struct Topics {
    connection: Connection,
}

impl Topics {
    /// Of the cluster that flags, environment and file say.
    ///
    /// # Errors
    /// They contradict each other.
    pub fn new(place: &ClusterPlace) -> Result<Self, Failure> {
        let (cluster, _) = place.load()?;
        Ok(Self {
            connection: Connection::new(settings::kafka(&cluster)?),
        })
    }

    /// Where all topics of commands and outcomes end now, by partition.
    ///
    /// # Errors
    /// The brokers cannot be reached, or the topics are not there.
    pub async fn ends(&self) -> Result<BTreeMap<String, Vec<(u32, u64)>>, Failure> {
        let topics = self.clone();
        blocking(move || {
            let names = topics.connection.topics();
            let [deposits, withdrawals, transfers] = names.ingestion();
            let all = [
                deposits,
                withdrawals,
                transfers,
                &names.outcomes,
                &names.dead_letters,
            ];
            let ends = all.map(|topic| {
                let ends = read::ends(&topics.connection, topic)?;
                Ok((topic.to_string(), ends))
            });
            ends.into_iter().collect()
        })
        .await
    }

    fn names(&self) -> Names {
        let topics = self.connection.topics();
        Names {
            commands: topics.ingestion().map(Arc::clone),
            outcomes: Arc::clone(&topics.outcomes),
            dead_letters: Arc::clone(&topics.dead_letters),
        }
    }
}

/// Names of the topics.
struct Names {
    commands: [Arc<str>; 3],
    outcomes: Arc<str>,
    dead_letters: Arc<str>,
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|died| Err(Failure::broken(died.to_string())))
}

fn unreachable(error: impl std::fmt::Display) -> Failure {
    let mut failure = Failure::new(Kind::Unavailable, "UNAVAILABLE", format!("Kafka: {error}"));
    failure.retryable = true;
    failure
}
