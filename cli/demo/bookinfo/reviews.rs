//! The reviews service in its three versions: v1 has no stars, v2 black ones, v3 red ones.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::headers::passed_on;
use super::ratings::RatingsOf;
use super::server::{self, Answer, App};

/// How long the ratings may take before the reviews come without stars.
const RATINGS_TIMEOUT: Duration = Duration::from_millis(2500);

/// One version of the service.
#[derive(Debug)]
pub(super) struct Reviews {
    version: &'static str,
    stars: Option<Stars>,
    ratings: SocketAddr,
    client: Client,
}

/// The colour of the stars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stars {
    Black,
    Red,
}

impl Stars {
    fn as_str(self) -> &'static str {
        match self {
            Self::Black => "black",
            Self::Red => "red",
        }
    }
}

/// The answer, in the sample's shape.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReviewsOf {
    pub(super) id: String,
    pub(super) podname: String,
    pub(super) clustername: String,
    pub(super) reviews: Vec<Review>,
}

/// One review.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Review {
    pub(super) reviewer: String,
    pub(super) text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rating: Option<Rating>,
}

/// Its stars, or why there are none.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Rating {
    Given { stars: u32, color: String },
    Missing { error: String },
}

impl App for Reviews {
    async fn answer(&self, request: Request<Bytes>) -> Answer {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return server::not_allowed("GET, HEAD");
        }
        let path = request.uri().path();
        if path == "/health" {
            return server::healthy("Reviews");
        }
        let Some(id) = path.strip_prefix("/reviews/") else {
            return server::not_found();
        };
        let Some(id) = server::product_id(id) else {
            return server::json_error(
                StatusCode::BAD_REQUEST,
                "please provide numeric product id",
            );
        };
        let ratings = match self.stars {
            Some(stars) => Some((stars, self.ratings_of(id, request.headers()).await)),
            None => None,
        };
        let rating = |reviewer: &str| {
            let (color, ratings) = ratings.as_ref()?;
            Some(match ratings {
                Some(ratings) => Rating::Given {
                    stars: ratings.ratings.get(reviewer).copied().unwrap_or(0),
                    color: color.as_str().into(),
                },
                None => Rating::Missing {
                    error: "Ratings service is currently unavailable".into(),
                },
            })
        };
        let review = |reviewer: &str, text: &str| Review {
            reviewer: reviewer.into(),
            text: text.into(),
            rating: rating(reviewer),
        };
        server::json(
            StatusCode::OK,
            &ReviewsOf {
                id: id.to_string(),
                podname: format!("reviews-{}", self.version),
                clustername: "demo".into(),
                reviews: vec![
                    review(
                        "Reviewer1",
                        "Two pairs of twins, one town and not a single quiet minute. \
                         I laughed until the last scene sorted everybody out.",
                    ),
                    review(
                        "Reviewer2",
                        "Short, quick and sillier than I remembered. \
                         Best read aloud, with friends who like to shout.",
                    ),
                ],
            },
        )
    }
}

impl Reviews {
    pub(super) fn new(
        version: &'static str,
        stars: Option<Stars>,
        ratings: SocketAddr,
        client: Client,
    ) -> Self {
        Self {
            version,
            stars,
            ratings,
            client,
        }
    }

    async fn ratings_of(&self, id: u32, request: &HeaderMap) -> Option<RatingsOf> {
        let path = format!("/ratings/{id}");
        let called = self
            .client
            .get(self.ratings, &path, &passed_on(request), RATINGS_TIMEOUT)
            .await;
        match called {
            Ok((StatusCode::OK, body)) => serde_json::from_slice(&body)
                .inspect_err(|error| tracing::debug!(%error, "ratings are not as expected"))
                .ok(),
            Ok((status, _)) => {
                tracing::debug!(%status, "ratings are not available");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "ratings are not available");
                None
            }
        }
    }
}
