//! Random spreading of timers, from a seed so that runs can be repeated.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Jitter(seed)
    }

    /// 75 to 100 % of a period (RFC 4271 §10, RFC 5880 §6.8.7).
    pub(crate) fn spread(&mut self, period: Duration) -> Duration {
        self.between(period, 0.75, 1.0)
    }

    /// `least` to `most` times a period, evenly spread.
    pub(crate) fn between(&mut self, period: Duration, least: f64, most: f64) -> Duration {
        period.mul_f64(least + (most - least) * self.unit())
    }

    /// The next number of splitmix64, as a fraction of one.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f64 / (1u64 << 24) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_bounds_and_uses_the_range() {
        let mut jitter = Jitter::new(1);
        let drawn: Vec<_> = (0..1000)
            .map(|_| jitter.spread(Duration::from_secs(100)))
            .collect();
        let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*least >= Duration::from_secs(75) && *least < Duration::from_secs(77));
        assert!(*most <= Duration::from_secs(100) && *most > Duration::from_secs(98));
    }
}
