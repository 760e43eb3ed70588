//! The tables of a generation, and the views that people read.

/// Version of the tables. Read models of an earlier one are rebuilt from the log.
pub(crate) const FORMAT: i32 = 1;

/// The tables; `$g` stands for the generation's schema.
pub(crate) const TABLES: &str = include_str!("tables.sql");

/// The views; `$s` stands for the schema, `$g` for the live generation's.
pub(crate) const VIEWS: &str = include_str!("views.sql");

/// A table to be compared after a rebuild.
pub(crate) struct Compared {
    /// What its differences are reported as.
    pub(crate) name: &'static str,
    /// The table.
    pub(crate) table: &'static str,
    /// Its key, but for the ledger, which every one has.
    pub(crate) key: &'static [&'static str],
    /// All other columns.
    pub(crate) columns: &'static [&'static str],
}

/// The tables that are compared. Readable columns that only repeat what `terms` and `body` say
/// are compared too. History is compared by its digests: the rows themselves stand elsewhere.
pub(crate) const COMPARED: &[Compared] = &[
    Compared {
        name: "ledgers",
        table: "ledgers",
        key: &[],
        columns: &[
            "name",
            "shard",
            "created_at",
            "closed_through",
            "version",
            "time_zone",
            "description",
            "metadata",
            "terms",
        ],
    },
    Compared {
        name: "heads",
        table: "heads",
        key: &[],
        columns: &["ledger_sequence", "record_hash", "recorded_at"],
    },
    Compared {
        name: "accounts",
        table: "accounts",
        key: &["number"],
        columns: &[
            "name",
            "asset",
            "exponent",
            "type",
            "status",
            "opened_at",
            "minimum",
            "maximum",
            "metadata",
            "terms",
        ],
    },
    Compared {
        name: "balances",
        table: "balances",
        key: &["account"],
        columns: &[
            "version",
            "debits_posted",
            "credits_posted",
            "debits_pending",
            "credits_pending",
            "open_holds",
        ],
    },
    Compared {
        name: "history",
        table: "balances",
        key: &["account"],
        columns: &["history_rows", "history_digest"],
    },
    Compared {
        name: "transactions",
        table: "transactions",
        key: &["transaction_id"],
        columns: &[
            "ledger_sequence",
            "recorded_at",
            "effective_at",
            "status",
            "kind",
            "of_transaction",
            "expires_at",
            "key",
            "request_hash",
            "sequence",
            "debit_accounts",
            "credit_accounts",
            "amounts",
            "description",
            "metadata",
            "body",
        ],
    },
    Compared {
        name: "days",
        table: "days",
        key: &["account", "day"],
        columns: &[
            "debits",
            "credits",
            "first_ledger_sequence",
            "last_ledger_sequence",
        ],
    },
    Compared {
        name: "keys",
        table: "keys",
        key: &["key"],
        columns: &["request_hash", "sequence"],
    },
    Compared {
        name: "places",
        table: "places",
        key: &["ledger_sequence"],
        columns: &["sequence", "position", "recorded_at"],
    },
];
