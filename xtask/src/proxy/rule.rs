//! What is to be done with the next request of a kind, and what became of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ApiKey, ProxyError};

/// What becomes of the connection over which a caught request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is cut: the client knows at once that something was lost.
    Cut,
    /// It stays, and says nothing: the client has to find out by its timeout. Behind a request that
    /// is held back nothing else passes on its connection.
    Silence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    SwallowAnswer(Then),
    Hold(Then),
    Copy,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub key: ApiKey,
    pub action: Action,
    pub caught: Caught,
}

/// A request as it came, without the length before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// `None` where the bytes are too few for a request.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= 8).then_some(Self { bytes })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its kind.
    #[must_use]
    pub fn key(&self) -> ApiKey {
        ApiKey(i16::from_be_bytes([self.bytes[0], self.bytes[1]]))
    }

    /// The version of its kind.
    #[must_use]
    pub fn version(&self) -> i16 {
        i16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// The number by which its answer is known.
    #[must_use]
    pub fn correlation(&self) -> i32 {
        i32::from_be_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]])
    }
}

/// A request that is to be caught, or was.
#[derive(Debug, Clone)]
pub struct Caught {
    key: ApiKey,
    broker: SocketAddr,
    slot: Arc<(Mutex<Slot>, Condvar)>,
}

#[derive(Debug, Default)]
struct Slot {
    request: Option<Request>,
    /// For a swallowed answer: it has come from the broker, and went no further.
    happened: bool,
    released: bool,
    given_up: bool,
}

impl Caught {
    pub(super) fn new(key: ApiKey, broker: SocketAddr) -> Self {
        Self {
            key,
            broker,
            slot: Arc::default(),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) {
        change(&mut self.slot());
        self.slot.1.notify_all();
    }

    pub(super) fn caught(&self, request: Request) {
        self.change(|slot| slot.request = Some(request));
    }

    pub(super) fn happened(&self) {
        self.change(|slot| slot.happened = true);
    }

    pub(super) fn give_up(&self) {
        self.change(|slot| slot.given_up = true);
    }

    /// Waits until it is released or its connection is cut; says whether it was released.
    pub(super) fn wait_released(&self) -> bool {
        let slot = self
            .slot
            .1
            .wait_while(self.slot(), |slot| !slot.released && !slot.given_up)
            .unwrap_or_else(PoisonError::into_inner);
        slot.released
    }

    /// Waits until it has happened: the request was held or copied, or its answer was lost.
    ///
    /// # Errors
    /// [`ProxyError::Nothing`] when it has not within `at_most`.
    pub fn wait(&self, at_most: Duration) -> Result<Request, ProxyError> {
        let (slot, _) = self
            .slot
            .1
            .wait_timeout_while(self.slot(), at_most, |slot| !slot.happened)
            .unwrap_or_else(PoisonError::into_inner);
        slot.request
            .clone()
            .filter(|_| slot.happened)
            .ok_or(ProxyError::Nothing(self.key, at_most))
    }

    /// Whether it has happened.
    #[must_use]
    pub fn has_happened(&self) -> bool {
        self.slot().happened
    }

    /// Lets a request that is held back go on in its place, if its connection still stands.
    pub fn release(&self) {
        self.change(|slot| slot.released = true);
    }

    /// Sends the caught request to the broker over a new connection, as one that the network had
    /// kept back. Gives the answer's body, from after the correlation id on.
    ///
    /// # Errors
    /// [`ProxyError`] when nothing was caught yet, or the broker does not answer.
    pub fn deliver(&self) -> Result<Vec<u8>, ProxyError> {
        const PATIENCE: Duration = Duration::from_secs(30);
        let request = self
            .slot()
            .request
            .clone()
            .ok_or(ProxyError::Nothing(self.key, Duration::ZERO))?;
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut broker = TcpStream::connect_timeout(&self.broker, PATIENCE)?;
            broker.set_read_timeout(Some(PATIENCE))?;
            write_frame(&mut broker, request.bytes())?;
            let mut answer = read_frame(&mut broker)?;
            Ok(answer.split_off(4.min(answer.len())))
        };
        exchange().map_err(|source| ProxyError::Io {
            doing: format!("deliver a request of {:?} to the broker", self.key),
            source,
        })
    }
}

/// A frame's body. Its length stands before it, in 4 bytes.
pub(super) fn read_frame(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    /// Above what a broker takes (`socket.request.max.bytes`): it is no frame of Kafka's.
    const LONGEST: usize = 105 << 20;
    let mut length = [0_u8; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if !(4..=LONGEST).contains(&length) {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("{length} is no length of a Kafka frame"),
        ));
    }
    let mut body = vec![0_u8; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

pub(super) fn write_frame(to: &mut impl Write, body: &[u8]) -> std::io::Result<()> {
    let length = i32::try_from(body.len()).map_err(std::io::Error::other)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend(length.to_be_bytes());
    frame.extend(body);
    to.write_all(&frame)
}
