//! Deciding: which rules judge which operation.
//!
//! # Order of precedence
//!
//! Where several rules say no, the first in this order gives its code; [`Code::ALL`] is the same
//! order.
//!
//! 1. The command is well-formed: `COMMAND_INVALID`. The edge asks [`Command::check`] first, so
//!    that this is never recorded of a user's command.
//! 2. The ledger is not there yet: `LEDGER_ALREADY_EXISTS`.
//! 3. Whatever the command names exists: the accounts of conditions, then of the operation
//!    (`ACCOUNT_NOT_FOUND`), then the transaction (`TRANSACTION_NOT_FOUND`).
//! 4. What the command demands holds: versions (`VERSION_CONFLICT`), then balances
//!    (`BALANCE_CONDITION_FAILED`).
//! 5. What it asks for can be asked of this ledger, account or transaction as it stands:
//!    `ACCOUNT_ALREADY_EXISTS` to `EXPIRY_IN_PAST`.
//! 6. Its postings and amounts: `POSTING_INDEX_INVALID` to `ACCOUNT_FROZEN`. The first code over
//!    all postings wins, then the earliest posting.
//! 7. What is left of the hold or original: `CAPTURE_EXCEEDS_HOLD` to `NOTHING_TO_REVERSE`.
//! 8. The postings are added up in order: `BALANCE_OVERFLOW`. An up-to posting that would get
//!    less than its `at_least` is refused here, with the code of the limit.
//! 9. Limits, once after the last posting: `TRANSACTION_LIMIT_EXCEEDED`,
//!    `VELOCITY_LIMIT_EXCEEDED`, `INSUFFICIENT_FUNDS`, `BALANCE_LIMIT_EXCEEDED`. The first code
//!    over all accounts wins, then the lowest account number.
//! 10. The writer: `RECORD_TOO_LARGE`.
//!
//! An atomic batch judges its own conditions, then member after member through all of these; the
//! first member that is refused refuses the batch.

use crate::account::{open, status, update as account_update};
use crate::command::{AtomicMember, Command, Operation};
use crate::event::Event;
use crate::facts::Facts;
use crate::ledger::case::Case;
use crate::ledger::draft::Draft;
use crate::ledger::view::Books;
use crate::ledger::{LedgerState, books, terms};
use crate::rejection::{Code, Rejection};
use crate::time::Moment;
use crate::transaction::{capture, create, release, reverse, update};

/// What `command` gives on `state`.
pub(super) fn decide(
    state: &LedgerState,
    command: &Command,
    facts: &Facts,
    at: Moment,
) -> Result<Event, Rejection> {
    command
        .check()
        .map_err(|invalid| Rejection::new(Code::CommandInvalid).with("problem", invalid))?;
    let case = Case {
        books: state,
        facts,
        at,
        conditions: &command.conditions,
        key: &command.key,
        member: None,
    };
    match &command.operation {
        Operation::Atomic(members) => decide_atomic(state, case, members),
        operation => decide_one(&case, operation),
    }
}

/// Decides a batch of all or none: each member sees those before it, on a draft of the state.
fn decide_atomic(
    state: &LedgerState,
    case: Case<'_, LedgerState>,
    members: &[AtomicMember],
) -> Result<Event, Rejection> {
    if state.terms().is_none() {
        return Err(not_created());
    }
    case.find_condition_accounts()?;
    case.judge_conditions()?;
    let mut draft = Draft::of(state);
    let mut events = Vec::with_capacity(members.len());
    for (index, member) in (0u32..).zip(members) {
        let decided = decide_one(
            &Case {
                books: &draft,
                facts: case.facts,
                at: case.at,
                conditions: &member.conditions,
                key: case.key,
                member: Some(index),
            },
            &member.operation,
        );
        let event = decided.map_err(|rejection| rejection.at_member(index))?;
        super::evolve::apply(&mut draft, &event, case.at).unwrap_or_else(|broken| {
            panic!("member {index} of an atomic batch does not follow its draft: {broken}")
        });
        events.push(event);
    }
    Ok(Event::Atomic(events))
}

fn not_created() -> Rejection {
    Rejection::new(Code::CommandInvalid).with("problem", "the ledger was not created")
}

/// Decides one operation that is no batch.
fn decide_one<B: Books>(case: &Case<'_, B>, operation: &Operation) -> Result<Event, Rejection> {
    let created = case.books.terms();
    if let Operation::CreateLedger(asked) = operation {
        if created.is_some() {
            return Err(Rejection::new(Code::LedgerAlreadyExists).with("ledger", case.books.name()));
        }
        case.find_condition_accounts()?;
        return terms::create(case, asked);
    }
    let Some(ledger) = created else {
        return Err(not_created());
    };
    case.find_condition_accounts()?;
    match operation {
        Operation::CreateTransaction(asked) => create::decide(case, asked),
        Operation::CaptureTransaction(asked) => capture::decide(case, asked),
        Operation::VoidTransaction(asked) => release::void(case, asked),
        Operation::ReverseTransaction(asked) => reverse::decide(case, asked),
        Operation::UpdateTransaction(asked) => update::decide(case, asked),
        Operation::ExpireHold(hold) => release::expire(case, *hold),
        Operation::OpenAccount(asked) => open::decide(case, asked),
        Operation::UpdateAccount(asked) => account_update::decide(case, asked),
        Operation::FreezeAccount(asked) => status::freeze(case, asked),
        Operation::UnfreezeAccount(asked) => status::unfreeze(case, asked),
        Operation::CloseAccount(asked) => status::close(case, asked),
        Operation::ReopenAccount(asked) => status::reopen(case, asked),
        Operation::UpdateLedger(asked) => terms::update(case, ledger, asked),
        Operation::CloseBooks(asked) => books::close(case, ledger, asked),
        Operation::ReopenBooks(asked) => books::reopen(case, ledger, asked),
        Operation::CreateLedger(_) | Operation::Atomic(_) => unreachable!(
            "CreateLedger was decided above, and Command::check lets no batch into a batch"
        ),
    }
}

/// The transactions that `operation` names.
pub(super) fn named_transactions(operation: &Operation) -> Vec<crate::key::TransactionId> {
    match operation {
        Operation::CaptureTransaction(asked) => vec![asked.hold],
        Operation::VoidTransaction(asked) => vec![asked.hold],
        Operation::ReverseTransaction(asked) => vec![asked.original],
        Operation::UpdateTransaction(asked) => vec![asked.transaction],
        Operation::ExpireHold(hold) => vec![*hold],
        Operation::Atomic(members) => members
            .iter()
            .flat_map(|member| named_transactions(&member.operation))
            .collect(),
        _ => Vec::new(),
    }
}
