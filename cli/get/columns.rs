//! The columns of each list.

use gatehouse_gateway::admin::{AddressRow, EndpointRow, RouteRow, ServiceRow};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::get::{What, age};
use crate::table::{Cell, Table, Tone};

/// A finding, as the API sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FindingRow {
    code: String,
    level: String,
    object: String,
    field: String,
    file: String,
    line: u32,
    column: u32,
    message: String,
    hint: String,
}

/// Whether a row belongs to a namespace; what belongs to none belongs to no asked one.
pub(super) fn is_in_namespace(what: What, row: &Value, namespace: &str) -> bool {
    let field = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let of_key = |key: &str| key.split_once('/').is_some_and(|(ns, _)| ns == namespace);
    match what {
        What::Services => field("namespace") == namespace,
        What::Addresses => row
            .get("services")
            .and_then(Value::as_array)
            .is_some_and(|keys| keys.iter().filter_map(Value::as_str).any(of_key)),
        What::Routes => of_key(field("virtual_service")),
        // `outbound|9080||productpage.default.svc.cluster.local`
        What::Endpoints => {
            let host = field("cluster").rsplit('|').next().unwrap_or_default();
            let mut parts = host.split('.').skip(1);
            parts.next() == Some(namespace) && parts.next() == Some("svc")
        }
        // `VirtualService default/reviews`
        What::Findings => of_key(field("object").rsplit(' ').next().unwrap_or_default()),
    }
}

/// The table of a list; `namespaces` adds the column, as `kubectl -A` does. `now` is in seconds
/// since 1970.
pub(super) fn table(
    what: What,
    rows: &[Value],
    namespaces: bool,
    now: i64,
) -> Result<Table, serde_json::Error> {
    Ok(match what {
        What::Services => services(parse(rows)?, namespaces, now),
        What::Addresses => addresses(parse(rows)?),
        What::Routes => routes(parse(rows)?),
        What::Endpoints => endpoints(parse(rows)?),
        What::Findings => findings(parse(rows)?),
    })
}

fn parse<T: DeserializeOwned>(rows: &[Value]) -> Result<Vec<T>, serde_json::Error> {
    rows.iter().map(T::deserialize).collect()
}

/// The columns of `kubectl get svc`, and REASON while a Service waits for its address.
fn services(mut rows: Vec<ServiceRow>, namespaces: bool, now: i64) -> Table {
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let reasons = rows.iter().any(|row| row.pending_reason.is_some());
    let heads = [
        "NAMESPACE",
        "NAME",
        "TYPE",
        "CLUSTER-IP",
        "EXTERNAL-IP",
        "PORT(S)",
        "AGE",
        "REASON",
    ];
    let shown = |column: &str| match column {
        "NAMESPACE" => namespaces,
        "REASON" => reasons,
        _ => true,
    };
    let mut table = Table::new(heads.into_iter().filter(|head| shown(head)));
    for row in rows {
        let external = match row.external_ip.as_slice() {
            [] if row.kind == "LoadBalancer" => Cell::new("<pending>", Tone::Warn),
            [] => "<none>".into(),
            addresses => addresses.join(",").into(),
        };
        let age = row.created.map(|created| age::human(now - created));
        let cells: [Cell; 8] = [
            row.namespace.into(),
            row.name.into(),
            row.kind.into(),
            or_none(row.cluster_ip.unwrap_or_default()),
            external,
            or_none(row.ports.join(",")),
            age.unwrap_or_else(|| "<unknown>".to_owned()).into(),
            row.pending_reason.unwrap_or_default().into(),
        ];
        let cells = heads.into_iter().zip(cells);
        table.row(cells.filter(|(head, _)| shown(head)).map(|(_, cell)| cell));
    }
    table
}

fn addresses(rows: Vec<AddressRow>) -> Table {
    let mut table = Table::new([
        "ADDRESS",
        "STATE",
        "SERVICES",
        "POOL",
        "OWNER",
        "INTERFACES",
        "REASON",
    ]);
    for row in rows {
        let tone = match row.state.as_str() {
            "announced" => Tone::Good,
            "conflict" => Tone::Bad,
            _ => Tone::Warn,
        };
        let interfaces: Vec<_> = row
            .interfaces
            .iter()
            .map(|interface| format!("{} ({})", interface.name, interface.mac))
            .collect();
        table.row([
            row.address.into(),
            Cell::new(row.state, tone),
            or_none(row.services.join(",")),
            or_none(row.pool),
            or_none(row.owner.unwrap_or_default()),
            or_none(interfaces.join(",")),
            row.reason.unwrap_or_default().into(),
        ]);
    }
    table
}

fn routes(rows: Vec<RouteRow>) -> Table {
    let mut table = Table::new([
        "LISTENER",
        "HOST",
        "MATCH",
        "ACTION",
        "DESTINATION",
        "VIRTUALSERVICE",
        "WRITTEN IN",
    ]);
    for row in rows {
        table.row([
            or_none(row.listeners.join(",")),
            row.host.into(),
            row.matches.into(),
            row.action.into(),
            or_none(row.destinations.join(", ")),
            or_none(row.virtual_service),
            row.origin.into(),
        ]);
    }
    table
}

fn endpoints(rows: Vec<EndpointRow>) -> Table {
    let requests = rows
        .iter()
        .any(|row| row.requests.is_some() || row.active.is_some());
    let heads = [
        "CLUSTER", "ENDPOINT", "HEALTH", "WORKLOAD", "ACTIVE", "REQUESTS",
    ];
    let columns = if requests { heads.len() } else { 4 };
    let mut table = Table::new(heads.into_iter().take(columns));
    for row in rows {
        let tone = match row.health.as_str() {
            "healthy" => Tone::Good,
            health if health.starts_with("resolved") => Tone::Plain,
            _ => Tone::Bad,
        };
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let cells: [Cell; 6] = [
            row.cluster.into(),
            row.address.into(),
            Cell::new(row.health, tone),
            or_none(row.workload),
            number(row.active).into(),
            number(row.requests).into(),
        ];
        table.row(cells.into_iter().take(columns));
    }
    table
}

fn findings(rows: Vec<FindingRow>) -> Table {
    let mut table = Table::new(["LEVEL", "CODE", "WHERE", "OBJECT", "FINDING"]);
    for row in rows {
        let tone = match row.level.as_str() {
            "error" => Tone::Bad,
            "warning" => Tone::Warn,
            _ => Tone::Plain,
        };
        let place = match (row.line, row.column) {
            (0, _) => row.file,
            (line, 0) => format!("{}:{line}", row.file),
            (line, column) => format!("{}:{line}:{column}", row.file),
        };
        let parts = [row.field, row.message]
            .into_iter()
            .filter(|part| !part.is_empty());
        let text = parts.collect::<Vec<_>>().join(": ");
        table.row([
            Cell::new(row.level, tone),
            row.code.into(),
            or_none(place),
            or_none(row.object),
            format!("{text} {}", row.hint).trim_end().into(),
        ]);
    }
    table
}

fn or_none(text: String) -> Cell {
    if text.is_empty() { "<none>" } else { &text }
        .to_owned()
        .into()
}
