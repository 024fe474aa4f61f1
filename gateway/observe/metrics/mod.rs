//! A worker's counters: plain `u64`, touched by that worker alone, copied out for a scrape.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gatehouse_config::model::TransportProtocol;

use crate::exchange::{Exchange, ResponseFlags};
use crate::observe::histogram::{BYTES, Histogram, NANOS_AS_MILLIS};
use crate::observe::route_stats::RouteStats;
use crate::observe::series::SeriesTable;
pub use crate::observe::series::{RequestProtocol, SeriesKey};
use crate::snapshot::LabelsId;

/// How many HTTP series a worker keeps (about 550 bytes each); as many for TCP and UDP.
///
/// Past it, requests are counted under the unknown destination and the limit
/// `metric_series` counts up.
pub const MAX_SERIES: usize = 10_000;

/// Room past [`MAX_SERIES`] for series of the unknown destination, one per status.
const OVERFLOW_SERIES: usize = 1_024;

/// The name of the limit in `gatehouse_limit_reached_total`.
const SERIES_LIMIT: &str = "metric_series";

/// What one worker counted. Every method is meant for the hot path.
#[derive(Debug)]
pub struct WorkerMetrics {
    http: SeriesTable<HttpSeries>,
    l4: SeriesTable<L4Series>,
    routes: RouteStats,
    limit: usize,
    totals: Totals,
}

/// Counters of one HTTP series.
#[derive(Clone, Debug, Default)]
pub struct HttpSeries {
    /// `istio_requests_total`.
    pub requests: u64,
    /// `istio_request_duration_milliseconds`, in nanoseconds.
    pub duration: Histogram,
    /// `istio_request_bytes`: on the client's wire, head included.
    pub request_bytes: Histogram,
    /// `istio_response_bytes`: likewise.
    pub response_bytes: Histogram,
    /// `istio_request_messages_total`; gRPC alone.
    pub request_messages: u64,
    /// `istio_response_messages_total`; gRPC alone.
    pub response_messages: u64,
}

/// Counters of one TCP or UDP series.
#[derive(Clone, Copy, Debug, Default)]
pub struct L4Series {
    /// Connections or flows opened.
    pub opened: u64,
    /// Connections or flows closed.
    pub closed: u64,
    /// Bytes from the client to the endpoint.
    pub received_bytes: u64,
    /// Bytes from the endpoint to the client.
    pub sent_bytes: u64,
}

/// Counters without a destination.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Downstream connections accepted.
    pub connections: u64,
    /// Downstream connections open now.
    pub connections_active: u64,
    /// Requests refused, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Limits that were reached, by name.
    pub limits: Vec<(&'static str, u64)>,
}

/// A copy of a worker's counters, or the sum of several.
#[derive(Clone, Debug, Default)]
pub struct MetricsSnapshot {
    /// HTTP and gRPC.
    pub http: HashMap<SeriesKey, HttpSeries>,
    /// TCP and UDP.
    pub l4: HashMap<SeriesKey, L4Series>,
    /// Routes with a `statPrefix`.
    pub routes: RouteStats,
    /// The rest.
    pub totals: Totals,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkerMetrics {
    /// All zero.
    pub fn new() -> Self {
        Self::with_limit(MAX_SERIES)
    }

    /// All zero, with another limit than [`MAX_SERIES`].
    pub fn with_limit(limit: usize) -> Self {
        Self {
            http: SeriesTable::new(),
            l4: SeriesTable::new(),
            routes: RouteStats::default(),
            limit,
            totals: Totals::default(),
        }
    }

    /// Counts a finished exchange.
    #[inline]
    pub fn record(&mut self, labels: LabelsId, exchange: &Exchange) {
        let key = SeriesKey::of_exchange(labels, exchange);
        let index = match self.http.index(key, self.limit) {
            None => self.overflow(key),
            index => index,
        };
        let Some(index) = index else { return };
        let series = self.http.value(index);
        series.requests += 1;
        series
            .duration
            .record(&NANOS_AS_MILLIS, nanos(exchange.duration));
        series
            .request_bytes
            .record(&BYTES, exchange.request_wire_bytes);
        series
            .response_bytes
            .record(&BYTES, exchange.response_wire_bytes);
        if let Some(call) = &exchange.grpc {
            series.request_messages += call.request_messages;
            series.response_messages += call.response_messages;
        }
    }

    /// Counts a finished exchange of a route that asks for it.
    #[cold]
    pub fn record_route(&mut self, name: &Arc<str>, exchange: &Exchange) {
        if !self.routes.record(name, exchange) {
            self.limit_reached(SERIES_LIMIT);
        }
    }

    /// Counts an accepted TCP connection, or the first datagram of a UDP flow.
    pub fn l4_opened(&mut self, labels: LabelsId, transport: TransportProtocol) {
        let key = SeriesKey::of_transport(labels, transport, ResponseFlags::default());
        self.l4_series(key, |series| series.opened += 1);
    }

    /// Counts bytes since the last call: every few seconds, and before
    /// [`l4_closed`](Self::l4_closed).
    ///
    /// `received` came from the client, `sent` went to it.
    pub fn l4_carried(
        &mut self,
        labels: LabelsId,
        transport: TransportProtocol,
        flags: ResponseFlags,
        received: u64,
        sent: u64,
    ) {
        let key = SeriesKey::of_transport(labels, transport, flags);
        self.l4_series(key, |series| {
            series.received_bytes += received;
            series.sent_bytes += sent;
        });
    }

    /// Counts the end of a TCP connection or UDP flow.
    pub fn l4_closed(
        &mut self,
        labels: LabelsId,
        transport: TransportProtocol,
        flags: ResponseFlags,
    ) {
        let key = SeriesKey::of_transport(labels, transport, flags);
        self.l4_series(key, |series| series.closed += 1);
    }

    /// Counts an accepted downstream connection.
    pub fn connection_opened(&mut self) {
        self.totals.connections += 1;
        self.totals.connections_active += 1;
    }

    /// Counts the end of a downstream connection.
    pub fn connection_closed(&mut self) {
        self.totals.connections_active = self.totals.connections_active.saturating_sub(1);
    }

    /// Counts a request that was refused before it was routed; the reason is a label's value, so
    /// take it from a fixed set (`bad_framing`, `head_too_large`, …).
    pub fn refused(&mut self, reason: &'static str) {
        self.refused_times(reason, 1);
    }

    /// As [`refused`](Self::refused), several at once.
    pub fn refused_times(&mut self, reason: &'static str, times: u64) {
        count(&mut self.totals.refused, reason, times);
    }

    /// Counts that a limit bit; the name is that of its setting.
    pub fn limit_reached(&mut self, limit: &'static str) {
        self.limit_reached_times(limit, 1);
    }

    /// Counts that a limit bit `times` times.
    pub fn limit_reached_times(&mut self, limit: &'static str, times: u64) {
        count(&mut self.totals.limits, limit, times);
    }

    /// A copy for the control thread.
    pub fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            http: self.http.entries().iter().cloned().collect(),
            l4: self.l4.entries().iter().copied().collect(),
            routes: self.routes.clone(),
            totals: self.totals.clone(),
        }
    }

    /// The series that stands in for one past the limit.
    #[cold]
    fn overflow(&mut self, key: SeriesKey) -> Option<usize> {
        self.limit_reached(SERIES_LIMIT);
        self.http
            .index(key.without_destination(), self.limit + OVERFLOW_SERIES)
    }

    fn l4_series(&mut self, key: SeriesKey, update: impl FnOnce(&mut L4Series)) {
        let index = match self.l4.index(key, self.limit) {
            None => {
                self.limit_reached(SERIES_LIMIT);
                self.l4
                    .index(key.without_destination(), self.limit + OVERFLOW_SERIES)
            }
            index => index,
        };
        if let Some(index) = index {
            update(self.l4.value(index));
        }
    }
}

impl MetricsSnapshot {
    /// Adds another worker's counters.
    pub fn merge(&mut self, other: Self) {
        for (key, theirs) in other.http {
            self.http.entry(key).or_default().merge(&theirs);
        }
        for (key, theirs) in other.l4 {
            self.l4.entry(key).or_default().merge(&theirs);
        }
        self.routes.merge(other.routes);
        self.totals.connections += other.totals.connections;
        self.totals.connections_active += other.totals.connections_active;
        for (reason, n) in other.totals.refused {
            count(&mut self.totals.refused, reason, n);
        }
        for (limit, n) in other.totals.limits {
            count(&mut self.totals.limits, limit, n);
        }
    }
}

impl HttpSeries {
    /// Adds another series.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.duration.merge(&other.duration);
        self.request_bytes.merge(&other.request_bytes);
        self.response_bytes.merge(&other.response_bytes);
        self.request_messages += other.request_messages;
        self.response_messages += other.response_messages;
    }
}

impl L4Series {
    /// Adds another series.
    pub fn merge(&mut self, other: &Self) {
        self.opened += other.opened;
        self.closed += other.closed;
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
    }
}

/// A duration in nanoseconds: one multiplication, where milliseconds would divide.
fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}

fn count(counters: &mut Vec<(&'static str, u64)>, name: &'static str, n: u64) {
    match counters.iter_mut().find(|(known, _)| *known == name) {
        Some((_, count)) => *count += n,
        None => counters.push((name, n)),
    }
}

#[cfg(test)]
mod tests;
