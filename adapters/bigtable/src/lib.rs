//! Account history and the archive of the log in Bigtable.
