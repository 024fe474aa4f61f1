//! RFC 9112 §6 and §7: bodies of every framing, whole and split at every byte.

use super::BodyError as E;
use super::*;

/// The data, the trailers, what is left in the input, and whether the body ended.
type Decoded = Result<(Vec<u8>, Vec<String>, Vec<u8>, bool), E>;

/// Decodes a body that comes in pieces.
fn decode(length: ResponseLength, pieces: &[&[u8]]) -> Decoded {
    let mut decoder = BodyDecoder::new(length);
    let mut input = ReadBuffer::new();
    let (mut data, mut trailers, mut ended) = (Vec::new(), Vec::new(), false);
    for piece in pieces {
        input.extend(piece);
        loop {
            match decoder.decode(&mut input)? {
                BodyEvent::Data(n) => {
                    assert!(n > 0, "data is never empty");
                    data.extend_from_slice(&input.filled()[..n]);
                    input.consume(n);
                }
                BodyEvent::NeedMore => break,
                BodyEvent::Trailers => {
                    let fields = decoder.trailers().unwrap();
                    trailers = fields
                        .iter()
                        .map(|(name, value)| {
                            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                            format!("{}={}", text(name), text(value))
                        })
                        .collect();
                }
                BodyEvent::End => {
                    ended = true;
                    break;
                }
            }
        }
    }
    Ok((data, trailers, input.filled().to_vec(), ended))
}

/// Decodes a chunked body whole, split in two at every byte, and byte by byte: the verdict is
/// the same each time.
fn chunked(bytes: &[u8]) -> Decoded {
    let whole = decode(ResponseLength::Chunked, &[bytes]);
    for at in 0..=bytes.len() {
        let (a, b) = bytes.split_at(at);
        let split = decode(ResponseLength::Chunked, &[a, b]);
        assert_eq!(
            split,
            whole,
            "{:?} split at {at}",
            String::from_utf8_lossy(bytes)
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(
        decode(ResponseLength::Chunked, &single),
        whole,
        "byte by byte"
    );
    let checked = BodyDecoder::new(ResponseLength::Chunked).check(bytes);
    assert_eq!(
        checked,
        whole.as_ref().map(|_| ()).map_err(|error| *error),
        "check"
    );
    whole
}

fn data(text: &str) -> Decoded {
    Ok((text.as_bytes().to_vec(), Vec::new(), Vec::new(), true))
}

#[test]
fn rfc9112_7_1_chunks() {
    for (bytes, expected) in [
        (&b"0\r\n\r\n"[..], data("")),
        (b"5\r\nhello\r\n0\r\n\r\n", data("hello")),
        (b"1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", data("abc")),
        (
            b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            data("01234567890123456789"),
        ),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", data("hello")),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", data("\r\n\r\n")),
        // Not a plain size.
        (b"\r\n", Err(E::ChunkSize)),
        (b" 5\r\nhello\r\n", Err(E::ChunkSize)),
        (b"+5\r\nhello\r\n", Err(E::ChunkSize)),
        (b"-5\r\nhello\r\n", Err(E::ChunkSize)),
        (b"0x5\r\nhello\r\n", Err(E::ChunkSize)),
        (b"5x\r\nhello\r\n", Err(E::ChunkSize)),
        (b"5_0\r\n", Err(E::ChunkSize)),
        (b"g\r\n", Err(E::ChunkSize)),
        (b"5\0\r\nhello\r\n", Err(E::ChunkSize)),
        (b"5,5\r\nhello\r\n", Err(E::ChunkSize)),
        (b";a=b\r\nhello\r\n", Err(E::ChunkSize)),
        (b"\xef\xbc\x95\r\nhello\r\n", Err(E::ChunkSize)),
        (b"5 \r\nhello\r\n", Err(E::ChunkExtension)),
        (b"5\t\r\nhello\r\n", Err(E::ChunkExtension)),
        (b"5 5\r\nhello\r\n", Err(E::ChunkExtension)),
        // Too large.
        (b"10000000000000000\r\n", Err(E::ChunkTooLarge)),
        (b"00000000000000005\r\nhello\r\n", Err(E::ChunkTooLarge)),
        (b"fffffffffffffffff\r\n", Err(E::ChunkTooLarge)),
        // Lines that do not end in CRLF.
        (b"5\nhello\r\n0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\rhello\r\n0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\r\rhello\r\n0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\r\nhello\n0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\r\nhello\r0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\r\nhello0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\r\nhelloo\r\n0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\r\nhell\r\n0\r\n\r\n", Err(E::ChunkEnd)),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", Err(E::ChunkSize)),
        (b"0\n\r\n", Err(E::ChunkEnd)),
        (b"0\r\n\n", Err(E::Trailer)),
    ] {
        assert_eq!(
            chunked(bytes),
            expected,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn rfc9112_7_1_nothing_beyond_the_end_is_taken() {
    let (data, _, rest, ended) = chunked(b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n").unwrap();
    assert_eq!(
        (data, rest, ended),
        (b"a".to_vec(), b"GET / HTTP/1.1\r\n".to_vec(), true)
    );
    let length = ResponseLength::Length(3);
    let (data, _, rest, ended) = decode(length, &[b"ab", b"cGET"]).unwrap();
    assert_eq!(
        (data, rest, ended),
        (b"abc".to_vec(), b"GET".to_vec(), true)
    );
    let (data, _, rest, ended) = decode(ResponseLength::Empty, &[b"GET"]).unwrap();
    assert_eq!((data, rest, ended), (Vec::new(), b"GET".to_vec(), true));
    let (data, _, rest, ended) = decode(ResponseLength::UntilClose, &[b"ab", b"c"]).unwrap();
    assert_eq!((data, rest, ended), (b"abc".to_vec(), Vec::new(), false));
}

#[test]
fn rfc9112_7_1_1_chunk_extensions_are_checked_and_dropped() {
    for (extension, expected) in [
        (";a", data("x")),
        (";a=b", data("x")),
        (" ; a = b ;c=\"d\\\"; e\"", data("x")),
        (";", Err(E::ChunkExtension)),
        (";;a", Err(E::ChunkExtension)),
        (";a=", Err(E::ChunkExtension)),
        (";a b", Err(E::ChunkExtension)),
        (";a=\"b", Err(E::ChunkExtension)),
        (";a=\"b\x01\"", Err(E::ChunkExtension)),
        (";a\0", Err(E::ChunkExtension)),
        (";a\n", Err(E::ChunkEnd)),
        (";a\r", Err(E::ChunkEnd)),
        (";a=\"\n\"", Err(E::ChunkEnd)),
        (";a\rb", Err(E::ChunkEnd)),
    ] {
        let bytes = format!("1{extension}\r\nx\r\n0\r\n\r\n");
        assert_eq!(chunked(bytes.as_bytes()), expected, "{extension:?}");
    }
}

#[test]
fn rfc9112_7_1_1_chunk_extensions_are_bounded_over_the_whole_body() {
    let limits = Limits::default();
    let endless = format!("1;{}", "a".repeat(limits.chunk_extension_bytes));
    assert_eq!(
        decode(ResponseLength::Chunked, &[endless.as_bytes()]),
        Err(E::ChunkExtensionsTooLarge)
    );
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(1000));
    let many = chunk.repeat(17);
    assert_eq!(
        decode(ResponseLength::Chunked, &[many.as_bytes()]),
        Err(E::ChunkExtensionsTooLarge)
    );
    assert!(decode(ResponseLength::Chunked, &[chunk.repeat(16).as_bytes()]).is_ok());
}

#[test]
fn rfc9112_7_1_2_trailers() {
    let (data, trailers, rest, ended) =
        chunked(b"1\r\na\r\n0\r\nX-Sum: 1 \r\nx-sum:2\r\nExpires:\r\n\r\nrest").unwrap();
    assert_eq!(data, b"a");
    assert_eq!(trailers, ["x-sum=1", "x-sum=2", "expires="]);
    assert_eq!((rest, ended), (b"rest".to_vec(), true));
    for (section, expected) in [
        (&b"a : b\r\n\r\n"[..], E::Trailer),
        (b"a\r\n\r\n", E::Trailer),
        (b" a: b\r\n\r\n", E::Trailer),
        (b"a: b\r\n c\r\n\r\n", E::Trailer),
        (b"a: b\n\r\n", E::Trailer),
        (b"a: b\r\n\n", E::Trailer),
        (b"a: b\0\r\n\r\n", E::Trailer),
        (b"a: b\rc\r\n\r\n", E::Trailer),
        (b"\rx\r\n\r\n", E::Trailer),
        (b"GET / HTTP/1.1\r\n\r\n", E::Trailer),
    ] {
        let bytes = [b"0\r\n", section].concat();
        assert_eq!(
            chunked(&bytes),
            Err(expected),
            "{:?}",
            String::from_utf8_lossy(section)
        );
    }
}

#[test]
fn rfc9110_6_5_1_fields_that_may_not_be_trailers() {
    for framing in ["Content-Length: 5", "transfer-encoding: chunked", "HOST: a"] {
        let bytes = format!("0\r\na: b\r\n{framing}\r\n\r\n");
        assert_eq!(chunked(bytes.as_bytes()), Err(E::TrailerField), "{framing}");
    }
    let bytes = b"0\r\nAuthorization: a\r\nok: b\r\nX-Forwarded-For: c\r\nSet-Cookie: d\r\n\r\n";
    let (_, trailers, ..) = chunked(bytes).unwrap();
    assert_eq!(trailers, ["ok=b"]);
}

#[test]
fn trailers_are_bounded() {
    let limits = Limits::default();
    let many = format!("0\r\n{}\r\n", "a: b\r\n".repeat(limits.fields + 1));
    assert_eq!(
        decode(ResponseLength::Chunked, &[many.as_bytes()]),
        Err(E::TrailerTooLarge)
    );
    let full = format!("0\r\n{}\r\n", "a: b\r\n".repeat(limits.fields));
    assert!(decode(ResponseLength::Chunked, &[full.as_bytes()]).is_ok());
    let endless = format!("0\r\na: {}", "b".repeat(limits.head_bytes));
    assert_eq!(
        decode(ResponseLength::Chunked, &[endless.as_bytes()]),
        Err(E::TrailerTooLarge)
    );
    assert_eq!(E::TrailerTooLarge.status(), 431);
}

#[test]
fn rfc9112_8_a_body_cut_short_is_an_error() {
    for (length, bytes, expected) in [
        (ResponseLength::UntilClose, &b"abc"[..], Ok(())),
        (ResponseLength::Empty, b"", Ok(())),
        (ResponseLength::Length(3), b"abc", Ok(())),
        (ResponseLength::Length(4), b"abc", Err(E::Truncated)),
        (ResponseLength::Chunked, b"", Err(E::Truncated)),
        (ResponseLength::Chunked, b"3\r\nab", Err(E::Truncated)),
        (ResponseLength::Chunked, b"3\r\nabc\r\n", Err(E::Truncated)),
        (
            ResponseLength::Chunked,
            b"3\r\nabc\r\n0\r\n",
            Err(E::Truncated),
        ),
        (ResponseLength::Chunked, b"3\r\nabc\r\n0\r\n\r\n", Ok(())),
    ] {
        let mut decoder = BodyDecoder::new(length);
        let mut input = input(bytes);
        while let BodyEvent::Data(n) = decoder.decode(&mut input).unwrap() {
            input.consume(n);
        }
        assert_eq!(
            decoder.at_eof(),
            expected,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
}

#[test]
fn bytes_that_went_past_the_input_are_counted() {
    let mut decoder = BodyDecoder::new(BodyLength::Length(1 << 40));
    let mut input = input(b"abc");
    assert_eq!(decoder.decode(&mut input), Ok(BodyEvent::Data(3)));
    input.consume(3);
    assert_eq!(decoder.remaining_length(), Some((1 << 40) - 3));
    decoder.skip((1 << 40) - 4);
    assert_eq!(decoder.remaining_length(), Some(1));
    assert!(!decoder.is_end());
    decoder.skip(1);
    assert_eq!(decoder.decode(&mut input), Ok(BodyEvent::End));
}

#[test]
fn what_is_written_is_read_again() {
    let mut trailers = Fields::new();
    trailers.append("x-sum", b"1");
    for sizes in [
        &[][..],
        &[1],
        &[9, 10, 15, 16, 17, 255, 256, 4095, 4096, 70_000],
    ] {
        let mut out = Vec::new();
        let mut expected = Vec::new();
        for &size in sizes {
            let piece = vec![b'a'; size];
            write_chunk_head(&mut out, size);
            out.extend_from_slice(&piece);
            out.extend_from_slice(CHUNK_END);
            expected.extend_from_slice(&piece);
        }
        let mut with_trailers = out.clone();
        write_last_chunk(&mut out, None);
        write_last_chunk(&mut with_trailers, Some(&trailers));
        let read = decode(ResponseLength::Chunked, &[&out]).unwrap();
        assert_eq!(read, (expected.clone(), vec![], vec![], true));
        let read = decode(ResponseLength::Chunked, &[&with_trailers]).unwrap();
        assert_eq!(read, (expected, vec!["x-sum=1".to_owned()], vec![], true));
    }
    let mut out = Vec::new();
    write_chunk_head(&mut out, 0x1a2f);
    assert_eq!(out, b"1a2f\r\n");
}
