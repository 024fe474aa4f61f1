//! Envoy's response flags (reference: Istio access log `%RESPONSE_FLAGS%`).

use std::fmt;

/// A set of response flags; prints as Envoy does: `UF,URX`, or `-` when empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl ResponseFlags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Names in the order in which Envoy prints them.
            const NAMES: &[(Self, &str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

flags! {
    /// Local health check failed.
    LH = 0;
    /// No healthy upstream: 503.
    UH = 1;
    /// Upstream request timeout: 504.
    UT = 2;
    /// Local reset.
    LR = 3;
    /// Upstream remote reset.
    UR = 4;
    /// Upstream connection failure: 503.
    UF = 5;
    /// Upstream connection termination: 503.
    UC = 6;
    /// Upstream overflow (circuit breaker): 503.
    UO = 7;
    /// No route: 404.
    NR = 8;
    /// Delay injected.
    DI = 9;
    /// Fault injected.
    FI = 10;
    /// Rate limited: 429.
    RL = 11;
    /// External authorization denied.
    UAEX = 12;
    /// Rate limit service error.
    RLSE = 13;
    /// Downstream connection termination.
    DC = 14;
    /// Retry or connect-attempt limit reached.
    URX = 15;
    /// Stream idle timeout.
    SI = 16;
    /// Invalid `x-envoy-*` header: 400.
    IH = 17;
    /// Downstream protocol error: 400.
    DPE = 18;
    /// Maximum stream duration reached.
    UMSDR = 19;
    /// No such cluster: 503.
    NC = 20;
    /// Overload manager.
    OM = 21;
    /// DNS failure.
    DF = 22;
    /// Upstream protocol error: 502.
    UPE = 23;
    /// Downstream idle or duration timeout.
    DT = 24;
    /// Downstream remote reset.
    DR = 25;
}

impl ResponseFlags {
    /// Adds the flags of `other`.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether every flag of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no flag is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a number, stable within a process: a key for counters.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let names = Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag));
        for (i, (_, name)) in names.enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
