//! Sizes that a user can run into. Each has its entry in docs/limits.md and a test, and is
//! served by `GetServerInfo`.

/// Commands in one batch.
pub const BATCH_COMMANDS_MAX: usize = 8_190;
/// Bytes of one batch message.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Members of an atomic batch.
pub const ATOMIC_MEMBERS_MAX: usize = 1_000;
/// Postings of one transaction.
pub const POSTINGS_MAX: usize = 1_000;
/// Bytes of one encoded record.
pub const RECORD_BYTES_MAX: usize = 900_000;
/// Keys of one metadata map.
pub const METADATA_KEYS_MAX: usize = 50;
/// Bytes of one metadata key.
pub const METADATA_KEY_BYTES_MAX: usize = 64;
/// Bytes of one metadata value.
pub const METADATA_VALUE_BYTES_MAX: usize = 512;
/// Bytes of all keys and values of one metadata map.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a description or a reason.
pub const DESCRIPTION_BYTES_MAX: usize = 1_024;
/// Bytes of a text idempotency key.
pub const TEXT_KEY_BYTES_MAX: usize = 64;
/// Segments of an account name.
pub const NAME_SEGMENTS_MAX: usize = 16;
/// Bytes of one segment of an account name.
pub const NAME_SEGMENT_BYTES_MAX: usize = 64;
/// Bytes of a ledger or account name.
pub const NAME_BYTES_MAX: usize = 255;
/// Exponent of an asset.
pub const ASSET_EXPONENT_MAX: u8 = 30;
/// Velocity limits of one account.
pub const VELOCITY_LIMITS_MAX: usize = 8;
/// Conditions of one command.
pub const CONDITIONS_MAX: usize = 100;
/// Settlement accounts of one ledger.
pub const SETTLEMENT_ACCOUNTS_MAX: usize = 1_000;
/// Bytes of a time zone's name.
pub const TIME_ZONE_BYTES_MAX: usize = 64;
/// Accounts of one ledger.
pub const ACCOUNTS_MAX: usize = 100_000_000;
/// How far ahead of the engine's time a UUIDv7 key may be stamped, in microseconds.
pub const KEY_AHEAD_MICROS_MAX: i64 = 5 * 60 * 1_000_000;
/// Largest amount and largest total, in minor units.
pub const AMOUNT_MAX: u128 = i128::MAX as u128;
