//! The tables of the read models.
//!
//! They are normal tables, for people with the `sqlite3` shell too. Columns without a type are
//! `ANY`: amounts are INTEGER where they fit 63 bits and TEXT beyond (a declared INTEGER would
//! turn a longer one into a float), keys are BLOB for a UUID and TEXT else.

/// Version of these tables. Older ones are built anew from the log.
pub(crate) const FORMAT: i64 = 1;

/// `PRAGMA application_id` of read models: "DBVW".
pub(crate) const APPLICATION_ID: i64 = 0x4442_5657;

/// Bytes of a page. A stretch changes one page of history for every account that moved, so
/// small pages are better here.
pub(crate) const PAGE_BYTES: u32 = 4_096;

/// The tables.
pub(crate) const TABLES: &str = "
CREATE TABLE meta (
    only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
    format      INTEGER NOT NULL,
    log_id      BLOB    NOT NULL,
    shard_count INTEGER NOT NULL
) STRICT;

-- What was applied of each shard.
CREATE TABLE checkpoints (
    shard       INTEGER PRIMARY KEY,
    sequence    INTEGER NOT NULL,
    record_hash BLOB    NOT NULL,
    position    INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;

-- The engine's own chains (daybook:shard:N) stand here too, without created_at.
CREATE TABLE ledgers (
    ledger_id      INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL UNIQUE,
    shard          INTEGER NOT NULL,
    created_at     INTEGER,
    closed_through INTEGER,
    version        INTEGER NOT NULL DEFAULT 0,
    terms          BLOB
) STRICT;

CREATE TABLE heads (
    ledger_id       INTEGER PRIMARY KEY,
    ledger_sequence INTEGER NOT NULL,
    record_hash     BLOB    NOT NULL,
    recorded_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    ledger_id INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    name      TEXT    NOT NULL,
    asset     TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    status    TEXT    NOT NULL,
    opened_at INTEGER NOT NULL,
    terms     BLOB    NOT NULL,
    PRIMARY KEY (ledger_id, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX accounts_by_name ON accounts (ledger_id, name);

CREATE TABLE balances (
    ledger_id       INTEGER NOT NULL,
    account         INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    debits_posted   ANY     NOT NULL,
    credits_posted  ANY     NOT NULL,
    debits_pending  ANY     NOT NULL,
    credits_pending ANY     NOT NULL,
    open_holds      INTEGER NOT NULL CHECK (open_holds >= 0),
    PRIMARY KEY (ledger_id, account)
) STRICT, WITHOUT ROWID;

-- status: 1 POSTED, 2 PENDING, 3 VOIDED, 4 EXPIRED. key is NULL where it is the id.
-- request_hash and sequence are what the key stands for, where it is the id.
CREATE TABLE transactions (
    ledger_id       INTEGER NOT NULL,
    transaction_id  BLOB    NOT NULL,
    ledger_sequence INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    effective_at    INTEGER NOT NULL,
    status          INTEGER NOT NULL,
    key             ANY,
    request_hash    BLOB,
    sequence        INTEGER,
    body            BLOB    NOT NULL,
    PRIMARY KEY (ledger_id, transaction_id)
) STRICT, WITHOUT ROWID;
-- Lists are filtered in this index, without touching the table.
CREATE INDEX transactions_in_order
    ON transactions (ledger_id, ledger_sequence, transaction_id, status, effective_at);
CREATE INDEX transactions_pending
    ON transactions (ledger_id, ledger_sequence, transaction_id, effective_at) WHERE status = 2;

-- An account's history: each row holds some records of one account, one after another, packed
-- (see chunk.rs).
CREATE TABLE history (
    ledger_id         INTEGER NOT NULL,
    account           INTEGER NOT NULL,
    first_sequence    INTEGER NOT NULL,
    last_sequence     INTEGER NOT NULL,
    first_recorded_at INTEGER NOT NULL,
    records           BLOB    NOT NULL,
    PRIMARY KEY (ledger_id, account, first_sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE days (
    ledger_id             INTEGER NOT NULL,
    account               INTEGER NOT NULL,
    day                   INTEGER NOT NULL,
    debits                ANY     NOT NULL,
    credits               ANY     NOT NULL,
    first_ledger_sequence INTEGER NOT NULL,
    last_ledger_sequence  INTEGER NOT NULL,
    PRIMARY KEY (ledger_id, account, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    ledger_id    INTEGER NOT NULL,
    key          ANY     NOT NULL,
    request_hash BLOB    NOT NULL,
    sequence     INTEGER NOT NULL,
    PRIMARY KEY (ledger_id, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE places (
    ledger_id       INTEGER NOT NULL,
    ledger_sequence INTEGER NOT NULL,
    sequence        INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    PRIMARY KEY (ledger_id, ledger_sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX places_by_time ON places (ledger_id, recorded_at, ledger_sequence);

-- For people.
CREATE VIEW readable_accounts AS
SELECT l.name AS ledger, a.number, a.name, a.asset, a.type, a.status, b.debits_posted,
       b.credits_posted, b.debits_pending, b.credits_pending, b.open_holds, b.version,
       datetime(a.opened_at / 1000000, 'unixepoch') AS opened_at
  FROM accounts a JOIN ledgers l USING (ledger_id)
  JOIN balances b ON b.ledger_id = a.ledger_id AND b.account = a.number;

CREATE VIEW readable_transactions AS
SELECT l.name AS ledger, t.ledger_sequence,
       lower(substr(hex(transaction_id), 1, 8) || '-' || substr(hex(transaction_id), 9, 4) || '-'
          || substr(hex(transaction_id), 13, 4) || '-' || substr(hex(transaction_id), 17, 4) || '-'
          || substr(hex(transaction_id), 21)) AS id,
       CASE t.status WHEN 1 THEN 'POSTED' WHEN 2 THEN 'PENDING' WHEN 3 THEN 'VOIDED'
                     WHEN 4 THEN 'EXPIRED' END AS status,
       datetime(t.effective_at / 1000000, 'unixepoch') AS effective_at,
       datetime(t.recorded_at / 1000000, 'unixepoch') AS recorded_at
  FROM transactions t JOIN ledgers l USING (ledger_id);
";

/// Tables that are compared after a rebuild, and their columns: the key first (but for the
/// ledger, which every one has), then the rest. (History is compared record by record: how it is
/// cut into rows depends on the stretches that it was applied in.)
pub(crate) const COMPARED: &[(&str, &[&str], &[&str])] = &[
    (
        "ledgers",
        &[],
        &[
            "name",
            "shard",
            "created_at",
            "closed_through",
            "version",
            "terms",
        ],
    ),
    (
        "heads",
        &[],
        &["ledger_sequence", "record_hash", "recorded_at"],
    ),
    (
        "accounts",
        &["number"],
        &["name", "asset", "type", "status", "opened_at", "terms"],
    ),
    (
        "balances",
        &["account"],
        &[
            "version",
            "debits_posted",
            "credits_posted",
            "debits_pending",
            "credits_pending",
            "open_holds",
        ],
    ),
    (
        "transactions",
        &["transaction_id"],
        &[
            "ledger_sequence",
            "recorded_at",
            "effective_at",
            "status",
            "key",
            "request_hash",
            "sequence",
            "body",
        ],
    ),
    (
        "days",
        &["account", "day"],
        &[
            "debits",
            "credits",
            "first_ledger_sequence",
            "last_ledger_sequence",
        ],
    ),
    ("keys", &["key"], &["request_hash", "sequence"]),
    (
        "places",
        &["ledger_sequence"],
        &["sequence", "position", "recorded_at"],
    ),
];
