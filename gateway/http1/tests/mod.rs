//! The codec as a whole; tests of one file's insides are beside it.

mod bodies;
mod heads;
mod hyper_changelog;
mod responses;
mod rfc9110;
mod rfc9112;

use super::*;

/// An input that holds these bytes.
fn input(bytes: &[u8]) -> ReadBuffer {
    let mut input = ReadBuffer::new();
    input.extend(bytes);
    input
}

/// Decodes a request that is complete.
fn request(bytes: &[u8]) -> Result<RequestHead, RequestError> {
    let mut head = RequestHead::default();
    let complete = head.decode(&mut input(bytes), &Limits::default())?;
    assert!(complete, "incomplete: {:?}", String::from_utf8_lossy(bytes));
    Ok(head)
}

/// Decodes a response that is complete.
fn response(bytes: &[u8]) -> Result<ResponseHead, ResponseError> {
    let mut head = ResponseHead::default();
    let complete = head.decode(&mut input(bytes), &Limits::default())?;
    assert!(complete, "incomplete: {:?}", String::from_utf8_lossy(bytes));
    Ok(head)
}

/// What `encode` writes, as text.
fn encoded(head: &RequestHead) -> String {
    let mut out = Vec::new();
    head.encode(&mut out);
    String::from_utf8(out).unwrap()
}
