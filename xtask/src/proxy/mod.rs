//! A TCP proxy between Kafka's clients and the broker, for failure tests: it cuts, refuses, loses
//! answers, and holds requests back to deliver them later.
//!
//! The broker has a listener for each proxy that advertises the proxy's own address (a [`Lane`]), so
//! a client that was given the proxy's address stays on it whatever the metadata says. A lane is one
//! proxy's alone: who wants one while all are taken waits.

mod connection;
mod rule;

use std::fs::File;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::stack::{Lane, Stack};

use connection::Connection;
use rule::{Action, Rule};
pub use rule::{Caught, Request, Then};

/// A kind of Kafka request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApiKey(pub i16);

impl ApiKey {
    /// Records to write.
    pub const PRODUCE: Self = Self(0);
    /// Records to read.
    pub const FETCH: Self = Self(1);
    /// Who leads which partition.
    pub const METADATA: Self = Self(3);
    /// A consumer group's offsets.
    pub const OFFSET_COMMIT: Self = Self(8);
    /// Who coordinates a group or a transaction.
    pub const FIND_COORDINATOR: Self = Self(10);
    /// A member joins its group.
    pub const JOIN_GROUP: Self = Self(11);
    /// A member is alive.
    pub const HEARTBEAT: Self = Self(12);
    /// A producer begins, and fences its predecessor.
    pub const INIT_PRODUCER_ID: Self = Self(22);
    /// A transaction will write there.
    pub const ADD_PARTITIONS_TO_TXN: Self = Self(24);
    /// A transaction will commit a group's offsets.
    pub const ADD_OFFSETS_TO_TXN: Self = Self(25);
    /// A transaction commits or aborts.
    pub const END_TXN: Self = Self(26);
    /// A group's offsets, as part of a transaction.
    pub const TXN_OFFSET_COMMIT: Self = Self(28);
}

/// The proxy could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No lanes are known.
    #[error(
        "DAYBOOK_KAFKA_LANES is not set (or not as it should be): start the stack with \
         cargo xtask stack up, and eval \"$(cargo xtask stack env)\""
    )]
    NoLanes,
    /// All lanes are other proxies'.
    #[error("all lanes to the broker have been in use for {0:?}")]
    AllTaken(Duration),
    /// A socket or a lock file refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// Why not.
        source: std::io::Error,
    },
    /// What was waited for did not happen.
    #[error("no request of {0:?} came within {1:?}")]
    Nothing(ApiKey, Duration),
}

/// Between the clients that use [`KafkaProxy::bootstrap`] and the broker. Ends when dropped.
#[derive(Debug)]
pub struct KafkaProxy {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    _lane: File,
}

#[derive(Debug)]
struct Shared {
    lane: Lane,
    over: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    refusing: bool,
    /// Whether the acceptor listens: it follows `refusing` with a little delay.
    listening: bool,
    rules: Vec<Rule>,
    connections: Vec<Connection>,
    seen: Vec<(ApiKey, u64)>,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A test that panicked while it held this has left nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broker(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.lane.broker))
    }
}

impl KafkaProxy {
    /// Takes a free lane of the stack that the environment names (`DAYBOOK_KAFKA_LANES`).
    ///
    /// # Errors
    /// [`ProxyError`] when there is none, or the port cannot be had.
    pub fn from_env() -> Result<Self, ProxyError> {
        let text = std::env::var("DAYBOOK_KAFKA_LANES").map_err(|_| ProxyError::NoLanes)?;
        let lanes = text
            .split(',')
            .map(|pair| {
                let (proxy, broker) = pair.split_once('=')?;
                Some(Lane {
                    proxy: proxy.parse().ok()?,
                    broker: broker.parse().ok()?,
                })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(ProxyError::NoLanes)?;
        Self::on_one_of(&lanes)
    }

    /// Takes a free lane of `stack`.
    ///
    /// # Errors
    /// As [`Self::from_env`].
    pub fn of(stack: &Stack) -> Result<Self, ProxyError> {
        let ports = stack.ports().map_err(|_| ProxyError::NoLanes)?;
        Self::on_one_of(&ports.lanes())
    }

    fn on_one_of(lanes: &[Lane]) -> Result<Self, ProxyError> {
        const PATIENCE: Duration = Duration::from_secs(300);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            for lane in lanes {
                if let Some(lock) = take(*lane)? {
                    return Self::on(*lane, lock);
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(ProxyError::AllTaken(PATIENCE))
    }

    fn on(lane: Lane, lock: File) -> Result<Self, ProxyError> {
        let listener = listen(lane)?;
        let shared = Arc::new(Shared {
            lane,
            over: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                listening: true,
                ..Inner::default()
            }),
        });
        let acceptor = std::thread::spawn({
            let shared = shared.clone();
            move || accept(&shared, Some(listener))
        });
        Ok(Self {
            shared,
            acceptor: Some(acceptor),
            _lane: lock,
        })
    }

    /// What clients take for the broker: `127.0.0.1:PORT`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.shared.lane.proxy)
    }

    /// Everything passes again: connections are taken, and no rule waits any more.
    pub fn pass(&self) {
        {
            let mut inner = self.shared.inner();
            inner.refusing = false;
            inner.rules.clear();
        }
        self.wait_listening(true);
    }

    /// Cuts all connections that there are. New ones are taken.
    pub fn cut(&self) {
        let mut inner = self.shared.inner();
        for connection in inner.connections.drain(..) {
            connection.cut();
        }
    }

    /// Cuts all connections and refuses new ones, until [`Self::pass`].
    pub fn refuse(&self) {
        self.shared.inner().refusing = true;
        self.wait_listening(false);
        self.cut();
    }

    /// Loses the answer to the next request of `key`: the broker does what it says, and the client
    /// does not hear of it.
    #[must_use = "it says when it has happened"]
    pub fn swallow_answer(&self, key: ApiKey, then: Then) -> Caught {
        self.catch(key, Action::SwallowAnswer(then))
    }

    /// Holds the next request of `key` back, until it is delivered or released.
    #[must_use = "it delivers the request"]
    pub fn hold(&self, key: ApiKey, then: Then) -> Caught {
        self.catch(key, Action::Hold(then))
    }

    /// Lets the next request of `key` pass and keeps a copy, which can be delivered again later.
    #[must_use = "it delivers the copy"]
    pub fn keep_copy(&self, key: ApiKey) -> Caught {
        self.catch(key, Action::Copy)
    }

    fn catch(&self, key: ApiKey, action: Action) -> Caught {
        let caught = Caught::new(key, self.shared.broker());
        self.shared.inner().rules.push(Rule {
            key,
            action,
            caught: caught.clone(),
        });
        caught
    }

    /// How many requests of `key` have come from clients.
    #[must_use]
    pub fn seen(&self, key: ApiKey) -> u64 {
        let inner = self.shared.inner();
        inner
            .seen
            .iter()
            .find(|(seen, _)| *seen == key)
            .map_or(0, |(_, count)| *count)
    }

    /// How many connections stand.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared
            .inner()
            .connections
            .iter()
            .filter(|connection| connection.stands())
            .count()
    }

    fn wait_listening(&self, wanted: bool) {
        while self.shared.inner().listening != wanted
            && self
                .acceptor
                .as_ref()
                .is_some_and(|thread| !thread.is_finished())
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for KafkaProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        if let Some(acceptor) = self.acceptor.take() {
            // It only ends early when it panicked, and then the test has failed already.
            acceptor.join().ok();
        }
        self.cut();
    }
}

/// The lane's lock, when nobody has it. The port itself is no lock: a proxy that refuses
/// connections does not listen.
fn take(lane: Lane) -> Result<Option<File>, ProxyError> {
    let path = std::env::temp_dir().join(format!("daybook-kafka-lane-{}.lock", lane.proxy));
    let failed = |source| ProxyError::Io {
        doing: format!("lock {}", path.display()),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn listen(lane: Lane) -> Result<TcpListener, ProxyError> {
    let bind = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lane.proxy))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| ProxyError::Io {
        doing: format!("listen on 127.0.0.1:{}", lane.proxy),
        source,
    })
}

fn accept(shared: &Arc<Shared>, mut listener: Option<TcpListener>) {
    while !shared.over.load(Ordering::Acquire) {
        {
            let mut inner = shared.inner();
            if inner.refusing {
                listener = None;
            } else if listener.is_none() {
                listener = listen(shared.lane).ok();
            }
            inner.listening = listener.is_some();
            inner.connections.retain(Connection::stands);
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => connect(shared, client),
            Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => {
                listener = None;
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Joins a client to the broker; where the broker is away, the client finds itself cut.
fn connect(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(broker) = TcpStream::connect_timeout(&shared.broker(), Duration::from_secs(5)) else {
        return;
    };
    if client.set_nonblocking(false).is_err() {
        return;
    }
    client.set_nodelay(true).ok();
    broker.set_nodelay(true).ok();
    let mut inner = shared.inner();
    // It may have been told to refuse while it was connecting.
    if inner.refusing {
        return;
    }
    if let Ok(connection) = Connection::start(client, broker, shared) {
        inner.connections.push(connection);
    }
}
