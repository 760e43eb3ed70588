//! The settings as the adapters take them.

use adapter_bigtable::{BigtableConfig, Endpoint, GoogleCredentials};
use adapter_kafka::KafkaConfig;
use adapter_kafka::config::{Sasl, Secret, Tls};
use adapter_object_store::S3Config;
use adapter_postgres::PostgresConfig;

use crate::client::failure::{Failure, Kind};
use crate::serve::config::Cluster;

/// Connections of Postgres that load facts.
const FACTS_CONNECTIONS: u32 = 2;
/// Connections of Postgres that apply.
const APPLY_CONNECTIONS: u32 = 4;

fn invalid(message: &str) -> Failure {
    Failure::new(Kind::Usage, "CONFIG_INVALID", message)
}

/// Kafka's.
///
/// # Errors
/// A setting lacks its other half.
pub fn kafka(cluster: &Cluster) -> Result<KafkaConfig, Failure> {
    let kafka = &cluster.kafka;
    let files = [&kafka.ca_file, &kafka.certificate_file, &kafka.key_file];
    if !kafka.tls && files.iter().any(|file| file.is_some()) {
        return Err(invalid(
            "[kafka] names certificates, and tls is not true: nothing would be encrypted",
        ));
    }
    // librdkafka's own words do not name the file.
    for file in files.into_iter().flatten() {
        if let Err(error) = std::fs::File::open(file) {
            let file = file.display();
            return Err(invalid(&format!("[kafka] {file} cannot be read: {error}")));
        }
    }
    let sasl = match (&kafka.sasl_mechanism, &kafka.username, &kafka.password) {
        (None, None, None) => None,
        (Some(mechanism), Some(username), Some(password)) => Some(Sasl {
            mechanism: mechanism.clone(),
            username: username.clone(),
            password: Secret::new(password.reveal()),
        }),
        _ => {
            return Err(invalid(
                "[kafka] sasl_mechanism, username and password (DAYBOOK_KAFKA_PASSWORD) belong \
                 together",
            ));
        }
    };
    Ok(KafkaConfig {
        bootstrap_servers: kafka.servers.clone(),
        client_id: "daybook".to_owned(),
        prefix: kafka.topics.clone(),
        tls: kafka.tls.then(|| Tls {
            ca_file: kafka.ca_file.clone(),
            certificate_file: kafka.certificate_file.clone(),
            key_file: kafka.key_file.clone(),
            key_password: None,
        }),
        sasl,
        ..Default::default()
    })
}

/// Postgres's.
pub fn postgres(cluster: &Cluster) -> PostgresConfig {
    let postgres = &cluster.postgres;
    let mut config = PostgresConfig::new(postgres.url.reveal()).schema(&postgres.schema);
    config.facts_connections = FACTS_CONNECTIONS;
    config.apply_connections = APPLY_CONNECTIONS;
    config.query_connections = postgres
        .connections
        .saturating_sub(FACTS_CONNECTIONS + APPLY_CONNECTIONS)
        .max(1);
    config
}

/// Bigtable's.
pub fn bigtable(cluster: &Cluster) -> BigtableConfig {
    let bigtable = &cluster.bigtable;
    let address = bigtable.address.trim_start_matches("http://");
    BigtableConfig {
        project: bigtable.project.clone(),
        instance: bigtable.instance.clone(),
        table_prefix: bigtable.tables.clone(),
        endpoint: match bigtable.is_emulator() {
            true => Endpoint::Emulator(address.to_owned()),
            false => Endpoint::Google(match &bigtable.credentials_file {
                Some(file) => GoogleCredentials::File(file.clone()),
                None => GoogleCredentials::Default,
            }),
        },
    }
}

/// The object store's.
///
/// # Errors
/// One of the two keys is missing.
pub fn s3(cluster: &Cluster) -> Result<S3Config, Failure> {
    let s3 = &cluster.s3;
    let keys = match (&s3.access_key, &s3.secret_key) {
        (Some(id), Some(key)) => Some((id.reveal().to_owned(), key.reveal().to_owned())),
        (None, None) => None,
        _ => {
            return Err(invalid(
                "DAYBOOK_S3_ACCESS_KEY and DAYBOOK_S3_SECRET_KEY belong together",
            ));
        }
    };
    Ok(S3Config {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        bucket: s3.bucket.clone(),
        folder: s3.folder.clone(),
        ca_file: s3.ca_file.clone(),
        keys,
    })
}
