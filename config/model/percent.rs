//! A share of requests.

/// A share of requests, exact to a ten-thousandth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent {
    millionths: u32,
}

impl Percent {
    /// Every request.
    pub const ALL: Self = Self {
        millionths: Self::WHOLE,
    };

    /// What a share is counted in.
    pub const WHOLE: u32 = 1_000_000;

    /// From 0.0 to 100.0; beyond that the nearer end. Less than 0.0001 is nothing, as Istio cuts
    /// it off (`translatePercentToFractionalPercent`).
    pub fn new(percent: f64) -> Self {
        // Saturates: below zero and NaN become 0.
        let millionths = (percent * 10_000.0) as u32;
        Self {
            millionths: millionths.min(Self::WHOLE),
        }
    }

    /// Of a million, how many.
    pub fn millionths(self) -> u32 {
        self.millionths
    }

    /// Whether it is no request at all.
    pub fn is_zero(self) -> bool {
        self.millionths == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_cut_off_at_its_ends() {
        for (percent, want) in [
            (0.0, 0),
            (0.0001, 1),
            (12.5, 125_000),
            (100.0, 1_000_000),
            (200.0, 1_000_000),
            (-1.0, 0),
            (f64::NAN, 0),
        ] {
            assert_eq!(Percent::new(percent).millionths(), want, "{percent}");
        }
    }
}
