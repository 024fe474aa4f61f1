//! What a service's carrying counts: plain cells, one set per worker, summed when scraped.

use std::cell::Cell;

/// Of one TCP service in one worker; raised while the bytes flow, not at the end.
#[derive(Debug, Default)]
pub struct TcpCounters {
    /// `istio_tcp_connections_opened_total`.
    pub connections_opened: Cell<u64>,
    /// `istio_tcp_connections_closed_total`.
    pub connections_closed: Cell<u64>,
    /// `istio_tcp_received_bytes_total`: from the client to the upstream.
    pub received_bytes: Cell<u64>,
    /// `istio_tcp_sent_bytes_total`: from the upstream to the client.
    pub sent_bytes: Cell<u64>,
}

/// Of one UDP service in one worker.
#[derive(Debug, Default)]
pub struct UdpCounters {
    /// Datagrams from clients that an endpoint was sent.
    pub received_datagrams: Cell<u64>,
    /// Their bytes.
    pub received_bytes: Cell<u64>,
    /// Datagrams from endpoints that a client was sent.
    pub sent_datagrams: Cell<u64>,
    /// Their bytes.
    pub sent_bytes: Cell<u64>,
    /// Flows that began.
    pub flows_opened: Cell<u64>,
    /// Flows that ended, for whatever reason.
    pub flows_closed: Cell<u64>,
    /// Flows that ended since a newer one needed the room (`max_flows`).
    pub flows_evicted: Cell<u64>,
    /// Flows that ended since the endpoint's host said that nobody listens (ICMP unreachable).
    pub flows_refused: Cell<u64>,
    /// Datagrams dropped: no endpoint to send to.
    pub dropped_no_endpoint: Cell<u64>,
    /// Datagrams dropped: the client is not let in.
    pub dropped_not_let_in: Cell<u64>,
    /// Datagrams dropped: cut short, or too long to be sent on.
    pub dropped_oversize: Cell<u64>,
    /// Datagrams dropped: a socket's buffer was full, or no socket could be had.
    pub dropped_busy: Cell<u64>,
}

/// Raises a counter.
pub(super) fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get().wrapping_add(n));
}

/// Brings a counter to a value.
pub(super) fn set(counter: &Cell<u64>, value: u64) {
    counter.set(value);
}
