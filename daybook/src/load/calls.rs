//! Calls to servers that may be killed meanwhile: repeated until they are answered, or patience
//! ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::client::failure::Failure;
use crate::client::rpc::Rpc;
use crate::client::session::{MESSAGE_BYTES_MAX, endpoint};

const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Servers of the same books.
pub struct Calls {
    channels: Vec<Channel>,
    /// The one that answered last.
    current: AtomicUsize,
    patience: Duration,
}

impl Calls {
    /// To all of `servers`, each connected when it is needed. Needs a tokio runtime.
    ///
    /// # Errors
    /// One of them is no address.
    pub fn new(servers: &[String], patience: Duration) -> Result<Self, Failure> {
        let channels = servers.iter().map(|server| {
            let endpoint = endpoint(server)?;
            Ok(endpoint.connect_lazy())
        });
        Ok(Self {
            channels: channels.collect::<Result<_, Failure>>()?,
            current: AtomicUsize::new(0),
            patience,
        })
    }

    /// How long a call is repeated.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Makes the call until it is answered, at whichever server.
    ///
    /// # Errors
    /// What the server answered, where repeating does not help; what it said last, when patience
    /// ended.
    pub async fn call<Q, A>(&self, rpc: Rpc<Q, A>, request: Q) -> Result<A, Failure>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut retry = Retry::new(self.patience);
        loop {
            match self.attempt(rpc, request.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(failure) if !failure.retryable => return Err(failure),
                Err(failure) => {
                    if !retry.pause().await {
                        return Err(failure);
                    }
                }
            }
        }
    }

    /// Makes the call once. A failed one lets the next go to another server.
    ///
    /// # Errors
    /// What the server answered, or that it did not.
    pub async fn attempt<Q, A>(&self, rpc: Rpc<Q, A>, request: Q) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let current = self.current.load(Ordering::Relaxed);
        let answer = self.once(current, rpc, request).await;
        if answer.as_ref().is_err_and(|failure| failure.retryable) {
            let next = (current + 1) % self.channels.len();
            self.current.store(next, Ordering::Relaxed);
        }
        answer
    }

    async fn once<Q, A>(&self, server: usize, rpc: Rpc<Q, A>, request: Q) -> Result<A, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.channels[server].clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let gone = |error: tonic::transport::Error| {
            Failure::from_status(&tonic::Status::unavailable(error.to_string()))
        };
        grpc.ready().await.map_err(gone)?;
        let mut request = tonic::Request::new(request);
        request.set_timeout(ATTEMPT);
        let path = rpc.path().parse().expect("a method's path is a path");
        let call = grpc.unary(request, path, ProstCodec::<Q, A>::default());
        // The server is told the deadline, and may be gone.
        match tokio::time::timeout(ATTEMPT + Duration::from_secs(1), call).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(Failure::from_status(&status)),
            Err(_) => Err(Failure::from_status(&tonic::Status::deadline_exceeded(
                "no answer in time",
            ))),
        }
    }
}

/// Pauses between attempts, longer each time, until patience ends.
pub struct Retry {
    started: Instant,
    pause: Duration,
    patience: Duration,
}

impl Retry {
    /// Begins now.
    pub fn new(patience: Duration) -> Self {
        Self {
            started: Instant::now(),
            pause: PAUSE_FIRST,
            patience,
        }
    }

    /// Waits before the next attempt; false when patience has ended.
    pub async fn pause(&mut self) -> bool {
        if self.started.elapsed() + self.pause > self.patience {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MOST);
        true
    }

    /// Something moved: patience begins anew.
    pub fn moved(&mut self) {
        self.started = Instant::now();
        self.pause = PAUSE_FIRST;
    }
}
