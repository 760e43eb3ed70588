//! docker-compose.yml as Compose itself understands it. No Docker engine is needed for that, and
//! none is asked: what cannot be tried here are the images.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

fn compose(arguments: &[&str]) -> String {
    let plugin = Command::new("docker")
        .args(["compose", "version"])
        .output()
        .is_ok_and(|output| output.status.success());
    let mut command = if plugin {
        let mut docker = Command::new("docker");
        docker.arg("compose");
        docker
    } else {
        Command::new("docker-compose")
    };
    let output = command
        .args(arguments)
        .current_dir(xtask::root())
        .output()
        .expect("Compose is not here: apt-get install docker-compose");
    assert!(
        output.status.success(),
        "compose {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn compose_takes_the_file_and_finds_every_server_and_role() {
    let services = compose(&["config", "--services"]);
    let mut services: Vec<&str> = services.lines().collect();
    services.sort_unstable();
    assert_eq!(
        services,
        [
            "bigtable",
            "command-1",
            "command-2",
            "kafka",
            "minio",
            "postgres",
            "projector",
            "query",
            "setup"
        ]
    );
    let config = compose(&["config"]);
    assert_eq!(
        config
            .matches("condition: service_completed_successfully")
            .count(),
        4
    );
    assert_eq!(config.matches("condition: service_healthy").count(), 4);
    // What a one-shot does not need, all others have.
    assert_eq!(config.matches("healthcheck:").count(), services.len() - 1);
}

/// Kafka's image starts with a program that adds its variables to the file that is mounted into it,
/// and formats its storage with that. The same program of the same version is among Kafka's jars.
#[test]
fn kafka_takes_the_settings_that_its_image_would_give_it() {
    let config = compose(&["config"]);
    let variables: BTreeMap<&str, &str> = config
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("KAFKA_"))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name, value.trim_matches(['"', '\''])))
        .collect();
    assert!(variables.len() > 5, "{variables:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, data) = (folder.path().join("settings"), folder.path().join("data"));
    std::fs::create_dir(&settings).expect("made");
    let output = Command::new("java")
        .arg("-cp")
        .arg(libraries().join("*"))
        .args([
            "kafka.docker.KafkaDockerWrapper",
            "setup",
            "--default-configs-dir",
        ])
        .arg(folder.path())
        .arg("--mounted-configs-dir")
        .arg(xtask::root().join("infra/kafka"))
        .arg("--final-configs-dir")
        .arg(&settings)
        .envs(variables)
        // What the image sets, and a folder of this machine.
        .env("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw")
        .env("KAFKA_LOG_DIRS", &data)
        .output()
        .expect("java");
    let printed = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{printed}");
    assert!(data.join("meta.properties").exists(), "{printed}");
    let settings = std::fs::read_to_string(settings.join("server.properties")).expect("settings");
    assert!(
        settings.contains("auto.create.topics.enable=false"),
        "{settings}"
    );
    assert!(
        settings.contains("\nadvertised.listeners=CLIENTS://kafka:9092"),
        "{settings}"
    );
}

/// Kafka's jars, as the stack fetched them.
fn libraries() -> PathBuf {
    xtask::stack::kafka_libraries().expect("Kafka")
}
