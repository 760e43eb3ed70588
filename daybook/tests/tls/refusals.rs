//! What must not go through: servers that another authority signed for, names that are not in their
//! certificate, wrong passwords, connections without TLS. Each is refused by a message that names the
//! server and the reason.

use std::time::Duration;

use crate::WRONG;
use crate::operations::{eventually, get};
use crate::support::Encrypted;

/// One attempt to set up.
struct Attempt {
    what: &'static str,
    variables: Vec<(&'static str, String)>,
    status: i32,
    /// Server and reason.
    said: Vec<String>,
}

/// All of them. Gives what they printed.
pub fn all(stack: &Encrypted) -> Vec<String> {
    let attempts = [to_kafka(stack), to_postgres(stack), to_minio(stack)];
    let mut printed: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = attempts
            .into_iter()
            .flatten()
            .map(|attempt| scope.spawn(move || refused(stack, &attempt)))
            .collect();
        let texts = threads.into_iter().map(|thread| match thread.join() {
            Ok(text) => text,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        texts.collect()
    });
    printed.push(waits(stack));
    printed
}

fn refused(stack: &Encrypted, attempt: &Attempt) -> String {
    let variables: Vec<(&str, &str)> = attempt
        .variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let ran = stack.run(&["setup", "--single-broker"], &variables);
    let all = format!("{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.code, attempt.status, "{}: {all}", attempt.what);
    for said in &attempt.said {
        assert!(ran.stderr.contains(said), "{}: {said}: {all}", attempt.what);
    }
    all
}

/// A server that cannot be trusted is waited for, as one that is away: whoever starts a node is told
/// why it does not get ready.
fn waits(stack: &Encrypted) -> String {
    let file = in_section(stack, "kafka", "serve-kafka-ca", "ca_file", other_ca);
    // It says where it listens when it is ready, which it does not get. A stack with TLS has no
    // places for proxies, whose ports are free.
    let operations = format!("127.0.0.1:{}", stack.ports.lanes()[0].proxy);
    let node = stack.spawn("json", &operations, &[("DAYBOOK_CONFIG", &file)]);
    let at = format!("127.0.0.1:{}", stack.ports.kafka());
    eventually(Duration::from_secs(30), "it says why it waits", || {
        let said = get(node.operations(), "/readyz");
        said.starts_with("HTTP/1.1 503") && said.contains(&at) && said.contains("certificate")
    });
    node.printed()
}

/// The stack's settings with another line for `key` in `section`.
fn in_section(
    stack: &Encrypted,
    section: &str,
    name: &str,
    key: &str,
    line: impl FnOnce(&Encrypted) -> String,
) -> String {
    stack.settings(name, |text| {
        let start = text.find(&format!("\n[{section}]")).expect("the section");
        let at = start + text[start..].find(&format!("\n{key} = ")).expect("the key") + 1;
        let end = at + text[at..].find('\n').expect("the end of a line");
        format!("{}{}{}", &text[..at], line(stack), &text[end..])
    })
}

fn other_ca(stack: &Encrypted) -> String {
    format!("ca_file = '{}'", stack.file("other-ca.pem"))
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn to_kafka(stack: &Encrypted) -> Vec<Attempt> {
    let port = stack.ports.kafka();
    let (at, by_name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let ca = in_section(stack, "kafka", "kafka-ca", "ca_file", other_ca);
    let nowhere = in_section(stack, "kafka", "kafka-nowhere", "ca_file", |_| {
        "ca_file = '/nowhere/ca.pem'".to_owned()
    });
    // A certificate without TLS would be an error of its own.
    let plain = in_section(stack, "kafka", "kafka-plain", "ca_file", |_| String::new());
    let text = std::fs::read_to_string(&plain).unwrap();
    std::fs::write(&plain, text.replacen("\ntls = true\n", "\n", 1)).unwrap();
    let settings = |file: String| vec![("DAYBOOK_CONFIG", file)];
    vec![
        Attempt {
            what: "Kafka, signed by another",
            variables: settings(ca),
            status: 3,
            said: owned(&["UNAVAILABLE", &at, "certificate verify failed", "ca_file"]),
        },
        Attempt {
            what: "Kafka, an authority that is not there",
            variables: settings(nowhere),
            status: 2,
            said: owned(&["CONFIG_INVALID", "[kafka]", "/nowhere/ca.pem"]),
        },
        Attempt {
            what: "Kafka, a name that is not certified",
            variables: vec![("DAYBOOK_KAFKA", by_name.clone())],
            status: 3,
            said: owned(&["UNAVAILABLE", &by_name, "certificate verify failed"]),
        },
        Attempt {
            what: "Kafka, a wrong password",
            variables: vec![("DAYBOOK_KAFKA_PASSWORD", WRONG.to_owned())],
            status: 5,
            said: owned(&["LOG_UNUSABLE", &at, "do not let this user in"]),
        },
        Attempt {
            what: "Kafka, without TLS",
            variables: settings(plain),
            status: 3,
            said: owned(&["UNAVAILABLE", &at, "wants TLS, which is not set"]),
        },
    ]
}

fn to_postgres(stack: &Encrypted) -> Vec<Attempt> {
    let port = stack.ports.postgres();
    let (at, by_name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let url = stack.postgres();
    let with = |from: &str, to: &str| {
        assert!(url.contains(from), "{from}");
        vec![("DAYBOOK_POSTGRES", url.replacen(from, to, 1))]
    };
    vec![
        Attempt {
            what: "Postgres, signed by another",
            variables: with(&stack.ca(), &stack.file("other-ca.pem")),
            status: 3,
            said: owned(&["UNAVAILABLE", &at, "UnknownIssuer", "sslrootcert"]),
        },
        Attempt {
            what: "Postgres, a name that is not certified",
            variables: with("127.0.0.1", "localhost"),
            status: 3,
            said: owned(&["UNAVAILABLE", &by_name, "not valid for name"]),
        },
        Attempt {
            what: "Postgres, a wrong password",
            variables: with(xtask::stack::PASSWORD, WRONG),
            status: 2,
            said: owned(&["CONFIG_INVALID", &at, "password authentication failed"]),
        },
        Attempt {
            what: "Postgres, without TLS",
            variables: with("verify-full", "disable"),
            status: 2,
            said: owned(&["CONFIG_INVALID", &at, "no encryption"]),
        },
    ]
}

fn to_minio(stack: &Encrypted) -> Vec<Attempt> {
    let port = stack.ports.minio();
    let (at, by_name) = (format!("127.0.0.1:{port}"), format!("localhost:{port}"));
    let ca = in_section(stack, "s3", "s3-ca", "ca_file", other_ca);
    vec![
        Attempt {
            what: "MinIO, signed by another",
            variables: vec![("DAYBOOK_CONFIG", ca)],
            status: 3,
            said: owned(&["UNAVAILABLE", &at, "UnknownIssuer", "ca_file"]),
        },
        Attempt {
            what: "MinIO, a name that is not certified",
            variables: vec![("DAYBOOK_S3", format!("https://{by_name}"))],
            status: 3,
            said: owned(&["UNAVAILABLE", &by_name, "not valid for name"]),
        },
        Attempt {
            what: "MinIO, a wrong key",
            variables: vec![("DAYBOOK_S3_SECRET_KEY", WRONG.to_owned())],
            status: 5,
            said: owned(&["SNAPSHOTS_UNUSABLE", &at, "SignatureDoesNotMatch"]),
        },
        Attempt {
            what: "MinIO, without TLS",
            variables: vec![("DAYBOOK_S3", format!("http://{at}"))],
            status: 3,
            said: owned(&["UNAVAILABLE", &at, "HTTP request to an HTTPS server"]),
        },
    ]
}
