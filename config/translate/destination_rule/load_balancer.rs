//! `loadBalancer`: the algorithm, what a request is hashed by, and how new endpoints are spared.

use std::collections::BTreeSet;

use crate::api::istio::traffic_policy::{
    ConsistentHash, CookieAttribute, HttpCookie, LoadBalancer as Api, Maglev, RingHash,
    SimpleBalancer, Warmup as ApiWarmup,
};
use crate::codes;
use crate::finding::Level;
use crate::model::{Balancing, HashCookie, HashPolicy, HeaderName, Warmup};
use crate::translate::destination_rule::locality_setting::{self, LocalitySetting};
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;
use crate::translate::scalars::duration;

/// Envoy's default, and Istio's, for the places on a ring.
const RING_SIZE: u32 = 1024;
/// Envoy's bound of a ring.
const LARGEST_RING: u32 = 8 * 1024 * 1024;
/// Envoy's bound of a Maglev table (exclusive).
const LARGEST_TABLE: u32 = 5_000_011;

/// What the block comes to.
#[derive(Clone, Debug, Default)]
pub(super) struct LoadBalancer {
    pub(super) balancing: Balancing,
    pub(super) hash: Option<HashPolicy>,
    pub(super) locality: Option<LocalitySetting>,
    pub(super) warmup: Option<Warmup>,
}

/// Reads the block; `has_outliers` says whether the same policy has outlierDetection.
pub(super) fn parse(
    settings: &Api,
    has_outliers: bool,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> LoadBalancer {
    let Api {
        simple,
        consistent_hash,
        locality_lb_setting,
        zone_aware_lb_setting,
        warmup_duration_secs,
        warmup,
        backend_utilization,
    } = settings;
    if simple.is_some() && consistent_hash.is_some() {
        report.invalid(
            path,
            "only one of simple and consistentHash may be given; the object is not used.",
            "",
        );
    }
    if locality_lb_setting.is_some() && zone_aware_lb_setting.is_some() {
        report.invalid(
            path,
            "only one of localityLbSetting and zoneAwareLbSetting may be given; the object is not used.",
            "",
        );
    }
    if backend_utilization.is_some() {
        report.unsupported(
            &path.field("backendUtilization"),
            "backendUtilization",
            "the endpoints' own load does not count",
        );
    }
    let (balancing, hash) = match consistent_hash {
        Some(hash) => parse_hash(hash, &path.field("consistentHash"), report),
        None => (parse_simple(*simple, &path.field("simple"), report), None),
    };
    let locality = match (locality_lb_setting, zone_aware_lb_setting) {
        (Some(setting), _) => Some(locality_setting::parse(
            setting,
            has_outliers,
            &path.field("localityLbSetting"),
            report,
        )),
        (None, Some(setting)) => Some(locality_setting::parse_zone_aware(
            setting,
            has_outliers,
            &path.field("zoneAwareLbSetting"),
            report,
        )),
        (None, None) => None,
    };
    let warmup = match (warmup, warmup_duration_secs) {
        (Some(warmup), _) => parse_warmup(warmup, &path.field("warmup"), report),
        (None, Some(length)) => {
            duration(*length, &path.field("warmupDurationSecs"), report).map(|duration| Warmup {
                duration,
                minimum_percent: 10.0,
                aggression: 1.0,
            })
        }
        (None, None) => None,
    };
    let warms = matches!(balancing, Balancing::LeastRequest | Balancing::RoundRobin);
    if warmup.is_some() && !warms {
        report.no_effect(
            &path.field("warmup"),
            "only ROUND_ROBIN and LEAST_REQUEST spare new endpoints: they get their full share at once.",
            "Remove it, or use one of these two.",
        );
    }
    LoadBalancer {
        balancing,
        hash,
        locality,
        warmup: warmup.filter(|_| warms),
    }
}

fn parse_simple(
    simple: Option<SimpleBalancer>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Balancing {
    match simple {
        None
        | Some(
            SimpleBalancer::Unspecified | SimpleBalancer::LeastConn | SimpleBalancer::LeastRequest,
        ) => Balancing::LeastRequest,
        Some(SimpleBalancer::RoundRobin) => Balancing::RoundRobin,
        Some(SimpleBalancer::Random) => Balancing::Random,
        Some(SimpleBalancer::Passthrough) => {
            report.add(
                codes::NOT_SUPPORTED,
                Level::Warning,
                path,
                "PASSTHROUGH has no meaning at a gateway: requests go to the less busy of two endpoints.",
                "Use LEAST_REQUEST, ROUND_ROBIN or RANDOM.",
            );
            Balancing::LeastRequest
        }
    }
}

fn parse_hash(
    settings: &ConsistentHash,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> (Balancing, Option<HashPolicy>) {
    let ConsistentHash {
        http_header_name,
        http_cookie,
        use_source_ip,
        http_query_parameter_name,
        ring_hash,
        maglev,
        minimum_ring_size,
    } = settings;
    let keys = [
        http_header_name.is_some(),
        http_cookie.is_some(),
        use_source_ip.is_some(),
        http_query_parameter_name.is_some(),
    ];
    match keys.iter().filter(|set| **set).count() {
        1 => {}
        0 => report.no_effect(
            path,
            "nothing says what to hash by, so each request goes to an endpoint by chance.",
            "Add httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName.",
        ),
        _ => report.invalid(
            path,
            "only one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName may be given; the object is not used.",
            "",
        ),
    }
    let policy = if let Some(name) = http_header_name {
        if HeaderName::parse(name).is_none() {
            report.invalid(
                &path.field("httpHeaderName"),
                format!("`{name}` is not a header's name; the object is not used."),
                "",
            );
        }
        Some(HashPolicy::Header(name.to_ascii_lowercase()))
    } else if let Some(cookie) = http_cookie {
        Some(HashPolicy::Cookie(parse_cookie(
            cookie,
            &path.field("httpCookie"),
            report,
        )))
    } else if let Some(name) = http_query_parameter_name {
        if name.is_empty() {
            report.invalid(
                &path.field("httpQueryParameterName"),
                "the parameter's name is empty; the object is not used.",
                "",
            );
        }
        Some(HashPolicy::QueryParameter(name.clone()))
    } else {
        use_source_ip
            .unwrap_or_default()
            .then_some(HashPolicy::SourceAddress)
    };
    let old_size = minimum_ring_size.filter(|size| *size != 0);
    if ring_hash.is_some() && maglev.is_some() {
        report.invalid(
            path,
            "only one of ringHash and maglev may be given; the object is not used.",
            "",
        );
    }
    if old_size.is_some() && (ring_hash.is_some() || maglev.is_some()) {
        report.invalid(
            &path.field("minimumRingSize"),
            "only one of minimumRingSize, ringHash and maglev may be given; the object is not used.",
            "minimumRingSize is deprecated: write it inside ringHash.",
        );
    }
    let balancing = match (maglev, ring_hash) {
        (Some(Maglev { table_size }), _) => Balancing::Maglev {
            table_size: table(
                table_size.unwrap_or_default(),
                &path.field("maglev").field("tableSize"),
                report,
            ),
        },
        (None, Some(RingHash { minimum_ring_size })) => Balancing::RingHash {
            minimum_size: ring(
                minimum_ring_size.filter(|size| *size != 0),
                &path.field("ringHash").field("minimumRingSize"),
                report,
            ),
        },
        (None, None) => Balancing::RingHash {
            minimum_size: ring(old_size, &path.field("minimumRingSize"), report),
        },
    };
    (balancing, policy)
}

fn ring(size: Option<u32>, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> u32 {
    let size = size.unwrap_or(RING_SIZE);
    if size > LARGEST_RING {
        report.invalid(
            path,
            format!("{size} places are more than the {LARGEST_RING} that a ring may have; the object is not used."),
            "",
        );
    }
    size.min(LARGEST_RING)
}

fn table(size: u32, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) -> u32 {
    let wrong = if size == 0 {
        "the table's size is missing".to_owned()
    } else if size >= LARGEST_TABLE {
        format!("{size} is not below {LARGEST_TABLE}")
    } else if !is_prime(size) {
        format!("{size} is not a prime number")
    } else {
        return size;
    };
    report.invalid(
        path,
        format!("{wrong}; the object is not used."),
        "65537 is a good size.",
    );
    2
}

fn is_prime(number: u32) -> bool {
    let mut divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    number > 1 && divisors.all(|divisor| !number.is_multiple_of(divisor))
}

fn parse_cookie(
    cookie: &HttpCookie,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> HashCookie {
    let HttpCookie {
        name,
        path: cookie_path,
        ttl,
        attributes,
    } = cookie;
    if name.is_empty() {
        report.invalid(
            &path.field("name"),
            "the cookie has no name; the object is not used.",
            "",
        );
    }
    // What is written into Set-Cookie must not be able to end it, or the header.
    let is_plain = |text: &str| !text.bytes().any(|b| b < b' ' || b == 0x7f || b == b';');
    if !is_plain(name) || name.contains(['=', ' ', ',', '"']) {
        report.invalid(
            &path.field("name"),
            format!(
                "`{}` is not a cookie's name; the object is not used.",
                name.escape_debug()
            ),
            "",
        );
    }
    if !is_plain(cookie_path) {
        report.invalid(
            &path.field("path"),
            format!(
                "`{}` is not a cookie's path; the object is not used.",
                cookie_path.escape_debug()
            ),
            "",
        );
    }
    let ttl = ttl.and_then(|ttl| {
        if ttl.as_nanos() < 0 {
            report.invalid(
                &path.field("ttl"),
                format!("{ttl} is below zero; the object is not used."),
                "0s makes a cookie for the session.",
            );
            return None;
        }
        Some(ttl.to_std())
    });
    let list = path.field("attributes");
    let mut seen = BTreeSet::new();
    let attributes = attributes.iter().enumerate().map(|(i, attribute)| {
        let CookieAttribute { name, value } = attribute;
        let path = list.index(i);
        let path = path.field("name");
        if name.is_empty() {
            report.invalid(
                &path,
                "the attribute has no name; the object is not used.",
                "",
            );
        } else if !seen.insert(name) {
            report.invalid(
                &path,
                format!("the attribute `{name}` is written twice; the object is not used."),
                "",
            );
        } else if !is_plain(name) || !is_plain(value) {
            report.invalid(
                &path,
                format!("the attribute `{}` holds a semicolon or a control character; the object is not used.", name.escape_debug()),
                "",
            );
        }
        (name.clone(), value.clone())
    });
    HashCookie {
        name: name.clone(),
        path: cookie_path.clone(),
        attributes: attributes.collect(),
        ttl,
    }
}

fn parse_warmup(
    warmup: &ApiWarmup,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<Warmup> {
    let ApiWarmup {
        duration: length,
        minimum_percent,
        aggression,
    } = warmup;
    let Some(length) = length else {
        report.invalid(
            &path.field("duration"),
            "the duration is missing; the object is not used.",
            "",
        );
        return None;
    };
    let minimum_percent = minimum_percent.unwrap_or(10.0);
    if !(0.0..=100.0).contains(&minimum_percent) {
        report.invalid(
            &path.field("minimumPercent"),
            format!("{minimum_percent} is not from 0 to 100; the object is not used."),
            "",
        );
    }
    let aggression = aggression.unwrap_or(1.0);
    if aggression.is_nan() || aggression <= 0.0 {
        report.invalid(
            &path.field("aggression"),
            format!("{aggression} is not above zero; the object is not used."),
            "",
        );
    }
    Some(Warmup {
        duration: duration(*length, &path.field("duration"), report)?,
        minimum_percent,
        aggression,
    })
}
