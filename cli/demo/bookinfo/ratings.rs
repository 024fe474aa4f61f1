//! The ratings service: `GET /ratings/<id>`, and `POST /ratings/<id>` to replace them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::{Method, Request, StatusCode};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::server::{self, Answer, App};

/// Products whose ratings may be replaced; the memory that posts can take is bounded.
const MAX_PRODUCTS: usize = 64;
/// Reviewers per product.
const MAX_REVIEWERS: usize = 64;

/// The service, with the ratings that were posted.
#[derive(Debug, Default)]
pub(super) struct Ratings {
    posted: Mutex<BTreeMap<u32, Stars>>,
}

/// Stars by reviewer.
type Stars = BTreeMap<String, u32>;

/// The answer, in the sample's shape.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RatingsOf {
    pub(super) id: u32,
    pub(super) ratings: Stars,
}

impl App for Ratings {
    async fn answer(&self, request: Request<Bytes>) -> Answer {
        let path = request.uri().path();
        if path == "/health" {
            return server::healthy("Ratings");
        }
        let Some(id) = path.strip_prefix("/ratings/") else {
            return server::not_found();
        };
        let Some(id) = server::product_id(id) else {
            return server::json_error(
                StatusCode::BAD_REQUEST,
                "please provide numeric product ID",
            );
        };
        match *request.method() {
            Method::GET | Method::HEAD => server::json(StatusCode::OK, &self.of(id)),
            Method::POST => match serde_json::from_slice::<Stars>(request.body()) {
                Ok(stars) => self.replace(id, stars),
                Err(_) => {
                    server::json_error(StatusCode::BAD_REQUEST, "please provide valid ratings JSON")
                }
            },
            _ => server::not_allowed("GET, HEAD, POST"),
        }
    }
}

impl Ratings {
    fn of(&self, id: u32) -> RatingsOf {
        let posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        let ratings = posted.get(&id).cloned().unwrap_or_else(|| {
            Stars::from([("Reviewer1".to_owned(), 5), ("Reviewer2".to_owned(), 4)])
        });
        RatingsOf { id, ratings }
    }

    fn replace(&self, id: u32, stars: Stars) -> Answer {
        if stars.len() > MAX_REVIEWERS || stars.values().any(|stars| *stars > 5) {
            return server::json_error(
                StatusCode::BAD_REQUEST,
                "please provide 0 to 5 stars of at most 64 reviewers",
            );
        }
        {
            let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
            if posted.len() >= MAX_PRODUCTS && !posted.contains_key(&id) {
                return server::json_error(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "ratings of 64 products are kept, and that many are there",
                );
            }
            posted.insert(id, stars);
        }
        server::json(StatusCode::OK, &self.of(id))
    }
}
