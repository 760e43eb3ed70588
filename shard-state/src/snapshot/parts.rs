//! A ledger's image as parts, and back.

use bytes::Bytes;
use ledger_core::account::Account;
use ledger_core::facts::KeyEntry;
use ledger_core::key::IdempotencyKey;
use ledger_core::ledger::{AccountImage, HoldImage, LedgerImage};
use ledger_core::name::LedgerName;
use ledger_core::time::{Day, Moment, Timestamp};
use ports::log::Consumed;
use schemas::proto::record::v1 as record;
use schemas::proto::snapshot::v1 as proto;
use schemas::record::RecordError;
use schemas::record::convert::{to_core, to_proto};

use super::ReadError;
use proto::part::Part as Of;

/// Gives the parts of `image` in order: the ledger first.
pub(super) fn to_parts(image: LedgerImage, mut push: impl FnMut(proto::Part)) {
    let mut push = |part| push(proto::Part { part: Some(part) });
    push(Of::Ledger(proto::LedgerPart {
        name: image.name.as_str().to_owned(),
        terms: image.terms.as_ref().map(to_proto::ledger_terms),
        created_at: image.created_at.map_or(0, Timestamp::micros),
        closed_through: image.closed_through.map(Timestamp::micros),
        forgotten_through: image.forgotten_through,
        forgotten_stamp: image.forgotten_stamp.map(Timestamp::micros),
    }));
    for account in image.accounts {
        push(Of::Account(account_part(&account)));
    }
    for hold in image.holds {
        push(Of::Hold(proto::HoldPart {
            hold: Some(to_proto::transaction(&hold.hold, None)),
            made_at: hold.made.recorded_at.micros(),
            made_on: hold.made.business_date.0,
        }));
    }
    for (key, entry) in image.keys {
        push(Of::Key(key_part(&key, &entry)));
    }
    for (transaction, sequence) in image.transactions {
        push(Of::Transaction(proto::TransactionPart {
            transaction: Some(to_proto::transaction(&transaction, None)),
            sequence,
        }));
    }
}

/// From where a topic is read on.
pub(super) fn source_part(source: &Consumed) -> proto::Part {
    proto::Part {
        part: Some(Of::Source(proto::SourcePart {
            topic: source.topic.to_string(),
            partition: source.partition,
            next_offset: source.next_offset,
        })),
    }
}

fn account_part(image: &AccountImage) -> proto::AccountPart {
    let account = &image.account;
    proto::AccountPart {
        number: account.number.0,
        terms: Some(to_proto::account_terms(&account.terms)),
        status: to_proto::account_status(account.status).into(),
        balance: Some(to_proto::balance(
            account.number,
            account.version,
            &account.totals,
        )),
        open_holds: account.open_holds,
        opened_at: account.opened_at.micros(),
        velocity: image
            .velocity
            .iter()
            .map(|buckets| proto::VelocityCounter {
                buckets: buckets
                    .iter()
                    .map(|&(bucket, amount)| proto::VelocityBucket {
                        bucket,
                        amount: Some(to_proto::amount(amount)),
                    })
                    .collect(),
            })
            .collect(),
    }
}

fn key_part(key: &IdempotencyKey, entry: &KeyEntry) -> proto::KeyPart {
    proto::KeyPart {
        key: Some(match to_proto::key(key) {
            record::record::Key::KeyUuid(uuid) => proto::key_part::Key::Uuid(uuid.to_vec()),
            record::record::Key::KeyText(text) => proto::key_part::Key::Text(text),
        }),
        request_hash: entry.request_hash.to_vec(),
        sequence: entry.sequence,
    }
}

/// Puts images together from parts in order.
#[derive(Default)]
pub(super) struct Images {
    open: Option<LedgerImage>,
}

impl Images {
    /// Takes the next part; gives the image that it ended, where it begins another ledger.
    pub(super) fn push(&mut self, part: proto::Part) -> Result<Option<LedgerImage>, ReadError> {
        let named = |open: &Option<LedgerImage>| {
            open.as_ref()
                .map_or_else(|| "(none)".to_owned(), |image| image.name.to_string())
        };
        let of_ledger = named(&self.open);
        let damaged = |source| ReadError::Part {
            ledger: of_ledger.clone(),
            source,
        };
        let part = part
            .part
            .ok_or_else(|| damaged(RecordError::Missing("part")))?;
        if let Of::Ledger(ledger) = part {
            return Ok(self.open.replace(ledger_image(ledger).map_err(damaged)?));
        }
        let image = self
            .open
            .as_mut()
            .ok_or_else(|| damaged(RecordError::Missing("ledger")))?;
        fill(image, part).map_err(damaged)?;
        Ok(None)
    }

    /// The last image.
    pub(super) fn finish(self) -> Option<LedgerImage> {
        self.open
    }
}

fn fill(image: &mut LedgerImage, part: Of) -> Result<(), RecordError> {
    match part {
        Of::Ledger(_) | Of::Source(_) => {
            unreachable!("the callers have taken them")
        }
        Of::Account(part) => image.accounts.push(account_image(part)?),
        Of::Hold(part) => image.holds.push(HoldImage {
            hold: to_core::transaction(some(part.hold, "hold")?, None)?,
            made: Moment {
                recorded_at: to_core::timestamp(part.made_at, "made_at")?,
                business_date: Day(part.made_on),
            },
        }),
        Of::Key(part) => {
            let key = match some(part.key, "key")? {
                proto::key_part::Key::Uuid(uuid) => record::record::Key::KeyUuid(Bytes::from(uuid)),
                proto::key_part::Key::Text(text) => record::record::Key::KeyText(text),
            };
            let request_hash =
                part.request_hash[..]
                    .try_into()
                    .map_err(|_| RecordError::WrongLength {
                        field: "request_hash",
                        expected: 16,
                        found: part.request_hash.len(),
                    })?;
            let entry = KeyEntry {
                request_hash,
                sequence: part.sequence,
            };
            image.keys.push((to_core::key(key)?, entry));
        }
        Of::Transaction(part) => image.transactions.push((
            to_core::transaction(some(part.transaction, "transaction")?, None)?,
            part.sequence,
        )),
    }
    Ok(())
}

fn ledger_image(part: proto::LedgerPart) -> Result<LedgerImage, RecordError> {
    let invalid = |why| RecordError::Invalid {
        field: "ledger",
        why,
    };
    let optional = |micros: Option<i64>, field| {
        micros
            .map(|micros| to_core::timestamp(micros, field))
            .transpose()
    };
    // A ledger has both or neither: the one record that creates it gives both.
    let created_at = part.terms.is_some().then_some(part.created_at);
    Ok(LedgerImage {
        name: LedgerName::from_record(&part.name).map_err(invalid)?,
        terms: part.terms.map(to_core::ledger_terms).transpose()?,
        created_at: optional(created_at, "created_at")?,
        closed_through: optional(part.closed_through, "closed_through")?,
        accounts: Vec::new(),
        holds: Vec::new(),
        keys: Vec::new(),
        transactions: Vec::new(),
        forgotten_through: part.forgotten_through,
        forgotten_stamp: optional(part.forgotten_stamp, "forgotten_stamp")?,
    })
}

fn account_image(part: proto::AccountPart) -> Result<AccountImage, RecordError> {
    let balance = to_core::balance(&some(part.balance, "balance")?)?;
    let velocity = part.velocity.into_iter().map(|counter| {
        let buckets = counter.buckets.into_iter().map(|bucket| {
            let amount = some(bucket.amount, "velocity amount")?;
            Ok((bucket.bucket, to_core::amount(&amount)?))
        });
        buckets.collect::<Result<_, RecordError>>()
    });
    Ok(AccountImage {
        account: Account {
            number: to_core::account_number(part.number)?,
            terms: to_core::account_terms(some(part.terms, "account terms")?)?,
            status: to_core::account_status(part.status)?,
            totals: balance.totals,
            version: balance.version,
            open_holds: part.open_holds,
            opened_at: to_core::timestamp(part.opened_at, "opened_at")?,
        },
        velocity: velocity.collect::<Result<_, _>>()?,
    })
}

fn some<T>(part: Option<T>, field: &'static str) -> Result<T, RecordError> {
    part.ok_or(RecordError::Missing(field))
}
