//! RFC 9110's requirements on what an intermediary reads and removes.

use super::RequestError as E;
use super::*;

fn with_fields(lines: &str) -> Result<RequestHead, E> {
    request(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

/// The names left of a request with these lines.
fn names(head: &RequestHead) -> Vec<String> {
    let names = head.fields().iter();
    names
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
        .collect()
}

#[test]
fn rfc9110_5_1_names_are_case_insensitive() {
    let head = with_fields("X-Forwarded-FOR: 1\r\nACCEPT: 2\r\nX-Own: 3\r\n").unwrap();
    assert_eq!(names(&head), ["x-forwarded-for", "accept", "x-own"]);
    assert_eq!(
        head.fields().known(KnownName::XForwardedFor),
        Some(&b"1"[..])
    );
    assert_eq!(head.fields().get("accept"), Some(&b"2"[..]));
    assert_eq!(head.fields().get("x-own"), Some(&b"3"[..]));
}

#[test]
fn rfc9110_5_5_values_have_no_control_bytes() {
    for byte in 0..=255u8 {
        let bytes = [
            b"GET / HTTP/1.1\r\nHost: a\r\nx: a",
            &[byte][..],
            b"b\r\n\r\n",
        ]
        .concat();
        let is_allowed = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        let mut head = RequestHead::default();
        let verdict = head.decode(&mut input(&bytes), &Limits::default());
        assert_eq!(verdict == Ok(true), is_allowed, "{byte:#x}: {verdict:?}");
        // Also beyond the reach of the vector instructions' first block.
        let long = [
            b"GET / HTTP/1.1\r\nHost: a\r\nx: ",
            &[b'a'; 70][..],
            &[byte],
            b"b\r\n\r\n",
        ];
        let verdict = head.decode(&mut input(&long.concat()), &Limits::default());
        assert_eq!(
            verdict == Ok(true),
            is_allowed,
            "{byte:#x}, far in: {verdict:?}"
        );
    }
}

#[test]
fn rfc9110_5_6_2_names_are_tokens() {
    for byte in 0..=255u8 {
        let bytes = [
            b"GET / HTTP/1.1\r\nHost: a\r\na",
            &[byte][..],
            b"b: c\r\n\r\n",
        ]
        .concat();
        let is_allowed = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
        let verdict = RequestHead::default().decode(&mut input(&bytes), &Limits::default());
        assert_eq!(verdict == Ok(true), is_allowed, "{byte:#x}: {verdict:?}");
    }
}

#[test]
fn rfc9110_7_6_1_what_connection_lists_is_removed() {
    for (lines, left) in [
        (
            "Connection: x-a, X-B\r\nX-A: 1\r\nx-b: 2\r\nx-a: 3\r\nx-c: 4\r\n",
            &["x-c"][..],
        ),
        ("x-a: 1\r\nConnection: close\r\nConnection: x-a\r\n", &[]),
        (
            "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nx: y\r\n",
            &["x"],
        ),
        (
            "Proxy-Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nx: y\r\n",
            &["x"],
        ),
        (
            "Upgrade: h2c\r\nHTTP2-Settings: a\r\nConnection: Upgrade, HTTP2-Settings\r\n",
            &[],
        ),
        ("TE: trailers\r\nConnection: TE\r\n", &["te"]),
        ("TE: gzip, trailers;q=1\r\nConnection: TE\r\n", &[]),
        ("TE: gzip, Trailers\r\n", &["te"]),
        ("TE: gzip\r\n", &[]),
        ("Trailer: x-sum\r\n", &["trailer"]),
        // Nothing that the message stands on can be named away.
        (
            "Connection: content-length, host\r\nContent-Length: 5\r\n",
            &["content-length"],
        ),
        ("Connection: ,, ,x\r\nx: y\r\nz: a\r\n", &["z"]),
    ] {
        let mut head = with_fields(lines).unwrap();
        head.fields_mut().remove_hop_by_hop();
        assert_eq!(names(&head), left, "{lines:?}");
        assert_eq!(head.authority(), b"a");
        assert_eq!(head.fields().len(), left.len());
    }
    let mut head = with_fields("TE: gzip, Trailers\r\nTE: deflate\r\n").unwrap();
    head.fields_mut().remove_hop_by_hop();
    assert_eq!(
        head.fields().get_all("te").collect::<Vec<_>>(),
        [b"trailers"]
    );
}

#[test]
fn rfc9110_7_6_1_connection_cannot_hide_where_a_request_came_from() {
    for listed in [
        "x-forwarded-for",
        "X-Forwarded-Proto",
        "close, X-Forwarded-Host",
        ":path",
        "a,b,c,d,e,f,g,h,i,j",
        "a,b,c,d,e,f,g,h,i,j,k",
        "close\r\nConnection: x-forwarded-for",
    ] {
        let verdict = with_fields(&format!("Connection: {listed}\r\nX-Forwarded-For: 1\r\n"));
        assert_eq!(verdict.map(|_| ()), Err(E::Connection), "{listed}");
    }
    assert!(with_fields("Connection: a,b,c,d,e,f,g,h,i\r\n").is_ok());
}

#[test]
fn rfc9110_7_6_1_what_the_gateway_sets_stays() {
    let mut head =
        with_fields("Connection: x-request-id, x-own\r\nX-Request-Id: evil\r\n").unwrap();
    head.fields_mut().set("x-request-id", b"ours");
    head.fields_mut().set("x-own", b"1");
    head.fields_mut().remove_hop_by_hop();
    assert_eq!(
        encoded(&head),
        "POST / HTTP/1.1\r\nhost: a\r\nx-request-id: ours\r\nx-own: 1\r\n\r\n"
    );
}

#[test]
fn rfc9110_7_8_upgrade() {
    for (version, lines, expected) in [
        (
            "1.1",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
            Some(&b"websocket"[..]),
        ),
        (
            "1.1",
            "Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n",
            Some(b"websocket"),
        ),
        ("1.1", "Upgrade: websocket\r\n", None),
        ("1.1", "Connection: Upgrade\r\n", None),
        ("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n", None),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(
            request(head.as_bytes()).unwrap().upgrade(),
            expected,
            "{version} {lines}"
        );
    }
    let mut head =
        with_fields("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n").unwrap();
    head.fields_mut().remove_hop_by_hop_but_upgrade();
    assert_eq!(
        encoded(&head),
        "POST / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    );
    let head = response(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(head.unwrap().upgrade(), Some(&b"websocket"[..]));
}

#[test]
fn rfc9110_9_3_methods_without_content() {
    for (request_line, framing) in [
        ("CONNECT a:80", "Content-Length: 5"),
        ("CONNECT a:80", "Transfer-Encoding: chunked"),
        ("TRACE /", "Content-Length: 5"),
        ("TRACE /", "Transfer-Encoding: chunked"),
    ] {
        let head = format!("{request_line} HTTP/1.1\r\nHost: a:80\r\n{framing}\r\n\r\n");
        let verdict = request(head.as_bytes()).map(|_| ());
        assert_eq!(verdict, Err(E::BodyNotAllowed), "{request_line} {framing}");
    }
    assert!(request(b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").is_ok());
    assert!(with_fields("").unwrap().method() == b"POST");
}

#[test]
fn rfc9110_10_1_1_expect() {
    for (version, value, expected) in [
        ("1.1", "100-continue", true),
        ("1.1", "100-Continue", true),
        ("1.1", "200-ok", false),
        ("1.0", "100-continue", false),
    ] {
        let head = format!("POST / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\n\r\n");
        assert_eq!(
            request(head.as_bytes()).unwrap().expects_continue(),
            expected
        );
    }
}
