//! Heads of HTTP/2 as those of HTTP/1.1, and back.

use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, uri};

use crate::http1::{
    BodyLength, Fields, KnownName, Limits, RequestError, RequestHead, ResponseHead,
    is_valid_authority, is_valid_target,
};
use crate::http2::names::{Name, name_of};

/// Puts a request's head into `head`, in place of the one that was there; `ends` where no body
/// follows.
///
/// # Errors
///
/// What RFC 9113 §8.3.1 or RFC 9110 forbids and h2 lets through. `head` is as it was then.
pub fn request<B>(
    request: &http::Request<B>,
    ends: bool,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<(), RequestError> {
    let (fields, uri) = (request.headers(), request.uri());
    let is_connect = request.method() == Method::CONNECT;
    let host = fields.get(http::header::HOST).map(HeaderValue::as_bytes);
    let authority = uri.authority();
    let authority = authority
        .map(|authority| authority.as_str().as_bytes())
        .or(host)
        .ok_or(RequestError::HostMissing)?;
    if !is_valid_authority(authority) {
        return Err(RequestError::Host);
    }
    let asks_for = request.extensions().get::<Protocol>();
    // RFC 8441: what was a GET with an Upgrade.
    let method = match asks_for {
        Some(_) => b"GET",
        None => request.method().as_str().as_bytes(),
    };
    let target = match uri.path_and_query() {
        _ if is_connect && asks_for.is_none() => authority,
        Some(target) => target.as_str().as_bytes(),
        None => b"/",
    };
    if !is_connect && !is_valid_target(method, target) {
        return Err(RequestError::Target);
    }
    if fields.len() > limits.fields {
        return Err(RequestError::TooManyFields);
    }
    let body = match fields.get(http::header::CONTENT_LENGTH) {
        _ if ends || asks_for.is_some() => BodyLength::Empty,
        None => BodyLength::Chunked,
        Some(length) => match length.to_str().ok().and_then(|text| text.parse().ok()) {
            None => return Err(RequestError::ContentLength),
            Some(0) => BodyLength::Empty,
            Some(length) => BodyLength::Length(length),
        },
    };
    head.restart(method, target, authority);
    copy(fields, head.fields_mut());
    join_cookies(head.fields_mut());
    if let Some(protocol) = asks_for {
        head.offer_upgrade(protocol.as_str());
    }
    head.set_body(body);
    Ok(())
}

/// Several cookie fields are one for HTTP/1.1 (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut Fields) {
    if fields.known_all(KnownName::Cookie).nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = fields.known_all(KnownName::Cookie).collect();
    let joined = all.join(&b"; "[..]);
    fields.set(KnownName::Cookie.as_str(), &joined);
}

/// A WebSocket over HTTP/2 has no key, and one over HTTP/1.1 needs one (RFC 8441 §5): 16 bytes by
/// chance, in base64.
pub fn add_websocket_key(head: &mut RequestHead, mut below_64: impl FnMut() -> u32) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut key = *b"AAAAAAAAAAAAAAAAAAAAAA==";
    for letter in key.iter_mut().take(21) {
        let index = usize::try_from(below_64()).unwrap_or_default();
        *letter = ALPHABET[index % ALPHABET.len()];
    }
    head.fields_mut().set("sec-websocket-key", &key);
}

/// The request for an HTTP/2 upstream. An upgrade to a WebSocket becomes an extended CONNECT.
///
/// # Errors
///
/// A head that HTTP/2 cannot say.
pub fn to_request(head: &RequestHead, scheme: &str) -> Result<http::Request<()>, http::Error> {
    let authority = uri::Authority::from_maybe_shared(Bytes::copy_from_slice(head.authority()))?;
    let target = uri::PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(head.target()))?;
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(target)
        .build()?;
    let mut request = http::Request::new(());
    *request.uri_mut() = uri;
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = match head.upgrade() {
        None => Method::from_bytes(head.method())?,
        Some(protocol) => {
            let protocol = String::from_utf8_lossy(protocol).into_owned();
            request.extensions_mut().insert(Protocol::from(&*protocol));
            Method::CONNECT
        }
    };
    to_headers(head.fields(), request.headers_mut());
    Ok(request)
}

/// A response's head.
pub fn response(status: StatusCode, fields: &HeaderMap, ends: bool, head: &mut ResponseHead) {
    head.clear();
    head.set_status(status.as_u16());
    copy(fields, head.fields_mut());
    head.frame();
    if ends {
        head.set_empty();
    }
}

/// The response for an HTTP/2 client. A switch of protocols is a plain success there (RFC 8441 §5).
pub fn to_response(head: &ResponseHead) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = match head.status() {
        101 => StatusCode::OK,
        status => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
    };
    to_headers(head.fields(), response.headers_mut());
    if head.status() == 101 {
        response.headers_mut().remove("sec-websocket-accept");
    }
    response
}

/// Trailers.
pub fn trailers(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    copy(map, &mut fields);
    fields
}

/// Trailers, to be sent.
pub fn to_trailers(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    to_headers(fields, &mut map);
    map
}

fn copy(map: &HeaderMap, fields: &mut Fields) {
    for (name, value) in map {
        if name != http::header::HOST {
            fields.append(name.as_str(), value.as_bytes());
        }
    }
}

fn to_headers(fields: &Fields, map: &mut HeaderMap) {
    map.reserve(fields.len());
    for (known, name, value) in fields.iter_known() {
        let name = match name_of(known) {
            Name::Ready(name) => Ok(name.clone()),
            Name::Other => HeaderName::from_bytes(name),
            Name::Left => continue,
        };
        // What cannot be said in HTTP/2 cannot have come in by HTTP/1.1 either.
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::ResponseLength;

    /// The head of a request, in place of another's.
    fn head_of(request: http::request::Builder, ends: bool) -> Result<RequestHead, RequestError> {
        let request = request.body(()).unwrap();
        let mut head = RequestHead::new(b"PUT", b"/earlier", b"earlier.lan");
        head.fields_mut().append("x-earlier", b"1");
        head.offer_upgrade("earlier");
        head.set_body(BodyLength::Length(9));
        super::request(&request, ends, &Limits::default(), &mut head)?;
        Ok(head)
    }

    #[test]
    fn a_request_comes_out_as_one_of_http1() {
        let builder = http::Request::builder()
            .method("POST")
            .uri("https://a.lan/x?y=1")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("host", "other.lan")
            .header("content-length", "5");
        let head = head_of(builder, false).unwrap();
        assert_eq!(head.method(), b"POST");
        assert_eq!(head.target(), b"/x?y=1");
        assert_eq!(head.authority(), b"a.lan");
        assert_eq!(head.body(), BodyLength::Length(5));
        let fields: Vec<_> = head.fields().iter().collect();
        assert_eq!(fields.len(), 2, "{fields:?}");
        assert_eq!(head.fields().get("cookie"), Some(&b"a=1; b=2"[..]));
        assert_eq!(head.upgrade(), None);
    }

    #[test]
    fn a_websocket_becomes_an_upgrade_and_back() {
        let mut builder = http::Request::builder()
            .method("CONNECT")
            .uri("https://a.lan/chat");
        builder = builder.extension(Protocol::from_static("websocket"));
        let head = head_of(builder, false).unwrap();
        assert_eq!(head.method(), b"GET");
        assert_eq!(head.upgrade(), Some(&b"websocket"[..]));
        assert_eq!(head.body(), BodyLength::Empty);
        let back = to_request(&head, "http").unwrap();
        assert_eq!(back.method(), Method::CONNECT);
        assert!(back.headers().get("upgrade").is_none());
    }

    #[test]
    fn what_names_no_host_is_refused() {
        let builder = http::Request::builder().method("GET").uri("/");
        let refused = head_of(builder, true);
        assert_eq!(refused.unwrap_err(), RequestError::HostMissing);
    }

    #[test]
    fn a_response_that_ends_with_its_head_has_no_body() {
        let mut head = ResponseHead::default();
        response(StatusCode::OK, &HeaderMap::new(), true, &mut head);
        assert_eq!(head.body(false, false), ResponseLength::Empty);
        response(StatusCode::OK, &HeaderMap::new(), false, &mut head);
        assert_eq!(head.body(false, false), ResponseLength::UntilClose);
    }
}
