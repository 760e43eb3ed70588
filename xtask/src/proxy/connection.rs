//! One client's connection: a thread for each direction, frame by frame.

use std::io::BufReader;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::rule::{Action, Caught, Request, Rule, Then, read_frame, write_frame};
use super::{ApiKey, Shared};

/// Both sockets of a client's connection.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pair: Arc<Pair>,
}

#[derive(Debug)]
struct Pair {
    client: TcpStream,
    broker: TcpStream,
    over: AtomicBool,
    /// Answers that go no further, by correlation id.
    swallow: Mutex<Vec<(i32, Then, Caught)>>,
    /// The request that is held back, if one is: whoever cuts the connection wakes its thread.
    held: Mutex<Option<Caught>>,
}

impl Connection {
    pub(super) fn start(
        client: TcpStream,
        broker: TcpStream,
        shared: &Arc<Shared>,
    ) -> std::io::Result<Self> {
        let (from_client, from_broker) = (client.try_clone()?, broker.try_clone()?);
        let pair = Arc::new(Pair {
            client,
            broker,
            over: AtomicBool::new(false),
            swallow: Mutex::default(),
            held: Mutex::default(),
        });
        let connection = Self { pair };
        std::thread::spawn({
            let (connection, shared) = (connection.clone(), shared.clone());
            move || {
                // Either way its end is the connection's end, which the client notices by itself.
                connection.requests(from_client, &shared).ok();
                connection.cut();
            }
        });
        std::thread::spawn({
            let connection = connection.clone();
            move || {
                connection.answers(from_broker).ok();
                connection.cut();
            }
        });
        Ok(connection)
    }

    pub(super) fn stands(&self) -> bool {
        !self.pair.over.load(Ordering::Acquire)
    }

    pub(super) fn cut(&self) {
        self.pair.over.store(true, Ordering::Release);
        // They may be closed already.
        self.pair.client.shutdown(Shutdown::Both).ok();
        self.pair.broker.shutdown(Shutdown::Both).ok();
        let held = self
            .pair
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(held) = held {
            held.give_up();
        }
    }

    fn requests(&self, client: TcpStream, shared: &Shared) -> std::io::Result<()> {
        let mut client = BufReader::new(client);
        let mut broker = &self.pair.broker;
        while self.stands() {
            let Some(request) = Request::parse(read_frame(&mut client)?) else {
                return Ok(());
            };
            match rule_for(shared, request.key()) {
                None => {}
                Some((Action::Copy, caught)) => {
                    caught.caught(request.clone());
                    caught.happened();
                }
                Some((Action::SwallowAnswer(then), caught)) => {
                    caught.caught(request.clone());
                    self.pair
                        .swallow
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((request.correlation(), then, caught));
                }
                Some((Action::Hold(then), caught)) => {
                    caught.caught(request.clone());
                    if !self.hold(&caught, then) {
                        return Ok(());
                    }
                }
            }
            write_frame(&mut broker, request.bytes())?;
        }
        Ok(())
    }

    /// Keeps a request back; says whether it may go on in its place.
    fn hold(&self, caught: &Caught, then: Then) -> bool {
        if then == Then::Cut {
            self.cut();
            caught.happened();
            return false;
        }
        *self
            .pair
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(caught.clone());
        caught.happened();
        // It may have been cut before the cutter could see that one is held.
        if !self.stands() {
            return false;
        }
        caught.wait_released() && self.stands()
    }

    fn answers(&self, broker: TcpStream) -> std::io::Result<()> {
        let mut broker = BufReader::new(broker);
        let mut client = &self.pair.client;
        while self.stands() {
            let answer = read_frame(&mut broker)?;
            let correlation = i32::from_be_bytes([answer[0], answer[1], answer[2], answer[3]]);
            let swallow = {
                let mut swallow = self
                    .pair
                    .swallow
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                swallow
                    .iter()
                    .position(|(waiting, ..)| *waiting == correlation)
                    .map(|at| swallow.remove(at))
            };
            match swallow {
                None => write_frame(&mut client, &answer)?,
                Some((_, then, caught)) => {
                    if then == Then::Cut {
                        self.cut();
                    }
                    caught.happened();
                }
            }
        }
        Ok(())
    }
}

/// The first rule that waits for such a request; it is used up.
fn rule_for(shared: &Shared, key: ApiKey) -> Option<(Action, Caught)> {
    let mut inner = shared.inner();
    match inner.seen.iter_mut().find(|(seen, _)| *seen == key) {
        Some((_, count)) => *count += 1,
        None => inner.seen.push((key, 1)),
    }
    let at = inner.rules.iter().position(|rule| rule.key == key)?;
    let Rule { action, caught, .. } = inner.rules.remove(at);
    Some((action, caught))
}
