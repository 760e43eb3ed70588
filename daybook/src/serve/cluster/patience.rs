//! Waiting for servers that cannot be reached: told, and never given up.

use std::time::{Duration, Instant};

use adapter_bigtable::BigtableError;
use adapter_object_store::S3Error;
use adapter_postgres::OpenError;
use ports::log::LogError;

use crate::client::failure::{Failure, Kind};
use crate::serve::operations::Waiting;

const FIRST: Duration = Duration::from_millis(200);
const MOST: Duration = Duration::from_secs(5);
/// How often what is waited for is said again.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Why a server was not reached.
#[derive(Debug)]
pub enum Trouble {
    /// It may be reached later.
    Later(String),
    /// Waiting does not help.
    Never(Failure),
}

impl Trouble {
    /// As an end of the command.
    pub fn failure(self) -> Failure {
        match self {
            Self::Never(failure) => failure,
            Self::Later(why) => {
                let mut failure = Failure::new(Kind::Unavailable, "UNAVAILABLE", why);
                failure.retryable = true;
                if failure.message.contains("certificate") {
                    return failure
                        .hint(
                            "it is there: trust who signed its certificate (ca_file, sslrootcert)",
                        )
                        .hint("or reach it by a name that stands in its certificate");
                }
                failure
                    .hint("start the servers: cargo xtask stack up, or docker compose up")
                    .hint("or say where they are: daybook serve --help, Cluster options")
            }
        }
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        let said = error.to_string();
        match error {
            LogError::Unavailable(_) | LogError::NotOwner { .. } => Self::Later(said),
            LogError::Locked(_) => Self::Never(Failure::new(Kind::Locked, "LOG_LOCKED", said)),
            LogError::Damaged { .. } => {
                Self::Never(Failure::new(Kind::Broken, "LOG_DAMAGED", said))
            }
            LogError::Unusable(_) => Self::Never(
                Failure::new(Kind::Broken, "LOG_UNUSABLE", said)
                    .hint("daybook setup makes and checks topics, tables and the bucket"),
            ),
        }
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Self {
        let said = error.to_string();
        match error {
            OpenError::Unavailable(_) => Self::Later(said),
            OpenError::Config(_) => Self::Never(Failure::new(Kind::Usage, "CONFIG_INVALID", said)),
            OpenError::NotSetUp { .. } => Self::Never(
                Failure::new(Kind::Broken, "READ_MODELS_UNUSABLE", said)
                    .hint("daybook setup makes and checks topics, tables and the bucket"),
            ),
            _ => Self::Never(Failure::new(Kind::Broken, "READ_MODELS_UNUSABLE", said)),
        }
    }
}

impl From<BigtableError> for Trouble {
    fn from(error: BigtableError) -> Self {
        let said = error.to_string();
        match error {
            BigtableError::Unavailable(_) | BigtableError::Lost => Self::Later(said),
            _ => Self::Never(Failure::new(Kind::Broken, "LOG_UNUSABLE", said)),
        }
    }
}

impl From<S3Error> for Trouble {
    fn from(error: S3Error) -> Self {
        let said = error.to_string();
        match error {
            S3Error::Unavailable(_) => Self::Later(said),
            S3Error::Config(_) => Self::Never(Failure::new(Kind::Usage, "CONFIG_INVALID", said)),
            S3Error::Denied(_) | S3Error::Unusable(_) => {
                Self::Never(Failure::new(Kind::Broken, "SNAPSHOTS_UNUSABLE", said))
            }
        }
    }
}

/// Tries until it succeeds or waiting does not help. Without `waiting` it is tried once.
///
/// # Errors
/// Waiting does not help.
pub async fn patiently<T, E, F>(
    what: &str,
    waiting: Option<&Waiting>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Failure>
where
    E: Into<Trouble>,
    F: Future<Output = Result<T, E>>,
{
    let mut pause = FIRST;
    let mut said: Option<Instant> = None;
    loop {
        let trouble = match attempt().await {
            Ok(done) => {
                if said.is_some() {
                    tracing::info!("{what} can be reached now");
                }
                return Ok(done);
            }
            Err(error) => error.into(),
        };
        let (Some(waiting), Trouble::Later(why)) = (waiting, &trouble) else {
            return Err(trouble.failure());
        };
        waiting.say(format!("it waits for {what}: {why}"));
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::warn!(%why, "{what} cannot be reached yet; trying again until it can");
            said = Some(Instant::now());
        }
        tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * rand::random::<f64>())).await;
        pause = (pause * 2).min(MOST);
    }
}
