//! The page at `/`: everything the view holds, on one self-contained page.

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use crate::admin::{EndpointRow, View};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#888;--bad:#c0392b;--warn:#b9770e;--good:#1e8449}\
body{font:15px/1.5 system-ui,sans-serif;max-width:78rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .4rem}\
p{margin:.2rem 0;color:var(--soft)}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600;font-size:.8rem;color:var(--soft);padding:.3rem .8rem .3rem 0}\
td{border-top:1px solid var(--line);padding:.35rem .8rem .35rem 0;vertical-align:top}\
td,code{font-variant-numeric:tabular-nums}\
.bad{color:var(--bad)}.warn{color:var(--warn)}.good{color:var(--good)}small{color:var(--soft)}\
nav a{margin-right:1rem}";

/// Renders the view.
pub(super) fn render(view: &View, endpoints: &[EndpointRow]) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    page.raw("<!doctype html><html lang=en><meta charset=utf-8>");
    page.raw("<meta name=viewport content='width=device-width'><title>gatehouse</title><style>");
    page.raw(STYLE);
    page.raw("</style><h1>gatehouse</h1>");
    match &view.not_ready {
        None => page.paragraph("good", &format_args!("serving")),
        Some(reason) => page.paragraph("bad", &format_args!("not ready: {reason}")),
    }
    let loaded = view
        .loaded_at
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(String::new, |at| format!(", in force since {at}"));
    page.paragraph(
        "",
        &format_args!("configuration {}{loaded}", view.generation),
    );
    page.raw("<nav><a href=/stats/prometheus>metrics</a><a href=/config_dump>config dump</a>");
    page.raw("<a href=/server_info>server info</a></nav>");
    findings(&mut page, view);
    services(&mut page, view);
    addresses(&mut page, view);
    routes(&mut page, view);
    endpoints_table(&mut page, endpoints);
    listeners(&mut page, view);
    page.0
}

fn findings(page: &mut Page, view: &View) {
    page.table(
        "Findings",
        "None: the configuration is in force as written.",
        &["Level", "Where", "What"],
        &view.findings,
        |page, finding| {
            let class = match finding.level {
                gatehouse_config::Level::Error => "bad",
                gatehouse_config::Level::Warning => "warn",
                gatehouse_config::Level::Info => "",
            };
            page.cell(class, &format_args!("{} {}", finding.level, finding.code));
            let object = finding.object.as_ref().map(ToString::to_string);
            let position = finding.position.as_ref().map(ToString::to_string);
            page.cell_with_note(
                &object.unwrap_or_default(),
                &format_args!("{} {}", position.unwrap_or_default(), finding.field),
            );
            page.cell_with_note(&finding.message, &finding.hint);
        },
    );
}

fn services(page: &mut Page, view: &View) {
    let heads = ["Service", "Type", "Address", "Ports", "Pool"];
    page.table("Services", "None.", &heads, &view.services, |page, row| {
        page.cell("", &format_args!("{}/{}", row.namespace, row.name));
        page.cell("", &row.kind);
        if row.external_ip.is_empty() && row.kind == "LoadBalancer" {
            page.raw("<td><span class=warn>pending</span> <small>");
            page.text(&row.pending_reason.as_deref().unwrap_or_default());
            page.raw("</small></td>");
        } else {
            page.cell("", &row.external_ip.join(", "));
        }
        page.cell("", &row.ports.join(", "));
        page.cell("", &row.pool.as_deref().unwrap_or_default());
    });
}

fn addresses(page: &mut Page, view: &View) {
    let heads = [
        "Address",
        "Services",
        "Pool",
        "State",
        "Owner",
        "Interfaces",
    ];
    page.table(
        "Addresses",
        "None was dealt.",
        &heads,
        &view.addresses,
        |page, row| {
            page.cell("", &row.address);
            page.cell("", &row.services.join(", "));
            page.cell("", &row.pool);
            page.cell_with_note(&row.state, &row.reason.as_deref().unwrap_or_default());
            page.cell("", &row.owner.as_deref().unwrap_or_default());
            let interfaces = row.interfaces.iter();
            let interfaces: Vec<_> = interfaces
                .map(|i| format!("{} {}", i.name, i.mac))
                .collect();
            page.cell("", &interfaces.join(", "));
        },
    );
}

fn routes(page: &mut Page, view: &View) {
    let heads = ["Host", "When", "What", "Written in", "Served at"];
    page.table("Routes", "None.", &heads, &view.routes, |page, row| {
        page.cell("", &row.host);
        page.cell("", &row.matches);
        page.cell_with_note(&row.action, &row.destinations.join(", "));
        page.cell_with_note(&row.virtual_service, &row.origin);
        page.cell("", &row.listeners.join(", "));
    });
}

fn endpoints_table(page: &mut Page, rows: &[EndpointRow]) {
    let heads = [
        "Cluster", "Endpoint", "Health", "Workload", "Active", "Requests",
    ];
    page.table("Endpoints", "None.", &heads, rows, |page, row| {
        page.cell("", &row.cluster);
        page.cell("", &row.address);
        let class = match row.health.as_str() {
            "healthy" => "good",
            health if health.starts_with("resolved") => "",
            _ => "bad",
        };
        page.cell(class, &row.health);
        page.cell("", &row.workload);
        for count in [row.active, row.requests] {
            page.cell("", &count.map_or_else(String::new, |n| n.to_string()));
        }
    });
}

fn listeners(page: &mut Page, view: &View) {
    let heads = ["Listener", "Protocol", "For", "State"];
    page.table(
        "Listeners",
        "None.",
        &heads,
        &view.listeners,
        |page, row| {
            page.cell("", &row.address);
            page.cell("", &row.protocol);
            page.cell("", &row.origins.join(", "));
            page.cell("", &row.state);
        },
    );
}

/// HTML in the making. Only [`raw`](Self::raw) does not escape, and it takes nothing from outside.
struct Page(String);

impl Page {
    fn raw(&mut self, html: &'static str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &dyn fmt::Display) {
        // Writing to the escaper cannot fail.
        let _ = write!(Escaper(&mut self.0), "{text}");
    }

    fn paragraph(&mut self, class: &'static str, text: &dyn fmt::Display) {
        self.raw("<p class='");
        self.raw(class);
        self.raw("'>");
        self.text(text);
        self.raw("</p>");
    }

    fn cell(&mut self, class: &'static str, text: &dyn fmt::Display) {
        self.raw("<td class='");
        self.raw(class);
        self.raw("'>");
        self.text(text);
        self.raw("</td>");
    }

    fn cell_with_note(&mut self, text: &dyn fmt::Display, note: &dyn fmt::Display) {
        self.raw("<td>");
        self.text(text);
        self.raw(" <small>");
        self.text(note);
        self.raw("</small></td>");
    }

    fn table<T>(
        &mut self,
        title: &'static str,
        empty: &'static str,
        heads: &[&'static str],
        rows: &[T],
        mut row: impl FnMut(&mut Self, &T),
    ) {
        self.raw("<h2>");
        self.raw(title);
        self.raw("</h2>");
        if rows.is_empty() {
            self.raw("<p>");
            self.raw(empty);
            self.raw("</p>");
            return;
        }
        self.raw("<div class=scroll><table><tr>");
        for head in heads {
            self.raw("<th>");
            self.raw(head);
            self.raw("</th>");
        }
        self.raw("</tr>");
        for item in rows {
            self.raw("<tr>");
            row(self, item);
            self.raw("</tr>");
        }
        self.raw("</table></div>");
    }
}

struct Escaper<'a>(&'a mut String);

impl fmt::Write for Escaper<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}
