//! Decisions as they are shown: a line each in the log, all about one in the audit.

use schemas::proto::record::v1 as record;
use schemas::proto::v1::*;

use super::transaction_view;
use crate::client::failure::Failure;
use crate::client::output::{self, BOLD, CYAN, DIM, GREEN, RED, YELLOW, paint};
use crate::client::{moment, money};

fn at(micros: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: (micros.rem_euclid(1_000_000) * 1_000) as i32,
    }
}

fn key(record: &record::Record) -> String {
    match &record.key {
        Some(record::record::Key::KeyUuid(bytes)) => uuid::Uuid::from_slice(bytes)
            .map(|uuid| uuid.to_string())
            .unwrap_or_default(),
        Some(record::record::Key::KeyText(text)) => text.clone(),
        None => String::new(),
    }
}

/// What kind of decision it is: `transaction created`, or the code of a refusal.
pub fn kind(record: &record::Record) -> String {
    use record::event::Event as E;
    use record::record::Payload as P;
    let event = match &record.payload {
        None => return "unknown".to_owned(),
        Some(P::Rejection(rejection)) => return rejection.code.clone(),
        Some(P::WriterClaimed(claimed)) => {
            return format!("writer claimed, epoch {}", claimed.epoch);
        }
        Some(P::LogStarted(_)) => return "log started".to_owned(),
        Some(P::LogMigrated(_)) => return "log began with records of another".to_owned(),
        Some(P::LogSealed(sealed)) => return format!("log sealed, moved to {}", sealed.place),
        Some(P::LogReopened(_)) => return "log reopened".to_owned(),
        Some(P::Event(event)) => event.event.as_ref(),
    };
    event
        .map_or("unknown", |event| match event {
            E::LedgerCreated(_) => "ledger created",
            E::LedgerUpdated(_) => "ledger updated",
            E::AccountOpened(_) => "account opened",
            E::AccountUpdated(_) => "account updated",
            E::AccountStatusChanged(_) => "account status changed",
            E::TransactionCreated(created) => {
                match created.transaction.as_ref().map(|t| t.status()) {
                    Some(record::TransactionStatus::Pending) => "hold made",
                    _ => "transaction posted",
                }
            }
            E::TransactionCaptured(_) => "hold captured",
            E::TransactionReleased(released) if released.expired => "hold expired",
            E::TransactionReleased(_) => "hold voided",
            E::TransactionReversed(_) => "transaction reversed",
            E::TransactionUpdated(_) => "transaction updated",
            E::BooksChanged(_) => "books closed or reopened",
            E::Atomic(_) => "atomic batch",
        })
        .to_owned()
}

fn refused(record: &record::Record) -> bool {
    matches!(record.payload, Some(record::record::Payload::Rejection(_)))
}

fn what(decision: &Decision, record: &record::Record) -> String {
    if let Some(record::record::Payload::Rejection(rejection)) = &record.payload {
        let figures: Vec<_> = rejection
            .figures
            .iter()
            .map(|figure| format!("{} {}", figure.name, figure.value))
            .collect();
        return figures.join(", ");
    }
    let made = decision.transactions.first().filter(|transaction| {
        // Of several (a capture and its hold) the one that this record made says what moved.
        decision.transactions.len() == 1 || transaction.ledger_sequence == record.ledger_sequence
    });
    let made = made.or_else(|| {
        decision
            .transactions
            .iter()
            .find(|t| t.ledger_sequence == record.ledger_sequence)
    });
    match made {
        Some(transaction) => {
            let postings: Vec<_> = transaction
                .postings
                .iter()
                .take(3)
                .map(|posting| {
                    format!(
                        "{} {CYAN}{}{CYAN:#} → {CYAN}{}{CYAN:#}",
                        money::human(&posting.amount, &posting.asset),
                        posting.debit,
                        posting.credit
                    )
                })
                .collect();
            let more = transaction.postings.len().saturating_sub(3);
            match more {
                0 => postings.join("; "),
                more => format!("{}; and {more} more", postings.join("; ")),
            }
        }
        None => paint(CYAN, decision.accounts.join(", ")),
    }
}

/// One line of the log.
pub fn log_line(decision: &Decision, with_ledger: bool) -> String {
    let Some(record) = &decision.record else {
        return String::new();
    };
    let style = if refused(record) {
        RED
    } else if record.ledger.starts_with("daybook:") {
        YELLOW
    } else {
        GREEN
    };
    let ledger = match with_ledger {
        true => format!("{BOLD}{}{BOLD:#} ", record.ledger),
        false => String::new(),
    };
    format!(
        "{DIM}{}{DIM:#} {ledger}{DIM}#{}{DIM:#} {style}{}{style:#}  {}  {DIM}{}{DIM:#}",
        moment::exact(Some(&at(record.recorded_at))),
        record.ledger_sequence,
        kind(record),
        what(decision, record),
        key(record),
    )
}

/// All that is known about a decision.
pub fn show(decision: &Decision) {
    let record = decision.record.clone().unwrap_or_default();
    let style = if refused(&record) { RED } else { GREEN };
    let origin = match record.origin.as_ref().and_then(|o| o.source.as_ref()) {
        None => "grpc".to_owned(),
        Some(record::origin::Source::Import(import)) => format!("import {import}"),
        Some(record::origin::Source::Timer(_)) => "the engine's timer".to_owned(),
        Some(record::origin::Source::Kafka(kafka)) => {
            format!("kafka {}/{}@{}", kafka.topic, kafka.partition, kafka.offset)
        }
    };
    let actor = match record.actor.as_str() {
        "" => "anonymous",
        actor => actor,
    };
    output::fields(&[
        ("decision", paint(style, kind(&record))),
        ("ledger", record.ledger.clone()),
        ("record", record.ledger_sequence.to_string()),
        ("recorded", moment::exact(Some(&at(record.recorded_at)))),
        ("key", key(&record)),
        ("actor", actor.to_owned()),
        ("origin", origin),
        ("trace", record.traceparent.clone()),
        (
            "place",
            format!(
                "shard {}, sequence {}, epoch {}",
                record.shard, record.sequence, record.epoch
            ),
        ),
        ("hash", decision.record_hash.clone()),
        ("previous", decision.previous_hash.clone()),
        ("bytes", decision.record_bytes.len().to_string()),
        ("accounts", decision.accounts.join(", ")),
    ]);
    if let Some(outcome::Outcome::Error(status)) =
        decision.outcome.as_ref().and_then(|o| o.outcome.as_ref())
    {
        output::line(Failure::from_rpc_status(status).human());
    }
    for transaction in &decision.transactions {
        output::line(format!(
            "{DIM}transaction{DIM:#} {} {DIM}as it stands now{DIM:#} {}",
            transaction.id,
            transaction_view::status_name(transaction.status())
        ));
        transaction_view::postings(transaction);
    }
}
