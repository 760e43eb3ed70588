//! Generations of the read models: making, finding, dropping them.

use ports::log::Position;
use ports::projection::{Checkpoint, ProjectionError};
use schemas::record::LogId;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::copy::sql;
use crate::failure::{Cause, Failure};
use crate::schema::{FORMAT, TABLES, VIEWS};
use crate::values::{get, get_hash, get_time, get_u64};

/// A generation: a schema with tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Never given again.
    pub(crate) number: i32,
    /// Its schema, in quotes.
    pub(crate) schema: String,
}

impl Generation {
    pub(crate) fn new(base: &str, number: i32) -> Self {
        Self {
            number,
            schema: format!("\"{base}_g{number}\""),
        }
    }

    /// `text` with the generation's schema for every `$g`.
    pub(crate) fn sql(&self, text: &str) -> sqlx::AssertSqlSafe<String> {
        sql(self.text(text))
    }

    /// See [`Self::sql`].
    pub(crate) fn text(&self, text: &str) -> String {
        text.replace("$g", &self.schema)
    }
}

/// The schema that a generation which is live no more has until it is dropped, in quotes.
fn dropped_schema(base: &str, number: i32) -> String {
    format!("\"{base}_g{number}_dropped\"")
}

/// What `generations` says is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) generation: Generation,
    pub(crate) format: i32,
}

/// The live generation.
pub(crate) async fn find_live(
    connection: &mut PgConnection,
    base: &str,
) -> Result<Option<Live>, Failure> {
    let text =
        format!("SELECT generation, format FROM \"{base}\".generations WHERE state = 'LIVE'");
    let row = sqlx::query(sql(text)).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Live {
        generation: Generation::new(base, get(&row, 0)?),
        format: get(&row, 1)?,
    }))
}

/// Makes a generation of empty tables, within a transaction; it is being built. The session
/// holds its lock until it ends, so that nobody takes it for a leftover.
pub(crate) async fn make(
    connection: &mut PgConnection,
    base: &str,
    shard_count: u32,
) -> Result<Generation, Failure> {
    let text = format!(
        "INSERT INTO \"{base}\".generations (format, state) VALUES ($1, 'BUILDING')
         RETURNING generation"
    );
    let number: i32 = sqlx::query_scalar(sql(text))
        .bind(FORMAT)
        .fetch_one(&mut *connection)
        .await?;
    let generation = Generation::new(base, number);
    sqlx::query("SELECT pg_advisory_lock(hashtext($1), $2)")
        .bind(base)
        .bind(number)
        .execute(&mut *connection)
        .await?;
    let text = format!("CREATE SCHEMA {};\n{TABLES}", generation.schema);
    sqlx::raw_sql(generation.sql(&text))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        generation.sql("INSERT INTO $g.checkpoints (shard) SELECT generate_series(0, $1 - 1)"),
    )
    .bind(shard_count as i32)
    .execute(&mut *connection)
    .await?;
    Ok(generation)
}

/// Makes `new` the live generation in place of `old`, within a transaction: waits for whoever
/// applies to the old one, and renames its schema, so that every statement that still names it
/// fails from the commit on.
pub(crate) async fn make_live(
    connection: &mut PgConnection,
    base: &str,
    old: Option<&Generation>,
    new: &Generation,
) -> Result<(), Failure> {
    if let Some(old) = old {
        let renamed = dropped_schema(base, old.number);
        // Readers are not waited for: each sees the state that its statement began with.
        let text = format!(
            "LOCK TABLE $g.checkpoints IN EXCLUSIVE MODE;
             UPDATE \"{base}\".generations SET state = 'DROPPED' WHERE generation = {};
             ALTER SCHEMA $g RENAME TO {renamed}",
            old.number
        );
        sqlx::raw_sql(old.sql(&text))
            .execute(&mut *connection)
            .await?;
    }
    let views = VIEWS.replace("$s", &format!("\"{base}\""));
    let text = format!(
        "UPDATE \"{base}\".generations SET state = 'LIVE', live_since = now()
          WHERE generation = {};\n{views}",
        new.number
    );
    sqlx::raw_sql(new.sql(&text))
        .execute(&mut *connection)
        .await?;
    share(connection, base, new).await?;
    sqlx::query("SELECT pg_notify($1, 'switched')")
        .bind(base)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives whoever may use the schema `base` the right to read `generation`.
pub(crate) async fn share(
    connection: &mut PgConnection,
    base: &str,
    generation: &Generation,
) -> Result<(), Failure> {
    let readers: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(role.rolname) END
           FROM pg_namespace AS schema
           CROSS JOIN LATERAL aclexplode(schema.nspacl) AS acl
           LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
          WHERE schema.nspname = $1 AND acl.privilege_type = 'USAGE'
            AND acl.grantee <> schema.nspowner
            AND (acl.grantee = 0 OR role.rolname IS NOT NULL)",
    )
    .bind(base)
    .fetch_all(&mut *connection)
    .await?;
    for reader in readers {
        let text = format!(
            "GRANT USAGE ON SCHEMA $g TO {reader};
             GRANT SELECT ON ALL TABLES IN SCHEMA $g TO {reader}"
        );
        sqlx::raw_sql(generation.sql(&text))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Removes every generation that is neither live nor being built by a session that lives: what
/// a crash left behind, and what a switch could not drop at once.
pub(crate) async fn sweep(connection: &mut PgConnection, base: &str) -> Result<(), Failure> {
    let text = format!("SELECT generation FROM \"{base}\".generations WHERE state <> 'LIVE'");
    let left: Vec<i32> = sqlx::query_scalar(sql(text))
        .fetch_all(&mut *connection)
        .await?;
    for number in left {
        match drop_generation(connection, base, number).await {
            Ok(()) => {}
            Err(failure) if failure.cause() == Some(Cause::Locked) => {
                tracing::debug!(
                    number,
                    "a generation of the read models is still being read"
                );
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Removes a generation that is not live, unless another session builds it.
pub(crate) async fn drop_generation(
    connection: &mut PgConnection,
    base: &str,
    number: i32,
) -> Result<(), Failure> {
    let mut transaction = connection.begin().await?;
    let free: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtext($1), $2)")
        .bind(base)
        .bind(number)
        .fetch_one(&mut *transaction)
        .await?;
    if !free {
        return Ok(());
    }
    let text =
        format!("DELETE FROM \"{base}\".generations WHERE generation = $1 AND state <> 'LIVE'");
    let deleted = sqlx::query(sql(text))
        .bind(number)
        .execute(&mut *transaction)
        .await?;
    if deleted.rows_affected() == 0 {
        return Ok(());
    }
    let built = Generation::new(base, number).schema;
    let dropped = dropped_schema(base, number);
    let text = format!(
        "SET LOCAL lock_timeout = '2s';
         DROP SCHEMA IF EXISTS {built} CASCADE;
         DROP SCHEMA IF EXISTS {dropped} CASCADE"
    );
    sqlx::raw_sql(sql(text)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// The checkpoint of `shard`; an error where there is no such shard.
pub(crate) async fn read_checkpoint(
    connection: &mut PgConnection,
    generation: &Generation,
    log_id: LogId,
    shard: u32,
) -> Result<Option<Checkpoint>, Failure> {
    let row = sqlx::query(generation.sql(
        "SELECT sequence, record_hash, position, recorded_at FROM $g.checkpoints
          WHERE shard = $1 AND record_hash IS NOT NULL",
    ))
    .bind(i64::from(shard))
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(get_checkpoint(&row, 0, log_id)?))
}

/// Four columns from `index`: sequence, record_hash, position, recorded_at.
pub(crate) fn get_checkpoint(
    row: &sqlx::postgres::PgRow,
    index: usize,
    log_id: LogId,
) -> Result<Checkpoint, ProjectionError> {
    Ok(Checkpoint {
        log_id,
        sequence: get_u64(row, index)?,
        record_hash: get_hash(row, index + 1)?,
        position: Position(get_u64(row, index + 2)?),
        recorded_at: get_time(row, index + 3)?,
    })
}

/// The sequences of all checkpoints, by shard; 0 where nothing was applied.
pub(crate) async fn read_sequences(
    connection: &mut PgConnection,
    generation: &Generation,
) -> Result<Vec<(u32, u64)>, Failure> {
    let rows = sqlx::query(generation.sql("SELECT shard, sequence FROM $g.checkpoints"))
        .fetch_all(connection)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push((crate::values::get_u32(row, 0)?, get_u64(row, 1)?));
    }
    Ok(found)
}
