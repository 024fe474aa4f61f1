//! The product page: HTML for people, JSON under /api/v1/products, and a session.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;

use super::Layout;
use super::client::Client;
use super::details::Book;
use super::headers::passed_on;
use super::html::{self, Part};
use super::reviews::ReviewsOf;
use super::server::{self, Answer, App, text};

/// How long one call to another service may take, as in the sample.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Calls for the reviews before the page says sorry, as in the sample.
const REVIEWS_TRIES: usize = 2;
/// The cookie that holds the signed-in user's name. The sample checks no password either.
const SESSION: &str = "session";
/// The longest user name.
const MAX_USER: usize = 64;

const HTML: &str = "text/html; charset=utf-8";
const SORRY_DETAILS: &str = "Sorry, product details are currently unavailable for this book.";
const SORRY_REVIEWS: &str = "Sorry, product reviews are currently unavailable for this book.";
const SORRY_RATINGS: &str = "Sorry, product ratings are currently unavailable for this book.";

/// The service.
#[derive(Debug)]
pub(super) struct Productpage {
    layout: Layout,
    client: Client,
    /// Which version of reviews is asked next: in turn, as no mesh chooses here.
    turn: AtomicUsize,
}

impl App for Productpage {
    async fn answer(&self, request: Request<Bytes>) -> Answer {
        let user = signed_in(request.headers());
        let user = user.as_deref();
        let path = request.uri().path();
        let read = matches!(*request.method(), Method::GET | Method::HEAD);
        match path {
            "/login" if request.method() == Method::POST => login(request.body()),
            "/login" => server::not_allowed("POST"),
            _ if !read => server::not_allowed("GET, HEAD"),
            "/" | "/index.html" => text(StatusCode::OK, HTML, html::index_page(user)),
            "/health" => text(
                StatusCode::OK,
                "text/plain; charset=utf-8",
                "Product page is healthy",
            ),
            "/logout" => redirect("session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),
            "/productpage" => self.page(user, request.headers()).await,
            "/static/bookinfo.css" => file("text/css", include_str!("assets/bookinfo.css")),
            "/static/book.svg" => file("image/svg+xml", include_str!("assets/book.svg")),
            "/api/v1/products" => server::json(
                StatusCode::OK,
                &serde_json::json!([{
                    "id": 0,
                    "title": html::TITLE,
                    "descriptionHtml": html::DESCRIPTION,
                }]),
            ),
            _ => match path.strip_prefix("/api/v1/products/") {
                Some(product) => self.api(product, user, request.headers()).await,
                None => server::not_found(),
            },
        }
    }
}

impl Productpage {
    pub(super) fn new(layout: Layout, client: Client) -> Self {
        Self {
            layout,
            client,
            turn: AtomicUsize::new(0),
        }
    }

    async fn page(&self, user: Option<&str>, request: &HeaderMap) -> Answer {
        let headers = onward(request, user);
        let (details, reviews) = tokio::join!(self.details(0, &headers), self.reviews(0, &headers));
        let details: Part<Book> = parsed(details).ok_or(SORRY_DETAILS);
        let reviews: Part<ReviewsOf> = parsed(reviews).ok_or(SORRY_REVIEWS);
        text(
            StatusCode::OK,
            HTML,
            html::product_page(user, &details, &reviews),
        )
    }

    /// `/api/v1/products/<id>`, `…/reviews` and `…/ratings`: the other services' own JSON.
    async fn api(&self, product: &str, user: Option<&str>, request: &HeaderMap) -> Answer {
        let (id, part) = match product.split_once('/') {
            Some((id, part)) => (id, Some(part)),
            None => (product, None),
        };
        let Some(id) = server::product_id(id) else {
            return server::not_found();
        };
        let headers = onward(request, user);
        let (called, sorry) = match part {
            None => (self.details(id, &headers).await, SORRY_DETAILS),
            Some("reviews") => (self.reviews(id, &headers).await, SORRY_REVIEWS),
            Some("ratings") => {
                let path = format!("/ratings/{id}");
                let called = self.call(self.layout.ratings, &path, &headers).await;
                (called, SORRY_RATINGS)
            }
            Some(_) => return server::not_found(),
        };
        match called {
            Some((StatusCode::OK, body)) => text(StatusCode::OK, "application/json", body),
            Some((status, _)) => server::json_error(status, sorry),
            None => server::json_error(StatusCode::INTERNAL_SERVER_ERROR, sorry),
        }
    }

    async fn details(&self, id: u32, headers: &HeaderMap) -> Option<(StatusCode, Bytes)> {
        let path = format!("/details/{id}");
        self.call(self.layout.details, &path, headers).await
    }

    async fn reviews(&self, id: u32, headers: &HeaderMap) -> Option<(StatusCode, Bytes)> {
        let path = format!("/reviews/{id}");
        let mut last = None;
        for _ in 0..REVIEWS_TRIES {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let version = self.layout.reviews[turn % self.layout.reviews.len()];
            last = self.call(version, &path, headers).await;
            if matches!(last, Some((StatusCode::OK, _))) {
                break;
            }
        }
        last
    }

    async fn call(
        &self,
        address: std::net::SocketAddr,
        path: &str,
        headers: &HeaderMap,
    ) -> Option<(StatusCode, Bytes)> {
        self.client
            .get(address, path, headers, CALL_TIMEOUT)
            .await
            .inspect_err(|error| tracing::debug!(%address, path, %error, "no answer"))
            .ok()
    }
}

/// The headers of onward calls: those passed on, and who is signed in.
fn onward(request: &HeaderMap, user: Option<&str>) -> HeaderMap {
    let mut headers = passed_on(request);
    if let Some(user) = user.and_then(|user| HeaderValue::from_str(user).ok()) {
        headers.insert("end-user", user);
    }
    headers
}

/// The body of a good answer, read as JSON.
fn parsed<T: DeserializeOwned>(called: Option<(StatusCode, Bytes)>) -> Option<T> {
    let (_, body) = called.filter(|(status, _)| *status == StatusCode::OK)?;
    serde_json::from_slice(&body)
        .inspect_err(|error| tracing::debug!(%error, "an answer is not as expected"))
        .ok()
}

/// The user of the session cookie.
fn signed_in(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, user)| *name == SESSION && is_user(user))
        .map(|(_, user)| user.to_owned())
}

/// Names that need no quoting in a cookie or a header.
fn is_user(name: &str) -> bool {
    (1..=MAX_USER).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-@+".contains(&b))
}

/// Reads the form and starts the session.
fn login(form: &[u8]) -> Answer {
    let user = form_urlencoded::parse(form)
        .find(|(name, _)| name == "username")
        .map(|(_, user)| user.trim().to_owned())
        .filter(|user| is_user(user));
    match user {
        Some(user) => redirect(&format!("{SESSION}={user}; Path=/; HttpOnly; SameSite=Lax")),
        None => text(
            StatusCode::BAD_REQUEST,
            HTML,
            html::message_page(
                None,
                "A user name has 1 to 64 letters, digits or the signs . _ - @ +",
            ),
        ),
    }
}

/// Back to the book, with a cookie.
fn redirect(cookie: &str) -> Answer {
    let mut answer = text(StatusCode::FOUND, HTML, "");
    let headers = answer.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_static("/productpage"));
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        headers.insert(SET_COOKIE, cookie);
    }
    answer
}

/// A file of the binary's own.
fn file(content_type: &'static str, content: &'static str) -> Answer {
    let mut answer = text(StatusCode::OK, content_type, content);
    answer.headers_mut().insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    answer
}
