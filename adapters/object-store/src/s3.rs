//! Snapshots in any store that speaks S3's protocol: AWS, Google Cloud Storage, MinIO.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody};
use object_store::client::{HttpResponse, ReqwestConnector};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer as _;
use object_store::{Certificate, ClientOptions, Error, ObjectStoreExt as _, RetryConfig};
use ports::snapshot::SnapshotError;

use crate::ObjectSnapshots;

/// A store that does not answer is given up on after so long: snapshots are made again, and a
/// start must not wait for them.
const RETRY_FOR: Duration = Duration::from_secs(10);
/// Tries of one request.
const RETRIES: usize = 3;
/// For a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a signed request is good for.
const SIGNED_FOR: Duration = Duration::from_secs(60);

/// Where the store is, and who asks it.
#[derive(Clone, Default)]
pub struct S3Config {
    /// Its address; `None`: AWS's own for the region. `http://` is not encrypted.
    pub endpoint: Option<String>,
    /// The region.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// The folder in the bucket; empty for none.
    pub folder: String,
    /// Who signed its certificate (PEM), where that is nobody well known.
    pub ca_file: Option<PathBuf>,
    /// Key and its id; without, the machine's own identity.
    pub keys: Option<(String, String)>,
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("folder", &self.folder)
            .field("ca_file", &self.ca_file)
            .field("has_keys", &self.keys.is_some())
            .finish()
    }
}

/// The bucket cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// A setting is wrong.
    #[error("the settings of the object store are wrong: {0}")]
    Config(String),
    /// It cannot be reached now.
    #[error("the object store cannot be reached: {0}")]
    Unavailable(String),
    /// The key may not do what is needed.
    #[error("the object store refuses: {0}")]
    Denied(String),
    /// What is there cannot be used.
    #[error("the bucket cannot be used: {0}")]
    Unusable(String),
}

impl S3Config {
    fn options(&self) -> Result<ClientOptions, S3Error> {
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT_WITHIN)
            .with_allow_http(true);
        let Some(file) = &self.ca_file else {
            return Ok(options);
        };
        let wrong = |why: String| S3Error::Config(format!("{}: {why}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let bundle =
            Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        Ok(bundle
            .into_iter()
            .fold(options, ClientOptions::with_root_certificate))
    }

    fn bucket(&self) -> Result<AmazonS3, S3Error> {
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
            ..Default::default()
        };
        let mut builder = AmazonS3Builder::new()
            .with_region(&self.region)
            .with_bucket_name(&self.bucket)
            // `latest.json` moves up by compare-and-set.
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retry)
            .with_client_options(self.options()?);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some((id, key)) = &self.keys {
            builder = builder.with_access_key_id(id).with_secret_access_key(key);
        }
        builder
            .build()
            .map_err(|error| S3Error::Config(error.to_string()))
    }

    /// Makes the bucket where it is not there; true when it was made. Then writes an object,
    /// reads it back and removes it, so that a missing permission is known now.
    ///
    /// # Errors
    /// [`S3Error`].
    pub async fn setup(&self) -> Result<bool, S3Error> {
        let bucket = self.bucket()?;
        let probe = self.path("setup-probe");
        let made = match bucket.put(&probe, "daybook".into()).await {
            Ok(_) => false,
            Err(Error::NotFound { .. }) => {
                self.create(&bucket).await?;
                let written = bucket.put(&probe, "daybook".into()).await;
                written.map_err(|error| refused("writing an object", &error))?;
                true
            }
            Err(error) => return Err(refused("writing an object", &error)),
        };
        let read = bucket.get(&probe).await;
        read.map_err(|error| refused("reading an object", &error))?;
        let removed = bucket.delete(&probe).await;
        removed.map_err(|error| refused("removing an object", &error))?;
        Ok(made)
    }

    fn path(&self, name: &str) -> Path {
        match self.folder.is_empty() {
            true => Path::from(name),
            false => Path::from(format!("{}/{name}", self.folder)),
        }
    }

    /// Makes the bucket: the protocol's `PUT /bucket`, which `object_store` has no call for.
    async fn create(&self, bucket: &AmazonS3) -> Result<(), S3Error> {
        let unavailable = |error: &dyn std::error::Error| {
            S3Error::Unavailable(format!("making bucket {}: {}", self.bucket, causes(error)))
        };
        let url = bucket
            .signed_url(http::Method::PUT, &Path::default(), SIGNED_FOR)
            .await
            .map_err(|error| unavailable(&error))?;
        let client: HttpClient = ReqwestConnector::default()
            .connect(&self.options()?)
            .map_err(|error| S3Error::Config(error.to_string()))?;
        // Elsewhere than in its first region AWS wants to be told which one.
        let body = match (&self.endpoint, self.region.as_str()) {
            (None, region) if region != "us-east-1" => HttpRequestBody::from(format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                 <LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            )),
            _ => HttpRequestBody::empty(),
        };
        let request: HttpRequest = http::Request::put(url.as_str())
            .body(body)
            .map_err(|error| S3Error::Config(error.to_string()))?;
        let response: HttpResponse = client
            .execute(request)
            .await
            .map_err(|error| unavailable(&error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            // Someone else made it meanwhile.
            http::StatusCode::CONFLICT => Ok(()),
            http::StatusCode::FORBIDDEN | http::StatusCode::UNAUTHORIZED => {
                Err(S3Error::Denied(format!(
                    "the key may not make bucket {}: make it, or permit it",
                    self.bucket
                )))
            }
            status => Err(S3Error::Unusable(format!(
                "making bucket {} was answered with {status}",
                self.bucket
            ))),
        }
    }
}

/// An error with what it comes from: of a certificate that is not trusted the outer words say no more
/// than that a request could not be sent.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        source = cause.source();
    }
    said
}

fn refused(doing: &str, error: &Error) -> S3Error {
    let said = format!("{doing}: {}", causes(error));
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => S3Error::Denied(said),
        Error::NotFound { .. } => S3Error::Unusable(said),
        _ => S3Error::Unavailable(said),
    }
}

impl ObjectSnapshots {
    /// Keeps snapshots in an S3-compatible store. Nothing is connected by this.
    ///
    /// # Errors
    /// [`SnapshotError::Unavailable`] when a setting is wrong.
    pub fn s3(config: &S3Config) -> Result<Self, SnapshotError> {
        let bucket = config
            .bucket()
            .map_err(|error| SnapshotError::Unavailable(error.to_string()))?;
        Ok(match config.folder.is_empty() {
            true => Self::new(Arc::new(bucket)),
            false => Self::new(Arc::new(PrefixStore::new(
                bucket,
                Path::from(config.folder.as_str()),
            ))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_shown_and_a_missing_certificate_is_named() {
        let config = S3Config {
            region: "us-east-1".to_owned(),
            bucket: "books".to_owned(),
            keys: Some(("id".to_owned(), "hush-hush".to_owned())),
            ca_file: Some("/nowhere/ca.pem".into()),
            ..Default::default()
        };
        assert!(!format!("{config:?}").contains("hush"));
        let error = config.bucket().unwrap_err().to_string();
        assert!(error.contains("/nowhere/ca.pem"), "{error}");
    }
}
