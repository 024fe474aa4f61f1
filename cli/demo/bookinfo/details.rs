//! The details service: `GET /details/<id>`.

use http::{Method, Request, StatusCode};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::server::{self, Answer, App};

/// The service; it has no state.
#[derive(Debug)]
pub(super) struct Details;

/// Facts about a book, in the sample's shape and order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Book {
    pub(super) id: u32,
    pub(super) author: String,
    pub(super) year: u32,
    #[serde(rename = "type")]
    pub(super) binding: String,
    pub(super) pages: u32,
    pub(super) publisher: String,
    pub(super) language: String,
    #[serde(rename = "ISBN-10")]
    pub(super) isbn_10: String,
    #[serde(rename = "ISBN-13")]
    pub(super) isbn_13: String,
}

impl App for Details {
    async fn answer(&self, request: Request<Bytes>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return server::not_allowed("GET, HEAD");
        }
        let path = request.uri().path();
        if path == "/health" {
            return server::healthy("Details");
        }
        let Some(id) = path.strip_prefix("/details/") else {
            return server::not_found();
        };
        match server::product_id(id) {
            Some(id) => server::json(StatusCode::OK, &book(id)),
            None => {
                server::json_error(StatusCode::BAD_REQUEST, "please provide numeric product id")
            }
        }
    }
}

/// The one book there is, under whichever number it is asked for.
fn book(id: u32) -> Book {
    Book {
        id,
        author: "William Shakespeare".into(),
        year: 1595,
        binding: "paperback".into(),
        pages: 112,
        publisher: "Dromio & Dromio".into(),
        language: "English".into(),
        isbn_10: "1234567890".into(),
        isbn_13: "123-1234567890".into(),
    }
}
