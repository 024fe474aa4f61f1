//! What a request is hashed by (Envoy: `HashPolicyImpl`), and the cookie that is made for it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use gatehouse_config::model::{HashCookie, HashPolicy};

use crate::http1::Fields;
use crate::upstream::hash_table::{hash, hash_seeded, hash_text};

/// What can be hashed.
#[derive(Clone, Copy, Debug)]
pub struct Hashed<'a> {
    /// The request's header.
    pub fields: &'a Fields,
    /// The request's query, without the `?`.
    pub query: Option<&'a [u8]>,
    /// The client.
    pub peer: SocketAddr,
    /// Our address on the client's connection.
    pub local: SocketAddr,
}

/// The hash of a request by several policies, one after the other; none if none of them finds
/// anything. Cookies that are to be set are added to `set_cookies`.
pub fn hash_by<'p>(
    policies: impl Iterator<Item = &'p HashPolicy>,
    request: Hashed<'_>,
    set_cookies: &mut Vec<String>,
) -> Option<u64> {
    let mut all: Option<u64> = None;
    for policy in policies {
        if let Some(hash) = hash_one(policy, request, set_cookies) {
            // Turned, so that two policies with the same value do not cancel each other out.
            all = Some(all.map_or(0, |all| all.rotate_left(1)) ^ hash);
        }
    }
    all
}

/// What a policy finds in a request, in words.
pub fn describe(policy: &HashPolicy, request: Hashed<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match policy {
        HashPolicy::Header(name) => {
            let values: Vec<_> = request.fields.get_all(name).map(text).collect();
            match values.as_slice() {
                [] => format!("the header {name}, which the request lacks"),
                some => format!("the header {name}: `{}`", some.join(", ")),
            }
        }
        HashPolicy::SourceAddress => {
            format!("the client's address: {}", request.peer.ip().to_canonical())
        }
        HashPolicy::QueryParameter(name) => match query_parameter(request.query, name) {
            Some(value) => format!("the query parameter {name}: `{}`", text(value)),
            None => format!("the query parameter {name}, which the request lacks"),
        },
        HashPolicy::Cookie(cookie) => {
            let name = &cookie.name;
            match (cookie_value(request.fields, name), cookie.ttl) {
                (Some(value), _) => format!("the cookie {name}: `{}`", text(value)),
                (None, None) => {
                    format!("the cookie {name}, which the request lacks; without a ttl none is set")
                }
                (None, Some(ttl)) => format!(
                    "the cookie {name}, which the request lacks: one is made of the connection's \
                     addresses and ports, and set with `set-cookie: {}`",
                    set_cookie(cookie, "…", ttl.as_secs())
                ),
            }
        }
    }
}

fn hash_one(
    policy: &HashPolicy,
    request: Hashed<'_>,
    set_cookies: &mut Vec<String>,
) -> Option<u64> {
    match policy {
        HashPolicy::Header(name) => {
            let mut values = request.fields.get_all(name);
            let first = values.next()?;
            if values.next().is_none() {
                return Some(hash(first));
            }
            // Hardly any client sends several. The order of fields does not count.
            let mut all: Vec<&[u8]> = request.fields.get_all(name).collect();
            all.sort_unstable();
            Some(all.iter().fold(0, |seed, value| hash_seeded(seed, value)))
        }
        HashPolicy::SourceAddress => {
            let client = request.peer.ip().to_canonical();
            Some(hash_text(format_args!("{client}")))
        }
        HashPolicy::QueryParameter(name) => query_parameter(request.query, name).map(hash),
        HashPolicy::Cookie(cookie) => {
            if let Some(value) = cookie_value(request.fields, &cookie.name) {
                return Some(hash(value));
            }
            let ttl = cookie.ttl?.as_secs();
            // The same for all requests of a connection that race for the first one.
            let ends = hash_text(format_args!("{}{}", request.peer, request.local));
            let value = format!("{ends:016x}");
            set_cookies.push(set_cookie(cookie, &value, ttl));
            Some(hash(value.as_bytes()))
        }
    }
}

/// The first value of a query parameter, as it was written.
fn query_parameter<'q>(query: Option<&'q [u8]>, name: &str) -> Option<&'q [u8]> {
    crate::route::query_param(query?, name.as_bytes())
}

/// The value of a cookie that the client sent; an empty one is none.
fn cookie_value<'f>(fields: &'f Fields, name: &str) -> Option<&'f [u8]> {
    let mut pairs = fields
        .get_all("cookie")
        .flat_map(|field| field.split(|b| *b == b';'));
    let value = pairs.find_map(|pair| {
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (key, value) = pair.split_at(equals);
        (key.trim_ascii_start() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default())
    })?;
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    };
    (!value.is_empty()).then_some(value)
}

fn set_cookie(cookie: &HashCookie, value: &str, ttl: u64) -> String {
    let HashCookie {
        name,
        path,
        ttl: _,
        attributes,
    } = cookie;
    let mut text = format!("{name}=\"{value}\"");
    let mut add = |part: std::fmt::Arguments<'_>| {
        text.write_fmt(part).expect("a string can grow");
    };
    if ttl != 0 {
        add(format_args!("; Max-Age={ttl}"));
    }
    if !path.is_empty() {
        add(format_args!("; Path={path}"));
    }
    for (name, value) in attributes {
        if value.is_empty() {
            add(format_args!("; {name}"));
        } else {
            add(format_args!("; {name}={value}"));
        }
    }
    add(format_args!("; HttpOnly"));
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hashed(
        fields: &[(&str, &str)],
        query: Option<&str>,
        policy: &HashPolicy,
    ) -> (Option<u64>, Vec<String>) {
        let mut head = Fields::new();
        for (name, value) in fields {
            head.append(name, value.as_bytes());
        }
        let request = Hashed {
            fields: &head,
            query: query.map(str::as_bytes),
            peer: SocketAddr::from(([10, 0, 0, 1], 5000)),
            local: SocketAddr::from(([10, 0, 0, 2], 80)),
        };
        let mut cookies = Vec::new();
        let hash = hash_by(std::iter::once(policy), request, &mut cookies);
        (hash, cookies)
    }

    #[test]
    fn xxhash_is_that_of_its_specification() {
        assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(b"abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn headers_parameters_and_addresses_are_hashed_by_value() {
        let header = HashPolicy::Header("x-user".to_owned());
        assert_eq!(hashed(&[], None, &header).0, None);
        assert_eq!(
            hashed(&[("x-user", "a")], None, &header).0,
            Some(hash(b"a"))
        );
        let both = |values: [&str; 2]| {
            hashed(
                &[("x-user", values[0]), ("x-user", values[1])],
                None,
                &header,
            )
            .0
        };
        assert_eq!(both(["a", "b"]), both(["b", "a"]));
        let parameter = HashPolicy::QueryParameter("q".to_owned());
        for (query, expected) in [
            (None, None),
            (Some("a=1&q=x%20y&q=2"), Some(hash(b"x%20y"))),
            (Some("q"), Some(hash(b""))),
            (Some("qq=1"), None),
        ] {
            assert_eq!(hashed(&[], query, &parameter).0, expected, "{query:?}");
        }
        let address = hashed(&[], None, &HashPolicy::SourceAddress).0;
        assert_eq!(address, Some(hash(b"10.0.0.1")));
    }

    #[test]
    fn a_text_in_pieces_has_the_hash_of_the_whole() {
        for ip in ["2001:db8:1111:2222:3333:4444:5555:6666", "::", "10.0.0.1"] {
            let peer = SocketAddr::new(ip.parse().unwrap(), 65_535);
            let local = SocketAddr::from(([192, 168, 8, 151], 80));
            // Longer than the 32 bytes that xxHash takes at once.
            let pieces = hash_text(format_args!("{peer}{local}"));
            assert_eq!(pieces, hash(format!("{peer}{local}").as_bytes()), "{ip}");
        }
    }

    #[test]
    fn a_cookie_is_made_only_where_it_has_a_life_and_is_missing() {
        let cookie = |ttl: Option<u64>| {
            HashPolicy::Cookie(HashCookie {
                name: "user".to_owned(),
                path: "/app".to_owned(),
                ttl: ttl.map(Duration::from_secs),
                attributes: vec![
                    ("SameSite".to_owned(), "Lax".to_owned()),
                    ("Secure".to_owned(), String::new()),
                ],
            })
        };
        assert_eq!(hashed(&[], None, &cookie(None)), (None, vec![]));
        for sent in ["a=b; user=x; c=d", "user=\"x\""] {
            let found = hashed(&[("cookie", sent)], None, &cookie(Some(5)));
            assert_eq!(found, (Some(hash(b"x")), vec![]), "{sent}");
        }
        let (made, set) = hashed(&[("cookie", "user=")], None, &cookie(Some(5)));
        let [set] = set.as_slice() else {
            panic!("one cookie is set: {set:?}");
        };
        let value = set
            .strip_prefix("user=\"")
            .and_then(|rest| {
                rest.strip_suffix("\"; Max-Age=5; Path=/app; SameSite=Lax; Secure; HttpOnly")
            })
            .unwrap_or_else(|| panic!("{set}"));
        assert_eq!(made, Some(hash(value.as_bytes())));
        // The session's cookie says no age.
        let (_, set) = hashed(&[], None, &cookie(Some(0)));
        assert!(!set[0].contains("Max-Age"), "{set:?}");
        // What was set leads to the same endpoint.
        let back = format!("user=\"{value}\"");
        assert_eq!(hashed(&[("cookie", &back)], None, &cookie(Some(5))).0, made);
    }

    #[test]
    fn several_policies_are_joined_and_equal_ones_do_not_cancel_out() {
        let mut fields = Fields::new();
        fields.append("x", b"a");
        let request = Hashed {
            fields: &fields,
            query: None,
            peer: SocketAddr::from(([10, 0, 0, 1], 1)),
            local: SocketAddr::from(([10, 0, 0, 2], 1)),
        };
        let policy = HashPolicy::Header("x".to_owned());
        let missing = HashPolicy::Header("y".to_owned());
        let by =
            |policies: &[&HashPolicy]| hash_by(policies.iter().copied(), request, &mut Vec::new());
        let one = hash(b"a");
        assert_eq!(by(&[&policy, &missing]), Some(one));
        assert_eq!(by(&[&policy, &policy]), Some(one.rotate_left(1) ^ one));
        assert_eq!(by(&[&missing]), None);
    }
}
