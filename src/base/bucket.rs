//! Sticky buckets: the same key is always in the same one of 10,000 buckets.
//!
//! `MurmurHash3` x86 32-bit (Austin Appleby, public domain algorithm), then flagd's multiply-shift:
//! `(hash * 10_000) >> 32`. A version with weight w serves the buckets below w, so whoever was in
//! stays in while the weight grows.

use super::units::Weight;

/// How many buckets there are; one is 0.01 % of all keys.
pub(crate) const BUCKETS: u64 = 10_000;

/// The bucket of `id` for `salt` (the release, so that each release has other early users).
pub(crate) fn bucket_of(salt: &str, id: &str) -> u16 {
    let hash = murmur3_x86_32([salt.as_bytes(), b":", id.as_bytes()].concat().as_slice(), 0);
    u16::try_from((u64::from(hash) * BUCKETS) >> 32).expect("a bucket is below 10,000")
}

/// Whether `bucket` belongs to a version with `weight`.
pub(crate) fn is_inside(bucket: u16, weight: Weight) -> bool {
    bucket < weight.basis_points()
}

/// `MurmurHash3` x86 32-bit.
pub(crate) fn murmur3_x86_32(bytes: &[u8], seed: u32) -> u32 {
    let scramble = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(seed, |h, block| {
        (h ^ scramble(u32::from_le_bytes(*block)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64)
    });
    if !tail.is_empty() {
        let last = tail.iter().rev().fold(0_u32, |k, byte| (k << 8) | u32::from(*byte));
        hash ^= scramble(last);
    }
    hash ^= u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published vectors of `MurmurHash3_x86_32`.
    #[test]
    fn published_vectors() {
        for (text, seed, expected) in [
            ("", 0, 0),
            ("", 1, 0x514e_28b7),
            ("", 0xffff_ffff, 0x81f1_6f39),
            ("test", 0, 0xba6b_d213),
            ("test", 0x9747_b28c, 0x704b_81dc),
            ("Hello, world!", 0, 0xc036_3e43),
            ("Hello, world!", 0x9747_b28c, 0x2488_4cba),
            ("The quick brown fox jumps over the lazy dog", 0, 0x2e4f_f723),
            ("The quick brown fox jumps over the lazy dog", 0x9747_b28c, 0x2fa8_26cd),
        ] {
            assert_eq!(murmur3_x86_32(text.as_bytes(), seed), expected, "{text}");
        }
    }

    #[test]
    fn growing_weights_keep_everyone_who_was_in_and_hit_the_share() {
        let weights = [100_u32, 500, 2_500, 10_000].map(|w| Weight::from_basis_points(w).unwrap());
        let mut inside = [0_u32; 4];
        for user in 0..100_000 {
            let bucket = bucket_of("v1.4.0-rc.1", &user.to_string());
            let flags = weights.map(|w| is_inside(bucket, w));
            assert!(flags.is_sorted(), "user {user} left when the weight grew");
            for (count, flag) in inside.iter_mut().zip(flags) {
                *count += u32::from(flag);
            }
        }
        assert!((900..1_100).contains(&inside[0]), "{inside:?}");
        assert!((24_500..25_500).contains(&inside[2]), "{inside:?}");
        assert_eq!(inside[3], 100_000);
    }
}
