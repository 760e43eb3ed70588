//! Where Postgres is, and how it is used.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::setup::OpenError;

/// Bytes of the longest schema name: a generation's name appends to it, and Postgres's own end
/// at 63.
const SCHEMA_BYTES_MAX: usize = 40;

/// Where Postgres is, and how it is used. `Debug` shows neither address nor password.
#[derive(Clone)]
pub struct PostgresConfig {
    url: String,
    password: Option<String>,
    /// The schema: a small letter, then small letters, digits and `_`.
    pub schema: String,
    /// Connections that answer queries.
    pub query_connections: u32,
    /// Connections that load facts, which commands wait for: queries do not stand in their way.
    pub facts_connections: u32,
    /// Connections that apply, each for a shard at a time.
    pub apply_connections: u32,
    /// How long a call waits for a connection before it answers that Postgres is out of reach.
    pub acquire_timeout: Duration,
    /// How long a question may take before it is answered that Postgres is out of reach.
    pub answer_timeout: Duration,
}

impl PostgresConfig {
    /// `url` is `postgres://user:password@host:port/database?parameters`. Parameters of libpq's
    /// name are understood: `sslmode` (`disable`, `allow`, `prefer`, which is the default,
    /// `require`, `verify-ca`, `verify-full`), `sslrootcert`, `sslcert`, `sslkey`, `host` (a
    /// folder for a Unix socket), `application_name`, `options`. Where the URL has no password,
    /// `PGPASSWORD` or the password file (`PGPASSFILE`) gives it.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            schema: "daybook".to_owned(),
            query_connections: 8,
            facts_connections: 2,
            apply_connections: 4,
            acquire_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
        }
    }

    /// With this password, instead of the URL's.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// In this schema.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// What connections are opened with.
    pub(crate) fn options(&self) -> Result<PgConnectOptions, OpenError> {
        let mut letters = self.schema.bytes();
        let begins_well = letters.next().is_some_and(|b| b.is_ascii_lowercase());
        let goes_on_well =
            letters.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !begins_well || !goes_on_well || self.schema.len() > SCHEMA_BYTES_MAX {
            return Err(OpenError::Config(format!(
                "schema {:?} is not a small letter followed by at most {} small letters, digits \
                 and _",
                self.schema,
                SCHEMA_BYTES_MAX - 1
            )));
        }
        if self.query_connections == 0 || self.facts_connections == 0 || self.apply_connections == 0
        {
            return Err(OpenError::Config(
                "each kind of connection needs at least one".to_owned(),
            ));
        }
        // The error of a URL that cannot be read is not shown: it may quote the password.
        let options = PgConnectOptions::from_str(&self.url).map_err(|_| {
            OpenError::Config(
                "the URL is not of the form postgres://user:password@host:port/database".to_owned(),
            )
        })?;
        let options = match &self.password {
            Some(password) => options.password(password),
            None => options,
        };
        let named = options.get_application_name().is_some();
        let options = match named {
            true => options,
            false => options.application_name("daybook"),
        };
        Ok(options
            .statement_cache_capacity(200)
            .disable_statement_logging())
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("schema", &self.schema)
            .field("query_connections", &self.query_connections)
            .field("facts_connections", &self.facts_connections)
            .field("apply_connections", &self.apply_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let config = PostgresConfig::new("postgres://me:s3cret@host/db").password("0ther");
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("0ther"),
            "{shown}"
        );
        let broken = PostgresConfig::new("postgres://me:s3cret@host:port of call/db");
        let error = broken.options().unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("s3cret"),
            "{error:?}"
        );
    }

    #[test]
    fn a_schema_name_needs_no_quotes() {
        for right in ["daybook", "d", "bank_2"] {
            let config = PostgresConfig::new("postgres://host/db").schema(right);
            assert!(config.options().is_ok(), "{right}");
        }
        let long = "x".repeat(41);
        for wrong in ["", "2", "Bank", "a-b", "a\"b", "a b", "_a", long.as_str()] {
            let config = PostgresConfig::new("postgres://host/db").schema(wrong);
            let error = config.options();
            assert!(matches!(error, Err(OpenError::Config(_))), "{wrong}");
        }
    }
}
