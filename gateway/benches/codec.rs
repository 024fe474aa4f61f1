//! What the HTTP/1.1 codec costs: heads in, edited, and out again; chunks.
//!
//! The budget of the whole proxy in user space is 3 µs a request.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gatehouse_gateway::http1::{
    BodyDecoder, BodyEvent, BodyLength, Limits, ReadBuffer, RequestHead, ResponseHead,
};

const CURL: &[u8] = b"GET /productpage HTTP/1.1\r\nHost: 192.168.8.151\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nX-Request-Id: 2f9b6c0e\r\nConnection: keep-alive\r\n\r\n";

const BROWSER: &[u8] = b"GET /productpage?u=normal HTTP/1.1\r\nHost: bookinfo.home.arpa\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: http://bookinfo.home.arpa/productpage\r\nDNT: 1\r\nConnection: keep-alive\r\n\
    Cookie: session=eyJ1c2VyIjoiamFzb24ifQ.aBcDeF.0123456789abcdefghijklmnopq; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n";

const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: Mon, 23 Nov 2026 14:36:56 GMT\r\n\
    Connection: keep-alive\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 5290\r\n\
    Vary: Cookie\r\nCache-Control: no-cache\r\nETag: \"5e-6423\"\r\n\r\n";

fn heads(c: &mut Criterion) {
    let limits = Limits::default();
    let mut group = c.benchmark_group("codec");
    for (name, bytes) in [("curl, 5 fields", CURL), ("browser, 15 fields", BROWSER)] {
        let mut input = ReadBuffer::new();
        let mut head = RequestHead::default();
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("request decode/{name}"), |b| {
            b.iter(|| {
                input.extend(black_box(bytes));
                head.decode(&mut input, &limits)
            });
        });
        group.bench_function(format!("request decode, edit, encode/{name}"), |b| {
            b.iter(|| {
                input.extend(black_box(bytes));
                let complete = head.decode(&mut input, &limits);
                let fields = head.fields_mut();
                fields.remove_hop_by_hop();
                fields.set("x-forwarded-for", b"192.168.8.20");
                fields.set("x-forwarded-proto", b"http");
                fields.set("x-request-id", b"8f14e45f-ceea-467f-9d3c-5b1c0d0f6a11");
                fields.set("x-envoy-attempt-count", b"1");
                out.clear();
                head.encode(&mut out);
                black_box(&out);
                complete
            });
        });
    }
    let mut input = ReadBuffer::new();
    let mut head = ResponseHead::default();
    let mut out = Vec::new();
    group.throughput(Throughput::Bytes(RESPONSE.len() as u64));
    group.bench_function("response decode/8 fields", |b| {
        b.iter(|| {
            input.extend(black_box(RESPONSE));
            head.decode(&mut input, &limits)
        });
    });
    group.bench_function("response decode, edit, encode/8 fields", |b| {
        b.iter(|| {
            input.extend(black_box(RESPONSE));
            let complete = head.decode(&mut input, &limits);
            let fields = head.fields_mut();
            fields.remove_hop_by_hop();
            fields.set("server", b"gatehouse");
            fields.set("x-envoy-upstream-service-time", b"3");
            out.clear();
            head.encode(&mut out);
            black_box(&out);
            complete
        });
    });
    group.finish();
}

fn bodies(c: &mut Criterion) {
    let mut chunked = Vec::new();
    for _ in 0..64 {
        chunked.extend_from_slice(b"100\r\n");
        chunked.extend_from_slice(&[b'a'; 256]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let mut input = ReadBuffer::new();
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Bytes(chunked.len() as u64));
    group.bench_function("body decode/64 chunks of 256 bytes", |b| {
        b.iter(|| {
            input.extend(black_box(&chunked));
            let mut decoder = BodyDecoder::new(BodyLength::Chunked);
            while let Ok(BodyEvent::Data(n)) = decoder.decode(&mut input) {
                input.consume(n);
            }
            decoder.is_end()
        });
    });
    group.finish();
}

criterion_group!(benches, heads, bodies);
criterion_main!(benches);
