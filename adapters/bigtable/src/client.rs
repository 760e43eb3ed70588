//! The connection to Bigtable: made when it is first needed, and again by itself.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gcloud_sdk::google::bigtable::admin::v2::bigtable_table_admin_client::BigtableTableAdminClient;
use gcloud_sdk::google::bigtable::v2::bigtable_client::BigtableClient;
use gcloud_sdk::google_cloud_auth::credentials::anonymous;
use gcloud_sdk::tonic::{Request, Status};
use gcloud_sdk::{
    GCP_DEFAULT_SCOPES, GoogleApi, GoogleAuthHeaders, GoogleAuthMiddleware,
    GoogleAuthMiddlewareLayer, HeaderMap, RequestTimeouts,
};
use tokio::sync::OnceCell;

use crate::config::{BigtableConfig, Endpoint, GoogleCredentials};
use crate::error::BigtableError;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Longest wait for the next part of an answer.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Waits between attempts of one call, which is then given up: whoever called tries again by
/// itself, and says so meanwhile.
const RETRIES: [Duration; 4] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// A call is not made again when so much time went by since it was made first.
const RETRY_FOR: Duration = Duration::from_secs(10);

/// Largest answer or request: several times the largest batch of the log.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Says that reversed scans are understood (`FeatureFlags{reverse_scans: true}` as base64).
const FEATURES: (&str, &str) = ("bigtable-features", "CAE=");

/// The client of the data API.
pub(crate) type Data = BigtableClient<GoogleAuthMiddleware>;
/// The client of the API that makes tables.
pub(crate) type Admin = BigtableTableAdminClient<GoogleAuthMiddleware>;

/// A table of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    History,
    Archive,
}

impl Table {
    /// Its one column family.
    pub(crate) fn family(self) -> &'static str {
        match self {
            Self::History => "h",
            Self::Archive => "a",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Archive => "archive",
        }
    }
}

/// See the module.
pub(crate) struct Client {
    pub(crate) config: BigtableConfig,
    /// Connections live on this runtime, whoever asks for them first: projectors have short
    /// ones of their own.
    runtime: tokio::runtime::Handle,
    data: OnceCell<GoogleApi<Data>>,
    admin: OnceCell<GoogleApi<Admin>>,
}

impl Client {
    /// Connects later. Connections live on the runtime of the caller.
    pub(crate) fn new(config: BigtableConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            runtime: tokio::runtime::Handle::current(),
            data: OnceCell::new(),
            admin: OnceCell::new(),
        })
    }

    /// The id of `table` in its instance.
    pub(crate) fn table_id(&self, table: Table) -> String {
        format!("{}-{}", self.config.table_prefix, table.suffix())
    }

    /// The full name of `table`.
    pub(crate) fn table_name(&self, table: Table) -> String {
        format!("{}/tables/{}", self.config.parent(), self.table_id(table))
    }

    pub(crate) async fn data(&self) -> Result<Data, BigtableError> {
        let api = self.data.get_or_try_init(|| {
            self.connect(
                |service| {
                    BigtableClient::new(service)
                        .max_decoding_message_size(MESSAGE_BYTES_MAX)
                        .max_encoding_message_size(MESSAGE_BYTES_MAX)
                },
                "https://bigtable.googleapis.com",
            )
        });
        Ok(api.await?.get())
    }

    pub(crate) async fn admin(&self) -> Result<Admin, BigtableError> {
        let api = self.admin.get_or_try_init(|| {
            self.connect(
                BigtableTableAdminClient::new,
                "https://bigtableadmin.googleapis.com",
            )
        });
        Ok(api.await?.get())
    }

    async fn connect<C: Clone + Send + 'static>(
        &self,
        client: fn(GoogleAuthMiddleware) -> C,
        google: &'static str,
    ) -> Result<GoogleApi<C>, BigtableError> {
        let endpoint = self.config.endpoint.clone();
        let prefix = self.config.parent();
        let connecting = self.runtime.spawn(async move {
            let unavailable = |error: &dyn std::fmt::Display| {
                BigtableError::Unavailable(format!("connecting: {error}"))
            };
            let (address, auth) = match endpoint {
                Endpoint::Emulator(address) => {
                    let none = GoogleAuthHeaders::from(anonymous::Builder::new().build());
                    (format!("http://{address}"), none)
                }
                Endpoint::Google(credentials) => {
                    (google.to_owned(), authenticate(credentials).await?)
                }
            };
            let mut layer = GoogleAuthMiddlewareLayer::new(auth, Some(prefix))
                .map_err(|error| BigtableError::Unusable(error.to_string()))?;
            let mut headers = HeaderMap::new();
            headers.insert(FEATURES.0, FEATURES.1.parse().expect("it is plain ASCII"));
            layer.set_additional_headers(headers);
            let connected = GoogleApi::from_function_with_middleware(client, &address, layer);
            match tokio::time::timeout(CONNECT_MAX, connected).await {
                Ok(Ok(api)) => {
                    let timeouts = RequestTimeouts::new().with_idle(IDLE_MAX);
                    Ok(api.with_request_timeouts(timeouts))
                }
                Ok(Err(error)) => Err(unavailable(&format!("{address}: {}", causes(&error)))),
                Err(_) => Err(unavailable(&format!("{address} does not answer"))),
            }
        });
        connecting.await.unwrap_or_else(|_| {
            let ended = "the runtime of its connections has ended".to_owned();
            Err(BigtableError::Unavailable(ended))
        })
    }

    /// Makes `call` until it succeeds, fails for good, or has failed too often. Where an
    /// emulator came back without its tables, they are made again, and it fails with
    /// [`BigtableError::Lost`]: an empty table must not look like an answer.
    pub(crate) async fn retried<T, F, Fut>(&self, call: F) -> Result<T, BigtableError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, BigtableError>>,
    {
        let mut waits = RETRIES.iter();
        let started = Instant::now();
        loop {
            let error = match call().await {
                Err(BigtableError::Missing(_)) if self.config.is_emulator() => {
                    self.create_tables().await?;
                    return Err(BigtableError::Lost);
                }
                Err(error) => error,
                done => return done,
            };
            match waits.next() {
                Some(wait) if error.is_transient() && started.elapsed() < RETRY_FOR => {
                    tracing::debug!(%error, "a call is made again");
                    tokio::time::sleep(*wait).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// A request that Google's front ends know where to send.
    pub(crate) fn routed<T>(&self, table: &str, message: T) -> Result<Request<T>, BigtableError> {
        let mut request = Request::new(message);
        let params = format!("table_name={}", table.replace('/', "%2F"));
        let params = params
            .parse()
            .map_err(|_| BigtableError::Unusable(format!("{table} is no name of a table")))?;
        request
            .metadata_mut()
            .insert("x-goog-request-params", params);
        Ok(request)
    }
}

async fn authenticate(credentials: GoogleCredentials) -> Result<GoogleAuthHeaders, BigtableError> {
    // The signature of a service account needs a provider; another that is installed already
    // serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let scopes = GCP_DEFAULT_SCOPES.clone();
    let built = match credentials {
        GoogleCredentials::Default => GoogleAuthHeaders::from_adc_with_scopes(scopes).await,
        GoogleCredentials::File(path) => {
            let refused = |what: String| {
                BigtableError::Denied(format!("the credentials in {}: {what}", path.display()))
            };
            let text = tokio::fs::read(&path)
                .await
                .map_err(|error| refused(error.to_string()))?;
            // The parser's own words might quote the key.
            let key = serde_json::from_slice(&text)
                .map_err(|_| refused("they are no JSON".to_owned()))?;
            GoogleAuthHeaders::from_service_account_key(key, scopes).await
        }
    };
    built.map_err(|error| BigtableError::Denied(format!("no credentials: {error}")))
}

/// An error with what it comes from: the outer words are often "transport error" alone.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
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

/// What `status` means; see [`BigtableError::of`].
pub(crate) fn failed(doing: &'static str) -> impl Fn(Status) -> BigtableError {
    move |status| BigtableError::of(doing, &status)
}
