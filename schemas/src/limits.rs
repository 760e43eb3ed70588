//! Sizes that a user can run into, by the names that `GetServerInfo` and docs/limits.md give
//! them.

use std::collections::BTreeMap;

use ledger_core::limits::{
    ASSET_EXPONENT_MAX, ATOMIC_MEMBERS_MAX, BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, CONDITIONS_MAX,
    DESCRIPTION_BYTES_MAX, KEY_AHEAD_MICROS_MAX, METADATA_BYTES_MAX, METADATA_KEY_BYTES_MAX,
    METADATA_KEYS_MAX, METADATA_VALUE_BYTES_MAX, NAME_BYTES_MAX, NAME_SEGMENT_BYTES_MAX,
    NAME_SEGMENTS_MAX, POSTINGS_MAX, RECORD_BYTES_MAX, TEXT_KEY_BYTES_MAX, VELOCITY_LIMITS_MAX,
};

/// Every limit that fits 64 bits. The largest amount does not: it is `i128::MAX`.
pub fn served() -> BTreeMap<String, u64> {
    [
        ("asset_exponent_max", u64::from(ASSET_EXPONENT_MAX)),
        ("atomic_members_max", ATOMIC_MEMBERS_MAX as u64),
        ("batch_bytes_max", BATCH_BYTES_MAX as u64),
        ("batch_commands_max", BATCH_COMMANDS_MAX as u64),
        ("conditions_max", CONDITIONS_MAX as u64),
        ("description_bytes_max", DESCRIPTION_BYTES_MAX as u64),
        ("key_ahead_micros_max", KEY_AHEAD_MICROS_MAX as u64),
        ("metadata_bytes_max", METADATA_BYTES_MAX as u64),
        ("metadata_key_bytes_max", METADATA_KEY_BYTES_MAX as u64),
        ("metadata_keys_max", METADATA_KEYS_MAX as u64),
        ("metadata_value_bytes_max", METADATA_VALUE_BYTES_MAX as u64),
        ("name_bytes_max", NAME_BYTES_MAX as u64),
        ("name_segment_bytes_max", NAME_SEGMENT_BYTES_MAX as u64),
        ("name_segments_max", NAME_SEGMENTS_MAX as u64),
        ("postings_max", POSTINGS_MAX as u64),
        ("record_bytes_max", RECORD_BYTES_MAX as u64),
        ("text_key_bytes_max", TEXT_KEY_BYTES_MAX as u64),
        ("velocity_limits_max", VELOCITY_LIMITS_MAX as u64),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
