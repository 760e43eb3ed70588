//! The packed form of many transfers.

use ledger_core::account::AccountNumber;
use ledger_core::amount::Amount;
use ledger_core::command::{
    AccountRef, AmountSpec, Command, CreateTransaction, Operation, PostingSpec,
};
use ledger_core::key::IdempotencyKey;
use ledger_core::limits::BATCH_COMMANDS_MAX;
use ledger_core::name::LedgerName;
use ledger_core::text::Metadata;
use ledger_core::time::Timestamp;
use ledger_core::transaction::LimitsMode;

use super::super::malformed::{Malformed, Path, Violations};
use super::value::timestamp_or_none;
use crate::proto::v1;

/// Transfers of one posting each, well-formed: the very commands that the friendly form makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedTransfers {
    /// The ledger that they are sent to.
    pub ledger: LedgerName,
    /// Of all of them; the engine's time when left out.
    pub effective_at: Option<Timestamp>,
    /// One per transfer, in order.
    pub commands: Vec<Command>,
}

/// Parses the packed form.
///
/// # Errors
/// [`Malformed`] lists what is wrong, by column and index.
pub fn transfers(request: &v1::BatchTransferRequest) -> Result<PackedTransfers, Malformed> {
    let mut violations = Violations::default();
    let parsed = packed(request, &mut violations);
    violations.finish(parsed)
}

fn packed(request: &v1::BatchTransferRequest, out: &mut Violations) -> Option<PackedTransfers> {
    let root = Path::ROOT;
    let ledger = out.check(&root.field("ledger"), LedgerName::new(&request.ledger));
    let effective_at = timestamp_or_none(
        request.effective_at.as_ref(),
        &root.field("effective_at"),
        out,
    );
    let (ids, unfinished) = request.ids.as_chunks::<16>();
    if !unfinished.is_empty() {
        out.add(
            &root.field("ids"),
            &format_args!(
                "{} bytes are no whole number of ids of 16 bytes",
                request.ids.len()
            ),
        );
        return None;
    }
    let count = ids.len();
    if count == 0 || count > BATCH_COMMANDS_MAX {
        out.add(
            &root.field("ids"),
            &format_args!("{count} transfers; 1 to {BATCH_COMMANDS_MAX} are allowed"),
        );
        return None;
    }
    let columns = [
        ("debits", request.debits.len()),
        ("credits", request.credits.len()),
        ("amounts", request.amounts.len()),
    ];
    let mut equal = true;
    for (column, length) in columns {
        if length != count {
            out.add(
                &root.field(column),
                &format_args!("{length} values; {count} ids were given"),
            );
            equal = false;
        }
    }
    if !equal {
        return None;
    }
    let effective_at = effective_at?;
    let mut commands = Vec::with_capacity(count);
    for (index, id) in ids.iter().enumerate() {
        let key = IdempotencyKey::from_uuid(u128::from_be_bytes(*id));
        let key = out.check(&root.field("ids").index(index), key);
        let debit = account(request.debits[index], "debits", index, out);
        let credit = account(request.credits[index], "credits", index, out);
        if let (Some(key), Some(debit), Some(credit)) = (key, debit, credit) {
            let amount = Amount::new(request.amounts[index].into())
                .expect("64 bits are below the largest amount");
            commands.push(transfer(key, debit, credit, amount, effective_at));
        }
    }
    (commands.len() == count).then_some(PackedTransfers {
        ledger: ledger?,
        effective_at,
        commands,
    })
}

fn account(
    number: u32,
    column: &'static str,
    index: usize,
    out: &mut Violations,
) -> Option<AccountRef> {
    if number == 0 {
        let root = Path::ROOT;
        let field = root.field(column);
        out.add(&field.index(index), &"account numbers start at 1");
        return None;
    }
    Some(AccountRef::Number(AccountNumber(number)))
}

fn transfer(
    key: IdempotencyKey,
    debit: AccountRef,
    credit: AccountRef,
    amount: Amount,
    effective_at: Option<Timestamp>,
) -> Command {
    Command {
        key,
        conditions: Vec::new(),
        operation: Operation::CreateTransaction(CreateTransaction {
            postings: vec![PostingSpec {
                debit,
                credit,
                amount: AmountSpec::Exact(amount),
                asset: None,
            }],
            effective_at,
            hold: None,
            limits: LimitsMode::Enforce,
            description: None,
            metadata: Metadata::default(),
        }),
    }
}
