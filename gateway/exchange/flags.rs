//! Envoy's response flags (reference: Istio access log `%RESPONSE_FLAGS%`).

use std::fmt;

/// A set of response flags; prints as Envoy does: `URX,UF`, or `-` when empty.
///
/// Envoy prints flags in the order in which they came to be. The order below is that one for
/// requests: faults come first, and retries are given up before the failure is answered. A
/// connection that is only carried fails first, and is [given up](Self::given_up) then: `UF,URX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResponseFlags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl ResponseFlags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Names in the order in which they are printed.
            const NAMES: &[(Self, &str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

flags! {
    /// Delay injected.
    DI = 9;
    /// Fault injected.
    FI = 10;
    /// Retry or connect-attempt limit reached.
    URX = 15;
    /// Upstream overflow (circuit breaker): 503.
    UO = 7;
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
    /// No route: 404.
    NR = 8;
    /// Rate limited: 429.
    RL = 11;
    /// External authorization denied.
    UAEX = 12;
    /// Rate limit service error.
    RLSE = 13;
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
    /// Downstream connection termination.
    DC = 14;
}

/// Stands for no flag: URX is printed last.
const GIVEN_UP: u32 = 1 << 31;

impl ResponseFlags {
    /// No further endpoint is tried for a connection that has failed with these.
    #[must_use]
    pub fn given_up(self) -> Self {
        Self(self.0 | Self::URX.0 | GIVEN_UP)
    }

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

    /// As `%RESPONSE_FLAGS_LONG%` prints them.
    pub fn long(self) -> String {
        const LONG: &[(&str, &str)] = &[
            ("DI", "DelayInjected"),
            ("FI", "FaultInjected"),
            ("URX", "UpstreamRetryLimitExceeded"),
            ("UO", "UpstreamOverflow"),
            ("LH", "FailedLocalHealthCheck"),
            ("UH", "NoHealthyUpstream"),
            ("UT", "UpstreamRequestTimeout"),
            ("LR", "LocalReset"),
            ("UR", "UpstreamRemoteReset"),
            ("UF", "UpstreamConnectionFailure"),
            ("UC", "UpstreamConnectionTermination"),
            ("NR", "NoRouteFound"),
            ("RL", "RateLimited"),
            ("UAEX", "UnauthorizedExternalService"),
            ("RLSE", "RateLimitServiceError"),
            ("SI", "StreamIdleTimeout"),
            ("IH", "InvalidEnvoyRequestHeaders"),
            ("DPE", "DownstreamProtocolError"),
            ("UMSDR", "UpstreamMaxStreamDurationReached"),
            ("NC", "NoClusterFound"),
            ("OM", "OverloadManagerTerminated"),
            ("DF", "DnsResolutionFailed"),
            ("UPE", "UpstreamProtocolError"),
            ("DT", "DurationTimeout"),
            ("DR", "DownstreamRemoteReset"),
            ("DC", "DownstreamConnectionTermination"),
        ];
        let short = self.to_string();
        let names = short.split(',').map(|short| {
            let known = LONG.iter().find(|(name, _)| *name == short);
            known.map_or(short, |(_, long)| long)
        });
        names.collect::<Vec<_>>().join(",")
    }

    /// The set as a number, with Envoy's bits: the attribute `response.flags`, a key for counters.
    pub fn bits(self) -> u32 {
        self.0 & !GIVEN_UP
    }
}

impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let given_up = self.0 & GIVEN_UP != 0;
        let own = |flag: &Self| self.contains(*flag) && !(given_up && *flag == Self::URX);
        let names = Self::NAMES.iter().filter(|(flag, _)| own(flag));
        let last = given_up.then_some(&(Self::URX, "URX"));
        for (i, (_, name)) in names.chain(last).enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(flags: &[ResponseFlags]) -> String {
        let mut all = ResponseFlags::default();
        flags.iter().for_each(|flag| all.insert(*flag));
        all.to_string()
    }

    #[test]
    fn flags_are_printed_in_the_order_in_which_they_come_to_be() {
        type F = ResponseFlags;
        assert_eq!(printed(&[]), "-");
        assert_eq!(printed(&[F::UF, F::URX, F::DI]), "DI,URX,UF");
        for (flag, short) in F::NAMES {
            assert_ne!(flag.long(), *short, "each has a long name");
        }
        assert_eq!(printed(&[F::DC, F::UT, F::FI]), "FI,UT,DC");
        let given_up = F::UF.given_up();
        assert_eq!(given_up.to_string(), "UF,URX");
        assert_eq!(given_up.bits(), 0x20 | 0x8000, "Envoy's bits");
    }
}
