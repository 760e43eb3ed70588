//! Makes the read models from the log.
