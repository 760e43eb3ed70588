-- What people and their tools read; $s is the schema, $g that of the live generation. Columns
-- are only ever added, at the end, so that views built on these ones live on.

CREATE OR REPLACE VIEW $s.ledgers AS
SELECT l.name AS ledger, l.created_at, l.closed_through, l.time_zone, l.description, l.metadata,
       l.version, l.shard, h.ledger_sequence, h.recorded_at AS last_recorded_at,
       encode(h.record_hash, 'hex') AS record_hash
  FROM $g.ledgers l LEFT JOIN $g.heads h USING (ledger_id)
 WHERE l.created_at IS NOT NULL;
COMMENT ON VIEW $s.ledgers IS 'Ledgers, and the last record of each that was applied.';

CREATE OR REPLACE VIEW $s.accounts AS
SELECT l.name AS ledger, a.number, a.name AS account, a.asset, a.exponent, a.type, a.status,
       a.opened_at, a.minimum AS minimum_minor, a.maximum AS maximum_minor,
       a.minimum * ('1e-' || a.exponent)::numeric AS minimum,
       a.maximum * ('1e-' || a.exponent)::numeric AS maximum,
       a.metadata, b.version, b.open_holds
  FROM $g.accounts a JOIN $g.ledgers l USING (ledger_id)
  JOIN $g.balances b ON b.ledger_id = a.ledger_id AND b.account = a.number;
COMMENT ON VIEW $s.accounts IS 'Accounts. Amounts are decimal; *_minor are in minor units.';

CREATE OR REPLACE VIEW $s.account_balances AS
SELECT l.name AS ledger, a.number, a.name AS account, a.asset, a.type, a.status,
       x.side * (b.debits_posted - b.credits_posted) * x.unit AS posted,
       x.side * (b.debits_posted - b.credits_posted + b.debits_pending - b.credits_pending)
              * x.unit AS pending,
       (x.side * (b.debits_posted - b.credits_posted)
          - CASE WHEN x.side = 1 THEN b.credits_pending ELSE b.debits_pending END)
              * x.unit AS available,
       b.debits_posted * x.unit AS debits_posted, b.credits_posted * x.unit AS credits_posted,
       b.debits_pending * x.unit AS debits_pending, b.credits_pending * x.unit AS credits_pending,
       b.open_holds, b.version
  FROM $g.accounts a JOIN $g.ledgers l USING (ledger_id)
  JOIN $g.balances b ON b.ledger_id = a.ledger_id AND b.account = a.number
  CROSS JOIN LATERAL (SELECT ('1e-' || a.exponent)::numeric AS unit,
       CASE WHEN a.type IN ('ASSET', 'EXPENSE', 'MEMO') THEN 1 ELSE -1 END AS side) x;
COMMENT ON VIEW $s.account_balances IS
    'Balances as decimal amounts, on the account''s normal side: debits for ASSET, EXPENSE and MEMO, credits else.';
COMMENT ON COLUMN $s.account_balances.posted IS 'In less out.';
COMMENT ON COLUMN $s.account_balances.pending IS 'posted, with what open holds would bring and take.';
COMMENT ON COLUMN $s.account_balances.available IS 'posted, less what open holds would take.';

CREATE OR REPLACE VIEW $s.transactions AS
SELECT l.name AS ledger, t.transaction_id, t.status, t.kind, t.effective_at, t.recorded_at,
       t.ledger_sequence, ltrim(coalesce(t.key, t.transaction_id::text), E'\x7f') AS key,
       t.of_transaction, t.expires_at, cardinality(t.amounts) AS postings, t.description,
       t.metadata
  FROM $g.transactions t JOIN $g.ledgers l USING (ledger_id);
COMMENT ON VIEW $s.transactions IS 'Transactions as they are now.';
COMMENT ON COLUMN $s.transactions.of_transaction IS 'The hold that a capture takes from; what a reversal takes back.';

CREATE OR REPLACE VIEW $s.postings AS
SELECT l.name AS ledger, t.transaction_id, p.line, t.status, t.kind, t.effective_at,
       t.recorded_at, t.ledger_sequence, d.name AS debit_account, c.name AS credit_account,
       d.asset, p.amount * ('1e-' || d.exponent)::numeric AS amount, p.amount AS amount_minor
  FROM $g.transactions t JOIN $g.ledgers l USING (ledger_id)
  CROSS JOIN LATERAL unnest(t.debit_accounts, t.credit_accounts, t.amounts)
       WITH ORDINALITY AS p (debit, credit, amount, line)
  JOIN $g.accounts d ON d.ledger_id = t.ledger_id AND d.number = p.debit
  JOIN $g.accounts c ON c.ledger_id = t.ledger_id AND c.number = p.credit;
COMMENT ON VIEW $s.postings IS
    'Postings of all transactions. Those of a hold only reserve, whatever its status: its captures move money.';
COMMENT ON COLUMN $s.postings.line IS 'Its place in the transaction, from 1.';

CREATE OR REPLACE VIEW $s.daily_totals AS
SELECT l.name AS ledger, a.name AS account, a.asset, a.type, y.day,
       y.debits * ('1e-' || a.exponent)::numeric AS debits,
       y.credits * ('1e-' || a.exponent)::numeric AS credits
  FROM $g.days y JOIN $g.ledgers l USING (ledger_id)
  JOIN $g.accounts a ON a.ledger_id = y.ledger_id AND a.number = y.account;
COMMENT ON VIEW $s.daily_totals IS 'What was posted on each account, by UTC day of effective_at.';

CREATE OR REPLACE VIEW $s.progress AS
SELECT c.shard, c.sequence, c.recorded_at, encode(c.record_hash, 'hex') AS record_hash
  FROM $g.checkpoints c;
COMMENT ON VIEW $s.progress IS 'How far each shard of the log has been applied.';
