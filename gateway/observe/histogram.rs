//! Histograms with Envoy's buckets, in integers: a bucket is found without division or floats.

/// A histogram over Envoy's default bounds. The unit is the caller's [`Scale`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Values per bucket, not cumulative; the last one is `+Inf`.
    counts: [u64; BUCKETS],
    /// The sum of all values, in the scale's unit.
    sum: u64,
}

/// Envoy's bounds and `+Inf`.
pub const BUCKETS: usize = LE.len() + 1;

/// The bounds as exposed: Envoy's defaults.
pub const LE: [&str; 19] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000",
    "30000", "60000", "300000", "600000", "1800000", "3600000",
];

/// Twice the bounds, so that 0.5 is whole.
const DOUBLED: [u64; 19] = [
    1, 2, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 600_000,
    1_200_000, 3_600_000, 7_200_000,
];

/// Bounds in the unit that is recorded.
#[derive(Debug)]
pub struct Scale {
    bounds: [u64; 19],
    /// By the bit length of a value: the first bucket it can be in.
    first: [u8; 65],
    /// How many recorded units make one exposed unit.
    per_unit: u64,
}

/// Nanoseconds, exposed as milliseconds.
pub static NANOS_AS_MILLIS: Scale = Scale::new(1_000_000);
/// Bytes.
pub static BYTES: Scale = Scale::new(1);

impl Scale {
    const fn new(per_unit: u64) -> Self {
        let mut bounds = [0; 19];
        let mut i = 0;
        while i < bounds.len() {
            // Rounded down: a whole number is at most 0.5 exactly when it is at most 0.
            bounds[i] = DOUBLED[i] * per_unit / 2;
            i += 1;
        }
        let mut first = [0; 65];
        let mut bits = 1;
        while bits <= 64 {
            let least = 1u64 << (bits - 1);
            let mut bucket = 0;
            while bucket < bounds.len() && bounds[bucket] < least {
                bucket += 1;
            }
            first[bits] = bucket as u8;
            bits += 1;
        }
        Self {
            bounds,
            first,
            per_unit,
        }
    }

    /// The bucket of a value: the first whose bound is not below it.
    #[inline]
    fn bucket(&self, value: u64) -> usize {
        let bits = (u64::BITS - value.leading_zeros()) as usize;
        // At most two bounds lie between neighbouring powers of two.
        let mut bucket = usize::from(self.first[bits]);
        while bucket < self.bounds.len() && self.bounds[bucket] < value {
            bucket += 1;
        }
        bucket
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            sum: 0,
        }
    }
}

impl Histogram {
    /// Counts one value.
    #[inline]
    pub fn record(&mut self, scale: &Scale, value: u64) {
        self.counts[scale.bucket(value)] += 1;
        self.sum = self.sum.wrapping_add(value);
    }

    /// Adds another histogram of the same scale.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Values per bucket, not cumulative.
    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum in the exposed unit.
    pub fn sum(&self, scale: &Scale) -> f64 {
        self.sum as f64 / scale.per_unit as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: the first bound that is not below the value.
    fn expected(value: f64) -> usize {
        LE.iter()
            .position(|le| value <= le.parse().unwrap())
            .unwrap_or(LE.len())
    }

    #[test]
    fn every_bound_falls_in_its_own_bucket() {
        for scale in [&BYTES, &NANOS_AS_MILLIS] {
            for bound in scale.bounds {
                for value in [bound.saturating_sub(1), bound, bound + 1] {
                    assert_eq!(
                        scale.bucket(value),
                        expected(value as f64 / scale.per_unit as f64),
                        "{value} of {}",
                        scale.per_unit
                    );
                }
            }
            assert_eq!(scale.bucket(0), 0);
            assert_eq!(scale.bucket(u64::MAX), LE.len());
        }
    }

    #[test]
    fn sums_and_merges() {
        let mut a = Histogram::default();
        a.record(&NANOS_AS_MILLIS, 400_000);
        a.record(&NANOS_AS_MILLIS, 2_000_000);
        let mut b = Histogram::default();
        b.record(&NANOS_AS_MILLIS, u64::from(u32::MAX));
        a.merge(&b);
        assert_eq!(a.count(), 3);
        assert_eq!(a.counts()[0], 1);
        assert_eq!(a.counts()[2], 1);
        assert!((a.sum(&NANOS_AS_MILLIS) - 4_297.367_295).abs() < 1e-6);
    }
}
