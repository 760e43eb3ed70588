//! Sizes that a user can run into, by the names that `GetServerInfo` and docs/limits.md give
//! them.

use std::collections::BTreeMap;

use ledger_core::limits as core;

/// Accounts, and balances, that one read may name.
pub const ACCOUNTS_NAMED_MAX: usize = 1_000;
/// Accounts of one trial balance: it is one message.
pub const TRIAL_BALANCE_ACCOUNTS_MAX: usize = 50_000;
/// Rows of a page where the request says no number.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Rows of a page.
pub const PAGE_SIZE_MAX: usize = 1_000;

/// Bytes of a record of a topic that commands come from: key, headers and payload.
pub const INGESTION_RECORD_BYTES_MAX: usize = 1_000_000;

/// Shards of a log on Kafka: each is a partition of five topics.
pub const CLUSTER_SHARDS_MAX: u32 = 4_096;

/// A limit, as docs/limits.md explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its name: the constant's, in lower case.
    pub name: &'static str,
    /// Its value.
    pub value: u128,
    /// What it bounds.
    pub what: &'static str,
    /// What a request beyond it gets.
    pub beyond: &'static str,
}

const fn limit(name: &'static str, value: u128, what: &'static str, beyond: &'static str) -> Limit {
    Limit {
        name,
        value,
        what,
        beyond,
    }
}

const MALFORMED: &str = "INVALID_ARGUMENT";

/// Every limit, by subject.
#[rustfmt::skip]
pub const ALL: &[Limit] = &[
    limit("batch_commands_max", core::BATCH_COMMANDS_MAX as u128, "commands of one BatchWrite; transfers of one BatchTransfer", "BATCH_TOO_LARGE, INVALID_ARGUMENT"),
    limit("batch_bytes_max", core::BATCH_BYTES_MAX as u128, "bytes of one request", "MESSAGE_TOO_LARGE"),
    limit("atomic_members_max", core::ATOMIC_MEMBERS_MAX as u128, "members of an atomic batch", MALFORMED),
    limit("postings_max", core::POSTINGS_MAX as u128, "postings of one transaction", MALFORMED),
    limit("conditions_max", core::CONDITIONS_MAX as u128, "conditions of one command, or of one member", MALFORMED),
    limit("record_bytes_max", core::RECORD_BYTES_MAX as u128, "bytes of one encoded record: what a command comes to, with all postings, balances and texts", "RECORD_TOO_LARGE"),
    limit("text_key_bytes_max", core::TEXT_KEY_BYTES_MAX as u128, "bytes of a text idempotency key (printable ASCII)", MALFORMED),
    limit("key_ahead_micros_max", core::KEY_AHEAD_MICROS_MAX as u128, "microseconds that a UUIDv7 key may be stamped ahead of the engine's time", "KEY_STAMP_IN_FUTURE"),
    limit("name_bytes_max", core::NAME_BYTES_MAX as u128, "bytes of the name of a ledger or account", MALFORMED),
    limit("name_segments_max", core::NAME_SEGMENTS_MAX as u128, "segments of such a name, parted by colons", MALFORMED),
    limit("name_segment_bytes_max", core::NAME_SEGMENT_BYTES_MAX as u128, "bytes of one segment, of A-Z a-z 0-9 _ . -", MALFORMED),
    limit("metadata_keys_max", core::METADATA_KEYS_MAX as u128, "keys of metadata", "INVALID_ARGUMENT; METADATA_TOO_LARGE after a change"),
    limit("metadata_key_bytes_max", core::METADATA_KEY_BYTES_MAX as u128, "bytes of one metadata key", MALFORMED),
    limit("metadata_value_bytes_max", core::METADATA_VALUE_BYTES_MAX as u128, "bytes of one metadata value; of a sealed one key id, nonce and ciphertext together", MALFORMED),
    limit("metadata_bytes_max", core::METADATA_BYTES_MAX as u128, "bytes of all keys and values together", "INVALID_ARGUMENT; METADATA_TOO_LARGE after a change"),
    limit("description_bytes_max", core::DESCRIPTION_BYTES_MAX as u128, "bytes of a description or a reason", MALFORMED),
    limit("asset_exponent_max", core::ASSET_EXPONENT_MAX as u128, "exponent of an asset", MALFORMED),
    limit("amount_max", core::AMOUNT_MAX, "minor units of an amount and of each total of an account", "INVALID_ARGUMENT, BALANCE_OVERFLOW"),
    limit("velocity_limits_max", core::VELOCITY_LIMITS_MAX as u128, "velocity limits of one account", MALFORMED),
    limit("settlement_accounts_max", core::SETTLEMENT_ACCOUNTS_MAX as u128, "settlement accounts of one ledger", MALFORMED),
    limit("time_zone_bytes_max", core::TIME_ZONE_BYTES_MAX as u128, "bytes of a time zone's name", MALFORMED),
    limit("accounts_max", core::ACCOUNTS_MAX as u128, "accounts of one ledger", "TOO_MANY_ACCOUNTS"),
    limit("accounts_named_max", ACCOUNTS_NAMED_MAX as u128, "accounts that BatchGetAccounts or BatchGetBalances names", "BATCH_TOO_LARGE"),
    limit("trial_balance_accounts_max", TRIAL_BALANCE_ACCOUNTS_MAX as u128, "accounts of a ledger that GetTrialBalance shows, as one message; sums by pattern (AggregateBalances) have no such bound", "REPLY_TOO_LARGE"),
    limit("ingestion_record_bytes_max", INGESTION_RECORD_BYTES_MAX as u128, "bytes of a record of a topic that commands come from: key, headers and payload", "dead letter INGESTION_RECORD_TOO_LARGE, without its payload"),
    limit("cluster_shards_max", CLUSTER_SHARDS_MAX as u128, "shards of a log on Kafka", "`daybook setup` refuses"),
    limit("page_size_default", PAGE_SIZE_DEFAULT as u128, "rows of a page where `page_size` is 0", "-"),
    limit("page_size_max", PAGE_SIZE_MAX as u128, "rows of a page", MALFORMED),
];

/// Every limit that fits 64 bits, for `GetServerInfo`. The largest amount alone does not.
pub fn served() -> BTreeMap<String, u64> {
    ALL.iter()
        .filter_map(|limit| Some((limit.name.to_owned(), u64::try_from(limit.value).ok()?)))
        .collect()
}
