//! Whether a server answers: asked in its own protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

pub(super) const PATIENCE: Duration = Duration::from_secs(2);

fn connect(port: u16) -> Option<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// An answer of 200 to an HTTP GET.
#[must_use]
pub fn http(port: u16, path: &str) -> bool {
    let ask = || {
        let mut stream = connect(port)?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
        let mut start = [0_u8; 12];
        stream.read_exact(&mut start).ok()?;
        Some(start.starts_with(b"HTTP/1.") && start.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// An HTTP/2 server's first frame, as every gRPC server sends it: SETTINGS.
#[must_use]
pub fn grpc(port: u16) -> bool {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let ask = || {
        let mut stream = connect(port)?;
        stream.write_all(PREFACE).ok()?;
        stream.write_all(&EMPTY_SETTINGS).ok()?;
        let mut frame = [0_u8; 9];
        stream.read_exact(&mut frame).ok()?;
        Some(frame[3] == 4)
    };
    ask().unwrap_or(false)
}

/// A Metadata response that names a broker: it has joined its controller and takes requests.
#[must_use]
pub fn kafka(port: u16) -> bool {
    const METADATA: i16 = 3;
    const VERSION: i16 = 1;
    const CORRELATION: i32 = 7;
    let ask = || {
        let mut stream = connect(port)?;
        let mut request = Vec::new();
        request.extend(METADATA.to_be_bytes());
        request.extend(VERSION.to_be_bytes());
        request.extend(CORRELATION.to_be_bytes());
        request.extend(5_i16.to_be_bytes());
        request.extend(b"ready");
        // No topics at all.
        request.extend(0_i32.to_be_bytes());
        let length = i32::try_from(request.len()).ok()?;
        stream.write_all(&length.to_be_bytes()).ok()?;
        stream.write_all(&request).ok()?;
        // Length, correlation, number of brokers.
        let mut start = [0_u8; 12];
        stream.read_exact(&mut start).ok()?;
        let word = |at: usize| start[at..at + 4].try_into().map(i32::from_be_bytes).ok();
        Some(word(4)? == CORRELATION && word(8)? >= 1)
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers the first connection with `bytes`.
    fn server(bytes: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(bytes).unwrap();
            // Until the other side has read it and goes away.
            stream.read_to_end(&mut Vec::new()).ok();
        });
        port
    }

    #[test]
    fn only_the_right_answers_count() {
        assert!(http(server(b"HTTP/1.1 200 OK\r\n\r\n"), "/"));
        assert!(!http(
            server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"),
            "/"
        ));
        assert!(grpc(server(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6])));
        assert!(!grpc(server(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
        assert!(kafka(server(&[0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 1])));
        assert!(
            !kafka(server(&[0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0])),
            "no broker yet"
        );
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        assert!(!kafka(port) && !grpc(port) && !http(port, "/"));
    }
}
