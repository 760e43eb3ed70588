//! MinIO on one folder.

use std::process::Command;

use super::{PASSWORD, Place, USER};
use crate::stack::{StackError, files, probe};

pub(super) fn prepare(place: &Place<'_>) -> Result<Command, StackError> {
    let program = place.cache.go("minio", &place.versions.minio, &|_| {})?;
    let data = place.folder.join("data");
    files::make_folder(&data)?;
    let mut command = Command::new(program);
    command
        .args(["server", "--quiet", "--address"])
        .arg(format!("127.0.0.1:{}", place.ports.minio()))
        .arg(&data)
        .env("MINIO_ROOT_USER", USER)
        .env("MINIO_ROOT_PASSWORD", PASSWORD)
        .env("MINIO_BROWSER", "off")
        .env("MINIO_UPDATE", "off")
        .env("GOMEMLIMIT", "512MiB");
    if let Some(tls) = &place.tls {
        command.arg("--certs-dir").arg(tls.minio());
    }
    Ok(command)
}

pub(super) fn is_ready(place: &Place<'_>) -> bool {
    const PATH: &str = "/minio/health/ready";
    let port = place.ports.minio();
    match &place.tls {
        Some(tls) => tls.https(port, PATH),
        None => probe::http(port, PATH),
    }
}
