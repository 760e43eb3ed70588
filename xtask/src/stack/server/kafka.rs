//! Apache Kafka: one node that is broker and controller.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::{PASSWORD, Place, USER};
use crate::stack::{StackError, Tls, files, process};

/// How clients of a broker with TLS prove who they are.
const MECHANISM: &str = "SCRAM-SHA-512";

/// The port that is asked whether the broker takes requests: one that wants no password.
pub(super) fn probed(place: &Place<'_>) -> u16 {
    match place.tls {
        Some(_) => place.ports.kafka_inner(),
        None => place.ports.kafka(),
    }
}

pub(super) fn prepare(place: &Place<'_>) -> Result<Command, StackError> {
    let libs = place.cache.kafka(&place.versions.kafka, &|_| {})?;
    let data = place.folder.join("data");
    files::make_folder(&data)?;
    let properties = place.folder.join("server.properties");
    let shared = files::read(&place.root.join("infra/kafka/server.properties"))?;
    files::write(&properties, &format!("{shared}\n{}", own(place, &data)))?;
    if !data.join("meta.properties").exists() {
        let id = cluster_id()?;
        let mut format = java(&libs, "64m");
        format
            .args([
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
                "-t",
                &id,
                "-c",
            ])
            .arg(&properties);
        if place.tls.is_some() {
            // Its first users are part of its storage.
            format
                .arg("--add-scram")
                .arg(format!("{MECHANISM}=[name={USER},password={PASSWORD}]"));
        }
        process::run("formatting Kafka's storage", &mut format)?;
    }
    let mut command = java(&libs, "512m");
    command.arg("kafka.Kafka").arg(&properties);
    Ok(command)
}

fn java(libs: &Path, heap: &str) -> Command {
    let mut command = Command::new("java");
    command
        .arg(format!("-Xmx{heap}"))
        .args([
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=50",
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
            "-cp",
        ])
        .arg(libs.join("*"));
    command
}

/// What is this stack's own: listeners, addresses, the folder.
fn own(place: &Place<'_>, data: &Path) -> String {
    let ports = place.ports;
    let security = match &place.tls {
        Some(tls) => encrypted(place, tls),
        None => plain(place),
    };
    format!(
        "# Added by cargo xtask stack up; made anew at each start.\n\
         {security}\
         controller.quorum.bootstrap.servers=127.0.0.1:{}\n\
         log.dirs={}\n",
        ports.controller(),
        data.display()
    )
}

/// The clients' listener is encrypted and wants a password. The broker's own is neither: what it says
/// to itself does not leave the machine. There are none for proxies, which read what is said.
fn encrypted(place: &Place<'_>, tls: &Tls) -> String {
    let (ports, mechanism) = (place.ports, MECHANISM.to_lowercase());
    let own = |name: &str| format!("listener.name.clients.{name}");
    format!(
        "listeners=CLIENTS://127.0.0.1:{clients},INNER://127.0.0.1:{inner},\
         CONTROLLER://127.0.0.1:{}\n\
         advertised.listeners=CLIENTS://127.0.0.1:{clients},INNER://127.0.0.1:{inner}\n\
         listener.security.protocol.map=CLIENTS:SASL_SSL,INNER:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         inter.broker.listener.name=INNER\n\
         {}={MECHANISM}\n\
         {}=org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         {}=PEM\n\
         {}={}\n",
        ports.controller(),
        own("sasl.enabled.mechanisms"),
        own(&format!("{mechanism}.sasl.jaas.config")),
        own("ssl.keystore.type"),
        own("ssl.keystore.location"),
        tls.keystore().display(),
        clients = ports.kafka(),
        inner = ports.kafka_inner(),
    )
}

/// Nothing is encrypted.
///
/// Besides the clients' listener there is one for each proxy. It advertises the proxy's address, so
/// that a client which came through the proxy stays on it, whatever the broker's metadata says.
fn plain(place: &Place<'_>) -> String {
    let ports = place.ports;
    let mut listeners = format!(
        "CLIENTS://127.0.0.1:{},CONTROLLER://127.0.0.1:{}",
        ports.kafka(),
        ports.controller()
    );
    let mut advertised = format!("CLIENTS://127.0.0.1:{}", ports.kafka());
    let mut protocols = "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
    for (lane, at) in ports.lanes().iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(listeners, ",PROXIED{lane}://127.0.0.1:{}", at.broker);
        let _ = write!(advertised, ",PROXIED{lane}://127.0.0.1:{}", at.proxy);
        let _ = write!(protocols, ",PROXIED{lane}:PLAINTEXT");
    }
    format!(
        "listeners={listeners}\n\
         advertised.listeners={advertised}\n\
         listener.security.protocol.map={protocols}\n\
         inter.broker.listener.name=CLIENTS\n"
    )
}

/// A random cluster id: 16 bytes in base64, as Kafka writes them.
fn cluster_id() -> Result<String, StackError> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let path = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 16];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|source| StackError::File {
            doing: "read",
            path: path.to_path_buf(),
            source,
        })?;
    // A first digit of `-` would look like an option to Kafka's tool.
    bytes[0] &= 0x7f;
    let number = u128::from_be_bytes(bytes);
    // 21 digits of 6 bits, and a last one that holds 2 bits and 4 of nothing.
    Ok((0..22_u32)
        .map(|digit| {
            let shift = 128_u32.saturating_sub(6 * (digit + 1));
            let bits = if digit == 21 {
                number << 4
            } else {
                number >> shift
            };
            char::from(DIGITS[(bits & 63) as usize])
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_differ_and_look_like_kafkas() {
        let (one, other) = (cluster_id().unwrap(), cluster_id().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 22);
        assert!(!one.starts_with('-'));
        assert!(
            one.ends_with(['A', 'Q', 'g', 'w']),
            "{one}: only 2 bits are left for the last"
        );
    }
}
