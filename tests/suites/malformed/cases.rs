//! The requests, and the statuses that may refuse them.

/// A request and how it may be refused.
#[derive(Debug)]
pub struct Case {
    /// What is wrong with it.
    pub name: &'static str,
    /// As sent.
    pub bytes: Vec<u8>,
    /// Any of these is a right answer.
    pub statuses: &'static [u16],
}

/// Sent behind every malformed request.
pub const FOLLOWER: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

const BAD: &[u16] = &[400];
/// RFC 9110 §15.6.6 and RFC 9112 §2.3.
const VERSION: &[u16] = &[400, 426, 505];
/// RFC 9112 §6.1: an unknown transfer coding.
const CODING: &[u16] = &[400, 501];
/// RFC 6585 §5, RFC 9110 §15.5.15.
const TOO_MUCH: &[u16] = &[400, 414, 431];

/// Whatever is wrong before the body.
pub fn heads() -> Vec<Case> {
    let mut cases = Vec::new();
    request_lines(&mut cases);
    fields(&mut cases);
    hosts(&mut cases);
    lengths(&mut cases);
    codings(&mut cases);
    too_much(&mut cases);
    cases
}

/// A first line (with its end) before an otherwise good head. RFC 9112 §2.2, §2.3, §3.
fn request_lines(cases: &mut Vec<Case>) {
    let lines: &[(&str, &[u8], &[u16])] = &[
        ("no version", b"GET /\r\n", VERSION),
        ("version 0.9", b"GET / HTTP/0.9\r\n", VERSION),
        ("version 1.0", b"GET / HTTP/1.0\r\n", &[426]),
        ("version 2.0", b"GET / HTTP/2.0\r\n", VERSION),
        ("version 3.1", b"GET / HTTP/3.1\r\n", VERSION),
        ("version in lower case", b"GET / http/1.1\r\n", VERSION),
        ("another protocol", b"GET / ICAP/1.1\r\n", VERSION),
        ("version with three parts", b"GET / HTTP/1.1.1\r\n", VERSION),
        ("version with a comma", b"GET / HTTP/1,1\r\n", VERSION),
        ("version without minor", b"GET / HTTP/1\r\n", VERSION),
        ("version with an empty minor", b"GET / HTTP/1.\r\n", VERSION),
        ("version with two digits", b"GET / HTTP/1.10\r\n", VERSION),
        (
            "version with a leading zero",
            b"GET / HTTP/01.1\r\n",
            VERSION,
        ),
        ("version with a sign", b"GET / HTTP/+1.1\r\n", VERSION),
        ("space after the version", b"GET / HTTP/1.1 \r\n", VERSION),
        ("tab after the version", b"GET / HTTP/1.1\t\r\n", VERSION),
        ("space within the version", b"GET / HTTP/ 1.1\r\n", VERSION),
        ("two spaces before the target", b"GET  / HTTP/1.1\r\n", BAD),
        ("two spaces after the target", b"GET /  HTTP/1.1\r\n", BAD),
        ("space before the method", b" GET / HTTP/1.1\r\n", BAD),
        ("tabs for spaces", b"GET\t/\tHTTP/1.1\r\n", BAD),
        ("form feed for a space", b"GET\x0c/ HTTP/1.1\r\n", BAD),
        ("space in the target", b"GET /a b HTTP/1.1\r\n", BAD),
        ("tab in the target", b"GET /a\tb HTTP/1.1\r\n", BAD),
        ("NUL in the target", b"GET /a\0b HTTP/1.1\r\n", BAD),
        ("SOH in the target", b"GET /a\x01b HTTP/1.1\r\n", BAD),
        ("DEL in the target", b"GET /a\x7fb HTTP/1.1\r\n", BAD),
        ("lone CR in the target", b"GET /a\rb HTTP/1.1\r\n", BAD),
        ("fragment in the target", b"GET /a#b HTTP/1.1\r\n", BAD),
        ("target without a slash", b"GET a HTTP/1.1\r\n", BAD),
        ("no target", b"GET HTTP/1.1\r\n", BAD),
        ("empty target", b"GET  HTTP/1.1\r\n", BAD),
        ("asterisk with GET", b"GET * HTTP/1.1\r\n", BAD),
        (
            "absolute target without a host",
            b"GET http:///a HTTP/1.1\r\n",
            BAD,
        ),
        ("no method", b" / HTTP/1.1\r\n", BAD),
        ("method with a parenthesis", b"G(T / HTTP/1.1\r\n", BAD),
        ("method with a colon", b"GET: / HTTP/1.1\r\n", BAD),
        ("method with NUL", b"G\0T / HTTP/1.1\r\n", BAD),
        ("method with a high byte", b"G\xc3T / HTTP/1.1\r\n", BAD),
        ("bare LF after the request line", b"GET / HTTP/1.1\n", BAD),
        (
            "CR CR LF after the request line",
            b"GET / HTTP/1.1\r\r\n",
            BAD,
        ),
        ("lone CR after the request line", b"GET / HTTP/1.1\r", BAD),
        (
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
            BAD,
        ),
        (
            "a field before the request line",
            b"X-A: b\r\nGET / HTTP/1.1\r\n",
            BAD,
        ),
    ];
    for &(name, line, statuses) in lines {
        cases.push(case(name, &[line, b"Host: a.test\r\n\r\n"], statuses));
    }
}

/// Lines of a head after a good request line and Host. RFC 9112 §2.2, §5, RFC 9110 §5.
fn fields(cases: &mut Vec<Case>) {
    let lines: &[(&str, &[u8])] = &[
        ("space before the colon", b"X-A : b\r\n"),
        ("tab before the colon", b"X-A\t: b\r\n"),
        ("no colon", b"garbage\r\n"),
        ("empty name", b": b\r\n"),
        ("space in a name", b"X A: b\r\n"),
        ("parenthesis in a name", b"X(A: b\r\n"),
        ("quote in a name", b"X\"A: b\r\n"),
        ("slash in a name", b"X/A: b\r\n"),
        ("brackets in a name", b"X[A]: b\r\n"),
        ("NUL in a name", b"X\0A: b\r\n"),
        ("vertical tab in a name", b"X\x0bA: b\r\n"),
        ("lone CR in a name", b"X\rA: b\r\n"),
        ("high byte in a name", b"X\xe9A: b\r\n"),
        ("DEL in a name", b"X\x7fA: b\r\n"),
        ("NUL in a value", b"X-A: a\0b\r\n"),
        ("lone CR in a value", b"X-A: a\rb\r\n"),
        (
            "lone CR that begins a field",
            b"X-A: a\rTransfer-Encoding: chunked\r\n",
        ),
        ("bell in a value", b"X-A: a\x07b\r\n"),
        ("DEL in a value", b"X-A: a\x7fb\r\n"),
        ("escape in a value", b"X-A: \x1b[0m\r\n"),
        ("folded with a space", b"X-A: a\r\n b\r\n"),
        ("folded with a tab", b"X-A: a\r\n\tb\r\n"),
        (
            "a fold that hides a field",
            b"X-A: a\r\n Content-Length: 5\r\n",
        ),
        (
            "folded transfer-encoding",
            b"Transfer-Encoding:\r\n chunked\r\n",
        ),
        ("a line of one space", b" \r\n"),
        ("bare LF after a field", b"X-A: a\n"),
        ("bare LF in a value", b"X-A: a\nX-B: b\r\n"),
        ("CR CR LF after a field", b"X-A: a\r\r\n"),
        ("bare LF ends the head", b"X-A: a\r\n\n"),
        ("CR CR LF ends the head", b"X-A: a\r\n\r\r\n"),
        ("a second request line", b"GET /b HTTP/1.1\r\n"),
    ];
    for &(name, line) in lines {
        cases.push(case(
            name,
            &[b"GET / HTTP/1.1\r\nHost: a.test\r\n", line, b"\r\n"],
            BAD,
        ));
    }
    let first = b"GET / HTTP/1.1\r\n Host: a.test\r\n\r\n";
    cases.push(case("space before the first field", &[first], BAD));
}

/// RFC 9112 §3.2, RFC 9110 §7.2, RFC 3986 §3.2.2.
fn hosts(cases: &mut Vec<Case>) {
    let lines: &[(&str, &[u8])] = &[
        ("no Host", b""),
        ("two Hosts", b"Host: a.test\r\nHost: b.test\r\n"),
        ("the same Host twice", b"Host: a.test\r\nHost: a.test\r\n"),
        (
            "two Hosts apart",
            b"Host: a.test\r\nX-A: b\r\nhOST: b.test\r\n",
        ),
        ("empty Host", b"Host:\r\n"),
        ("space in Host", b"Host: a.test b.test\r\n"),
        ("tab in Host", b"Host: a.test\tb.test\r\n"),
        ("path in Host", b"Host: a.test/b\r\n"),
        ("query in Host", b"Host: a.test?b\r\n"),
        ("fragment in Host", b"Host: a.test#b\r\n"),
        ("user in Host", b"Host: user@a.test\r\n"),
        ("URL in Host", b"Host: http://a.test\r\n"),
        ("list in Host", b"Host: a.test, b.test\r\n"),
        ("backslash in Host", b"Host: a\\b.test\r\n"),
        ("angle brackets in Host", b"Host: <a.test>\r\n"),
        ("quote in Host", b"Host: \"a.test\"\r\n"),
        ("high byte in Host", b"Host: \xe4.test\r\n"),
        ("port that is no number", b"Host: a.test:http\r\n"),
        ("port that is too large", b"Host: a.test:99999\r\n"),
        ("two ports", b"Host: a.test:80:80\r\n"),
        ("port alone", b"Host: :80\r\n"),
        ("open bracket", b"Host: [::1\r\n"),
        ("brackets without an address", b"Host: [a.test]\r\n"),
        ("IPv6 without brackets", b"Host: ::1\r\n"),
    ];
    for &(name, line) in lines {
        cases.push(case(name, &[b"GET / HTTP/1.1\r\n", line, b"\r\n"], BAD));
    }
    let absolute = b"GET http://a.test/ HTTP/1.1\r\nX-A: b\r\n\r\n";
    cases.push(case("absolute target and no Host", &[absolute], BAD));
}

/// Content-Length that is not one plain number. RFC 9110 §8.6, RFC 9112 §6.3.
fn lengths(cases: &mut Vec<Case>) {
    let values: &[(&str, &[u8])] = &[
        ("length with a leading zero", b"05"),
        ("length with plus", b"+5"),
        ("length below zero", b"-5"),
        ("negative zero", b"-0"),
        ("length in hex", b"0x5"),
        ("length with a letter", b"5a"),
        ("length with a fraction", b"5.0"),
        ("length with an exponent", b"5e0"),
        ("length with an underscore", b"0_5"),
        ("empty length", b""),
        ("two numbers", b"5 5"),
        ("length in a list, equal", b"5, 5"),
        ("length in a list, different", b"5, 6"),
        ("length with a comma", b"5,"),
        ("length with a parameter", b"5;a"),
        ("quoted length", b"\"5\""),
        ("length of 2^64", b"18446744073709551616"),
        ("length of 2^64 + 5", b"18446744073709551621"),
        ("length of thirty digits", b"999999999999999999999999999999"),
        ("length with a vertical tab", b"\x0b5"),
        ("length with a high digit", b"\xd9\xa5"),
    ];
    for &(name, value) in values {
        let head: &[&[u8]] = &[POST, b"Content-Length: ", value, b"\r\n\r\nhello"];
        cases.push(case(name, head, BAD));
    }
    let twice: &[(&str, &[u8])] = &[
        (
            "two lengths, different",
            b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        ),
        (
            "two lengths, equal",
            b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "two lengths, one bad",
            b"Content-Length: 5\r\ncontent-length: x\r\n\r\nhello",
        ),
        (
            "space before the length's colon",
            b"Content-Length : 5\r\n\r\nhello",
        ),
        ("NUL before the length", b"\0Content-Length: 5\r\n\r\nhello"),
    ];
    for &(name, rest) in twice {
        cases.push(case(name, &[POST, rest], BAD));
    }
}

/// Transfer-Encoding that is not exactly `chunked`. RFC 9112 §6.1, §6.3.
fn codings(cases: &mut Vec<Case>) {
    let values: &[(&str, &[u8])] = &[
        ("unknown coding", b"xchunked"),
        ("coding cut short", b"chunke"),
        ("identity", b"identity"),
        ("gzip alone", b"gzip"),
        ("gzip, then chunked", b"gzip, chunked"),
        ("chunked, then gzip", b"chunked, gzip"),
        ("chunked, then identity", b"chunked, identity"),
        ("chunked twice in a list", b"chunked, chunked"),
        ("chunked with a comma", b"chunked,"),
        ("comma, then chunked", b", chunked"),
        ("chunked with a parameter", b"chunked;q=1"),
        ("quoted chunked", b"\"chunked\""),
        ("chunked with a vertical tab", b"chunked\x0b"),
        ("vertical tab, then chunked", b"\x0bchunked"),
        ("chunked with NUL", b"chunked\0"),
        ("chunked with a letter", b"chunkedx"),
        ("chunked and a word", b"chunked foo"),
        ("empty coding", b""),
    ];
    for &(name, value) in values {
        cases.push(case(
            name,
            &[POST, b"Transfer-Encoding: ", value, CHUNKED_BODY],
            CODING,
        ));
    }
    let lines: &[(&str, &[u8])] = &[
        (
            "chunked in two fields",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        (
            "identity and chunked fields",
            b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        ),
        (
            "chunked and identity fields",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ),
        (
            "coding, then length",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        ),
        (
            "length, then coding",
            b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        ),
        (
            "length zero, then coding",
            b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        ),
        (
            "space before the coding's colon",
            b"Transfer-Encoding : chunked",
        ),
        ("bare LF within the coding", b"Transfer-Encoding:\n chunked"),
    ];
    for &(name, line) in lines {
        cases.push(case(name, &[POST, line, CHUNKED_BODY], CODING));
    }
    let old = b"POST / HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked";
    cases.push(case("chunked in HTTP/1.0", &[old, CHUNKED_BODY], VERSION));
}

/// RFC 9110 §5.4: more than the gateway takes.
fn too_much(cases: &mut Vec<Case>) {
    let long = "a".repeat(100 * 1024);
    let (start, host) = ("GET / HTTP/1.1\r\n", "Host: a.test\r\n");
    let many: String = (0..150)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    let broad: String = (0..80)
        .map(|number| format!("X-{number}: {}\r\n", "a".repeat(1024)))
        .collect();
    let texts = [
        (
            "a long target",
            format!("GET /{long} HTTP/1.1\r\n{host}\r\n"),
        ),
        ("a long method", format!("{long} / HTTP/1.1\r\n{host}\r\n")),
        ("a long name", format!("{start}{host}{long}: b\r\n\r\n")),
        ("a long value", format!("{start}{host}X-A: {long}\r\n\r\n")),
        ("a long Host", format!("{start}Host: {long}\r\n\r\n")),
        ("150 fields", format!("{start}{host}{many}\r\n")),
        ("80 KiB of fields", format!("{start}{host}{broad}\r\n")),
        ("a line without an end", format!("GET /{long}")),
    ];
    for (name, text) in texts {
        cases.push(Case {
            name,
            bytes: text.into_bytes(),
            statuses: TOO_MUCH,
        });
    }
}

/// Chunked bodies that are wrong, to the path of their place in the list. RFC 9112 §7.1.
pub fn chunks() -> Vec<Case> {
    let bodies: &[(&str, &[u8])] = &[
        ("empty chunk size", b"\r\nhello\r\n0\r\n\r\n"),
        ("size that is no hex", b"g\r\nhello\r\n0\r\n\r\n"),
        ("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("size with plus", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("size below zero", b"-5\r\nhello\r\n0\r\n\r\n"),
        ("space before the size", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("space after the size", b"5 \r\nhello\r\n0\r\n\r\n"),
        ("size with an underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
        ("size of 2^64", b"10000000000000000\r\nhello\r\n0\r\n\r\n"),
        (
            "size of 2^64 + 5",
            b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "size of seventeen digits",
            b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
        ("bare LF after the size", b"5\nhello\r\n0\r\n\r\n"),
        ("lone CR after the size", b"5\rhello\r\n0\r\n\r\n"),
        ("CR CR LF after the size", b"5\r\r\nhello\r\n0\r\n\r\n"),
        ("NUL after the size", b"5\0\r\nhello\r\n0\r\n\r\n"),
        ("bare LF in an extension", b"5;a\nhello\r\n0\r\n\r\n"),
        ("lone CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("NUL in an extension", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
        ("no line end after the data", b"5\r\nhello0\r\n\r\n"),
        ("other bytes after the data", b"5\r\nhelloXX0\r\n\r\n"),
        ("bare LF after the data", b"5\r\nhello\n0\r\n\r\n"),
        ("lone CR after the data", b"5\r\nhello\r0\r\n\r\n"),
        ("bare LF after the last chunk", b"5\r\nhello\r\n0\n\r\n"),
        ("bare LF ends the trailers", b"5\r\nhello\r\n0\r\n\n"),
        (
            "trailer without a colon",
            b"5\r\nhello\r\n0\r\ngarbage\r\n\r\n",
        ),
        (
            "trailer with a space before the colon",
            b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        ),
        ("folded trailer", b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
        ("bare LF after a trailer", b"5\r\nhello\r\n0\r\nX: y\n\r\n"),
        ("NUL in a trailer", b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
    ];
    let long = "a".repeat(100 * 1024);
    let too_much = [
        (
            "a long extension",
            format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
        ),
        (
            "a long trailer",
            format!("5\r\nhello\r\n0\r\nX: {long}\r\n\r\n"),
        ),
        (
            "a size of many zeros",
            format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(1000)),
        ),
    ];
    let too_much = too_much
        .iter()
        .map(|(name, body)| (*name, body.as_bytes(), TOO_MUCH));
    let bodies = bodies
        .iter()
        .map(|&(name, body)| (name, body, BAD))
        .chain(too_much);
    bodies
        .enumerate()
        .map(|(number, (name, body, statuses))| {
            let head = format!("POST /{number} HTTP/1.1\r\nHost: a.test\r\n{CHUNKED}\r\n");
            case(name, &[head.as_bytes(), body], statuses)
        })
        .collect()
}

/// Requests that are right.
pub fn correct() -> Vec<Case> {
    let heads: &[(&str, &[u8])] = &[
        ("empty line first", b"\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("no space after the colon", b"GET / HTTP/1.1\r\nHost:a.test\r\n\r\n"),
        ("spaces around values", b"GET / HTTP/1.1\r\nHost: \t a.test \t \r\nX-A:\t b\t\r\n\r\n"),
        ("empty value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A:\r\n\r\n"),
        ("tab in a value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: a\tb\r\n\r\n"),
        ("obs-text in a value", b"GET / HTTP/1.1\r\nHost: a.test\r\nX-A: \xe9\r\n\r\n"),
        ("every token character", b"GET / HTTP/1.1\r\nHost: a.test\r\n!#$%&'*+-.^_`|~0aZ: b\r\n\r\n"),
        ("absolute target", b"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("Host with a port", b"GET / HTTP/1.1\r\nHost: a.test:80\r\n\r\n"),
        ("IPv6 Host", b"GET / HTTP/1.1\r\nHost: [fd00:8::1]:80\r\n\r\n"),
        ("size with zeros", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n05\r\nhello\r\n00\r\n\r\n"),
        ("size in capitals", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhellohello\r\n0\r\n\r\n"),
        ("coding in capitals", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
        ("chunk extension", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\n\r\n"),
        ("trailer", b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n"),
        ("unknown method", b"MKCALENDAR / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("body with GET", b"GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello"),
    ];
    heads
        .iter()
        .map(|&(name, head)| case(name, &[head], &[200]))
        .collect()
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a.test\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const CHUNKED_BODY: &[u8] = b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

fn case(name: &'static str, pieces: &[&[u8]], statuses: &'static [u16]) -> Case {
    Case {
        name,
        bytes: pieces.concat(),
        statuses,
    }
}
