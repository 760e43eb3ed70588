//! Queries, statements and audit over the read models.
