//! The framing mistakes that hyper's changelog tells of, each as a test of ours. The number is
//! hyper's version that fixed it.

use super::*;

fn post(lines: &str) -> Result<RequestHead, RequestError> {
    request(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

fn chunked(bytes: &[u8]) -> Result<Vec<u8>, BodyError> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let mut input = input(bytes);
    let mut data = Vec::new();
    loop {
        match decoder.decode(&mut input)? {
            BodyEvent::Data(n) => {
                data.extend_from_slice(&input.filled()[..n]);
                input.consume(n);
            }
            BodyEvent::Trailers => {}
            BodyEvent::NeedMore => return Err(BodyError::Truncated),
            BodyEvent::End => return Ok(data),
        }
    }
}

#[test]
fn v1_11_content_length_before_transfer_encoding_does_not_survive() {
    let error = post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").map(|_| ());
    assert_eq!(error, Err(RequestError::LengthAndCoding));
}

#[test]
fn v1_11_repeated_trailers_are_all_kept() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let event = decoder.decode(&mut input(b"0\r\na: 1\r\na: 2\r\n\r\n"));
    assert_eq!(event, Ok(BodyEvent::Trailers));
    let trailers = decoder.trailers().unwrap();
    assert_eq!(trailers.get_all("a").collect::<Vec<_>>(), [b"1", b"2"]);
    let mut out = Vec::new();
    write_last_chunk(&mut out, Some(trailers));
    assert_eq!(out, b"0\r\na: 1\r\na: 2\r\n\r\n");
}

#[test]
fn v1_11_as_many_trailers_as_fields_are_allowed() {
    let limits = Limits {
        fields: 3,
        ..Limits::default()
    };
    for (count, allowed) in [(3, true), (4, false)] {
        let bytes = format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
        let mut decoder = BodyDecoder::with_limits(BodyLength::Chunked, &limits);
        assert_eq!(
            decoder.decode(&mut input(bytes.as_bytes())).is_ok(),
            allowed
        );
    }
}

#[test]
fn v1_11_the_size_of_a_head_is_enforced_also_when_it_comes_at_once() {
    let limits = Limits {
        head_bytes: 64,
        ..Limits::default()
    };
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nx: {}\r\n\r\n", "y".repeat(64));
    let verdict = RequestHead::default().decode(&mut input(head.as_bytes()), &limits);
    assert_eq!(verdict, Err(RequestError::HeadTooLarge));
}

#[test]
fn v1_10_lengths_above_32_bits_are_counted_whole() {
    let head = post("Content-Length: 8589934593\r\n").unwrap();
    assert_eq!(head.body(), BodyLength::Length(8_589_934_593));
    let mut decoder = BodyDecoder::new(head.body());
    decoder.skip(8_589_934_592);
    assert_eq!(decoder.decode(&mut input(b"xy")), Ok(BodyEvent::Data(1)));
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let mut chunk = input(b"200000001\r\nabc");
    assert_eq!(decoder.decode(&mut chunk), Ok(BodyEvent::Data(3)));
    chunk.consume(3);
    assert_eq!(decoder.decode(&mut chunk), Ok(BodyEvent::NeedMore));
}

#[test]
fn v1_9_trailers_are_matched_in_any_case_and_the_connection_goes_on() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let mut input = input(b"0\r\nX-SUM: 1\r\n\r\nGET");
    assert_eq!(decoder.decode(&mut input), Ok(BodyEvent::Trailers));
    assert_eq!(decoder.trailers().unwrap().get("x-sum"), Some(&b"1"[..]));
    assert_eq!(decoder.decode(&mut input), Ok(BodyEvent::End));
    assert_eq!(input.filled(), b"GET");
}

#[test]
fn v1_9_bytes_that_are_not_utf8_in_connection_are_no_option() {
    let head = request(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: \xff, close\r\n\r\n");
    assert!(!head.unwrap().keep_alive());
}

#[test]
fn v1_5_2_a_head_in_parts_never_panics() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\n\r\n";
    for at in 0..head.len() {
        let (first, second) = head.split_at(at);
        let mut input = input(first);
        let mut request = RequestHead::default();
        assert_eq!(request.decode(&mut input, &Limits::default()), Ok(false));
        input.extend(second);
        assert_eq!(request.decode(&mut input, &Limits::default()), Ok(true));
    }
}

#[test]
fn v1_4_1_a_last_chunk_without_its_zero_is_refused() {
    assert_eq!(chunked(b"1\r\na\r\n\r\n\r\n"), Err(BodyError::ChunkSize));
}

#[test]
fn v1_2_a_chunk_size_without_a_digit_is_refused() {
    assert_eq!(chunked(b"\r\n\r\n"), Err(BodyError::ChunkSize));
    assert_eq!(chunked(b";x\r\n\r\n"), Err(BodyError::ChunkSize));
}

#[test]
fn v1_2_chunk_extensions_have_a_limit() {
    let bytes = "1;a=b\r\nx\r\n".repeat(5000) + "0\r\n\r\n";
    assert_eq!(
        chunked(bytes.as_bytes()),
        Err(BodyError::ChunkExtensionsTooLarge)
    );
}

#[test]
fn v0_14_10_a_content_length_with_a_plus_sign_is_refused() {
    assert_eq!(
        post("Content-Length: +5\r\n").map(|_| ()),
        Err(RequestError::ContentLength)
    );
}

#[test]
fn v0_14_10_a_chunk_size_that_overflows_is_refused() {
    assert_eq!(
        chunked(b"f0000000000000003\r\nabc\r\n0\r\n\r\n"),
        Err(BodyError::ChunkTooLarge)
    );
}

#[test]
fn v0_14_3_several_content_lengths_in_one_line_are_refused() {
    assert_eq!(
        post("Content-Length: 5, 5\r\n").map(|_| ()),
        Err(RequestError::ContentLength)
    );
}

#[test]
fn v0_14_2_several_transfer_encodings_are_not_read_as_the_last() {
    let lines = "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n";
    assert_eq!(post(lines).map(|_| ()), Err(RequestError::TransferEncoding));
}

#[test]
fn v0_14_0_a_body_until_close_ends_the_connection() {
    let head = response(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert_eq!(head.body(false, false), ResponseLength::UntilClose);
}

#[test]
fn v0_13_1_a_response_with_another_coding_is_never_read_as_chunked() {
    let error = response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: yolo\r\n\r\n").map(|_| ());
    assert_eq!(error, Err(ResponseError::TransferEncoding));
}

#[test]
fn v0_12_no_body_after_204_and_304_and_none_after_connect() {
    for status in [204, 304] {
        let head = format!("HTTP/1.1 {status} x\r\n\r\n");
        let head = response(head.as_bytes()).unwrap();
        assert_eq!(head.body(false, false), ResponseLength::Empty);
        assert!(head.keep_alive());
    }
    let head = response(b"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\n").unwrap();
    assert_eq!(head.body(false, true), ResponseLength::Empty);
}

#[test]
fn v0_10_the_line_after_the_last_chunk_is_consumed() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked);
    let mut input = input(b"0\r\n\r\nnext");
    assert_eq!(decoder.decode(&mut input), Ok(BodyEvent::End));
    assert_eq!(input.filled(), b"next");
}
