//! Bytes that are no messages, against the real server.

use bytes::{Buf as _, BufMut as _};
use schemas::proto::v1;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::support::Server;

/// Sends and receives messages as the bytes that they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length).to_vec()))
    }
}

struct Caller {
    runtime: tokio::runtime::Runtime,
    channel: tonic::transport::Channel,
}

impl Caller {
    fn of(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned());
        let channel = runtime.block_on(endpoint.expect("a URL").connect());
        Self {
            runtime,
            channel: channel.expect("the server listens"),
        }
    }

    fn call(&self, method: &str, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
        let path = format!("/daybook.v1.{method}").parse().expect("a path");
        self.runtime.block_on(async {
            let mut grpc = tonic::client::Grpc::new(self.channel.clone());
            grpc.ready().await.expect("the server is there");
            let reply = grpc.unary(Request::new(bytes), path, Raw).await;
            reply.map(tonic::Response::into_inner)
        })
    }

    /// Sends all as one stream of WriteStream; gives the answers up to the first error.
    fn stream(&self, messages: Vec<Vec<u8>>) -> (usize, Option<Status>) {
        let path = "/daybook.v1.CommandService/WriteStream"
            .parse()
            .expect("a path");
        self.runtime.block_on(async {
            let mut grpc = tonic::client::Grpc::new(self.channel.clone());
            grpc.ready().await.expect("the server is there");
            let messages = Request::new(tokio_stream::iter(messages));
            let mut replies = match grpc.streaming(messages, path, Raw).await {
                Ok(replies) => replies.into_inner(),
                Err(status) => return (0, Some(status)),
            };
            let mut answered = 0;
            loop {
                match replies.message().await {
                    Ok(Some(_)) => answered += 1,
                    Ok(None) => return (answered, None),
                    Err(status) => return (answered, Some(status)),
                }
            }
        })
    }
}

/// The code that Daybook gives; the gRPC code must be this one.
fn code(status: &Status, grpc: Code) -> String {
    assert_eq!(status.code(), grpc, "{status:?}");
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "daybook");
    assert!(
        status.message().starts_with(&format!("{}: ", info.reason)),
        "{status:?}"
    );
    info.reason
}

/// Bytes that no protobuf begins with; a text that is cut off; one that is no UTF-8.
const BROKEN: [&[u8]; 3] = [&[0xff; 5], &[0x0a, 0x7f, b'x'], &[0x0a, 0x01, 0xff]];

#[test]
fn what_is_no_message_is_an_invalid_argument_with_a_code() {
    let server = Server::start();
    let caller = Caller::of(server.url());
    for method in [
        "LedgerService/GetLedger",
        "AccountService/OpenAccount",
        "TransactionService/GetTransaction",
        "CommandService/Write",
        "CommandService/BatchWrite",
        "QueryService/GetBalance",
        "AuditService/GetHead",
        "AuditService/WatchRecords",
    ] {
        for bytes in BROKEN {
            let status = caller.call(method, bytes.to_vec()).expect_err(method);
            let code = code(&status, Code::InvalidArgument);
            assert_eq!(code, "MESSAGE_MALFORMED", "{method} {bytes:?}");
        }
    }
    let operations = Caller::of(server.operations());
    let status = operations.call("AdminService/Verify", BROKEN[0].to_vec());
    assert_eq!(
        code(&status.expect_err("no message"), Code::InvalidArgument),
        "MESSAGE_MALFORMED"
    );
    let unknown = caller.call("LedgerService/Nothing", Vec::new());
    assert_eq!(unknown.expect_err("no method").code(), Code::Unimplemented);
    server.ok(&["ledger", "create"]);
}

#[test]
fn a_stream_answers_what_came_whole_before_it_says_what_is_broken() {
    let server = Server::start();
    server.ok(&["ledger", "create"]);
    let caller = Caller::of(server.url());
    let whole = v1::WriteStreamRequest {
        tag: 7,
        command: Some(v1::Command {
            ledger: "main".to_owned(),
            ..Default::default()
        }),
    };
    let whole = prost::Message::encode_to_vec(&whole);
    for broken in BROKEN {
        let messages = vec![whole.clone(), whole.clone(), broken.to_vec()];
        let (answered, status) = caller.stream(messages);
        assert_eq!(answered, 2, "{broken:?}");
        let status = status.expect("the stream is broken");
        assert_eq!(
            code(&status, Code::InvalidArgument),
            "MESSAGE_MALFORMED",
            "{broken:?}"
        );
    }
}

#[test]
fn a_message_above_16_mib_is_out_of_range_with_its_figures() {
    let server = Server::start();
    let caller = Caller::of(server.url());
    let seventeen = 17 << 20;
    for method in ["CommandService/BatchWrite", "LedgerService/GetLedger"] {
        let status = caller
            .call(method, vec![0x0a; seventeen])
            .expect_err("it is too large");
        assert_eq!(code(&status, Code::OutOfRange), "MESSAGE_TOO_LARGE");
        let info = status.get_details_error_info().expect("checked above");
        assert_eq!(info.metadata["found"], seventeen.to_string());
        assert_eq!(
            info.metadata["most"],
            daybook::client::session::MESSAGE_BYTES_MAX.to_string()
        );
    }
    let (_, status) = caller.stream(vec![vec![0x0a; seventeen]]);
    let status = status.expect("it is too large");
    assert_eq!(code(&status, Code::OutOfRange), "MESSAGE_TOO_LARGE");
    server.ok(&["ledger", "create"]);
}
