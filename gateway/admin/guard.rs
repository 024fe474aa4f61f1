//! Who may ask: against DNS rebinding and cross-site requests.
//!
//! The admin server listens on loopback, where every page in the user's browser can send requests.
//! A page of another site cannot choose the Host (it is its own name, even when that name has been
//! pointed at 127.0.0.1), and its browser says where a request comes from.

use std::net::{IpAddr, Ipv6Addr};

use hyper::Request;
use hyper::header::{HOST, ORIGIN};

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "the Host {0:?} is neither an IP address nor localhost. A web page of another site could \
         otherwise read this server through a name of its own that leads here (DNS rebinding). \
         Use an IP address, or name the host in the settings.\n"
    )]
    Host(String),
    #[error("the request comes from a page of another site ({0:?})\n")]
    Origin(String),
}

/// Whether a request may be answered; `host_name` is allowed beside IP addresses and localhost.
pub(super) fn check<B>(request: &Request<B>, host_name: Option<&str>) -> Result<(), Refused> {
    let text = |name| {
        let value = request.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let host = text(HOST).unwrap_or_default();
    let targets = request.uri().authority().map(|a| a.as_str());
    for name in targets.into_iter().chain([host.as_str()]) {
        if !allowed(name, host_name) {
            return Err(Refused::Host(name.to_owned()));
        }
    }
    match text(ORIGIN) {
        Some(origin)
            if origin != format!("http://{host}") && origin != format!("https://{host}") =>
        {
            Err(Refused::Origin(origin))
        }
        _ => Ok(()),
    }
}

fn allowed(authority: &str, host_name: Option<&str>) -> bool {
    // `[::1]:15000`, `127.0.0.1:15000`, `localhost`.
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_fits && address.parse::<Ipv6Addr>().is_ok();
    }
    let host = match authority.split_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) => return false,
        None => authority,
    };
    host.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || host_name.is_some_and(|name| host.eq_ignore_ascii_case(name))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_may_ask() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:15000",
            "192.168.8.2:80",
            "[::1]",
            "[fe80::1]:15000",
            "localhost",
            "LOCALHOST:15000",
            "gw.home.arpa:15000",
        ] {
            assert!(allowed(host, Some("gw.home.arpa")), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:15000",
            "evil.example:15000",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "::1",
            "localhost:x",
            "user@localhost",
            "gw.home.arpa",
        ] {
            assert!(!allowed(host, None), "{host}");
        }
    }

    #[test]
    fn pages_of_other_sites_may_not_ask() {
        let request = |origin: &str, target: &str| {
            Request::builder()
                .uri(target)
                .header(HOST, "127.0.0.1:15000")
                .header(ORIGIN, origin)
                .body(())
                .unwrap()
        };
        assert_eq!(check(&request("http://127.0.0.1:15000", "/"), None), Ok(()));
        for origin in ["null", "http://evil.example", "http://127.0.0.1:8080"] {
            assert!(matches!(
                check(&request(origin, "/"), None),
                Err(Refused::Origin(_))
            ));
        }
        let absolute = request("http://127.0.0.1:15000", "http://evil.example/");
        assert!(matches!(check(&absolute, None), Err(Refused::Host(_))));
    }
}
