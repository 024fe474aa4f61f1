//! The HTTP/1.1 codec against hyper, over seeded inputs: what the fuzz target does, as a test.
//!
//! A second by default, a minute with `GATEHOUSE_LONG_TESTS=1`. A failure prints its bytes, which
//! then belong into [`FOUND`].

mod oracle;

use std::time::{Duration, Instant};

/// What once failed, or is known to be read differently.
const FOUND: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 ;a\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n",
    b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\nGET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nhello",
    b"HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];

/// Pieces that messages are put together from, good and bad.
const PIECES: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"OPTIONS ",
    b"CONNECT ",
    b"get ",
    b"/",
    b"/a?b=c",
    b"*",
    b"a:80",
    b"http://b/c",
    b"http://b",
    b"//",
    b"#f",
    b"%00",
    b"\xe9",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b" HTTP/1.2\r\n",
    b" HTTP/1.1\n",
    b"Host: a\r\n",
    b"Host: b:80\r\n",
    b"Host:\r\n",
    b"host: a b\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"content-length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length : 5\r\n",
    b"Content-Length: 05\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: CHUNKED\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked, gzip\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding:\r\n chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: x, Upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"X: y\n",
    b"X:y \t\r\n",
    b"X:\r\n",
    b" folded\r\n",
    b"a\x00b: c\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"5\r\nhello\r\n",
    b"5;a=b\r\nhello\r\n",
    b"5 ;a=\"b\"\r\nhello\r\n",
    b"0x5\r\nhello\r\n",
    b"5\nhello\r\n",
    b"5\r\nhello\n",
    b"A\r\n0123456789\r\n",
    b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n",
    b"0\r\nContent-Length: 1\r\n\r\n",
    b"00000000000000000\r\n\r\n",
    b"ffffffffffffffff1\r\n",
    b"hello",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200\r\n",
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 No\r\n",
    b"HTTP/1.1 304 x\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 x\r\n",
    b"HTTP/1.1 99 x\r\n",
];

/// A good message begins with one of these, so that the inputs get past the first line.
const BEGINNINGS: &[&[u8]] = &[
    b"",
    b"GET / HTTP/1.1\r\nHost: a\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
];

/// xorshift64*: the same inputs everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % n.max(1)
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> &'a [u8] {
        from[self.below(from.len())]
    }

    fn input(&mut self) -> Vec<u8> {
        let mut bytes = self.pick(BEGINNINGS).to_vec();
        for _ in 0..self.below(12) {
            bytes.extend_from_slice(self.pick(PIECES));
        }
        for _ in 0..self.below(3) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 if !bytes.is_empty() => bytes[at] = self.next().to_le_bytes()[0],
                1 if !bytes.is_empty() => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n\t \0;:,0aZ\x7f\xff"[self.below(13)]),
                _ => {}
            }
        }
        bytes
    }
}

#[test]
fn any_bytes_are_read_as_hyper_reads_them_or_refused() {
    for bytes in FOUND {
        oracle::check(bytes);
    }
    let is_long = std::env::var_os("GATEHOUSE_LONG_TESTS").is_some_and(|set| set == "1");
    // The same inputs on every machine, as far as the time reaches.
    let (most, time) = if is_long { (250_000, 90) } else { (640, 1) };
    let time = Duration::from_secs(time);
    let started = Instant::now();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut inputs, mut messages) = (0, 0);
    while inputs < most && started.elapsed() < time {
        for _ in 0..64 {
            messages += oracle::check(&random.input());
        }
        inputs += 64;
    }
    println!("{inputs} inputs, {messages} messages read by both");
    assert!(
        messages > inputs / 20,
        "the inputs hardly hold messages: the test says nothing"
    );
}
