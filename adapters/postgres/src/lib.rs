//! Read models in Postgres.
