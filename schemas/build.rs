//! Generates Rust from the .proto files, without `protoc`.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "daybook/record/v1/record.proto",
        "daybook/snapshot/v1/snapshot.proto",
        "daybook/history/v1/history.proto",
        "daybook/archive/v1/archive.proto",
        "daybook/ingest/v1/ingest.proto",
        "daybook/v1/common.proto",
        "daybook/v1/command.proto",
        "daybook/v1/resources.proto",
        "daybook/v1/query.proto",
        "daybook/v1/audit.proto",
        "daybook/v1/server.proto",
        // No message has a field of these; clients find them by reflection.
        "google/rpc/error_details.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".daybook.record.v1")
        .bytes(".daybook.v1.BatchTransferRequest")
        .btree_map(".")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    Ok(())
}
