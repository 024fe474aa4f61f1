//! One request to an admin server, and its answer.

use std::fmt::Write as _;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::admin::server::Server;
use crate::admin::{AdminState, EndpointRow, View, endpoints, guard, page};
use crate::observe::exposition;
use crate::why::{Health, Question, explain};

/// A response with its whole body.
pub(super) type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// What the servers answer from.
pub(super) struct Site {
    state: AdminState,
    host_name: Option<String>,
    started: Instant,
}

impl Site {
    pub(super) fn new(state: AdminState, host_name: Option<String>) -> Self {
        Self {
            state,
            host_name,
            started: Instant::now(),
        }
    }

    /// Answers any request.
    pub(super) async fn answer<B>(&self, server: Server, request: &Request<B>) -> Answer {
        if server == Server::Admin
            && let Err(refused) = guard::check(request, self.host_name.as_deref())
        {
            return text(StatusCode::FORBIDDEN, refused.to_string());
        }
        let path = request.uri().path();
        let changes = server == Server::Admin && path == "/logging";
        match *request.method() {
            Method::GET | Method::HEAD => {}
            Method::POST if changes => return self.set_level(request.uri().query()),
            _ => {
                let allow = if changes {
                    "GET, HEAD, POST"
                } else {
                    "GET, HEAD"
                };
                let mut answer = text(
                    StatusCode::METHOD_NOT_ALLOWED,
                    format!("{path} answers {allow}\n"),
                );
                let allow = HeaderValue::from_static(allow);
                answer.headers_mut().insert(ALLOW, allow);
                return answer;
            }
        }
        match (server, path) {
            (_, "/stats/prometheus") if server != Server::Health => self.metrics().await,
            (Server::Status, "/metrics") => self.metrics().await,
            (Server::Status | Server::Health, "/healthz/ready") => self.ready(""),
            (Server::Admin, _) => self.admin(path, request.uri().query()).await,
            _ => not_found(server, path),
        }
    }

    async fn admin(&self, path: &str, query: Option<&str>) -> Answer {
        let states = match path {
            "/" | "/api/v1/endpoints" | "/api/v1/why" | "/config_dump" | "/clusters" => {
                self.state.states.endpoint_states().await
            }
            _ => Vec::new(),
        };
        let view = self.state.view.load();
        let endpoints = || endpoints::rows(&view.snapshot, &states);
        match path {
            "/" => body(StatusCode::OK, HTML, page::render(&view, &endpoints())),
            "/api/v1/services" => rows(&view, &view.services),
            "/api/v1/addresses" => rows(&view, &view.addresses),
            "/api/v1/routes" => rows(&view, &view.routes),
            "/api/v1/endpoints" => rows(&view, &endpoints()),
            "/api/v1/listeners" => rows(&view, &view.listeners),
            "/api/v1/findings" => rows(&view, &view.findings),
            "/api/v1/why" => {
                let available = endpoints::available(&view.snapshot, &states);
                why(&view, &available, query.unwrap_or_default())
            }
            "/config_dump" => rows(
                &view,
                &Everything {
                    view: &view,
                    endpoints: endpoints(),
                },
            ),
            "/clusters" if wants_json(query) => rows(&view, &endpoints()),
            "/clusters" => text(StatusCode::OK, clusters(&endpoints())),
            "/listeners" if wants_json(query) => rows(&view, &view.listeners),
            "/listeners" => {
                let mut out = String::new();
                for listener in view.listeners.iter() {
                    let _ = writeln!(out, "{}::{}", listener.name, listener.address);
                }
                text(StatusCode::OK, out)
            }
            "/logging" => text(StatusCode::OK, format!("{}\n", self.state.logging.level())),
            "/server_info" => rows(&view, &self.server_info(&view)),
            "/ready" => self.ready("LIVE\n"),
            _ => not_found(Server::Admin, path),
        }
    }

    async fn metrics(&self) -> Answer {
        let metrics = self.state.scrape.scrape().await;
        body(StatusCode::OK, exposition::CONTENT_TYPE, metrics)
    }

    /// 200 once a configuration is served (reference: Istio's 15021), otherwise 503 and why.
    fn ready(&self, yes: &str) -> Answer {
        match &self.state.view.load().not_ready {
            None => text(StatusCode::OK, yes.to_owned()),
            Some(reason) => text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {reason}\n"),
            ),
        }
    }

    fn server_info(&self, view: &View) -> serde_json::Value {
        let uptime = format!("{}s", self.started.elapsed().as_secs());
        json!({
            "version": concat!("gatehouse/", env!("CARGO_PKG_VERSION")),
            "state": if view.not_ready.is_none() { "LIVE" } else { "INITIALIZING" },
            "uptime_current_epoch": uptime,
            "uptime_all_epochs": uptime,
            "generation": view.generation,
            "loaded_at": view.loaded_at,
        })
    }

    fn set_level(&self, query: Option<&str>) -> Answer {
        let level = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .find_map(|pair| pair.strip_prefix("level="));
        let Some(level) = level else {
            let usage = "say which level: POST /logging?level=debug\n";
            return text(StatusCode::BAD_REQUEST, usage.to_owned());
        };
        let Some(level) = percent_decoded(level) else {
            let wrong = "the level is not valid percent-encoded text\n";
            return text(StatusCode::BAD_REQUEST, wrong.to_owned());
        };
        match self.state.logging.set_level(&level) {
            Ok(()) => {
                tracing::info!(level, "the log level was changed");
                text(StatusCode::OK, format!("{}\n", self.state.logging.level()))
            }
            Err(wrong) => text(StatusCode::BAD_REQUEST, format!("{wrong}\n")),
        }
    }
}

/// What there is to show, as one.
#[derive(Serialize)]
struct Everything<'v> {
    #[serde(flatten)]
    view: &'v View,
    endpoints: Vec<EndpointRow>,
}

/// What would become of the request that the query describes: `url`, and perhaps `method`, `from`
/// and any number of `header=NAME:VALUE`.
fn why(view: &View, available: &[bool], query: &str) -> Answer {
    match question(query) {
        Ok(question) => match explain(&view.snapshot, Health(available), &question) {
            Ok(explanation) => rows(view, &explanation),
            Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        },
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

fn question(query: &str) -> Result<Question, String> {
    let pairs = || form_urlencoded::parse(query.as_bytes());
    let url = pairs().find(|(name, _)| name == "url");
    let (_, url) = url.ok_or("say which request: ?url=http://HOST/PATH")?;
    let mut question = Question::get(&url).map_err(|error| error.to_string())?;
    for (name, value) in pairs() {
        match &*name {
            "url" => {}
            "method" => question.method = value.into_owned(),
            "from" => {
                let from = value.parse();
                question.from = from.map_err(|_| format!("`{value}` is no IP address"))?;
            }
            "header" => {
                let (name, value) = value
                    .split_once(':')
                    .ok_or_else(|| format!("`{value}` is no header: write NAME:VALUE"))?;
                question
                    .fields
                    .push((name.to_owned(), value.trim().to_owned()));
            }
            other => return Err(format!("nothing is known of `{other}`")),
        }
    }
    Ok(question)
}

/// Envoy's text form: `cluster::address::key::value`.
fn clusters(endpoints: &[EndpointRow]) -> String {
    let mut out = String::new();
    for endpoint in endpoints {
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(
                out,
                "{}::{}::{key}::{value}",
                endpoint.cluster, endpoint.address
            );
        };
        line("health_flags", &endpoint.health);
        line("weight", &endpoint.weight);
        if let Some(active) = endpoint.active {
            line("rq_active", &active);
        }
        if let Some(requests) = endpoint.requests {
            line("rq_total", &requests);
        }
    }
    out
}

fn wants_json(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair == "format=json"))
}

/// `%xx` and `+` undone; none if it is not UTF-8 or cut short.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

fn not_found(server: Server, path: &str) -> Answer {
    let known = match server {
        Server::Admin => {
            "/, /api/v1/{services,addresses,routes,endpoints,listeners,findings}, /config_dump, \
             /clusters, /listeners, /logging, /server_info, /ready, /stats/prometheus"
        }
        Server::Status => "/stats/prometheus, /metrics, /healthz/ready",
        Server::Health => "/healthz/ready",
        Server::Metrics => "/stats/prometheus",
    };
    text(
        StatusCode::NOT_FOUND,
        format!("there is no {path} here; there is {known}\n"),
    )
}

fn rows<T: Serialize + ?Sized>(view: &View, rows: &T) -> Answer {
    match serde_json::to_vec(rows) {
        Ok(json) => {
            let mut answer = body(StatusCode::OK, JSON, json);
            answer.headers_mut().insert(
                HeaderName::from_static("x-gatehouse-generation"),
                HeaderValue::from(view.generation),
            );
            answer
        }
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot be shown as JSON: {error}\n"),
        ),
    }
}

fn text(status: StatusCode, content: String) -> Answer {
    body(status, TEXT, content)
}

fn body(status: StatusCode, media_type: &'static str, content: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(content.into()));
    *answer.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ] {
        let value = HeaderValue::from_static(value);
        answer.headers_mut().insert(name, value);
    }
    answer
}
