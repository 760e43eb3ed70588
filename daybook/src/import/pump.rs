//! Sends commands through one `WriteStream`, in the order of the file, and takes up again where
//! the connection or the server was lost: all that has no outcome yet is sent once more, in
//! order, under the same keys.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use schemas::proto::v1::command_service_client::CommandServiceClient;
use schemas::proto::v1::{Command, WriteStreamRequest, WriteStreamResponse, outcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::report::Report;
use super::{Item, Lines, Purpose};
use crate::client::failure::{Failure, Kind};
use crate::client::session::{MESSAGE_BYTES_MAX, Session};

/// Bytes of commands on their way, at most (and one command).
const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;

struct Sent {
    lines: Lines,
    command: Box<Command>,
    purpose: Purpose,
    bytes: usize,
}

struct Pump<'a> {
    session: &'a Session,
    report: &'a mut Report,
    bar: &'a ProgressBar,
    /// Without an outcome yet, in order. The tag of the first is `first_tag`.
    waiting: VecDeque<Sent>,
    waiting_bytes: usize,
    first_tag: u64,
    /// The file has been read to its end.
    ended: bool,
}

/// Why a stream ended before all was answered.
enum Lost {
    /// Take up again.
    Again(Failure),
    /// Give up.
    Final(Failure),
}

/// Sends all items and reports their outcomes.
pub(crate) async fn pump(
    session: &Session,
    mut items: mpsc::Receiver<Item>,
    window: usize,
    report: &mut Report,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut pump = Pump {
        session,
        report,
        bar,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        first_tag: 0,
        ended: false,
    };
    let mut lost_since: Option<(Instant, u64)> = None;
    loop {
        match pump.stream(&mut items, window).await {
            Ok(()) => return Ok(()),
            Err(Lost::Final(failure)) => return Err(failure),
            Err(Lost::Again(failure)) => {
                let now = (Instant::now(), pump.first_tag);
                let since = *lost_since.get_or_insert(now);
                if since.1 != pump.first_tag {
                    // It went on meanwhile: this is another loss.
                    lost_since = Some(now);
                } else if since.0.elapsed() > session.args.retry_for {
                    return Err(failure.hint(
                        "run the same import again: it takes up where it was, and books nothing twice",
                    ));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

impl Pump<'_> {
    async fn stream(
        &mut self,
        items: &mut mpsc::Receiver<Item>,
        window: usize,
    ) -> Result<(), Lost> {
        let channel = self.session.channel().await.map_err(Lost::Final)?;
        let mut client = CommandServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (requests, taken) = mpsc::channel::<WriteStreamRequest>(256);
        let mut replies = client
            .write_stream(ReceiverStream::new(taken))
            .await
            .map_err(|status| lost(&status))?
            .into_inner();
        // What had no outcome when the last stream was lost goes first.
        let mut sent = 0;
        let mut requests = Some(requests);
        loop {
            if self.ended && sent == self.waiting.len() {
                if self.waiting.is_empty() {
                    return Ok(());
                }
                // All is sent: says so, and waits for what is on its way.
                requests = None;
            }
            let room = self.waiting.len() < window && self.waiting_bytes < IN_FLIGHT_BYTES_MAX;
            tokio::select! {
                reply = replies.message() => match reply {
                    Ok(Some(_)) if sent == 0 => return Err(out_of_turn()),
                    Ok(Some(reply)) => {
                        self.outcome(reply)?;
                        sent -= 1;
                    }
                    Ok(None) => return Err(Lost::Again(gone())),
                    Err(status) => return Err(lost(&status)),
                },
                permit = reserve(requests.as_ref()), if sent < self.waiting.len() => {
                    let Some(permit) = permit else {
                        return Err(Lost::Again(why(&mut replies).await));
                    };
                    permit.send(WriteStreamRequest {
                        tag: self.first_tag + sent as u64,
                        command: Some((*self.waiting[sent].command).clone()),
                    });
                    sent += 1;
                }
                item = items.recv(), if sent == self.waiting.len() && room && !self.ended => {
                    match item {
                        None => self.ended = true,
                        Some(item) => self.take(item).map_err(Lost::Final)?,
                    }
                }
            }
        }
    }

    fn take(&mut self, item: Item) -> Result<(), Failure> {
        match item {
            Item::Read(bytes) => {
                self.bar.set_position(bytes);
                self.bar.set_message(self.report.message());
            }
            Item::Refuse { lines, key, why } => {
                self.report.refuse(lines, &key, "ROW_MALFORMED", &why)?;
            }
            Item::Broken(why) => return Err(Failure::new(Kind::Usage, "FILE_UNREADABLE", why)),
            Item::Send {
                lines,
                command,
                purpose,
            } => {
                let bytes = prost::Message::encoded_len(&*command);
                self.waiting_bytes += bytes;
                self.waiting.push_back(Sent {
                    lines,
                    command,
                    purpose,
                    bytes,
                });
            }
        }
        Ok(())
    }

    fn outcome(&mut self, reply: WriteStreamResponse) -> Result<(), Lost> {
        if reply.tag != self.first_tag {
            return Err(out_of_turn());
        }
        let outcome = reply
            .outcome
            .and_then(|outcome| outcome.outcome)
            .ok_or_else(out_of_turn)?;
        let refused = match &outcome {
            outcome::Outcome::Receipt(_) => None,
            outcome::Outcome::Error(status) => Some(Failure::from_rpc_status(status)),
        };
        match &refused {
            // Later ones may be decided already: repeated, they give the same.
            Some(failure) if failure.retryable => return Err(Lost::Again(failure.clone())),
            // No row can succeed: no use in going on.
            Some(failure) if &*failure.code == "LEDGER_NOT_FOUND" => {
                return Err(Lost::Final(failure.clone().hint("daybook ledger create")));
            }
            _ => {}
        }
        let sent = self.waiting.pop_front().ok_or_else(out_of_turn)?;
        self.waiting_bytes -= sent.bytes;
        self.first_tag += 1;
        match (outcome, refused) {
            (_, Some(failure)) => self.refused(&sent, failure).map_err(Lost::Final)?,
            (outcome::Outcome::Receipt(receipt), _) => match sent.purpose {
                Purpose::Rows => self.report.booked(receipt.repeated),
                Purpose::OpenAccount if !receipt.repeated => self.report.opened(),
                Purpose::OpenAccount => {}
            },
            (outcome::Outcome::Error(_), None) => return Err(out_of_turn()),
        }
        Ok(())
    }

    fn refused(&mut self, sent: &Sent, failure: Failure) -> Result<(), Failure> {
        if sent.purpose == Purpose::OpenAccount && &*failure.code == "ACCOUNT_ALREADY_EXISTS" {
            return Ok(());
        }
        let mut why = failure.message;
        for (field, description) in &failure.fields {
            why.push_str(&format!(" {field}: {description}"));
        }
        let key = &sent.command.idempotency_key;
        self.report.refuse(sent.lines, key, &failure.code, &why)
    }
}

/// Why the server takes no more, when its answer says so.
async fn why(replies: &mut Streaming<WriteStreamResponse>) -> Failure {
    match tokio::time::timeout(Duration::from_secs(1), replies.message()).await {
        Ok(Err(status)) => Failure::from_status(&status),
        _ => gone(),
    }
}

async fn reserve(
    requests: Option<&mpsc::Sender<WriteStreamRequest>>,
) -> Option<mpsc::Permit<'_, WriteStreamRequest>> {
    requests?.reserve().await.ok()
}

fn out_of_turn() -> Lost {
    Lost::Final(Failure::broken("the server answered a command out of turn"))
}

fn gone() -> Failure {
    let mut failure = Failure::new(
        Kind::Unavailable,
        "UNAVAILABLE",
        "the server ended the stream",
    );
    failure.retryable = true;
    failure
}

fn lost(status: &tonic::Status) -> Lost {
    let failure = Failure::from_status(status);
    match failure.retryable {
        true => Lost::Again(failure),
        false => Lost::Final(failure),
    }
}
