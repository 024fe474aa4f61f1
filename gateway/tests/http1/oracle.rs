//! What must hold for any bytes, with hyper as the second opinion.
//!
//! * Nothing panics.
//! * However the bytes are split, the verdict and what is read are the same.
//! * What is accepted and written again is accepted again and means the same, to hyper too.
//! * Where hyper refuses, so do we; where both accept, both read the same messages.
//!
//! Where framing differs there is no exception to list: every message that hyper frames by a rule
//! of its own (equal lengths in one line, a length beside chunks, bare LF) is refused here. The
//! one difference that is not about framing: `OPTIONS http://a` is `*` to us, as RFC 9112 §3.2.4
//! has it, and `/` to hyper.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gatehouse_gateway::http1::{
    BodyDecoder, BodyEvent, Limits, ReadBuffer, RequestHead, ResponseHead, ResponseLength,
};
use http_body_util::{BodyExt, Empty};
use hyper::rt::{Read, ReadBufCursor, Write};

/// One message as somebody read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// `METHOD target`, or the status.
    start: String,
    /// Name and value, without framing and Host.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// Whether the body ended.
    is_whole: bool,
}

/// What was read of a connection: its messages, and whether something was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    messages: Vec<Message>,
    is_refused: bool,
}

/// Everything that must hold for these bytes, as requests and as a response. How many messages
/// both read whole.
pub fn check(bytes: &[u8]) -> usize {
    check_requests(bytes) + check_response(bytes)
}

fn check_requests(bytes: &[u8]) -> usize {
    let ours = requests(&[bytes]);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    check_split(&ours, &[first, second], bytes);
    if bytes.len() <= 128 {
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        check_split(&ours, &single, bytes);
    }
    check_written_again(bytes);
    compare(&ours, &hyper_requests(bytes), bytes)
}

/// In pieces the same messages come out. What is refused at once may be refused only when its
/// head ends, for a head is not parsed anew with every byte.
fn check_split(ours: &Reading, pieces: &[&[u8]], bytes: &[u8]) {
    let whole = |reading: &Reading| -> Vec<Message> {
        reading
            .messages
            .iter()
            .filter(|message| message.is_whole)
            .cloned()
            .collect()
    };
    let split = requests(pieces);
    assert_eq!(whole(&split), whole(ours), "{}", show(bytes));
    if split.is_refused != ours.is_refused {
        assert!(ours.is_refused, "refused only in pieces: {}", show(bytes));
        let ended = [pieces, &[b"\r\n\r\n"]].concat();
        assert!(
            requests(&ended).is_refused,
            "never refused in pieces: {}",
            show(bytes)
        );
    }
}

fn compare(ours: &Reading, hyper: &Reading, bytes: &[u8]) -> usize {
    for (i, message) in ours
        .messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message.is_whole)
    {
        let Some(mut theirs) = hyper.messages.get(i).cloned() else {
            panic!(
                "hyper refuses message {i}, we accept it\n{message:?}\n{hyper:?}\n{}",
                show(bytes)
            );
        };
        if message.start == "OPTIONS *" && theirs.start == "OPTIONS /" {
            theirs.start.clone_from(&message.start);
        }
        assert_eq!(*message, theirs, "message {i} differs\n{}", show(bytes));
    }
    // Where we stop early we say so; a message that hyper has whole and we lack was refused.
    let whole = |reading: &Reading| reading.messages.iter().filter(|m| m.is_whole).count();
    if whole(ours) < whole(hyper) {
        assert!(
            ours.is_refused,
            "we lost a message\n{ours:?}\n{hyper:?}\n{}",
            show(bytes)
        );
    }
    if hyper.is_refused && !ours.is_refused {
        let last_is_open = ours
            .messages
            .last()
            .is_some_and(|message| !message.is_whole);
        assert!(
            last_is_open || whole(ours) == whole(hyper),
            "hyper refuses, we do not\n{ours:?}\n{hyper:?}\n{}",
            show(bytes)
        );
    }
    whole(ours)
}

/// An accepted head, written and read again by us and by hyper, is the same.
fn check_written_again(bytes: &[u8]) {
    let mut input = ReadBuffer::new();
    input.extend(bytes);
    let mut head = RequestHead::default();
    if head.decode(&mut input, &Limits::default()) != Ok(true) || head.is_connect() {
        return;
    }
    let mut written = Vec::new();
    head.encode(&mut written);
    if head.authority().is_empty() {
        return; // HTTP/1.0 without Host: never forwarded as it is.
    }
    input = ReadBuffer::new();
    input.extend(&written);
    let mut again = RequestHead::default();
    let limits = Limits {
        head_bytes: usize::MAX,
        ..Limits::default()
    };
    assert_eq!(
        again.decode(&mut input, &limits),
        Ok(true),
        "{}",
        show(&written)
    );
    assert_eq!(again.target(), head.target());
    assert_eq!(again.authority(), head.authority());
    assert_eq!(again.body(), head.body());
    let (fields, same) = (head.fields().iter(), again.fields().iter());
    assert!(fields.eq(same), "{}", show(&written));
}

/// All requests that we read from these pieces.
fn requests(pieces: &[&[u8]]) -> Reading {
    let mut reading = Reading::default();
    let mut input = ReadBuffer::new();
    let mut head = RequestHead::default();
    let mut body: Option<BodyDecoder> = None;
    let mut goes_on = true;
    for piece in pieces {
        input.extend(piece);
        while goes_on {
            if let Some(decoder) = &mut body {
                match read_body(decoder, &mut input, &mut reading) {
                    Some(true) => body = None,
                    Some(false) => break,
                    None => return reading,
                }
                goes_on = head.keep_alive();
                continue;
            }
            match head.decode(&mut input, &Limits::default()) {
                Ok(true) => {
                    let start = [head.method(), b" ", head.target()].concat();
                    reading.messages.push(message(&start, head.fields().iter()));
                    body = Some(BodyDecoder::new(head.body()));
                }
                Ok(false) => break,
                Err(_) => {
                    reading.is_refused = true;
                    return reading;
                }
            }
        }
    }
    reading
}

/// Goes on with the last message's body: whether it ended, or `None` when it is refused.
fn read_body(
    decoder: &mut BodyDecoder,
    input: &mut ReadBuffer,
    reading: &mut Reading,
) -> Option<bool> {
    let message = reading.messages.last_mut()?;
    let checked = decoder.check(input.filled());
    let verdict = loop {
        match decoder.decode(input) {
            Ok(BodyEvent::Data(n)) => {
                message.body.extend_from_slice(input.filled().get(..n)?);
                input.consume(n);
            }
            Ok(BodyEvent::Trailers) => {}
            Ok(BodyEvent::NeedMore) => break Ok(false),
            Ok(BodyEvent::End) => break Ok(true),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(
        checked.err(),
        verdict.err(),
        "check says something else than decode"
    );
    match verdict {
        Ok(ended) => {
            message.is_whole = ended;
            Some(ended)
        }
        Err(_) => {
            reading.is_refused = true;
            None
        }
    }
}

fn check_response(bytes: &[u8]) -> usize {
    let ours = final_response(bytes);
    compare(&ours, &hyper_response(bytes), bytes)
}

/// The final response to a GET that we read, the connection closed after these bytes.
fn final_response(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut input = ReadBuffer::new();
    input.extend(bytes);
    let mut head = ResponseHead::default();
    loop {
        match head.decode(&mut input, &Limits::default()) {
            Ok(true) if head.is_informational() => continue,
            // Nobody asked for another protocol: the exchange answers 502 in its place.
            Ok(true) if head.status() == 101 => {
                reading.is_refused = true;
                return reading;
            }
            Ok(true) => break,
            Ok(false) => return reading,
            Err(_) => {
                reading.is_refused = true;
                return reading;
            }
        }
    }
    let start = head.status().to_string();
    reading
        .messages
        .push(message(start.as_bytes(), head.fields().iter()));
    let length: ResponseLength = head.body(false, false);
    let mut decoder = BodyDecoder::new(length);
    if read_body(&mut decoder, &mut input, &mut reading) == Some(false) {
        let ended = decoder.at_eof().is_ok();
        if let Some(message) = reading.messages.last_mut() {
            message.is_whole = ended;
        }
    }
    reading
}

fn message<'a>(start: &[u8], fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Message {
    let fields = fields.map(|(name, value)| (name.to_vec(), value.to_vec()));
    Message {
        start: String::from_utf8_lossy(start).into_owned(),
        fields: comparable(fields.collect()),
        ..Message::default()
    }
}

/// Sorted as hyper's map gives them, without those that one side takes out.
fn comparable(fields: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let listed: Vec<Vec<u8>> = fields
        .iter()
        .filter(|(name, _)| name == b"connection")
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .map(|option| option.trim_ascii().to_ascii_lowercase())
        .collect();
    let removed: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];
    let mut left: Vec<(String, Vec<u8>)> = fields
        .into_iter()
        .filter(|(name, _)| !removed.contains(&name.as_slice()) && !listed.contains(name))
        .map(|(name, value)| (String::from_utf8_lossy(&name).into_owned(), value))
        .collect();
    left.sort();
    left
}

/// All requests that hyper's server reads.
fn hyper_requests(bytes: &[u8]) -> Reading {
    let reading = Rc::new(RefCell::new(Reading::default()));
    let seen = Rc::clone(&reading);
    let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
        let seen = Rc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let query = parts
                .uri
                .query()
                .map(|query| format!("?{query}"))
                .unwrap_or_default();
            let target = match &parts.method {
                &hyper::Method::CONNECT => parts.uri.to_string(),
                _ => format!("{}{query}", parts.uri.path()),
            };
            let fields = parts.headers.iter();
            let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
            let start = format!("{} {target}", parts.method);
            seen.borrow_mut()
                .messages
                .push(message(start.as_bytes(), fields));
            let (data, is_whole) = collect(body).await;
            if let Some(message) = seen.borrow_mut().messages.last_mut() {
                message.body = data;
                message.is_whole = is_whole;
            }
            let response = hyper::Response::builder()
                .status(404)
                .body(Empty::<Bytes>::new());
            Ok::<_, Infallible>(response.unwrap_or_default())
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    let connection = pin!(
        builder
            .half_close(true)
            .serve_connection(Wire::client(bytes), service)
    );
    let is_refused = !matches!(drive(connection), Some(Ok(())));
    let mut reading = reading.borrow().clone();
    reading.is_refused = is_refused;
    reading
}

/// The response to a GET that hyper's client reads.
fn hyper_response(bytes: &[u8]) -> Reading {
    let mut reading = Reading {
        is_refused: true,
        ..Reading::default()
    };
    let handshake = pin!(hyper::client::conn::http1::handshake(Wire::server(bytes)));
    let Some(Ok((mut sender, mut connection))) = drive(handshake) else {
        return reading;
    };
    let request = hyper::Request::builder()
        .uri("/")
        .header("host", "a")
        .body(Empty::<Bytes>::new());
    let response = sender.send_request(request.unwrap_or_default());
    let exchange = async {
        let (parts, body) = response.await.ok()?.into_parts();
        let fields = parts.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let mut message = message(parts.status.as_str().as_bytes(), fields);
        (message.body, message.is_whole) = collect(body).await;
        Some(message)
    };
    let mut exchange = pin!(exchange);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..ROUNDS {
        let _ = Pin::new(&mut connection).poll(&mut context);
        if let Poll::Ready(message) = exchange.as_mut().poll(&mut context) {
            reading.is_refused = !message.as_ref().is_some_and(|message| message.is_whole);
            reading.messages.extend(message);
            break;
        }
    }
    reading
}

async fn collect(mut body: hyper::body::Incoming) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => data.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => return (data, false),
        }
    }
    (data, true)
}

/// More than any reading needs, for the wire is always ready; what is not done then never is.
const ROUNDS: usize = 64;

/// Polls until it is ready; nothing here ever waits for something outside.
fn drive<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..ROUNDS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

/// A peer that sends these bytes, closes, and takes whatever comes.
struct Wire {
    bytes: Vec<u8>,
    at: usize,
    /// Sends nothing before it was sent something, as a server.
    waits: bool,
}

impl Wire {
    fn client(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            at: 0,
            waits: false,
        }
    }

    fn server(bytes: &[u8]) -> Self {
        Self {
            waits: true,
            ..Self::client(bytes)
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waits {
            return Poll::Pending;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..n).unwrap_or_default());
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.waits = false;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn show(bytes: &[u8]) -> String {
    format!("bytes: b\"{}\"", bytes.escape_ascii())
}
