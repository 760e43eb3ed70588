//! Commands, single and atomic.

use ledger_core::command::{AtomicMember, BalanceKind, Command, Comparison, Condition, Operation};
use ledger_core::key::IdempotencyKey;
use ledger_core::limits::{ATOMIC_MEMBERS_MAX, CONDITIONS_MAX};
use ledger_core::name::LedgerName;

use super::super::malformed::{Malformed, Path, Violations};
use super::value::{account_ref, not_one_of, signed};
use super::{account, ledger, transaction};
use crate::proto::v1;

/// A command, well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The ledger that it is sent to.
    pub ledger: LedgerName,
    /// What is asked for.
    pub command: Command,
    /// Decide, but record nothing.
    pub validate_only: bool,
    /// Put the balances after it into the receipt.
    pub return_balances: bool,
}

/// Parses a command.
///
/// # Errors
/// [`Malformed`] lists what is wrong, by field.
pub fn command(command: v1::Command) -> Result<Parsed, Malformed> {
    let mut violations = Violations::default();
    let out = &mut violations;
    let root = Path::ROOT;
    let key = match command.idempotency_key.as_str() {
        "" => {
            out.add(
                &root.field("idempotency_key"),
                &"is required: a UUIDv7, or a text of 1 to 64 printable ASCII bytes that is \
                  used for this command alone",
            );
            None
        }
        key => out.check(&root.field("idempotency_key"), IdempotencyKey::parse(key)),
    };
    let ledger = out.check(&root.field("ledger"), LedgerName::new(&command.ledger));
    let conditions = conditions(&command.conditions, &root.field("conditions"), out);
    let operation = operation(command.operation, out);
    let parsed = || {
        Some(Parsed {
            ledger: ledger?,
            command: Command {
                key: key?,
                conditions: conditions?,
                operation: operation?,
            },
            validate_only: command.validate_only,
            return_balances: command.return_balances,
        })
    };
    // What is checked above is told by field; core has the last word on the whole.
    let parsed = parsed().filter(|parsed| out.check(&root, parsed.command.check()).is_some());
    violations.finish(parsed)
}

fn operation(operation: Option<v1::command::Operation>, out: &mut Violations) -> Option<Operation> {
    use v1::command::Operation as In;
    use v1::member::Operation as Member;
    let root = Path::ROOT;
    let shared = match operation {
        None => {
            out.add(&root.field("operation"), &NO_OPERATION);
            return None;
        }
        Some(In::CreateLedger(m)) => {
            let create = ledger::create(m, &root.field("create_ledger"), out);
            return create.map(Operation::CreateLedger);
        }
        Some(In::Atomic(m)) => return atomic(m, &root.field("atomic"), out),
        Some(In::UpdateLedger(m)) => Member::UpdateLedger(m),
        Some(In::OpenAccount(m)) => Member::OpenAccount(m),
        Some(In::UpdateAccount(m)) => Member::UpdateAccount(m),
        Some(In::FreezeAccount(m)) => Member::FreezeAccount(m),
        Some(In::UnfreezeAccount(m)) => Member::UnfreezeAccount(m),
        Some(In::CloseAccount(m)) => Member::CloseAccount(m),
        Some(In::ReopenAccount(m)) => Member::ReopenAccount(m),
        Some(In::CreateTransaction(m)) => Member::CreateTransaction(m),
        Some(In::CaptureTransaction(m)) => Member::CaptureTransaction(m),
        Some(In::VoidTransaction(m)) => Member::VoidTransaction(m),
        Some(In::ReverseTransaction(m)) => Member::ReverseTransaction(m),
        Some(In::UpdateTransaction(m)) => Member::UpdateTransaction(m),
        Some(In::CloseBooks(m)) => Member::CloseBooks(m),
        Some(In::ReopenBooks(m)) => Member::ReopenBooks(m),
    };
    member_operation(shared, &root, out)
}

const NO_OPERATION: &str =
    "is required: one of the operations of a command, known to this version of the server";

/// An operation that stands alone or in an atomic batch.
fn member_operation(
    operation: v1::member::Operation,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Operation> {
    use v1::member::Operation as In;
    Some(match operation {
        In::UpdateLedger(m) => {
            Operation::UpdateLedger(ledger::update(m, &path.field("update_ledger"), out)?)
        }
        In::OpenAccount(m) => {
            Operation::OpenAccount(account::open(m, &path.field("open_account"), out)?)
        }
        In::UpdateAccount(m) => {
            Operation::UpdateAccount(account::update(m, &path.field("update_account"), out)?)
        }
        In::FreezeAccount(m) => {
            Operation::FreezeAccount(account::freeze(m, &path.field("freeze_account"), out)?)
        }
        In::UnfreezeAccount(m) => {
            Operation::UnfreezeAccount(account::change(m, &path.field("unfreeze_account"), out)?)
        }
        In::CloseAccount(m) => {
            Operation::CloseAccount(account::change(m, &path.field("close_account"), out)?)
        }
        In::ReopenAccount(m) => {
            Operation::ReopenAccount(account::change(m, &path.field("reopen_account"), out)?)
        }
        In::CreateTransaction(m) => Operation::CreateTransaction(transaction::create(
            m,
            &path.field("create_transaction"),
            out,
        )?),
        In::CaptureTransaction(m) => Operation::CaptureTransaction(transaction::capture(
            m,
            &path.field("capture_transaction"),
            out,
        )?),
        In::VoidTransaction(m) => {
            Operation::VoidTransaction(transaction::void(m, &path.field("void_transaction"), out)?)
        }
        In::ReverseTransaction(m) => Operation::ReverseTransaction(transaction::reverse(
            m,
            &path.field("reverse_transaction"),
            out,
        )?),
        In::UpdateTransaction(m) => Operation::UpdateTransaction(transaction::update(
            m,
            &path.field("update_transaction"),
            out,
        )?),
        In::CloseBooks(m) => {
            Operation::CloseBooks(ledger::close_books(m, &path.field("close_books"), out)?)
        }
        In::ReopenBooks(m) => {
            Operation::ReopenBooks(ledger::reopen_books(m, &path.field("reopen_books"), out)?)
        }
    })
}

fn atomic(atomic: v1::Atomic, path: &Path<'_>, out: &mut Violations) -> Option<Operation> {
    let path = path.field("members");
    let count = atomic.members.len();
    if count == 0 || count > ATOMIC_MEMBERS_MAX {
        out.add(
            &path,
            &format_args!("{count} members; 1 to {ATOMIC_MEMBERS_MAX} are allowed"),
        );
        return None;
    }
    let mut members = Vec::with_capacity(count);
    for (index, member) in atomic.members.into_iter().enumerate() {
        let path = path.index(index);
        let conditions = conditions(&member.conditions, &path.field("conditions"), out);
        let operation = match member.operation {
            Some(operation) => member_operation(operation, &path, out),
            None => {
                out.add(&path.field("operation"), &NO_OPERATION);
                None
            }
        };
        if let (Some(conditions), Some(operation)) = (conditions, operation) {
            members.push(AtomicMember {
                conditions,
                operation,
            });
        }
    }
    (members.len() == count).then_some(Operation::Atomic(members))
}

fn conditions(
    conditions: &[v1::Condition],
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Vec<Condition>> {
    if conditions.len() > CONDITIONS_MAX {
        out.add(
            path,
            &format_args!(
                "{} conditions; at most {CONDITIONS_MAX} are allowed",
                conditions.len()
            ),
        );
        return None;
    }
    let mut parsed = Vec::with_capacity(conditions.len());
    for (index, of) in conditions.iter().enumerate() {
        parsed.extend(condition(of, &path.index(index), out));
    }
    (parsed.len() == conditions.len()).then_some(parsed)
}

fn condition(
    condition: &v1::Condition,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Condition> {
    match &condition.condition {
        None => {
            out.add(path, &"needs account_version or balance");
            None
        }
        Some(v1::condition::Condition::AccountVersion(version)) => {
            let path = path.field("account_version");
            Some(Condition::AccountVersion {
                account: account_ref(&version.account, &path.field("account"), out)?,
                version: version.version,
            })
        }
        Some(v1::condition::Condition::Balance(balance)) => {
            balance_condition(balance, &path.field("balance"), out)
        }
    }
}

fn balance_condition(
    balance: &v1::BalanceCondition,
    path: &Path<'_>,
    out: &mut Violations,
) -> Option<Condition> {
    use v1::balance_condition as of;
    let account = account_ref(&balance.account, &path.field("account"), out);
    let kind = match of::Kind::try_from(balance.kind) {
        Ok(of::Kind::Posted) => Some(BalanceKind::Posted),
        Ok(of::Kind::Pending) => Some(BalanceKind::Pending),
        Ok(of::Kind::Available) => Some(BalanceKind::Available),
        Ok(of::Kind::Unspecified) | Err(_) => not_one_of(
            balance.kind,
            "KIND_POSTED, KIND_PENDING, KIND_AVAILABLE",
            &path.field("kind"),
            out,
        ),
    };
    let compared = match &balance.comparison {
        None => {
            out.add(path, &"needs at_least, at_most or equal");
            None
        }
        Some(of::Comparison::AtLeast(amount)) => {
            signed(amount, &path.field("at_least"), out).map(|a| (Comparison::AtLeast, a))
        }
        Some(of::Comparison::AtMost(amount)) => {
            signed(amount, &path.field("at_most"), out).map(|a| (Comparison::AtMost, a))
        }
        Some(of::Comparison::Equal(amount)) => {
            signed(amount, &path.field("equal"), out).map(|a| (Comparison::Equal, a))
        }
    };
    let (comparison, amount) = compared?;
    Some(Condition::Balance {
        account: account?,
        kind: kind?,
        comparison,
        amount,
    })
}
