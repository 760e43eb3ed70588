//! The proxy cuts, refuses, loses answers and holds requests back, before the real broker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use xtask::proxy::{ApiKey, KafkaProxy, Then};

const SOON: Duration = Duration::from_secs(20);

/// A client that speaks just enough: one request, one answer.
struct Client {
    stream: TcpStream,
    correlation: i32,
}

impl Client {
    fn connect(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(Self {
            stream,
            correlation: 0,
        })
    }

    fn send(&mut self, key: ApiKey, version: i16, body: &[u8]) -> std::io::Result<()> {
        self.correlation += 1;
        let mut request = Vec::new();
        request.extend(key.0.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(self.correlation.to_be_bytes());
        text(&mut request, "a test");
        request.extend(body);
        let length = i32::try_from(request.len()).expect("a short request");
        self.stream.write_all(&length.to_be_bytes())?;
        self.stream.write_all(&request)
    }

    fn answer(&mut self) -> std::io::Result<Vec<u8>> {
        let mut word = [0; 4];
        self.stream.read_exact(&mut word)?;
        let length = usize::try_from(i32::from_be_bytes(word)).expect("a length");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        assert_eq!(
            body[..4],
            self.correlation.to_be_bytes(),
            "another's answer"
        );
        Ok(body.split_off(4))
    }

    fn ask(&mut self, key: ApiKey, version: i16, body: &[u8]) -> std::io::Result<Vec<u8>> {
        self.send(key, version, body)?;
        self.answer()
    }
}

fn text(to: &mut Vec<u8>, text: &str) {
    to.extend(
        i16::try_from(text.len())
            .expect("a short text")
            .to_be_bytes(),
    );
    to.extend(text.as_bytes());
}

fn short(answer: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([answer[at], answer[at + 1]])
}

fn word(answer: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(answer[at..at + 4].try_into().expect("4 bytes"))
}

fn kafka() -> String {
    std::env::var("DAYBOOK_KAFKA")
        .expect("DAYBOOK_KAFKA is not set: this test needs the stack (cargo xtask stack up)")
}

/// The port that Metadata names for the broker.
fn advertised(client: &mut Client) -> std::io::Result<i32> {
    // No topics.
    let answer = client.ask(ApiKey::METADATA, 1, &0_i32.to_be_bytes())?;
    assert_eq!(word(&answer, 0), 1, "one broker");
    let host = usize::try_from(short(&answer, 8)).expect("a length");
    Ok(word(&answer, 10 + host))
}

/// A transactional id of its own, with its coordinator ready.
fn transactional_id(client: &mut Client) -> String {
    let id = format!(
        "proxy-{:?}-{}",
        std::thread::current().id(),
        std::process::id()
    );
    let mut body = Vec::new();
    text(&mut body, &id);
    body.push(1);
    for _ in 0..100 {
        let answer = client
            .ask(ApiKey::FIND_COORDINATOR, 1, &body)
            .expect("an answer");
        if short(&answer, 4) == 0 && epoch(client, &id).is_ok() {
            return id;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("no coordinator for transactions");
}

fn init_body(id: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, id);
    body.extend(60_000_i32.to_be_bytes());
    body
}

/// The epoch in an answer to InitProducerId, or its error.
fn parse_epoch(answer: &[u8]) -> Result<i16, i16> {
    match short(answer, 4) {
        0 => Ok(short(answer, 14)),
        error => Err(error),
    }
}

/// Makes a new producer epoch: each call that reaches the broker makes the next one.
fn epoch(client: &mut Client, id: &str) -> Result<i16, i16> {
    let answer = client
        .ask(ApiKey::INIT_PRODUCER_ID, 1, &init_body(id))
        .expect("an answer");
    parse_epoch(&answer)
}

#[test]
fn who_comes_through_the_proxy_is_sent_to_the_proxy() {
    let proxy = KafkaProxy::from_env().unwrap();
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    let port = advertised(&mut client).unwrap();
    assert_eq!(format!("127.0.0.1:{port}"), proxy.bootstrap());
    assert_eq!(proxy.seen(ApiKey::METADATA), 1);
    assert_eq!(proxy.connections(), 1);
    let direct = kafka();
    let port = advertised(&mut Client::connect(&direct).unwrap()).unwrap();
    assert_eq!(format!("127.0.0.1:{port}"), direct);
}

#[test]
fn connections_are_cut_and_refused_and_come_back() {
    let proxy = KafkaProxy::from_env().unwrap();
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    advertised(&mut client).unwrap();
    proxy.cut();
    assert!(advertised(&mut client).is_err(), "it was cut");
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    advertised(&mut client).unwrap();
    proxy.refuse();
    assert!(advertised(&mut client).is_err(), "it was cut");
    assert!(
        Client::connect(&proxy.bootstrap()).is_err(),
        "it is refused"
    );
    proxy.pass();
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    advertised(&mut client).unwrap();
}

#[test]
fn a_lost_answer_is_lost_for_the_client_alone() {
    let mut direct = Client::connect(&kafka()).unwrap();
    let id = transactional_id(&mut direct);
    let first = epoch(&mut direct, &id).unwrap();
    let proxy = KafkaProxy::from_env().unwrap();

    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    let caught = proxy.swallow_answer(ApiKey::INIT_PRODUCER_ID, Then::Cut);
    assert!(
        caught.wait(Duration::from_millis(50)).is_err(),
        "nothing came yet"
    );
    let answer = client.ask(ApiKey::INIT_PRODUCER_ID, 1, &init_body(&id));
    assert!(answer.is_err(), "the answer came through");
    let request = caught.wait(SOON).unwrap();
    assert_eq!(request.key(), ApiKey::INIT_PRODUCER_ID);
    assert_eq!(
        epoch(&mut direct, &id),
        Ok(first + 2),
        "the broker did what it was told"
    );

    // The same in silence: the connection stands, and later answers come.
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    let caught = proxy.swallow_answer(ApiKey::INIT_PRODUCER_ID, Then::Silence);
    client
        .send(ApiKey::INIT_PRODUCER_ID, 1, &init_body(&id))
        .unwrap();
    caught.wait(SOON).unwrap();
    advertised(&mut client).unwrap();
    assert_eq!(
        epoch(&mut client, &id),
        Ok(first + 4),
        "only one answer was lost"
    );
}

#[test]
fn a_request_that_is_held_back_arrives_when_it_is_delivered() {
    let mut direct = Client::connect(&kafka()).unwrap();
    let id = transactional_id(&mut direct);
    let first = epoch(&mut direct, &id).unwrap();
    let proxy = KafkaProxy::from_env().unwrap();

    // Its connection is gone, its retry has succeeded, and then it arrives.
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    let held = proxy.hold(ApiKey::INIT_PRODUCER_ID, Then::Cut);
    assert!(
        client
            .ask(ApiKey::INIT_PRODUCER_ID, 1, &init_body(&id))
            .is_err()
    );
    held.wait(SOON).unwrap();
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    assert_eq!(
        epoch(&mut client, &id),
        Ok(first + 1),
        "the first one did not get there"
    );
    assert_eq!(parse_epoch(&held.deliver().unwrap()), Ok(first + 2));
    assert_eq!(epoch(&mut direct, &id), Ok(first + 3));

    // Its connection waits, and it goes on in its place.
    let held = proxy.hold(ApiKey::INIT_PRODUCER_ID, Then::Silence);
    client
        .send(ApiKey::INIT_PRODUCER_ID, 1, &init_body(&id))
        .unwrap();
    held.wait(SOON).unwrap();
    assert_eq!(
        epoch(&mut direct, &id),
        Ok(first + 4),
        "it is still on its way"
    );
    held.release();
    assert_eq!(parse_epoch(&client.answer().unwrap()), Ok(first + 5));
}

#[test]
fn a_copy_can_be_delivered_again() {
    let mut direct = Client::connect(&kafka()).unwrap();
    let id = transactional_id(&mut direct);
    let first = epoch(&mut direct, &id).unwrap();
    let proxy = KafkaProxy::from_env().unwrap();
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    let copy = proxy.keep_copy(ApiKey::INIT_PRODUCER_ID);
    assert!(copy.deliver().is_err(), "nothing was caught yet");
    assert_eq!(epoch(&mut client, &id), Ok(first + 1));
    copy.wait(SOON).unwrap();
    assert_eq!(parse_epoch(&copy.deliver().unwrap()), Ok(first + 2));
    assert_eq!(parse_epoch(&copy.deliver().unwrap()), Ok(first + 3));
}

#[test]
fn a_proxy_that_holds_a_request_back_can_be_dropped() {
    let proxy = KafkaProxy::from_env().unwrap();
    let mut client = Client::connect(&proxy.bootstrap()).unwrap();
    let held = proxy.hold(ApiKey::METADATA, Then::Silence);
    client
        .send(ApiKey::METADATA, 1, &0_i32.to_be_bytes())
        .unwrap();
    held.wait(SOON).unwrap();
    drop(proxy);
    assert!(client.answer().is_err(), "its client is cut");
}
