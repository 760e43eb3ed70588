//! Where the tables are.

use std::fmt;
use std::path::PathBuf;

/// The usual prefix of the tables' names.
pub const TABLE_PREFIX: &str = "daybook";

/// Which instance of Bigtable is used, and how it is reached.
#[derive(Debug, Clone)]
pub struct BigtableConfig {
    /// The Google Cloud project.
    pub project: String,
    /// The instance in it.
    pub instance: String,
    /// The tables are `<prefix>-history` and `<prefix>-archive`.
    pub table_prefix: String,
    /// How it is reached.
    pub endpoint: Endpoint,
}

impl BigtableConfig {
    /// An emulator at `address` (`host:port`), which takes any project and instance.
    pub fn emulator(address: impl Into<String>) -> Self {
        Self {
            project: "daybook".to_owned(),
            instance: "daybook".to_owned(),
            table_prefix: TABLE_PREFIX.to_owned(),
            endpoint: Endpoint::Emulator(address.into()),
        }
    }

    /// Google's own service.
    pub fn google(
        project: impl Into<String>,
        instance: impl Into<String>,
        credentials: GoogleCredentials,
    ) -> Self {
        Self {
            project: project.into(),
            instance: instance.into(),
            table_prefix: TABLE_PREFIX.to_owned(),
            endpoint: Endpoint::Google(credentials),
        }
    }

    /// `projects/<project>/instances/<instance>`.
    pub(crate) fn parent(&self) -> String {
        format!("projects/{}/instances/{}", self.project, self.instance)
    }

    pub(crate) fn is_emulator(&self) -> bool {
        matches!(self.endpoint, Endpoint::Emulator(_))
    }
}

/// How Bigtable is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An emulator at `host:port`: no TLS and no credentials. It may come back empty, so its
    /// tables are made again where they are missing.
    Emulator(String),
    /// Google's own service, by TLS.
    Google(GoogleCredentials),
}

/// Who asks Google.
#[derive(Clone, PartialEq, Eq)]
pub enum GoogleCredentials {
    /// The application's default credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS`
    /// names, what `gcloud auth application-default login` left, or the machine's own account.
    Default,
    /// The JSON key of a service account in this file.
    File(PathBuf),
}

impl fmt::Debug for GoogleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("Default"),
            // Where the key is, not what it says.
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
