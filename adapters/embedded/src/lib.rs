//! Event log, read models and facts on SQLite in one directory.
