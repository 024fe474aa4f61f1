//! Heads: decoding, editing, encoding.

use super::*;

const CURL: &[u8] = b"GET /productpage?u=1 HTTP/1.1\r\nHost: bookinfo.example:8080\r\n\
    User-Agent:  curl/8.5.0 \r\nAccept: */*\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close\r\n\r\n";

#[test]
fn a_head_is_decoded_edited_and_encoded() {
    let mut head = request(CURL).unwrap();
    assert_eq!(head.method(), b"GET");
    assert_eq!(head.path(), b"/productpage");
    assert_eq!(head.query(), Some(&b"u=1"[..]));
    assert_eq!(head.authority(), b"bookinfo.example:8080");
    assert_eq!(head.body(), BodyLength::Empty);
    assert_eq!(head.wire_len(), CURL.len());
    assert!(!head.keep_alive());
    assert_eq!(head.fields().len(), 4);
    assert_eq!(head.fields().get("user-agent"), Some(&b"curl/8.5.0"[..]));
    assert_eq!(head.fields().known(KnownName::Host), None);

    head.fields_mut().remove_hop_by_hop();
    head.fields_mut()
        .set("x-forwarded-for", b"10.0.0.1,192.168.8.1");
    head.fields_mut().append("x-request-id", b"1234");
    head.set_path(b"/");
    head.set_authority(b"inside");
    assert_eq!(
        encoded(&head),
        "GET /?u=1 HTTP/1.1\r\nhost: inside\r\nuser-agent: curl/8.5.0\r\naccept: */*\r\n\
         x-forwarded-for: 10.0.0.1,192.168.8.1\r\nx-request-id: 1234\r\n\r\n"
    );
}

#[test]
fn what_follows_a_head_stays_in_the_input() {
    for following in [&b""[..], b"x", &[b'y'; 9000], &[b'z'; 40_000]] {
        let bytes = [CURL, following].concat();
        let mut input = input(&bytes);
        let mut head = RequestHead::default();
        assert_eq!(head.decode(&mut input, &Limits::default()), Ok(true));
        assert_eq!(input.filled(), following);
        assert_eq!(head.fields().get("accept"), Some(&b"*/*"[..]));
        assert_eq!(head.path(), b"/productpage");
    }
}

#[test]
fn pipelined_heads_reuse_one_head() {
    let bytes = [CURL, b"POST /b HTTP/1.1\r\nhost: b\r\n\r\n", CURL].concat();
    let mut input = input(&bytes);
    let mut head = RequestHead::default();
    let mut paths = Vec::new();
    while head.decode(&mut input, &Limits::default()).unwrap() {
        paths.push(String::from_utf8(head.path().to_vec()).unwrap());
    }
    assert_eq!(paths, ["/productpage", "/b", "/productpage"]);
    assert!(input.is_empty());
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let mut input = ReadBuffer::new();
    let mut head = RequestHead::default();
    for (i, byte) in CURL.iter().enumerate() {
        input.extend(&[*byte]);
        let complete = head.decode(&mut input, &Limits::default()).unwrap();
        assert_eq!(complete, i + 1 == CURL.len(), "after {} bytes", i + 1);
    }
    assert_eq!(head.fields().len(), 4);
}

#[test]
fn a_response_is_decoded_and_encoded() {
    let mut head = response(
        b"HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nServer: x\r\nKeep-Alive: timeout=5\r\n\r\n",
    )
    .unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(head.body(false, false), ResponseLength::Length(5));
    assert_eq!(head.body(true, false), ResponseLength::Empty);
    assert!(head.keep_alive());
    head.fields_mut().remove_hop_by_hop();
    head.fields_mut().set("server", b"gatehouse");
    let mut out = Vec::new();
    head.encode(&mut out);
    assert_eq!(
        out,
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nserver: gatehouse\r\n\r\n"
    );
}
