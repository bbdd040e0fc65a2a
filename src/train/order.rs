//! Seeded orders of any number of rows, in bounded memory.
//!
//! The order of up to a million rows is a stored shuffle. The order of more rows is computed: a Feistel network permutes
//! the numbers below a power of four (Luby, Rackoff, 1988, doi:10.1137/0217022). A number beyond the count is permuted
//! again, until it is below (Black, Rogaway, 2002, Ciphers with arbitrary finite domains, section 4,
//! doi:10.1007/3-540-45760-7_9). A stored order of a billion rows would take 8 GB.

use std::sync::Arc;

use crate::noise::Noise;

/// A random order of `0..count`.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Stored(Arc<[usize]>),
    Computed(Feistel),
}

/// The most rows of a stored order, 8 MB.
const MOST_STORED: usize = 1 << 20;

impl Order {
    /// The order of this seed and stream.
    pub fn new(count: usize, seed: u64, stream: u64) -> Self {
        let mut noise = Noise::stream(seed, stream);
        match count <= MOST_STORED {
            true => Self::Stored(noise.permutation(count).into()),
            false => Self::Computed(Feistel::new(count, &mut noise)),
        }
    }

    /// The number at a place.
    pub fn at(&self, place: usize) -> usize {
        match self {
            Self::Stored(order) => order[place],
            Self::Computed(feistel) => feistel.at(place),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Feistel {
    count: usize,
    keys: [u64; ROUNDS],
    /// Half of the bits of the permuted numbers.
    bits: u32,
}

/// Four rounds are indistinguishable from a random permutation to a polynomial number of queries; two more make up for
/// halves of few bits.
const ROUNDS: usize = 6;

impl Feistel {
    fn new(count: usize, noise: &mut Noise) -> Self {
        let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
        let keys = std::array::from_fn(|_| noise.next_u64());
        Self { count, keys, bits: bits.div_ceil(2).max(1) }
    }

    fn at(&self, place: usize) -> usize {
        assert!(place < self.count, "place {place} of {} rows", self.count);
        let mut number = place as u64;
        loop {
            number = self.permuted(number);
            if number < self.count as u64 {
                return number as usize;
            }
        }
    }

    fn permuted(&self, number: u64) -> u64 {
        let mask = (1 << self.bits) - 1;
        let (mut left, mut right) = (number >> self.bits, number & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mixed(right ^ key) & mask));
        }
        left << self.bits | right
    }
}

/// A hash of 64 bits: the finalizer of SplitMix64 (Steele, Lea, Flood, 2014, doi:10.1145/2660193.2660195).
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_once() {
        for count in [1, 2, 3, 4, 5, 16, 17, 100, 1000, 4097] {
            let feistel = Feistel::new(count, &mut Noise::seeded(7));
            let stored = Order::new(count, 7, 3);
            let orders: [&dyn Fn(usize) -> usize; 2] =
                [&|place| feistel.at(place), &|place| stored.at(place)];
            for order in orders {
                let mut found: Vec<usize> = (0..count).map(order).collect();
                found.sort_unstable();
                assert_eq!(found, (0..count).collect::<Vec<_>>(), "{count}");
            }
        }
    }

    /// Over many seeds, a computed order brings every number to a place about equally often, and neighbours are far apart.
    #[test]
    fn a_computed_order_is_uniform() {
        const COUNT: usize = 3_000_000;
        const SEEDS: u64 = 20_000;
        let (mut sum, mut lag, mut bins) = (0.0, 0.0, [0.0; 20]);
        for seed in 0..SEEDS {
            let order = Order::new(COUNT, seed, 1);
            let unit = |place: usize| order.at(place) as f64 / COUNT as f64 - 0.5;
            let [one, next] = [unit(77), unit(78)];
            sum += one;
            lag += one * next;
            bins[((one + 0.5) * 20.0) as usize] += 1.0;
        }
        let n = SEEDS as f64;
        // Standard errors of the mean, of the mean product, and of a count.
        assert!((sum / n).abs() < 4.0 / (12.0 * n).sqrt(), "{}", sum / n);
        assert!((lag / n).abs() < 4.0 / (144.0 * n).sqrt(), "{}", lag / n);
        assert!(
            bins.iter().all(|bin| (bin - n / 20.0).abs() < 4.5 * (n / 20.0).sqrt()),
            "{bins:?}"
        );
    }

    #[test]
    fn other_streams_have_other_orders() {
        for count in [1000, 1 << 40] {
            let first = |seed, stream| {
                let order = Order::new(count, seed, stream);
                [order.at(0), order.at(1), order.at(2)]
            };
            assert_eq!(first(1, 1), first(1, 1));
            assert_ne!(first(1, 1), first(1, 2));
            assert_ne!(first(1, 1), first(2, 1));
        }
    }
}
