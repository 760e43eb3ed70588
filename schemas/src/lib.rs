//! The .proto files of Daybook, their generated code, and the mapping to ledger-core.

/// Generated code.
#[allow(missing_docs, clippy::all)]
pub mod proto {
    /// The API.
    pub mod v1 {
        tonic::include_proto!("daybook.v1");
    }
    /// Records of the log.
    pub mod record {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("daybook.record.v1");
        }
    }
    /// Records of the topics that commands come from.
    pub mod ingest {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("daybook.ingest.v1");
        }
    }
    /// Snapshots.
    pub mod snapshot {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("daybook.snapshot.v1");
        }
    }
    /// Account history in a store of its own.
    pub mod history {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("daybook.history.v1");
        }
    }
    /// The archive of the log.
    pub mod archive {
        /// Version 1.
        pub mod v1 {
            tonic::include_proto!("daybook.archive.v1");
        }
    }
}

/// The descriptor set of all files, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod api;
pub mod error;
pub mod ingest;
pub mod limits;
pub mod record;
