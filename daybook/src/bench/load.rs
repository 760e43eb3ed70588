//! The load itself: clients that keep requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use schemas::proto::v1 as api;
use schemas::proto::v1::command_service_client::CommandServiceClient;
use tonic_types::StatusExt as _;

use super::ids::Ids;
use super::target::Target;
use super::{BenchArgs, BenchError, Form, account_name, histogram};

/// A pause where the server does not say how long.
const PAUSE: Duration = Duration::from_millis(200);

/// What was acknowledged.
pub struct Loaded {
    /// Transfers carried out.
    pub transfers: u64,
    /// Captures carried out.
    pub captures: u64,
    /// Requests answered.
    pub requests: u64,
    /// How often the server, working at its limit, asked for a pause.
    pub pauses: u64,
    /// Microseconds a request.
    pub latency: Histogram<u64>,
    /// Acknowledged debits and credits by account; index 0 is account 1.
    pub sums: Vec<(u128, u128)>,
    /// Some of the ids.
    pub sample: Vec<u128>,
    /// Of the last acknowledged decision.
    pub last_token: String,
    last_sequence: u64,
}

/// A transfer as drawn.
#[derive(Clone, Copy)]
struct Transfer {
    id: u128,
    debit: u32,
    credit: u32,
    amount: u64,
    is_hold: bool,
}

/// A request in flight, and what it would move.
struct Request {
    transfers: Vec<Transfer>,
    captures: Vec<Transfer>,
}

/// What came back.
struct Answer {
    request: Request,
    micros: u64,
    ledger_sequence: u64,
    token: String,
    /// How often the server asked for a pause before.
    pauses: u64,
}

pub async fn run(args: &BenchArgs, target: &Target, ledger: &str) -> Result<Loaded, BenchError> {
    let left = Arc::new(AtomicU64::new(args.transfers));
    let names: Arc<Vec<String>> = Arc::new((1..=args.accounts).map(account_name).collect());
    let salt = rand::rng().random();
    let mut clients = Vec::new();
    for index in 0..args.clients {
        let client = Client {
            args: args.clone(),
            ledger: ledger.to_owned(),
            commands: CommandServiceClient::new(target.connect().await?)
                .max_decoding_message_size(64 << 20)
                .max_encoding_message_size(64 << 20),
            left: left.clone(),
            names: names.clone(),
            random: SmallRng::seed_from_u64(args.seed ^ (index as u64) << 32),
            ids: Ids::new(index as u16, salt),
            open_holds: Vec::new(),
        };
        clients.push(tokio::spawn(client.run()));
    }
    let mut all = Loaded::new(args.accounts);
    for client in clients {
        let loaded = client
            .await
            .map_err(|e| BenchError::Server(format!("a client died: {e}")))??;
        all.merge(loaded);
    }
    Ok(all)
}

struct Client {
    args: BenchArgs,
    ledger: String,
    commands: CommandServiceClient<tonic::transport::Channel>,
    left: Arc<AtomicU64>,
    names: Arc<Vec<String>>,
    random: SmallRng,
    ids: Ids,
    open_holds: Vec<Transfer>,
}

impl Client {
    async fn run(mut self) -> Result<Loaded, BenchError> {
        let mut loaded = Loaded::new(self.args.accounts);
        let mut in_flight = FuturesUnordered::new();
        loop {
            while in_flight.len() < self.args.in_flight {
                let Some(request) = self.draw() else { break };
                in_flight.push(send(
                    self.commands.clone(),
                    self.args.form,
                    self.args.batch,
                    self.ledger.clone(),
                    self.names.clone(),
                    request,
                ));
            }
            match in_flight.next().await {
                None => return Ok(loaded),
                Some(answer) => {
                    let answer = answer?;
                    let holds = answer.request.transfers.iter().filter(|t| t.is_hold);
                    self.open_holds.extend(holds);
                    loaded.add(answer);
                }
            }
        }
    }

    /// The next request: captures of holds that were answered, then new transfers.
    fn draw(&mut self) -> Option<Request> {
        let room = self.args.batch;
        let captures: Vec<Transfer> = {
            let from = self.open_holds.len().saturating_sub(room);
            self.open_holds.drain(from..).collect()
        };
        let wanted = (room - captures.len()) as u64;
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(wanted))
            })
            .unwrap_or(0);
        let count = before.min(wanted);
        if count == 0 && captures.is_empty() {
            return None;
        }
        let stamp = Ids::stamp();
        let transfers = (0..count).map(|_| self.draw_transfer(stamp)).collect();
        Some(Request {
            transfers,
            captures,
        })
    }

    fn draw_transfer(&mut self, stamp: u64) -> Transfer {
        let accounts = self.args.accounts;
        let hot = self.args.hot_accounts.min(accounts);
        let is_hot = hot > 0 && self.random.random_range(0..100) < self.args.hot_percent;
        let debit = if is_hot {
            self.random.random_range(1..=hot)
        } else {
            self.random.random_range(1..=accounts)
        };
        let mut credit = self.random.random_range(1..accounts);
        if credit >= debit {
            credit += 1;
        }
        Transfer {
            id: self.ids.next(stamp),
            debit,
            credit,
            amount: self.random.random_range(1..=10_000),
            is_hold: self.args.holds > 0 && self.random.random_range(0..100) < self.args.holds,
        }
    }
}

/// Why a request got no answer that counts.
enum Unsent {
    /// The server is working at its limit: the same again after a pause.
    Busy(Box<tonic::Status>),
    Failed(BenchError),
}

impl Unsent {
    fn of(call: &'static str) -> impl FnOnce(tonic::Status) -> Self {
        move |status| match status.code() {
            tonic::Code::ResourceExhausted => Self::Busy(Box::new(status)),
            _ => Self::Failed(BenchError::call(call)(status)),
        }
    }
}

/// Sends a request until it is answered, with the pauses that the server asks for.
async fn send(
    mut commands: CommandServiceClient<tonic::transport::Channel>,
    form: Form,
    batch: usize,
    ledger: String,
    names: Arc<Vec<String>>,
    request: Request,
) -> Result<Answer, BenchError> {
    let started = Instant::now();
    let mut pauses = 0;
    loop {
        let single = batch == 1;
        match once(&mut commands, form, single, &ledger, &names, &request).await {
            Ok((ledger_sequence, token)) => {
                return Ok(Answer {
                    request,
                    micros: started.elapsed().as_micros() as u64,
                    ledger_sequence,
                    token,
                    pauses,
                });
            }
            Err(Unsent::Busy(status)) => {
                let asked = status.get_details_retry_info();
                let pause = asked.and_then(|info| info.retry_delay).unwrap_or(PAUSE);
                pauses += 1;
                tokio::time::sleep(pause).await;
            }
            Err(Unsent::Failed(error)) => return Err(error),
        }
    }
}

/// Sends a request; answers with the last ledger sequence and its token.
async fn once(
    commands: &mut CommandServiceClient<tonic::transport::Channel>,
    form: Form,
    single: bool,
    ledger: &str,
    names: &[String],
    request: &Request,
) -> Result<(u64, String), Unsent> {
    match form {
        Form::Packed => {
            let message = packed(ledger, request);
            let reply = commands
                .batch_transfer(message)
                .await
                .map_err(Unsent::of("BatchTransfer"))?
                .into_inner();
            if let Some(refusal) = reply.refusals.first() {
                return Err(Unsent::Failed(BenchError::Server(format!(
                    "a transfer was refused: {refusal:?}"
                ))));
            }
            Ok((reply.last_ledger_sequence, reply.token))
        }
        Form::Friendly if single => {
            let message = friendly(ledger, names, request).pop().ok_or_else(|| {
                let why = "a request without a command was drawn";
                Unsent::Failed(BenchError::Usage(why.into()))
            })?;
            let receipt = commands
                .write(message)
                .await
                .map_err(Unsent::of("Write"))?
                .into_inner();
            Ok((receipt.ledger_sequence, receipt.token))
        }
        Form::Friendly => {
            let message = api::BatchWriteRequest {
                commands: friendly(ledger, names, request),
            };
            let reply = commands
                .batch_write(message)
                .await
                .map_err(Unsent::of("BatchWrite"))?
                .into_inner();
            let mut last = (0, String::new());
            for outcome in reply.outcomes {
                match outcome.outcome {
                    Some(api::outcome::Outcome::Receipt(receipt)) => {
                        last = (receipt.ledger_sequence, receipt.token);
                    }
                    Some(api::outcome::Outcome::Error(error))
                        if error.code == tonic::Code::ResourceExhausted as i32 =>
                    {
                        let busy = tonic::Status::resource_exhausted(error.message);
                        return Err(Unsent::Busy(Box::new(busy)));
                    }
                    other => {
                        return Err(Unsent::Failed(BenchError::Server(format!(
                            "a transfer was refused: {other:?}"
                        ))));
                    }
                }
            }
            Ok(last)
        }
    }
}

fn packed(ledger: &str, request: &Request) -> api::BatchTransferRequest {
    let mut ids = Vec::with_capacity(request.transfers.len() * 16);
    for transfer in &request.transfers {
        ids.extend_from_slice(&transfer.id.to_be_bytes());
    }
    api::BatchTransferRequest {
        ledger: ledger.to_owned(),
        ids: ids.into(),
        debits: request.transfers.iter().map(|t| t.debit).collect(),
        credits: request.transfers.iter().map(|t| t.credit).collect(),
        amounts: request.transfers.iter().map(|t| t.amount).collect(),
        effective_at: None,
    }
}

fn friendly(ledger: &str, names: &[String], request: &Request) -> Vec<api::Command> {
    use api::command::Operation;
    let command = |id: u128, operation| api::Command {
        idempotency_key: uuid::Uuid::from_u128(id).to_string(),
        ledger: ledger.to_owned(),
        operation: Some(operation),
        ..api::Command::default()
    };
    let captures = request.captures.iter().map(|hold| {
        // A capture's key: the hold's, one step further in its random tail.
        command(
            hold.id ^ 1 << 61,
            Operation::CaptureTransaction(api::CaptureTransaction {
                hold: uuid::Uuid::from_u128(hold.id).to_string(),
                r#final: true,
                ..api::CaptureTransaction::default()
            }),
        )
    });
    let transfers = request.transfers.iter().map(|transfer| {
        let posting = api::PostingSpec {
            debit: names[transfer.debit as usize - 1].clone(),
            credit: names[transfer.credit as usize - 1].clone(),
            amount_spec: Some(api::posting_spec::AmountSpec::Amount(
                transfer.amount.to_string(),
            )),
            ..api::PostingSpec::default()
        };
        command(
            transfer.id,
            Operation::CreateTransaction(api::CreateTransaction {
                postings: vec![posting],
                hold: transfer.is_hold.then(api::HoldSpec::default),
                ..api::CreateTransaction::default()
            }),
        )
    });
    captures.chain(transfers).collect()
}

impl Loaded {
    fn new(accounts: u32) -> Self {
        Self {
            transfers: 0,
            captures: 0,
            requests: 0,
            pauses: 0,
            latency: histogram(),
            sums: vec![(0, 0); accounts as usize],
            sample: Vec::new(),
            last_token: String::new(),
            last_sequence: 0,
        }
    }

    fn add(&mut self, answer: Answer) {
        self.requests += 1;
        self.pauses += answer.pauses;
        self.latency.saturating_record(answer.micros);
        self.transfers += answer.request.transfers.len() as u64;
        self.captures += answer.request.captures.len() as u64;
        let posted = answer.request.transfers.iter().filter(|t| !t.is_hold);
        for transfer in posted.chain(&answer.request.captures) {
            self.sums[transfer.debit as usize - 1].0 += u128::from(transfer.amount);
            self.sums[transfer.credit as usize - 1].1 += u128::from(transfer.amount);
        }
        if self.sample.len() < 200
            && let Some(first) = answer.request.transfers.first()
        {
            self.sample.push(first.id);
        }
        if answer.ledger_sequence >= self.last_sequence {
            self.last_sequence = answer.ledger_sequence;
            self.last_token = answer.token;
        }
    }

    fn merge(&mut self, other: Self) {
        self.transfers += other.transfers;
        self.captures += other.captures;
        self.requests += other.requests;
        self.pauses += other.pauses;
        self.latency += other.latency;
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            sum.0 += more.0;
            sum.1 += more.1;
        }
        self.sample.extend(other.sample);
        if other.last_sequence >= self.last_sequence {
            self.last_sequence = other.last_sequence;
            self.last_token = other.last_token;
        }
    }
}
