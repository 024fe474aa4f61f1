//! RFC 9112's and 9110's requirements on responses: what breaks them is 502 and never reused.

use super::ResponseError as E;
use super::*;

fn verdicts(cases: &[(&[u8], Result<(), E>)]) {
    for (bytes, expected) in cases {
        let found = response(bytes).map(|_| ());
        assert_eq!(found, *expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

fn head(status: u16, lines: &str) -> ResponseHead {
    response(format!("HTTP/1.1 {status} X\r\n{lines}\r\n").as_bytes()).unwrap()
}

#[test]
fn rfc9112_4_status_line() {
    verdicts(&[
        (b"HTTP/1.1 200 OK\r\n\r\n", Ok(())),
        (b"HTTP/1.1 200 \r\n\r\n", Ok(())),
        (b"HTTP/1.1 200\r\n\r\n", Ok(())),
        (b"HTTP/1.0 200 OK\r\n\r\n", Ok(())),
        (b"HTTP/1.1 200 Tr\xe8s bien\r\n\r\n", Ok(())),
        (b"HTTP/1.1 599 x\r\n\r\n", Ok(())),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Err(E::StatusLine)),
        (b"\nHTTP/1.1 200 OK\r\n\r\n", Err(E::StatusLine)),
        (b" HTTP/1.1 200 OK\r\n\r\n", Err(E::StatusLine)),
        (b"xHTTP/1.1 200 OK\r\n\r\n", Err(E::StatusLine)),
        (b"HHTTP/1.1 200 OK\r\n\r\n", Err(E::Version)),
        (b"HTTP/1.2 200 OK\r\n\r\n", Err(E::Version)),
        (b"HTTP/2 200\r\n\r\n", Err(E::Version)),
        (b"HTTP/1.1  200 OK\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1\t200 OK\r\n\r\n", Err(E::Version)),
        (b"HTTP/1.1 20 OK\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1 099 OK\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1 +20 OK\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1 200 O\rK\r\n\r\n", Err(E::StatusLine)),
        (b"HTTP/1.1\r\n\r\n", Err(E::Version)),
        (b"ICY 200 OK\r\n\r\n", Err(E::StatusLine)),
        (b"<html>", Err(E::StatusLine)),
    ]);
}

#[test]
fn rfc9112_2_2_lines_end_in_crlf() {
    verdicts(&[
        (b"HTTP/1.1 200 OK\n\n", Err(E::LineEnd)),
        (b"HTTP/1.1 200 OK\n\r\n", Err(E::LineEnd)),
        (b"HTTP/1.1 200\n\r\n", Err(E::LineEnd)),
        (b"HTTP/1.1 200 OK\r\na: b\n\r\n", Err(E::LineEnd)),
        (b"HTTP/1.1 200 OK\r\na: b\r\n\n", Err(E::LineEnd)),
        (b"HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n", Err(E::FieldValue)),
    ]);
}

#[test]
fn rfc9110_5_names_and_values() {
    verdicts(&[
        (b"HTTP/1.1 200 OK\r\na : b\r\n\r\n", Err(E::FieldName)),
        (b"HTTP/1.1 200 OK\r\n a: b\r\n\r\n", Err(E::FieldName)),
        (b"HTTP/1.1 200 OK\r\na b\r\n\r\n", Err(E::FieldName)),
        (b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n", Err(E::FieldValue)),
        (b"HTTP/1.1 200 OK\r\na: \xff\xfe\r\n\r\n", Ok(())),
    ]);
}

#[test]
fn rfc9112_6_3_framing_that_contradicts_itself() {
    let with = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes();
    verdicts(&[
        (
            &with("Content-Length: 5\r\nContent-Length: 5\r\n"),
            Err(E::ContentLength),
        ),
        (
            &with("Content-Length: 5\r\nContent-Length: 6\r\n"),
            Err(E::ContentLength),
        ),
        (&with("Content-Length: 5, 5\r\n"), Err(E::ContentLength)),
        (&with("Content-Length: -1\r\n"), Err(E::ContentLength)),
        (&with("Content-Length: \r\n"), Err(E::ContentLength)),
        (
            &with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            Err(E::LengthAndCoding),
        ),
        (
            &with("Transfer-Encoding: gzip, chunked\r\n"),
            Err(E::TransferEncoding),
        ),
        (
            &with("Transfer-Encoding: identity\r\n"),
            Err(E::TransferEncoding),
        ),
        (
            &with("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
            Err(E::TransferEncoding),
        ),
        (
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            Err(E::TransferEncoding),
        ),
    ]);
}

#[test]
fn rfc9112_6_3_response_framing() {
    const LENGTH: &str = "Content-Length: 7\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    for (status, lines, is_head, is_connect, expected) in [
        (200, LENGTH, false, false, ResponseLength::Length(7)),
        (200, CHUNKED, false, false, ResponseLength::Chunked),
        (200, "", false, false, ResponseLength::UntilClose),
        (
            200,
            "Content-Length: 0\r\n",
            false,
            false,
            ResponseLength::Empty,
        ),
        (200, LENGTH, true, false, ResponseLength::Empty),
        (200, CHUNKED, true, false, ResponseLength::Empty),
        (200, "", true, false, ResponseLength::Empty),
        (200, LENGTH, false, true, ResponseLength::Empty),
        (404, LENGTH, false, true, ResponseLength::Length(7)),
        (100, "", false, false, ResponseLength::Empty),
        (103, "", false, false, ResponseLength::Empty),
        (101, "", false, false, ResponseLength::Empty),
        (204, "", false, false, ResponseLength::Empty),
        (204, LENGTH, false, false, ResponseLength::Empty),
        (204, CHUNKED, false, false, ResponseLength::Empty),
        (304, LENGTH, false, false, ResponseLength::Empty),
        (304, CHUNKED, false, false, ResponseLength::Empty),
        (205, "", false, false, ResponseLength::UntilClose),
        (500, "", false, false, ResponseLength::UntilClose),
    ] {
        let found = head(status, lines).body(is_head, is_connect);
        assert_eq!(found, expected, "{status} {lines:?} {is_head} {is_connect}");
    }
}

#[test]
fn rfc9110_8_6_no_length_in_1xx_and_204() {
    for (status, lines, reused) in [
        (204, "Content-Length: 0\r\n", true),
        (204, "Content-Length: 5\r\n", false),
        (204, "Transfer-Encoding: chunked\r\n", false),
        (100, "Content-Length: 5\r\n", false),
        (304, "Content-Length: 5\r\n", true),
    ] {
        let head = head(status, lines);
        assert_eq!(head.keep_alive(), reused, "{status} {lines}");
        assert_eq!(head.fields().is_empty(), status != 304, "{status} {lines}");
    }
}

#[test]
fn rfc9110_15_2_informational_heads_come_before_the_final_one() {
    let mut input = input(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx",
    );
    let mut head = ResponseHead::default();
    for (status, is_informational) in [(100, true), (103, true), (200, false)] {
        assert_eq!(head.decode(&mut input, &Limits::default()), Ok(true));
        assert_eq!(
            (head.status(), head.is_informational()),
            (status, is_informational)
        );
    }
    assert_eq!(input.filled(), b"x");
    assert!(
        !super::response(b"HTTP/1.1 101 x\r\n\r\n")
            .unwrap()
            .is_informational()
    );
}

#[test]
fn rfc9112_9_3_persistence_of_responses() {
    for (line, connection, expected) in [
        ("HTTP/1.1 200 OK", "", true),
        ("HTTP/1.1 200 OK", "Connection: close\r\n", false),
        ("HTTP/1.1 200 OK", "Connection: keep-alive\r\n", true),
        ("HTTP/1.0 200 OK", "", false),
        ("HTTP/1.0 200 OK", "Connection: keep-alive\r\n", true),
    ] {
        let head = response(format!("{line}\r\n{connection}\r\n").as_bytes()).unwrap();
        assert_eq!(head.keep_alive(), expected, "{line} {connection}");
    }
}

#[test]
fn too_much_is_refused() {
    let limits = Limits::default();
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}\r\n",
        "a: b\r\n".repeat(limits.fields + 1)
    );
    let long = format!(
        "HTTP/1.1 200 OK\r\na: {}\r\n\r\n",
        "b".repeat(limits.head_bytes)
    );
    let listed = format!(
        "HTTP/1.1 200 OK\r\nConnection: {}\r\n\r\n",
        "a, ".repeat(500)
    );
    verdicts(&[
        (many.as_bytes(), Err(E::TooManyFields)),
        (long.as_bytes(), Err(E::HeadTooLarge)),
        (listed.as_bytes(), Err(E::Connection)),
    ]);
}
