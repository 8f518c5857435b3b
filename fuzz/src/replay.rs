//! Replays a corpus on a stable compiler: every file as it is, then damaged in
//! many ways, the same ones each run. For the tests of the crate that a target is
//! about; `bgp`, `netlink` and `policy` include this file.
//!
//! `GODWIT_FUZZ_ROUNDS` sets how often each file is damaged, and
//! `GODWIT_FUZZ_SEED` where that begins: a long run is
//! `GODWIT_FUZZ_ROUNDS=1000000 cargo test --release -p godwit-bgp --test corpus`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

const ROUNDS: u64 = 2000;

pub fn replay(target: &str, check: fn(&[u8])) {
    let files = corpus(target);
    assert!(!files.is_empty(), "no corpus for {target}");
    let rounds = number("GODWIT_FUZZ_ROUNDS").unwrap_or(ROUNDS);
    let mut random = Random(number("GODWIT_FUZZ_SEED").unwrap_or(1));
    for (path, data) in &files {
        run(check, path, data);
        for _ in 0..rounds {
            let other = &files[random.below(files.len())].1;
            run(check, path, &damage(data, other, &mut random));
        }
    }
}

fn run(check: fn(&[u8]), path: &Path, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| check(data))).is_err() {
        panic!("panicked on a variant of {}: {data:?}", path.display());
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("a folder's entry").path())
        .collect();
    // the order of a folder is the file system's; the run is to be the same
    paths.sort();
    paths
        .into_iter()
        .map(|p| (p.clone(), std::fs::read(p).expect("a corpus file")))
        .collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One to five changes of the kinds that have broken other decoders.
fn damage(data: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = data.to_vec();
    for _ in 0..=random.below(5) {
        let at = random.below(out.len() + 1);
        let end = (at + random.below(12)).min(out.len());
        match random.below(8) {
            0 if at < out.len() => out[at] ^= 1 << random.below(8),
            1 if at < out.len() => out[at] = random.octet(),
            2 if at < out.len() => out[at] = [0, 1, 127, 128, 255][random.below(5)],
            3 if at < out.len() => out[at] = out[at].wrapping_add([1, 255][random.below(2)]),
            4 => drop(out.drain(at..end)),
            5 => {
                let octet = random.octet();
                out.splice(at..at, std::iter::repeat_n(octet, end - at));
            }
            6 => {
                let part = out[at..end].to_vec();
                let to = random.below(out.len() + 1);
                out.splice(to..to, part);
            }
            7 if !other.is_empty() => {
                let from = random.below(other.len());
                let to = (from + random.below(40)).min(other.len());
                out.splice(at..end, other[from..to].iter().copied());
            }
            _ => {}
        }
    }
    out
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`, which is not zero.
    fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n
    }

    fn octet(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }
}
