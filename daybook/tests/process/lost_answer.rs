//! A call whose answer is lost is repeated with the same key by itself.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Ran, Server, daybook};

/// A proxy that cuts a connection when the answer to `CreateTransaction` comes back, `losses`
/// times: the server has decided, and the caller does not know.
struct Lossy {
    url: String,
    lost: Arc<AtomicUsize>,
}

fn lossy(server: &str, losses: usize) -> Lossy {
    let target = server.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&target).unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            forward(client.try_clone().unwrap(), server.try_clone().unwrap(), {
                let asked = Arc::clone(&asked);
                move |bytes| {
                    // The amount stands in the message itself, whatever HPACK does to the path.
                    if bytes.windows(8).any(|part| part == b"77777777") {
                        asked.store(1, Ordering::SeqCst);
                    }
                    true
                }
            });
            let count = Arc::clone(&count);
            forward(server, client, move |bytes| {
                let answer = bytes.windows(8).any(|part| part == b"77777777");
                let cut = answer
                    && asked.load(Ordering::SeqCst) == 1
                    && count.load(Ordering::SeqCst) < losses;
                if cut {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                !cut
            });
        }
    });
    Lossy { url, lost }
}

/// Passes bytes on until `pass` says no, then cuts both ways.
fn forward(
    mut from: TcpStream,
    mut to: TcpStream,
    mut pass: impl FnMut(&[u8]) -> bool + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if !pass(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[test]
fn it_is_repeated_and_booked_once() {
    let server = Server::start();
    server.open_bank();
    let proxy = lossy(server.url(), 3);
    let words = [
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "777777.77 USD",
        "--json",
    ];
    let output = daybook()
        .env("DAYBOOK_SERVER", &proxy.url)
        .args(words)
        .output()
        .unwrap();
    let ran = Ran::of(&words, output);
    assert!(ran.stderr.contains("with the same key"), "{}", ran.stderr);
    let reply: serde_json::Value = serde_json::from_str(&ran.ok()).unwrap();
    assert_eq!(reply["receipt"]["repeated"], true);
    assert_eq!(proxy.lost.load(Ordering::SeqCst), 3);
    assert_eq!(server.posted("customers:ada"), "77777777");
}

#[test]
fn it_gives_up_after_its_time() {
    let server = Server::start();
    server.open_bank();
    let proxy = lossy(server.url(), usize::MAX);
    let words = [
        "transaction",
        "create",
        "--from",
        "bank:cash",
        "--to",
        "customers:ada",
        "777777.77 USD",
        "--retry-for",
        "300ms",
        "--key",
        "once",
    ];
    let output = daybook()
        .env("DAYBOOK_SERVER", &proxy.url)
        .args(words)
        .output()
        .unwrap();
    Ran::of(&words, output).failed(3);
    assert_eq!(
        server.posted("customers:ada"),
        "77777777",
        "it was decided all the same, once"
    );
}
