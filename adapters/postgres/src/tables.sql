-- The tables of a generation; $g is its schema. What is not said by constraints here is made so
-- by the projector and checked as it writes; foreign keys would cost as much as the rows. The
-- order of columns is that of their alignment.

CREATE TABLE $g.checkpoints (
    shard       integer     PRIMARY KEY,
    sequence    bigint      NOT NULL DEFAULT 0,
    position    bigint      NOT NULL DEFAULT 0,
    recorded_at timestamptz,
    record_hash bytea
) WITH (fillfactor = 20);
COMMENT ON TABLE $g.checkpoints IS
    'How far each shard of the log has been applied. Moves in the transaction that writes the rows.';
COMMENT ON COLUMN $g.checkpoints.sequence IS 'The last record applied; 0 before the first.';
COMMENT ON COLUMN $g.checkpoints.position IS 'The entry of the log that holds it.';
COMMENT ON COLUMN $g.checkpoints.recorded_at IS 'When it was recorded.';
COMMENT ON COLUMN $g.checkpoints.record_hash IS 'BLAKE3 of its bytes.';

CREATE TABLE $g.ledgers (
    ledger_id      integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    shard          integer     NOT NULL,
    version        bigint      NOT NULL DEFAULT 0,
    created_at     timestamptz,
    closed_through timestamptz,
    name           text        COLLATE "C" NOT NULL UNIQUE,
    time_zone      text,
    description    text,
    metadata       jsonb,
    terms          bytea
);
COMMENT ON TABLE $g.ledgers IS
    'Ledgers. The engine''s own chains (daybook:shard:N) stand here too, without created_at.';
COMMENT ON COLUMN $g.ledgers.ledger_id IS 'Its number in this generation; another one in the next.';
COMMENT ON COLUMN $g.ledgers.closed_through IS 'The books are closed before this instant.';
COMMENT ON COLUMN $g.ledgers.version IS 'Counts every event that changed its terms or closing.';
COMMENT ON COLUMN $g.ledgers.terms IS 'All of its terms: daybook.record.v1.LedgerTerms.';

CREATE TABLE $g.heads (
    ledger_id       integer     PRIMARY KEY,
    ledger_sequence bigint      NOT NULL,
    recorded_at     timestamptz NOT NULL,
    record_hash     bytea       NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE $g.heads IS 'The last record of each ledger''s hash chain that was applied.';

CREATE TABLE $g.accounts (
    ledger_id integer       NOT NULL,
    exponent  smallint      NOT NULL,
    number    bigint        NOT NULL,
    opened_at timestamptz   NOT NULL,
    name      text          COLLATE "C" NOT NULL,
    asset     text          NOT NULL,
    type      text          NOT NULL,
    status    text          NOT NULL,
    minimum   numeric(39, 0),
    maximum   numeric(39, 0),
    metadata  jsonb,
    terms     bytea         NOT NULL,
    PRIMARY KEY (ledger_id, number)
);
-- Accounts are asked for by name, and listed by the beginning of one.
CREATE UNIQUE INDEX accounts_by_name ON $g.accounts (ledger_id, name);
COMMENT ON TABLE $g.accounts IS 'Accounts, all but their balances.';
COMMENT ON COLUMN $g.accounts.exponent IS 'Decimal places of its asset: amounts are in units of 10^-exponent.';
COMMENT ON COLUMN $g.accounts.number IS 'Its number in the ledger, from 1 without gaps.';
COMMENT ON COLUMN $g.accounts.type IS 'ASSET, LIABILITY, EQUITY, INCOME, EXPENSE or MEMO.';
COMMENT ON COLUMN $g.accounts.status IS 'OPEN, FROZEN_DEBITS, FROZEN_CREDITS, FROZEN_ALL or CLOSED.';
COMMENT ON COLUMN $g.accounts.minimum IS 'Least available balance, in minor units; NULL for no bound.';
COMMENT ON COLUMN $g.accounts.maximum IS 'Largest balance, in minor units; NULL for no bound.';
COMMENT ON COLUMN $g.accounts.terms IS 'All of its terms: daybook.record.v1.AccountTerms.';

-- Updated for every account that a stretch moves: room on each page lets Postgres put the new
-- row beside the old one without touching the index (HOT).
CREATE TABLE $g.balances (
    ledger_id       integer        NOT NULL,
    open_holds      integer        NOT NULL CHECK (open_holds >= 0),
    account         bigint         NOT NULL,
    version         bigint         NOT NULL,
    history_rows    bigint         NOT NULL,
    history_digest  bigint         NOT NULL,
    debits_posted   numeric(39, 0) NOT NULL,
    credits_posted  numeric(39, 0) NOT NULL,
    debits_pending  numeric(39, 0) NOT NULL,
    credits_pending numeric(39, 0) NOT NULL,
    PRIMARY KEY (ledger_id, account)
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE $g.balances IS 'Totals of each account, in minor units.';
COMMENT ON COLUMN $g.balances.account IS 'The account''s number.';
COMMENT ON COLUMN $g.balances.version IS 'Counts every event that changed the account.';
COMMENT ON COLUMN $g.balances.open_holds IS 'Holds that are open on it.';
COMMENT ON COLUMN $g.balances.history_rows IS 'Rows that its history has.';
COMMENT ON COLUMN $g.balances.history_digest IS 'XOR of the first 64 bits of BLAKE3 of each row of its history.';

-- Grows by one row per transaction, so it has the two indexes that it cannot do without: by id,
-- which also finds keys and keeps ids unique, and in the order of the ledger, which lists.
CREATE TABLE $g.transactions (
    ledger_sequence bigint           NOT NULL,
    recorded_at     timestamptz      NOT NULL,
    effective_at    timestamptz      NOT NULL,
    sequence        bigint,
    ledger_id       integer          NOT NULL,
    transaction_id  uuid             NOT NULL,
    status          text             NOT NULL,
    kind            text             NOT NULL,
    of_transaction  uuid,
    expires_at      timestamptz,
    request_hash    bytea,
    key             text             COLLATE "C",
    debit_accounts  bigint[]         NOT NULL,
    credit_accounts bigint[]         NOT NULL,
    amounts         numeric(39, 0)[] NOT NULL,
    description     text,
    metadata        jsonb,
    body            bytea            NOT NULL,
    PRIMARY KEY (ledger_id, transaction_id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE INDEX transactions_in_order ON $g.transactions (ledger_id, ledger_sequence);
-- Open holds are few among many, and are listed too.
CREATE INDEX transactions_pending ON $g.transactions (ledger_id, ledger_sequence)
    WHERE status = 'PENDING';
COMMENT ON TABLE $g.transactions IS 'Transactions as they are now, with their postings.';
COMMENT ON COLUMN $g.transactions.ledger_sequence IS 'Of the record that made it.';
COMMENT ON COLUMN $g.transactions.recorded_at IS 'When it was made.';
COMMENT ON COLUMN $g.transactions.effective_at IS 'When it counts, as the caller said.';
COMMENT ON COLUMN $g.transactions.status IS 'POSTED, PENDING, VOIDED or EXPIRED.';
COMMENT ON COLUMN $g.transactions.kind IS 'DIRECT, HOLD, CAPTURE or REVERSAL.';
COMMENT ON COLUMN $g.transactions.of_transaction IS 'The hold that a capture takes from; what a reversal takes back.';
COMMENT ON COLUMN $g.transactions.expires_at IS 'When a hold expires.';
COMMENT ON COLUMN $g.transactions.key IS 'The idempotency key of the command; NULL where it is the transaction_id.';
COMMENT ON COLUMN $g.transactions.request_hash IS 'Of the request, where the key is the transaction_id.';
COMMENT ON COLUMN $g.transactions.sequence IS 'The shard''s sequence of its record, where the key is the transaction_id.';
COMMENT ON COLUMN $g.transactions.debit_accounts IS 'The accounts that its postings debit, in order.';
COMMENT ON COLUMN $g.transactions.credit_accounts IS 'The accounts that its postings credit, in order.';
COMMENT ON COLUMN $g.transactions.amounts IS 'The amounts of its postings in minor units, in order.';
COMMENT ON COLUMN $g.transactions.description IS 'NULL where there is none or it is sealed.';
COMMENT ON COLUMN $g.transactions.body IS 'All of the transaction: daybook.record.v1.Transaction.';

CREATE TABLE $g.days (
    ledger_id             integer        NOT NULL,
    day                   date           NOT NULL,
    account               bigint         NOT NULL,
    first_ledger_sequence bigint         NOT NULL,
    last_ledger_sequence  bigint         NOT NULL,
    debits                numeric(39, 0) NOT NULL,
    credits               numeric(39, 0) NOT NULL,
    PRIMARY KEY (ledger_id, account, day)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE $g.days IS
    'Sums of what was posted on each account, by UTC day of effective_at, in minor units.';
COMMENT ON COLUMN $g.days.first_ledger_sequence IS 'Of the first record that posted on that day.';
COMMENT ON COLUMN $g.days.last_ledger_sequence IS 'Of the last record that posted on that day.';

CREATE TABLE $g.keys (
    sequence     bigint  NOT NULL,
    ledger_id    integer NOT NULL,
    request_hash bytea   NOT NULL,
    key          text    COLLATE "C" NOT NULL,
    PRIMARY KEY (ledger_id, key)
);
COMMENT ON TABLE $g.keys IS
    'Idempotency keys and the decisions that they stand for, but for those that are the id of a transaction.';
COMMENT ON COLUMN $g.keys.sequence IS 'The shard''s sequence of the record that holds the decision.';
COMMENT ON COLUMN $g.keys.request_hash IS 'Tells the request from another under the same key.';

CREATE TABLE $g.places (
    ledger_sequence bigint      NOT NULL,
    sequence        bigint      NOT NULL,
    recorded_at     timestamptz NOT NULL,
    ledger_id       integer     NOT NULL,
    position        bigint      NOT NULL,
    PRIMARY KEY (ledger_id, ledger_sequence)
);
-- A moment is turned into a sequence by it.
CREATE INDEX places_by_time ON $g.places (ledger_id, recorded_at, ledger_sequence);
COMMENT ON TABLE $g.places IS 'Where each ledger''s records stand in the log: a row per entry and ledger.';
COMMENT ON COLUMN $g.places.ledger_sequence IS 'Of the ledger''s first record in the entry.';
COMMENT ON COLUMN $g.places.sequence IS 'The same record''s sequence in the shard.';
COMMENT ON COLUMN $g.places.position IS 'The entry.';
