//! Making the schema, and opening what is there.

use std::sync::Arc;

use ports::history::History;
use ports::projection::ProjectionError;
use schemas::record::LogId;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::config::PostgresConfig;
use crate::copy::sql;
use crate::database::{Database, Lane, close};
use crate::failure::{Cause, Failure, cause};
use crate::generation::{self, Live};
use crate::models::ReadModels;
use crate::schema::FORMAT;
use crate::values::{Uuid, get};

/// Read models in Postgres cannot be opened or set up.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration is wrong.
    #[error("the configuration of Postgres is wrong: {0}")]
    Config(String),
    /// Postgres cannot be reached, or not now.
    #[error("Postgres cannot be reached: {0}")]
    Unavailable(String),
    /// The user may not do what is needed.
    #[error(
        "the user {user:?} of Postgres may not do this: {what}. To set up, it needs CREATE on the \
         database; to project, it must own the schema {schema}; to read, it needs USAGE on the \
         schema and SELECT on its tables and views, and one more `daybook setup`"
    )]
    Denied {
        /// As whom it was tried.
        user: String,
        /// The schema.
        schema: String,
        /// What Postgres says.
        what: String,
    },
    /// The schema is not there, or an earlier version made it.
    #[error("schema {schema} {what}: run `daybook setup`")]
    NotSetUp {
        /// The schema.
        schema: String,
        /// What is the matter.
        what: String,
    },
    /// A later version of Daybook made it.
    #[error(
        "schema {schema} has version {found}, and this build of Daybook knows versions up to \
         {known}: run a later one"
    )]
    TooNew {
        /// The schema.
        schema: String,
        /// The version that was found.
        found: i64,
        /// The latest version known here.
        known: i64,
    },
    /// The read models are of another log, or of one with another number of shards.
    #[error("schema {schema} holds the read models of another log: {what}")]
    OtherLog {
        /// The schema.
        schema: String,
        /// In what it differs.
        what: String,
    },
    /// What is there cannot be used.
    #[error("schema {schema} cannot be used: {what}")]
    Unusable {
        /// The schema.
        schema: String,
        /// What is the matter.
        what: String,
    },
}

/// Turns failures into errors that name the server, the user and the schema.
struct Explain {
    server: String,
    user: String,
    schema: String,
}

impl Explain {
    fn new(config: &PostgresConfig) -> Result<Self, OpenError> {
        let options = config.options()?;
        // A folder is a Unix socket's.
        let server = match options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        Ok(Self {
            server,
            user: options.get_username().to_owned(),
            schema: config.schema.clone(),
        })
    }

    fn error(&self, error: sqlx::Error) -> OpenError {
        let what = error.to_string();
        match cause(&error) {
            Cause::NotLetIn => OpenError::Config(format!(
                "{} does not let the user {:?} in: {what}",
                self.server, self.user
            )),
            Cause::Denied => OpenError::Denied {
                user: self.user.clone(),
                schema: self.schema.clone(),
                what,
            },
            Cause::Lost | Cause::NotNow | Cause::Conflict | Cause::Locked => {
                OpenError::Unavailable(format!("{}: {what}", self.server))
            }
            _ if matches!(error, sqlx::Error::Configuration(_)) => OpenError::Config(what),
            // No such database.
            _ if matches!(&error, sqlx::Error::Database(e) if e.code().as_deref() == Some("3D000")) => {
                OpenError::Config(what)
            }
            _ => self.unusable(what),
        }
    }

    fn unusable(&self, what: impl Into<String>) -> OpenError {
        OpenError::Unusable {
            schema: self.schema.clone(),
            what: what.into(),
        }
    }

    fn not_set_up(&self, what: &str) -> OpenError {
        OpenError::NotSetUp {
            schema: self.schema.clone(),
            what: what.to_owned(),
        }
    }

    fn failure(&self, failure: Failure) -> OpenError {
        match failure {
            Failure::Database(error) => self.error(error),
            Failure::Port(ProjectionError::Unavailable(what)) => OpenError::Unavailable(what),
            Failure::Port(error) => self.unusable(error.to_string()),
        }
    }

    fn too_new(&self, found: i64, known: i64) -> OpenError {
        OpenError::TooNew {
            schema: self.schema.clone(),
            found,
            known,
        }
    }

    fn migration(&self, error: MigrateError) -> OpenError {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                self.error(error)
            }
            other => self.unusable(other.to_string()),
        }
    }
}

/// The migrations, kept track of in the schema itself.
fn migrator(schema: &str) -> Migrator {
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.dangerous_set_table_name(format!("\"{schema}\"._sqlx_migrations"));
    migrator
}

fn known_version(migrator: &Migrator) -> i64 {
    let versions = migrator.iter().map(|migration| migration.version);
    versions.max().unwrap_or_default()
}

/// What stands in the database under the schema's name.
enum Found {
    Nothing,
    /// A schema without tables of ours.
    Empty,
    /// The version of the last migration.
    Version(i64),
}

async fn find(connection: &mut PgConnection, schema: &str) -> Result<Found, sqlx::Error> {
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
            .bind(schema)
            .fetch_one(&mut *connection)
            .await?;
    if !exists {
        return Ok(Found::Nothing);
    }
    let migrated: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
                         WHERE nspname = $1 AND relname = '_sqlx_migrations')",
    )
    .bind(schema)
    .fetch_one(&mut *connection)
    .await?;
    if !migrated {
        return Ok(Found::Empty);
    }
    let text = format!("SELECT max(version) FROM \"{schema}\"._sqlx_migrations WHERE success");
    let version: Option<i64> = sqlx::query_scalar(sql(text)).fetch_one(connection).await?;
    Ok(version.map_or(Found::Empty, Found::Version))
}

/// Whether the read models are those of this log; `None` where it is not said yet.
async fn is_of_log(
    connection: &mut PgConnection,
    explain: &Explain,
    log_id: LogId,
    shard_count: u32,
) -> Result<Option<()>, OpenError> {
    let schema = &explain.schema;
    let text = format!("SELECT log_id, shard_count FROM \"{schema}\".settings");
    let row = sqlx::query(sql(text))
        .fetch_optional(connection)
        .await
        .map_err(|error| explain.error(error))?;
    let Some(row) = row else { return Ok(None) };
    let unusable = |error: ProjectionError| explain.unusable(error.to_string());
    let found = LogId(get::<Uuid>(&row, 0).map_err(unusable)?.0.to_be_bytes());
    let shards: i32 = get(&row, 1).map_err(unusable)?;
    let other = |what: String| OpenError::OtherLog {
        schema: schema.clone(),
        what,
    };
    if found != log_id {
        return Err(other(format!(
            "they were made from log {found}, and the log here is {log_id}"
        )));
    }
    if i64::from(shards) != i64::from(shard_count) {
        return Err(other(format!(
            "the log had {shards} shards, and the log here has {shard_count}"
        )));
    }
    Ok(Some(()))
}

/// See [`crate::Postgres::setup`].
pub(crate) async fn run(
    config: &PostgresConfig,
    log_id: LogId,
    shard_count: u32,
) -> Result<(), OpenError> {
    let explain = Explain::new(config)?;
    let mut connection = config
        .options()?
        .connect()
        .await
        .map_err(|error| explain.error(error))?;
    let done = set_up(&mut connection, &explain, log_id, shard_count).await;
    // Closed in any case: the session may hold the migrations' lock.
    close(connection).await;
    done
}

async fn set_up(
    connection: &mut PgConnection,
    explain: &Explain,
    log_id: LogId,
    shard_count: u32,
) -> Result<(), OpenError> {
    let schema = &explain.schema;
    let failed = |error| explain.error(error);
    let migrator = migrator(schema);
    let known = known_version(&migrator);
    // Whoever sets up at the same time waits here, until this session ends.
    sqlx::query("SELECT pg_advisory_lock(hashtext('daybook setup'), hashtext($1))")
        .bind(schema)
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    match find(connection, schema).await.map_err(failed)? {
        Found::Nothing => {
            let text = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
            sqlx::raw_sql(sql(text))
                .execute(&mut *connection)
                .await
                .map_err(failed)?;
        }
        Found::Version(found) if found > known => return Err(explain.too_new(found, known)),
        Found::Empty | Found::Version(_) => {}
    }
    let text = format!("SET search_path TO \"{schema}\"");
    sqlx::raw_sql(sql(text))
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    migrator
        .run_direct(None, &mut *connection, false)
        .await
        .map_err(|error| explain.migration(error))?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    // No switch in between.
    sqlx::raw_sql(sql(format!(
        "LOCK TABLE \"{schema}\".generations IN SHARE ROW EXCLUSIVE MODE"
    )))
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    if is_of_log(&mut transaction, explain, log_id, shard_count)
        .await?
        .is_none()
    {
        let text =
            format!("INSERT INTO \"{schema}\".settings (log_id, shard_count) VALUES ($1, $2)");
        sqlx::query(sql(text))
            .bind(Uuid(u128::from_be_bytes(log_id.0)))
            .bind(shard_count as i32)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    let failed = |failure| explain.failure(failure);
    let live = generation::find_live(&mut transaction, schema).await;
    match live.map_err(failed)? {
        None => {
            let made = generation::make(&mut transaction, schema, shard_count).await;
            let made = made.map_err(failed)?;
            generation::make_live(&mut transaction, schema, None, &made)
                .await
                .map_err(failed)?;
        }
        Some(live) if live.format > FORMAT => {
            return Err(explain.too_new(i64::from(live.format), i64::from(FORMAT)));
        }
        Some(live) => {
            generation::share(&mut transaction, schema, &live.generation)
                .await
                .map_err(failed)?;
        }
    }
    transaction
        .commit()
        .await
        .map_err(|error| explain.error(error))
}

/// See [`crate::Postgres::remove`].
pub(crate) async fn remove(config: &PostgresConfig) -> Result<(), OpenError> {
    let explain = Explain::new(config)?;
    let failed = |error| explain.error(error);
    let schema = &explain.schema;
    let mut connection = config.options()?.connect().await.map_err(failed)?;
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(nspname) FROM pg_namespace
          WHERE nspname = $1 OR nspname ~ ('^' || $1 || '_g[0-9]+(_dropped)?$')",
    )
    .bind(schema)
    .fetch_all(&mut connection)
    .await
    .map_err(failed)?;
    for name in schemas {
        let text = format!("DROP SCHEMA IF EXISTS {name} CASCADE");
        sqlx::raw_sql(sql(text))
            .execute(&mut connection)
            .await
            .map_err(failed)?;
    }
    close(connection).await;
    Ok(())
}

/// See [`crate::Postgres::open`].
pub(crate) async fn open(
    config: &PostgresConfig,
    log_id: LogId,
    shard_count: u32,
    history: Arc<dyn History>,
    writable: bool,
) -> Result<ReadModels, OpenError> {
    let explain = Explain::new(config)?;
    let database = Database::new(config)?;
    let opened = check(&database, &explain, log_id, shard_count, writable).await;
    let (live, sequences) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            database.close().await;
            return Err(error);
        }
    };
    let live = match live.format < FORMAT {
        false => Ok(Arc::new(live.generation)),
        true => {
            tracing::warn!("the read models were made by an earlier version of Daybook");
            Err("they were made by an earlier version of Daybook".to_owned())
        }
    };
    Ok(ReadModels::new(
        database,
        log_id,
        shard_count,
        history,
        writable,
        live,
        sequences,
    ))
}

/// What is live, and where its shards stand.
async fn check(
    database: &Database,
    explain: &Explain,
    log_id: LogId,
    shard_count: u32,
    writable: bool,
) -> Result<(Live, Vec<(u32, u64)>), OpenError> {
    let failed = |failure| explain.failure(failure);
    let mut connection = database
        .acquire(Lane::Queries, false)
        .await
        .map_err(failed)?;
    let schema = &explain.schema;
    let known = known_version(&migrator(schema));
    let found = find(&mut connection, schema).await;
    match found.map_err(|error| explain.error(error))? {
        Found::Nothing => return Err(explain.not_set_up("does not exist")),
        Found::Empty => return Err(explain.not_set_up("is empty")),
        Found::Version(found) if found > known => return Err(explain.too_new(found, known)),
        Found::Version(found) if found < known => {
            return Err(explain.not_set_up("was made by an earlier version of Daybook"));
        }
        Found::Version(_) => {}
    }
    if is_of_log(&mut connection, explain, log_id, shard_count)
        .await?
        .is_none()
    {
        return Err(explain.not_set_up("is not set up to the end"));
    }
    let live = generation::find_live(&mut connection, schema).await;
    let Some(live) = live.map_err(failed)? else {
        return Err(explain.not_set_up("has no live generation"));
    };
    if live.format > FORMAT {
        return Err(explain.too_new(i64::from(live.format), i64::from(FORMAT)));
    }
    if writable {
        // Who may not drop a schema may still project.
        if let Err(failure) = generation::sweep(&mut connection, schema).await {
            let error = failure.into_error();
            tracing::debug!(%error, "what an earlier rebuild left behind was not removed");
        }
    }
    if live.format < FORMAT {
        return Ok((live, Vec::new()));
    }
    let sequences = generation::read_sequences(&mut connection, &live.generation).await;
    Ok((live, sequences.map_err(failed)?))
}
