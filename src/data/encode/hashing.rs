//! The hash of values: FNV-1a with 64 bits over the UTF-8 bytes of the canonical text. It is part of the format: encoded
//! data of one version must mean the same in the next.

/// FNV-1a, 64 bits.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Id of a hashed value: 1 + (h xor h ≫ 32) mod `buckets`. The fold lets the high bits, which are mixed best, take part.
pub fn bucket(text: &str, buckets: u32) -> u32 {
    let hash = fnv1a(text.as_bytes());
    1 + ((hash ^ (hash >> 32)) % u64::from(buckets)) as u32
}

/// Key of a value: itself where it is a whole number (in two's complement), else its hash.
pub fn key(text: &str) -> u64 {
    text.parse::<i64>().map_or_else(|_| fnv1a(text.as_bytes()), i64::cast_unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_test_vectors() {
        // Landon Curt Noll's list of FNV-1a test values.
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn buckets_fill_evenly() {
        let mut counts = [0u32; 16];
        for i in 0..16_000 {
            counts[bucket(&i.to_string(), 16) as usize - 1] += 1;
        }
        assert!(counts.iter().all(|&c| (850..1150).contains(&c)), "{counts:?}");
    }
}
