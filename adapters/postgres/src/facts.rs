//! Loading facts: one statement, so that all of them are of one checkpoint.

use ledger_core::facts::{Facts, FactsNeeded};
use ledger_core::key::IdempotencyKey;
use ledger_core::name::LedgerName;
use sqlx::postgres::PgConnection;

use crate::failure::{Failure, unusable};
use crate::generation::Generation;
use crate::values::{
    Uuid, get, get_id, get_key_entry, get_transaction, get_u64, key_text, parse_key,
};

/// See [`ports::views::FactsSource::load`].
pub(crate) async fn load(
    connection: &mut PgConnection,
    generation: &Generation,
    shard: u32,
    ledger: &LedgerName,
    needed: &[FactsNeeded],
) -> Result<Facts, Failure> {
    let keys = || needed.iter().filter_map(|one| one.key.as_ref());
    let uuids: Vec<_> = keys()
        .filter_map(|key| match key {
            IdempotencyKey::Uuid(uuid) => Some(Uuid(*uuid)),
            IdempotencyKey::Text(_) => None,
        })
        .collect();
    let texts: Vec<_> = keys().map(key_text).map(String::from).collect();
    let mut ids: Vec<_> = needed
        .iter()
        .flat_map(|one| one.transactions.iter().map(|id| id.0))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let ids: Vec<_> = ids.into_iter().map(Uuid).collect();
    // The first column says what a row is. A UUID key whose record made the transaction of the
    // same id has its entry there.
    let rows = sqlx::query(generation.sql(
        "SELECT 0, NULL::uuid, NULL::text, NULL::bytea, sequence, NULL::bytea
           FROM $g.checkpoints WHERE shard = $1
         UNION ALL
         SELECT 1, transaction_id, NULL, request_hash, sequence, NULL
           FROM $g.transactions
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $2)
            AND transaction_id = ANY($3) AND request_hash IS NOT NULL
         UNION ALL
         SELECT 2, NULL, key, request_hash, sequence, NULL
           FROM $g.keys
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $2)
            AND key = ANY($4)
         UNION ALL
         SELECT 3, transaction_id, NULL, NULL, NULL, body
           FROM $g.transactions
          WHERE ledger_id = (SELECT ledger_id FROM $g.ledgers WHERE name = $2)
            AND transaction_id = ANY($5)",
    ))
    .bind(i64::from(shard))
    .bind(ledger.as_str())
    .bind(uuids)
    .bind(texts)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut facts = Facts::default();
    for row in &rows {
        match get::<i32>(row, 0)? {
            0 => facts.through = get_u64(row, 4)?,
            1 => {
                let key = IdempotencyKey::Uuid(get_id(row, 1)?.0);
                facts.keys.insert(key, get_key_entry(row, 3)?);
            }
            2 => {
                let key = parse_key(get(row, 2)?)?;
                // The transaction's own entry, where it has one, is the older one.
                let entry = get_key_entry(row, 3)?;
                facts.keys.entry(key).or_insert(entry);
            }
            3 => {
                let id = get_id(row, 1)?;
                facts.transactions.insert(id, get_transaction(row, 5)?);
            }
            other => return Err(unusable(format!("a fact of kind {other}")).into()),
        }
    }
    Ok(facts)
}
