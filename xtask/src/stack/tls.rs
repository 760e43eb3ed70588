//! TLS for a stack: an authority that is made with it and thrown away with it, what it signs, and
//! the settings and secrets by which Daybook reaches such a stack.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::ports::{FIRST, Ports};
use super::probe::PATIENCE;
use super::{PASSWORD, StackError, USER, files};

/// The one name in the servers' certificate. `localhost`, which leads to the same servers, is not
/// in it, so that tests can ask for a name that is not certified.
const NAME: &str = "127.0.0.1";

/// Who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
pub struct Signed {
    certificate: String,
    key: String,
}

fn failed(error: rcgen::Error) -> StackError {
    StackError::Certificate(error.to_string())
}

impl Authority {
    /// A new one, whom nobody trusts yet.
    ///
    /// # Errors
    /// [`StackError::Certificate`].
    pub fn new(name: &str) -> Result<Self, StackError> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        let pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Its own certificate, for those who are to trust it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    fn sign(&self, name: &str) -> Result<Signed, StackError> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Signed {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The files of a stack with TLS. A stack has them all, or has no TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    stack: PathBuf,
}

impl Tls {
    /// Those of the stack in that folder, where it has TLS.
    #[must_use]
    pub fn of(stack: &Path) -> Option<Self> {
        let tls = Self {
            stack: stack.to_path_buf(),
        };
        tls.ca().is_file().then_some(tls)
    }

    /// Makes them: the authority's key is forgotten at once.
    pub(super) fn make(stack: &Path) -> Result<Self, StackError> {
        let half = stack.join("tls.part");
        files::remove_folder(&half)?;
        files::make_folder(&half.join("minio"))?;
        let authority = Authority::new("a throw-away authority of a Daybook stack")?;
        let Signed { certificate, key } = authority.sign(NAME)?;
        files::write(&half.join("ca.pem"), authority.pem())?;
        files::write(&half.join("server.pem"), &certificate)?;
        secret(&half.join("server.key"), &key)?;
        secret(&half.join("kafka.pem"), &format!("{key}{certificate}"))?;
        files::write(&half.join("minio/public.crt"), &certificate)?;
        secret(&half.join("minio/private.key"), &key)?;
        files::rename(&half, &stack.join("tls"))?;
        Ok(Self {
            stack: stack.to_path_buf(),
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.stack.join("tls").join(name)
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// The servers' certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// Key and certificate in one file, as Kafka takes them.
    #[must_use]
    pub fn keystore(&self) -> PathBuf {
        self.file("kafka.pem")
    }

    /// Both in a folder, as MinIO takes them.
    #[must_use]
    pub fn minio(&self) -> PathBuf {
        self.file("minio")
    }

    /// Daybook's settings for this stack.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.stack.join("daybook.toml")
    }

    /// A file with a secret.
    #[must_use]
    pub fn secret(&self, name: &str) -> PathBuf {
        self.stack.join("secrets").join(name)
    }

    /// Writes settings and secrets: `infra/daybook-tls.toml` with this stack's ports and folders.
    pub(super) fn write_settings(&self, root: &Path, ports: Ports) -> Result<(), StackError> {
        files::make_folder(&self.stack.join("secrets"))?;
        let postgres = format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{USER}?sslmode=verify-full&sslrootcert={}",
            ports.postgres(),
            self.ca().display()
        );
        for (name, text) in [
            ("kafka", PASSWORD),
            ("postgres", &postgres),
            ("s3-access", USER),
            ("s3-secret", PASSWORD),
        ] {
            secret(&self.secret(name), text)?;
        }
        let shared = files::read(&root.join("infra/daybook-tls.toml"))?;
        files::write(&self.settings(), &self.own(&shared, ports))
    }

    fn own(&self, shared: &str, ports: Ports) -> String {
        let first = Ports::from(FIRST);
        let moved = [
            (first.kafka(), ports.kafka()),
            (first.bigtable(), ports.bigtable()),
            (first.postgres(), ports.postgres()),
            (first.minio(), ports.minio()),
        ];
        // Two passes: a port of this stack may be another one of the first.
        let mut text = shared.to_owned();
        for (at, (from, _)) in moved.iter().enumerate() {
            text = text.replace(&format!("{NAME}:{from}"), &format!("{NAME}:<{at}>"));
        }
        for (at, (_, to)) in moved.iter().enumerate() {
            text = text.replace(&format!("{NAME}:<{at}>"), &format!("{NAME}:{to}"));
        }
        let folder = |name: &str| self.stack.join(name).display().to_string();
        text.replace("/etc/daybook", &folder("tls"))
            .replace("/run/secrets/daybook", &folder("secrets"))
    }

    /// The variables by which Daybook finds settings and secrets.
    pub(super) fn env(&self, ports: Ports) -> Vec<(&'static str, String)> {
        let shown = |path: PathBuf| path.display().to_string();
        vec![
            ("DAYBOOK_CONFIG", shown(self.settings())),
            ("DAYBOOK_STACK_CA", shown(self.ca())),
            ("DAYBOOK_KAFKA", format!("{NAME}:{}", ports.kafka())),
            ("DAYBOOK_KAFKA_PASSWORD_FILE", shown(self.secret("kafka"))),
            ("DAYBOOK_BIGTABLE", format!("{NAME}:{}", ports.bigtable())),
            ("DAYBOOK_POSTGRES_FILE", shown(self.secret("postgres"))),
            ("DAYBOOK_S3", format!("https://{NAME}:{}", ports.minio())),
            (
                "DAYBOOK_S3_ACCESS_KEY_FILE",
                shown(self.secret("s3-access")),
            ),
            (
                "DAYBOOK_S3_SECRET_KEY_FILE",
                shown(self.secret("s3-secret")),
            ),
        ]
    }

    /// An answer of 200 to an HTTPS GET from a server whose certificate is right.
    #[must_use]
    pub(super) fn https(&self, port: u16, path: &str) -> bool {
        let ask = || -> Option<bool> {
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_file(self.ca()).ok()?)
                .ok()?;
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .ok()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from(NAME).ok()?;
            let tls = rustls::ClientConnection::new(Arc::new(config), name).ok()?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).ok()?;
            stream.set_write_timeout(Some(PATIENCE)).ok()?;
            let mut stream = rustls::StreamOwned::new(tls, stream);
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {NAME}\r\n\r\n").ok()?;
            let mut start = [0_u8; 12];
            stream.read_exact(&mut start).ok()?;
            Some(start.starts_with(b"HTTP/1.") && start.ends_with(b" 200"))
        };
        ask().unwrap_or(false)
    }
}

/// Writes a file that nobody else reads.
pub(super) fn secret(path: &Path, text: &str) -> Result<(), StackError> {
    // Made empty first: at no moment may others read it.
    files::write(path, "")?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|source| {
        StackError::File {
            doing: "set the mode of",
            path: path.to_path_buf(),
            source,
        }
    })?;
    files::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_the_project_with_the_stacks_own_places() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Tls::of(folder.path()).is_none());
        let tls = Tls::make(folder.path()).unwrap();
        assert!(Tls::of(folder.path()).is_some());
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(tls.key()), 0o600);
        // Its ports are others of the first stack's.
        tls.write_settings(&crate::root(), Ports::from(FIRST + 2))
            .unwrap();
        assert_eq!(mode(tls.secret("kafka")), 0o600);
        let text = files::read(&tls.settings()).unwrap();
        let settings: toml::Table = text.parse().unwrap();
        let get = |section: &str, key: &str| settings[section][key].as_str().unwrap().to_owned();
        assert_eq!(get("kafka", "servers"), format!("127.0.0.1:{}", FIRST + 2));
        assert_eq!(
            get("s3", "endpoint"),
            format!("https://127.0.0.1:{}", FIRST + 6)
        );
        assert_eq!(get("kafka", "ca_file"), tls.ca().display().to_string());
        for (section, key) in [
            ("kafka", "password_file"),
            ("postgres", "url_file"),
            ("s3", "access_key_file"),
            ("s3", "secret_key_file"),
        ] {
            let file = get(section, key);
            assert!(Path::new(&file).is_file(), "{file}");
        }
        assert!(!text.contains(PASSWORD), "a secret stands in the settings");
    }
}
