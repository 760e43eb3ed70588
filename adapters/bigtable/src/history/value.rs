//! What the cells of the history hold.

use ledger_core::account::AccountNumber;
use ledger_core::key::TransactionId;
use ledger_core::time::Timestamp;
use ports::log::Position;
use ports::projection::{Checkpoint, HistoryRow, LedgerIndex, Movement, ProjectionError};
use prost::Message as _;
use schemas::proto::history::v1 as proto;
use schemas::record::convert::{to_core, to_proto};
use schemas::record::{LogId, RecordError, RecordHash};

/// Bytes that a row takes on its way, about.
pub(super) fn bytes_about(row: &HistoryRow) -> usize {
    192 + 48 * row.movements.len()
}

pub(super) fn encode_row(row: &HistoryRow) -> Vec<u8> {
    let recorded_at = row.recorded_at.micros();
    let movement = |movement: &Movement| proto::Movement {
        transaction: movement.transaction.0.to_be_bytes().to_vec(),
        effective_after_recorded: movement.effective_at.micros() - recorded_at,
        effect: to_proto::transaction_status(movement.effect).into(),
        posting: Some(to_proto::posting(&movement.posting)),
    };
    let row = proto::Row {
        balance: Some(to_proto::balance(row.account, row.version, &row.totals)),
        movements: row.movements.iter().map(movement).collect(),
    };
    row.encode_to_vec()
}

/// Reads what [`encode_row`] wrote of a record whose place the key tells.
pub(super) fn decode_row(
    account: AccountNumber,
    recorded_at: Timestamp,
    ledger_sequence: u64,
    bytes: &[u8],
) -> Result<HistoryRow, ProjectionError> {
    let row = proto::Row::decode(bytes).map_err(|error| damaged(&error.into()))?;
    let balance = row.balance.unwrap_or_default();
    let balance = to_core::balance(&balance).map_err(|error| damaged(&error))?;
    if balance.account != account {
        return Err(unusable(
            "a row of the account history is another account's",
        ));
    }
    let movement = |movement: proto::Movement| {
        let id = movement.transaction.as_slice().try_into();
        let effective_at = recorded_at
            .micros()
            .checked_add(movement.effective_after_recorded)
            .and_then(Timestamp::from_micros);
        let (Ok(id), Some(effective_at)) = (id, effective_at) else {
            return Err(unusable("a movement of the account history is damaged"));
        };
        Ok(Movement {
            transaction: TransactionId(u128::from_be_bytes(id)),
            effective_at,
            effect: to_core::transaction_status(movement.effect)
                .map_err(|error| damaged(&error))?,
            posting: to_core::posting(&movement.posting.unwrap_or_default())
                .map_err(|error| damaged(&error))?,
        })
    };
    Ok(HistoryRow {
        ledger: LedgerIndex(0),
        account,
        ledger_sequence,
        recorded_at,
        version: balance.version,
        totals: balance.totals,
        movements: row
            .movements
            .into_iter()
            .map(movement)
            .collect::<Result<_, _>>()?,
    })
}

pub(super) fn encode_checkpoint(checkpoint: &Checkpoint) -> Vec<u8> {
    let checkpoint = proto::Checkpoint {
        log_id: checkpoint.log_id.0.to_vec(),
        sequence: checkpoint.sequence,
        record_hash: checkpoint.record_hash.0.to_vec(),
        position: checkpoint.position.0,
        recorded_at: checkpoint.recorded_at.micros(),
    };
    checkpoint.encode_to_vec()
}

pub(super) fn decode_checkpoint(bytes: &[u8]) -> Result<Checkpoint, ProjectionError> {
    let found = proto::Checkpoint::decode(bytes).map_err(|error| damaged(&error.into()))?;
    let parts = (
        found.log_id.as_slice().try_into(),
        found.record_hash.as_slice().try_into(),
        Timestamp::from_micros(found.recorded_at),
    );
    let (Ok(log_id), Ok(hash), Some(recorded_at)) = parts else {
        return Err(unusable("the checkpoint of the account history is damaged"));
    };
    Ok(Checkpoint {
        log_id: LogId(log_id),
        sequence: found.sequence,
        record_hash: RecordHash(hash),
        position: Position(found.position),
        recorded_at,
    })
}

fn damaged(error: &RecordError) -> ProjectionError {
    unusable(&format!("a row of the account history is damaged: {error}"))
}

pub(super) fn unusable(what: &str) -> ProjectionError {
    ProjectionError::Unusable(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger_core::account::Totals;
    use ledger_core::amount::Amount;
    use ledger_core::transaction::{Posting, TransactionStatus};

    fn row() -> HistoryRow {
        let amount = |minor_units: u128| Amount::new(minor_units).unwrap();
        let movement = |effect, effective_at, minor_units| Movement {
            transaction: TransactionId(u128::MAX - 3),
            effective_at,
            effect,
            posting: Posting {
                debit: AccountNumber(7),
                credit: AccountNumber(u32::MAX),
                amount: amount(minor_units),
            },
        };
        let recorded_at = Timestamp::from_micros(-17).unwrap();
        let most = i128::MAX as u128;
        HistoryRow {
            ledger: LedgerIndex(0),
            account: AccountNumber(7),
            ledger_sequence: 42,
            recorded_at,
            version: u64::MAX,
            totals: Totals {
                debits_posted: amount(most),
                credits_posted: amount(0),
                debits_pending: amount(1 << 64),
                credits_pending: amount(1),
            },
            movements: vec![
                movement(TransactionStatus::Posted, recorded_at, most),
                movement(TransactionStatus::Pending, Timestamp::MAX, 1),
                movement(TransactionStatus::Voided, Timestamp::MIN, 0),
                movement(TransactionStatus::Expired, Timestamp::MIN, 1 << 100),
            ],
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = row();
        let bytes = encode_row(&row);
        let read = decode_row(row.account, row.recorded_at, row.ledger_sequence, &bytes);
        assert_eq!(read.unwrap(), row);
        let other = decode_row(AccountNumber(8), row.recorded_at, 42, &bytes);
        assert!(matches!(other, Err(ProjectionError::Unusable(_))));
    }

    #[test]
    fn a_damaged_row_is_refused_or_reads_as_another_and_never_panics() {
        let row = row();
        let bytes = encode_row(&row);
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut other = bytes.clone();
                other[at] ^= flip;
                if let Ok(read) = decode_row(row.account, row.recorded_at, 42, &other) {
                    assert_ne!(read, row, "byte {at}");
                }
            }
        }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let checkpoint = Checkpoint {
            log_id: LogId([1; 16]),
            sequence: u64::MAX,
            record_hash: RecordHash([2; 32]),
            position: Position(9),
            recorded_at: Timestamp::MIN,
        };
        let bytes = encode_checkpoint(&checkpoint);
        assert_eq!(decode_checkpoint(&bytes).unwrap(), checkpoint);
        assert!(decode_checkpoint(&bytes[..10]).is_err());
        assert!(decode_checkpoint(&[]).is_err());
    }
}
