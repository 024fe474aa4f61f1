//! RFC 9112's requirements, section by section.

use super::RequestError as E;
use super::*;

/// Each of these requests gets this verdict.
fn verdicts(cases: &[(&[u8], Result<(), E>)]) {
    for (bytes, expected) in cases {
        let found = request(bytes).map(|_| ());
        assert_eq!(found, *expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

/// A request whose fields, after a good Host, are these lines.
fn with_fields(lines: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n"].concat()
}

/// Each of these field lines makes a request get this verdict.
fn field_verdicts(cases: &[(&[u8], Result<(), E>)]) {
    for (lines, expected) in cases {
        let bytes = with_fields(lines);
        let found = request(&bytes).map(|_| ());
        assert_eq!(found, *expected, "{:?}", String::from_utf8_lossy(lines));
    }
}

#[test]
fn rfc9112_2_2_lines_end_in_crlf() {
    verdicts(&[
        (b"GET / HTTP/1.1\nHost: a\n\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nb: c\n\r\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nb:\n\r\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nb: \n\r\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", Err(E::LineEnd)),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Err(E::LineEnd)),
        (
            b"GET / HTTP/1.1\r\nHost: a\rb: c\r\n\r\n",
            Err(E::FieldValue),
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", Err(E::FieldValue)),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nb:\rc\r\n\r\n",
            Err(E::FieldValue),
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\rb: c\r\n\r\n",
            Err(E::LineEnd),
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nb\r: c\r\n\r\n",
            Err(E::FieldName),
        ),
        (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", Err(E::RequestLine)),
        (b"GET /\n HTTP/1.1\r\nHost: a\r\n\r\n", Err(E::RequestLine)),
    ]);
}

#[test]
fn rfc9112_2_2_empty_lines_before_the_request_line() {
    let with = |n: usize| [&b"\r\n".repeat(n)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    verdicts(&[
        (&with(1), Ok(())),
        (&with(2), Ok(())),
        (&with(9), Err(E::EmptyLines)),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(E::LineEnd)),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(E::LineEnd)),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err(E::LineEnd)),
    ]);
    assert_eq!(request(&with(2)).unwrap().wire_len(), with(2).len());
}

#[test]
fn rfc9112_2_2_no_whitespace_before_the_first_field() {
    verdicts(&[
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", Err(E::FieldName)),
        (b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", Err(E::FieldName)),
        (b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n", Err(E::FieldName)),
        (
            b"GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n",
            Err(E::FieldName),
        ),
    ]);
}

#[test]
fn rfc9112_2_3_versions() {
    let version = |version: &[u8]| [b"GET / ", version, b"\r\nHost: a\r\n\r\n"].concat();
    verdicts(&[
        (&version(b"HTTP/1.1"), Ok(())),
        (&version(b"HTTP/1.0"), Ok(())),
        (&version(b"HTTP/1.2"), Err(E::Version)),
        (&version(b"HTTP/2.0"), Err(E::Version)),
        (&version(b"HTTP/0.9"), Err(E::Version)),
        (&version(b"HTTP/1"), Err(E::Version)),
        (&version(b"HTTP/1.10"), Err(E::LineEnd)),
        (&version(b"HTTP/11"), Err(E::Version)),
        (&version(b"HTTP/1,1"), Err(E::Version)),
        (&version(b"HTTP/01.1"), Err(E::Version)),
        (&version(b"HTTP/+1.1"), Err(E::Version)),
        (&version(b"http/1.1"), Err(E::Version)),
        (&version(b"HTTPS/1.1"), Err(E::Version)),
        (&version(b"HTTP /1.1"), Err(E::Version)),
        (&version(b"HTTP/1.1 "), Err(E::LineEnd)),
        (&version(b"HTTP/1.1\t"), Err(E::LineEnd)),
        (&version(b"HTTP/1.1 x"), Err(E::LineEnd)),
        (&version(b"HTTP/1.1\0"), Err(E::LineEnd)),
        (&version(b"FOO/1.1"), Err(E::Version)),
        (b"GET /\r\n\r\n", Err(E::RequestLine)),
        (b"GET / \r\n\r\n", Err(E::Version)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err(E::Version)),
    ]);
}

#[test]
fn rfc9112_3_request_line() {
    let line = |line: &[u8]| [line, b"\r\nHost: a\r\n\r\n"].concat();
    let cases: &[&[u8]] = &[
        b" GET / HTTP/1.1",
        b"\tGET / HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b"GET\x0b/ HTTP/1.1",
        b"GET / a HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET HTTP/1.1",
        b"GET",
        b"/ HTTP/1.1",
        b"G\0ET / HTTP/1.1",
        b"GE(T / HTTP/1.1",
        b"G\xc3\x89T / HTTP/1.1",
        b"GET: / HTTP/1.1",
        b"GET,POST / HTTP/1.1",
        b"get / HTTP/1.1",
        b"Get / HTTP/1.1",
        b"FOO / HTTP/1.1",
        b"GETGET / HTTP/1.1",
        b"HTTP/1.1 200 OK",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
    ];
    for case in cases {
        let error = request(&line(case))
            .map(|_| ())
            .expect_err(&String::from_utf8_lossy(case));
        assert_eq!(error.status(), 400, "{:?}", String::from_utf8_lossy(case));
    }
}

#[test]
fn rfc9112_3_2_target_bytes() {
    let target = |target: &[u8]| [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    for byte in 0..=255u8 {
        let verdict = request(&target(&[b'/', byte, b'x'])).map(|_| ());
        let is_allowed = byte.is_ascii_graphic() && !b"#<>`".contains(&byte);
        assert_eq!(verdict.is_ok(), is_allowed, "in a path: {byte:#x}");
        let verdict = request(&target(&[b'/', b'?', byte, b'x'])).map(|_| ());
        let is_allowed = byte.is_ascii_graphic() && !b"#<>\"".contains(&byte);
        assert_eq!(verdict.is_ok(), is_allowed, "in a query: {byte:#x}");
    }
    verdicts(&[
        (&target(b"/to#frag"), Err(E::Fragment)),
        (&target(b"/x?a=b?c#d"), Err(E::Fragment)),
        (&target(b"/%23?a=%00"), Ok(())),
        (&target(b"/a//b/../c;d=e?"), Ok(())),
    ]);
    assert_eq!(request(&target(b"/a?")).unwrap().query(), Some(&b""[..]));
    assert_eq!(
        request(&target(b"/a?b?c")).unwrap().query(),
        Some(&b"b?c"[..])
    );
    assert_eq!(request(&target(b"/a")).unwrap().query(), None);
}

#[test]
fn rfc9112_3_2_1_to_3_2_4_target_forms() {
    let with = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    verdicts(&[
        (&with("GET a"), Err(E::Target)),
        (&with("GET a/b"), Err(E::Target)),
        (&with("GET ?a"), Err(E::Target)),
        (&with("GET *"), Err(E::Target)),
        (&with("OPTIONS *"), Ok(())),
        (&with("OPTIONS *x"), Err(E::Target)),
        (&with("GET a:80"), Err(E::Target)),
        (&with("CONNECT a:80"), Ok(())),
        (&with("CONNECT [::1]:80"), Ok(())),
        (&with("CONNECT a"), Err(E::Target)),
        (&with("CONNECT a:"), Err(E::Target)),
        (&with("CONNECT a:80/"), Err(E::Target)),
        (&with("CONNECT /"), Err(E::Target)),
        (&with("CONNECT http://a:80"), Err(E::Target)),
        (&with("CONNECT a:80?b"), Err(E::Target)),
        (&with("GET http://b/c"), Ok(())),
        (&with("GET HTTP://b/c"), Ok(())),
        (&with("GET ftp://b/c"), Err(E::Scheme)),
        (&with("GET file:///c"), Err(E::Scheme)),
        (&with("GET javascript:alert(1)"), Err(E::Target)),
        (&with("GET http:/b"), Err(E::Target)),
        (&with("GET http:b"), Err(E::Target)),
        (&with("GET http://"), Err(E::Host)),
        (&with("GET http:///b"), Err(E::Host)),
        (&with("GET http://:80/b"), Err(E::Host)),
        (&with("GET http://u@b/"), Err(E::Host)),
        (&with("GET http://u:p@b/"), Err(E::Host)),
        (&with("GET http://b,c/"), Err(E::Host)),
        (&with("GET http://b:x/"), Err(E::Host)),
        (&with("GET http://b\\c/"), Err(E::Host)),
        (&with("GET http://b/#c"), Err(E::Fragment)),
        (&with("GET x?http://b/"), Err(E::Scheme)),
    ]);
}

#[test]
fn rfc9112_3_2_2_absolute_form_replaces_host() {
    for (target, path, query, authority) in [
        ("http://b:81/c?d", "/c", Some("d"), "b:81"),
        ("http://b", "/", None, "b"),
        ("https://b?d=/e", "/", Some("d=/e"), "b"),
        ("http://[::1]:8080/", "/", None, "[::1]:8080"),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
        let head = request(head.as_bytes()).unwrap();
        assert_eq!(head.path(), path.as_bytes(), "{target}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
        assert_eq!(head.authority(), authority.as_bytes(), "{target}");
        let question = query.map(|query| format!("?{query}")).unwrap_or_default();
        assert_eq!(
            encoded(&head),
            format!("GET {path}{question} HTTP/1.1\r\nhost: {authority}\r\nx: y\r\n\r\n")
        );
    }
    // Host is still wanted, one and valid.
    verdicts(&[
        (b"GET http://b/ HTTP/1.1\r\n\r\n", Err(E::HostMissing)),
        (b"GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", Err(E::Host)),
        (
            b"GET http://b/ HTTP/1.1\r\nHost: b\r\nHost: b\r\n\r\n",
            Err(E::HostTwice),
        ),
    ]);
    let head = request(b"OPTIONS http://b:80 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.target(), head.authority()), (&b"*"[..], &b"b:80"[..]));
    let head = request(b"CONNECT b:80 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(
        (head.target(), head.path(), head.query()),
        (&b"b:80"[..], &b""[..], None)
    );
    assert_eq!(head.authority(), b"b:80");
}

#[test]
fn rfc9112_3_2_exactly_one_valid_host() {
    verdicts(&[
        (b"GET / HTTP/1.1\r\n\r\n", Err(E::HostMissing)),
        (b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", Err(E::HostMissing)),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            Err(E::HostTwice),
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\nhOST: b\r\n\r\n",
            Err(E::HostTwice),
        ),
        (
            b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            Err(E::HostTwice),
        ),
        (b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Err(E::Host)),
        (b"GET / HTTP/1.0\r\n\r\n", Ok(())),
    ]);
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost:{host}\r\n\r\n").into_bytes();
    for good in [
        " a",
        "a ",
        " a.b.example",
        " a.",
        " a:80",
        " a:",
        " 10.0.0.1:65535",
        " [::1]",
        " a_b",
        " [2001:db8::1]:443",
        " x--1",
        " %41b",
        " \ta\t ",
        " a!$&'()*+;=~b",
    ] {
        assert_eq!(request(&host(good)).map(|_| ()), Ok(()), "{good:?}");
    }
    for bad in [
        "",
        " ",
        " a b",
        " a,b",
        " a, a",
        " a/b",
        " a?b",
        " a#b",
        " u@a",
        " u:p@a",
        " a:b",
        " :80",
        " a:80:80",
        " a:65536",
        " a:+80",
        " a:-1",
        " a: 80",
        " a:8 0",
        " [::1",
        " ::1",
        " [::1]a",
        " [::1]:x",
        " [a]",
        " []",
        " [v1.x]",
        " [::1%25eth0]",
        " http://a",
        " a\\b",
        " a\"b",
        " %4",
        " %zz",
        " <a>",
        " a\u{e9}",
        " {a}",
        " a|b",
        " a^b",
        " a`b",
        " a]",
        " a[",
    ] {
        assert_eq!(request(&host(bad)).map(|_| ()), Err(E::Host), "{bad:?}");
    }
}

#[test]
fn rfc9112_5_1_no_space_around_names() {
    field_verdicts(&[
        (b"a : b\r\n", Err(E::FieldName)),
        (b"a\t: b\r\n", Err(E::FieldName)),
        (b"a b: c\r\n", Err(E::FieldName)),
        (b" a: b\r\n", Err(E::FieldName)),
        (b": b\r\n", Err(E::FieldName)),
        (b"a\r\n", Err(E::FieldName)),
        (b"a\0: b\r\n", Err(E::FieldName)),
        (b"a\x7f: b\r\n", Err(E::FieldName)),
        (b"a\xe9: b\r\n", Err(E::FieldName)),
        (b"a(b): c\r\n", Err(E::FieldName)),
        (b"Transfer-Encoding : chunked\r\n", Err(E::FieldName)),
        (b"Content-Length : 5\r\n", Err(E::FieldName)),
        (b"\x0bTransfer-Encoding: chunked\r\n", Err(E::FieldName)),
        (b"Transfer\xadEncoding: chunked\r\n", Err(E::FieldName)),
        (b"a:b\r\n", Ok(())),
        (b"a:\r\n", Ok(())),
        (b"a: \t \r\n", Ok(())),
        (b"a_b!#$%&'*+-.^`|~: c\r\n", Ok(())),
    ]);
}

#[test]
fn rfc9112_5_2_no_obs_fold() {
    field_verdicts(&[
        (b"a: b\r\n c\r\n", Err(E::FieldName)),
        (b"a: b\r\n\tc\r\n", Err(E::FieldName)),
        (b"a:\r\n b\r\n", Err(E::FieldName)),
        (b"a: b\r\n \r\n", Err(E::FieldName)),
        (b"Transfer-Encoding:\r\n chunked\r\n", Err(E::FieldName)),
        (
            b"Transfer-Encoding: chunked\r\n , identity\r\n",
            Err(E::FieldName),
        ),
    ]);
    assert_eq!(
        response(b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n").map(|_| ()),
        Err(ResponseError::FieldName)
    );
}

#[test]
fn rfc9112_6_1_transfer_encoding_is_exactly_chunked() {
    field_verdicts(&[
        (b"Transfer-Encoding: chunked\r\n", Ok(())),
        (b"transfer-encoding:  CHUNKED \r\n", Ok(())),
        (b"Transfer-Encoding:\r\n", Err(E::TransferEncoding)),
        (b"Transfer-Encoding: identity\r\n", Err(E::TransferCoding)),
        (b"Transfer-Encoding: gzip\r\n", Err(E::TransferCoding)),
        (
            b"Transfer-Encoding: gzip, chunked\r\n",
            Err(E::TransferCoding),
        ),
        (
            b"Transfer-Encoding: chunked, gzip\r\n",
            Err(E::TransferCoding),
        ),
        (
            b"Transfer-Encoding: chunked, identity\r\n",
            Err(E::TransferCoding),
        ),
        (
            b"Transfer-Encoding: chunked, chunked\r\n",
            Err(E::TransferCoding),
        ),
        (b"Transfer-Encoding: chunked,\r\n", Err(E::TransferCoding)),
        (b"Transfer-Encoding: ,chunked\r\n", Err(E::TransferCoding)),
        (
            b"Transfer-Encoding: chunked;q=1\r\n",
            Err(E::TransferCoding),
        ),
        (b"Transfer-Encoding: xchunked\r\n", Err(E::TransferCoding)),
        (b"Transfer-Encoding: chunkedx\r\n", Err(E::TransferCoding)),
        (
            b"Transfer-Encoding: \"chunked\"\r\n",
            Err(E::TransferCoding),
        ),
        (b"Transfer-Encoding: chun ked\r\n", Err(E::TransferCoding)),
        (b"Transfer-Encoding: \x0bchunked\r\n", Err(E::FieldValue)),
        (b"Transfer-Encoding: chunked\x0c\r\n", Err(E::FieldValue)),
        (b"Transfer-Encoding: chunked\0\r\n", Err(E::FieldValue)),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Err(E::TransferEncoding),
        ),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            Err(E::TransferEncoding),
        ),
        (
            b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
            Err(E::TransferEncoding),
        ),
    ]);
    assert_eq!(E::TransferCoding.status(), 501);
    verdicts(&[(
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        Err(E::CodingInHttp10),
    )]);
}

#[test]
fn rfc9112_6_3_content_length_is_one_plain_number() {
    field_verdicts(&[
        (b"Content-Length: 0\r\n", Ok(())),
        (b"Content-Length: 18446744073709551615\r\n", Ok(())),
        (
            b"Content-Length: 18446744073709551616\r\n",
            Err(E::ContentLength),
        ),
        (
            b"Content-Length: 99999999999999999999999\r\n",
            Err(E::ContentLength),
        ),
        (b"Content-Length:\r\n", Err(E::ContentLength)),
        (b"Content-Length: +5\r\n", Err(E::ContentLength)),
        (b"Content-Length: -5\r\n", Err(E::ContentLength)),
        (b"Content-Length: -0\r\n", Err(E::ContentLength)),
        (b"Content-Length: 5,5\r\n", Err(E::ContentLength)),
        (b"Content-Length: 5, 5\r\n", Err(E::ContentLength)),
        (b"Content-Length: 5,6\r\n", Err(E::ContentLength)),
        (b"Content-Length: 5 5\r\n", Err(E::ContentLength)),
        (b"Content-Length: 0x5\r\n", Err(E::ContentLength)),
        (b"Content-Length: 5e0\r\n", Err(E::ContentLength)),
        (b"Content-Length: 5.0\r\n", Err(E::ContentLength)),
        (b"Content-Length: 1_0\r\n", Err(E::ContentLength)),
        (b"Content-Length: 05\r\n", Err(E::ContentLength)),
        (b"Content-Length: \"5\"\r\n", Err(E::ContentLength)),
        (b"Content-Length: five\r\n", Err(E::ContentLength)),
        (b"Content-Length: \xd9\xa5\r\n", Err(E::ContentLength)),
        (
            b"Content-Length: 5\r\nContent-Length: 5\r\n",
            Err(E::ContentLength),
        ),
        (
            b"Content-Length: 5\r\ncontent-length: 6\r\n",
            Err(E::ContentLength),
        ),
        (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Err(E::LengthAndCoding),
        ),
        (
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            Err(E::LengthAndCoding),
        ),
        (
            b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            Err(E::LengthAndCoding),
        ),
    ]);
}

#[test]
fn rfc9112_6_3_request_framing() {
    for (lines, expected) in [
        (&b""[..], BodyLength::Empty),
        (b"Content-Length: 0\r\n", BodyLength::Empty),
        (b"Content-Length: 10\r\n", BodyLength::Length(10)),
        (b"Transfer-Encoding: Chunked\r\n", BodyLength::Chunked),
    ] {
        assert_eq!(request(&with_fields(lines)).unwrap().body(), expected);
    }
}

#[test]
fn rfc9112_9_3_persistence_of_requests() {
    for (version, connection, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: x, close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive, close\r\n", false),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n");
        let head = request(head.as_bytes()).unwrap();
        assert_eq!(head.keep_alive(), expected, "{version} {connection}");
    }
}

#[test]
fn too_much_is_refused() {
    let limits = Limits::default();
    let line = format!("a: {}\r\n", "b".repeat(limits.head_bytes));
    assert_eq!(
        request(&with_fields(line.as_bytes())).map(|_| ()),
        Err(E::HeadTooLarge)
    );
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "b".repeat(limits.head_bytes)
    );
    assert_eq!(request(long.as_bytes()).map(|_| ()), Err(E::HeadTooLarge));
    // Host is one of the hundred.
    let lines = |n: usize| with_fields("a: b\r\n".repeat(n).as_bytes());
    assert_eq!(request(&lines(limits.fields - 1)).map(|_| ()), Ok(()));
    assert_eq!(
        request(&lines(limits.fields)).map(|_| ()),
        Err(E::TooManyFields)
    );
    assert_eq!(
        (E::HeadTooLarge.status(), E::TooManyFields.status()),
        (431, 431)
    );

    // Also when it never ends.
    let mut input = ReadBuffer::new();
    let mut head = RequestHead::default();
    let mut verdict = Ok(false);
    input.extend(b"GET / HTTP/1.1\r\n");
    for _ in 0..limits.head_bytes {
        input.extend(b"a: b\r\nc");
        verdict = head.decode(
            &mut input,
            &Limits {
                fields: 1_000_000,
                ..limits
            },
        );
        if verdict != Ok(false) {
            break;
        }
    }
    assert!(verdict.is_err(), "{verdict:?}");
    assert!(input.len() <= limits.head_bytes + 8);
}
