//! Emptying the caches: whatever a model left there is pushed out by reading and writing more than they hold.

use std::path::Path;

/// Where Linux says how large the caches of the first core are.
const CACHES: &str = "/sys/devices/system/cpu/cpu0/cache";
/// Taken for the last cache where the system says nothing: more than most have.
const UNKNOWN_BYTES: usize = 64 << 20;
/// No more than this is swept, whatever the system says of caches that many machines share.
const MOST_BYTES: usize = 512 << 20;
/// One word of every line is touched.
const LINE_WORDS: usize = 8;

/// A buffer that takes the place of what the caches held.
pub(in crate::measure) struct Sweep(Vec<u64>);

impl Sweep {
    /// Twice the size of the last cache: nothing stays.
    pub(in crate::measure) fn of_this_machine() -> Self {
        Self::of_bytes((2 * last_cache_bytes()).min(MOST_BYTES))
    }

    /// As much as something else would touch that runs in between.
    pub(in crate::measure) fn of_bytes(bytes: usize) -> Self {
        Self(vec![1; bytes / size_of::<u64>()])
    }

    /// Changes one word in every line.
    pub(in crate::measure) fn run(&mut self) {
        for word in self.0.iter_mut().step_by(LINE_WORDS) {
            *word = word.wrapping_mul(3);
        }
        std::hint::black_box(&mut self.0);
    }
}

/// Size of this machine's last cache.
pub(in crate::measure) fn last_cache_bytes() -> usize {
    largest_cache(Path::new(CACHES)).unwrap_or(UNKNOWN_BYTES)
}

/// Size of the largest cache that a folder of the system describes.
fn largest_cache(folder: &Path) -> Option<usize> {
    let indices = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok());
    indices.filter_map(|index| parse(&std::fs::read_to_string(index.path().join("size")).ok()?)).max()
}

/// A size as Linux writes it, such as `32768K`.
fn parse(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, factor) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_linux_writes_them_and_the_largest_counts() {
        let found = ["32K\n", "1M", "512", "", "K", "many"].map(parse);
        assert_eq!(found, [Some(32 << 10), Some(1 << 20), Some(512), None, None, None]);
        let folder = tempfile::tempdir().unwrap();
        for (index, size) in [("index0", "32K"), ("index3", "16384K\n"), ("index2", "1M")] {
            std::fs::create_dir(folder.path().join(index)).unwrap();
            std::fs::write(folder.path().join(index).join("size"), size).unwrap();
        }
        assert_eq!(largest_cache(folder.path()), Some(16 << 20));
        assert_eq!(largest_cache(&folder.path().join("nowhere")), None);
    }

    #[test]
    fn a_sweep_touches_every_line() {
        let mut sweep = Sweep(vec![1; 64]);
        sweep.run();
        assert_eq!(sweep.0.iter().filter(|&&word| word == 3).count(), 8);
    }
}
