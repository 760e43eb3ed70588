//! Which shard a ledger lives in.

use ledger_core::name::LedgerName;

/// The shard of `ledger` in a log of `shard_count` shards: `(murmur2(name) & 0x7fffffff) mod
/// shard_count`, as Kafka's Java client partitions keyed records, so that a topic of commands
/// keyed by ledger name is partitioned as the log is.
///
/// # Panics
/// When `shard_count` is 0: a log has at least one shard.
pub fn shard_of(ledger: &LedgerName, shard_count: u32) -> u32 {
    assert!(shard_count > 0, "a log has at least one shard");
    (murmur2(ledger.as_str().as_bytes()) & 0x7fff_ffff) % shard_count
}

/// The shard that the chain `name` stands in: a ledger's own, and the engine's chain
/// `daybook:shard:N` in shard N; of a log with fewer shards, into which it was carried over, in
/// shard N mod `shard_count`.
///
/// # Panics
/// As [`shard_of`].
pub fn chain_shard(name: &LedgerName, shard_count: u32) -> u32 {
    assert!(shard_count > 0, "a log has at least one shard");
    let own = name.as_str().strip_prefix("daybook:shard:");
    match own.and_then(|number| number.parse::<u32>().ok()) {
        Some(number) => number % shard_count,
        None => shard_of(name, shard_count),
    }
}

/// MurmurHash2 with the seed of Kafka's Java client.
pub fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("chunks_exact gives 4 bytes"));
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_kafkas() {
        for (text, hash) in [
            ("21", -973_932_308i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
    }

    #[test]
    fn the_engines_chains_stay_where_they_are_or_fold_over() {
        let chain = LedgerName::of_shard(5);
        assert_eq!(chain_shard(&chain, 6), 5);
        assert_eq!(chain_shard(&chain, 3), 2);
        let ledger = LedgerName::new("foobar").unwrap();
        assert_eq!(chain_shard(&ledger, 12), shard_of(&ledger, 12));
    }

    #[test]
    fn a_negative_hash_still_gives_a_shard() {
        let ledger = LedgerName::new("foobar").unwrap();
        assert_eq!(
            shard_of(&ledger, 12),
            ((-790_332_482i32 as u32) & 0x7fff_ffff) % 12
        );
        assert_eq!(shard_of(&ledger, 1), 0);
    }
}
