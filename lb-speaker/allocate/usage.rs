//! How full a pool is, and MetalLB's allocator metrics.

use std::fmt::Write as _;
use std::net::IpAddr;

use gatehouse_config::model::{AddressRange, Pool};

/// Addresses of a pool, counted per family. Counts end at 2^63-1, as MetalLB's do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// The pool.
    pub pool: String,
    /// IPv4 addresses that may be given out (`avoidBuggyIPs` subtracted).
    pub ipv4_total: u64,
    /// IPv6 addresses that may be given out.
    pub ipv6_total: u64,
    /// IPv4 addresses in use; a shared one counts once.
    pub ipv4_in_use: u64,
    /// IPv6 addresses in use.
    pub ipv6_in_use: u64,
    /// Services that hold an address of it.
    pub services: u64,
}

impl PoolUsage {
    pub(super) fn new(pool: &Pool, in_use: [u64; 2], services: u64) -> Self {
        let total = |v6: bool| {
            pool.ranges
                .iter()
                .filter(|range| range.first().is_ipv6() == v6)
                .fold(0u64, |sum, range| {
                    capped(u128::from(sum) + capacity(range, pool.avoid_buggy_ips))
                })
        };
        Self {
            pool: pool.name.clone(),
            ipv4_total: total(false),
            ipv6_total: total(true),
            ipv4_in_use: in_use[0],
            ipv6_in_use: in_use[1],
            services,
        }
    }

    /// Both families together.
    pub fn total(&self) -> u64 {
        capped(u128::from(self.ipv4_total) + u128::from(self.ipv6_total))
    }

    /// Both families together.
    pub fn in_use(&self) -> u64 {
        self.ipv4_in_use.saturating_add(self.ipv6_in_use)
    }
}

/// Appends MetalLB's `metallb_allocator_*` gauges in Prometheus text form.
pub fn write_prometheus(pools: &[PoolUsage], out: &mut String) {
    type Column = (&'static str, &'static str, fn(&PoolUsage) -> u64);
    const COLUMNS: [Column; 7] = [
        ("addresses_total", "Addresses of the pool", PoolUsage::total),
        (
            "addresses_in_use_total",
            "Addresses of the pool in use",
            PoolUsage::in_use,
        ),
        ("ipv4_addresses_total", "IPv4 addresses of the pool", |p| {
            p.ipv4_total
        }),
        (
            "ipv4_addresses_in_use_total",
            "IPv4 addresses of the pool in use",
            |p| p.ipv4_in_use,
        ),
        ("ipv6_addresses_total", "IPv6 addresses of the pool", |p| {
            p.ipv6_total
        }),
        (
            "ipv6_addresses_in_use_total",
            "IPv6 addresses of the pool in use",
            |p| p.ipv6_in_use,
        ),
        (
            "services_allocated_total",
            "Services that hold an address of the pool",
            |p| p.services,
        ),
    ];
    if pools.is_empty() {
        return;
    }
    for (name, help, value) in COLUMNS {
        let _ = writeln!(out, "# HELP metallb_allocator_{name} {help}.");
        let _ = writeln!(out, "# TYPE metallb_allocator_{name} gauge");
        for pool in pools {
            // Pool names are DNS labels: nothing to escape.
            let _ = writeln!(
                out,
                "metallb_allocator_{name}{{pool=\"{}\"}} {}",
                pool.pool,
                value(pool)
            );
        }
    }
}

fn capped(count: u128) -> u64 {
    const MAX: u64 = i64::MAX as u64;
    u64::try_from(count).map_or(MAX, |count| count.min(MAX))
}

fn capacity(range: &AddressRange, avoid_buggy: bool) -> u128 {
    match (range.first(), range.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (u64::from(u32::from(first)), u64::from(u32::from(last)));
            // Numbers in first..=last that leave `rest` when divided by 256.
            let ending_in = |rest: u64| {
                let upto = |n: u64| (n + 256 - rest) / 256;
                upto(last) - if first == 0 { 0 } else { upto(first - 1) }
            };
            let buggy = if avoid_buggy {
                ending_in(0) + ending_in(255)
            } else {
                0
            };
            u128::from(last - first + 1 - buggy)
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            (u128::from(last) - u128::from(first)).saturating_add(1)
        }
        _ => 0,
    }
}
