//! The reference of every field: what it means, and whether gatehouse honours it.
//!
//! Generated from the messages themselves and from [`support`], which has one entry for each field
//! of each message; `docs/reference` holds the text, and a test compares the two.

mod service;
pub mod support;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use crate::api::jsonpb::Field as _;
use crate::api::shape::{MessageShape, Shape};
use crate::api::{istio, metallb};
use support::Support;

/// A page of the reference.
#[derive(Debug)]
pub struct Page {
    /// The kind, which is also the file's name.
    pub kind: &'static str,
    /// The page in Markdown.
    pub text: String,
}

/// A kind: its `apiVersion`, its spec, and what is worth knowing of it.
struct Subject {
    kind: &'static str,
    api_version: &'static str,
    spec: fn() -> Shape,
    about: &'static str,
}

const SUBJECTS: &[Subject] = &[
    Subject {
        kind: "Gateway",
        api_version: "networking.istio.io/v1",
        spec: istio::Gateway::shape,
        about: "Where is listened, and for which hosts. The annotation `proxy.istio.io/config` \
                does nothing on a Gateway; such settings belong into a MeshConfig.",
    },
    Subject {
        kind: "VirtualService",
        api_version: "networking.istio.io/v1",
        spec: istio::VirtualService::shape,
        about: "What becomes of a request.",
    },
    Subject {
        kind: "DestinationRule",
        api_version: "networking.istio.io/v1",
        spec: istio::DestinationRule::shape,
        about: "How requests are sent to a service, and its subsets.",
    },
    Subject {
        kind: "ServiceEntry",
        api_version: "networking.istio.io/v1",
        spec: istio::ServiceEntry::shape,
        about: "A service that Kubernetes does not know.",
    },
    Subject {
        kind: "WorkloadEntry",
        api_version: "networking.istio.io/v1",
        spec: istio::WorkloadEntry::shape,
        about: "One endpoint of ServiceEntries that select it.",
    },
    Subject {
        kind: "Telemetry",
        api_version: "telemetry.istio.io/v1",
        spec: istio::Telemetry::shape,
        about: "Access logs and metrics of the gateway. Of each level (the root namespace, the \
                gateway's namespace, the gateway itself) the oldest counts. CEL expressions of \
                filters may look at `request`, `response`, `connection`, `source`, \
                `destination`, `upstream` and `xds`; those of labels at `response.code`.",
    },
    Subject {
        kind: "MeshConfig",
        api_version: "mesh.istio.io/v1alpha1",
        spec: istio::MeshConfig::shape,
        about: "Settings of the whole: a document of `kind: MeshConfig`, with or without \
                `apiVersion`, `metadata` and `spec`, or the key `mesh` of the ConfigMap `istio` in \
                the root namespace; the document wins. What is given on the command line \
                (`--access-log`, `--server-header`) wins over both.",
    },
    Subject {
        kind: "AuthorizationPolicy",
        api_version: "security.istio.io/v1",
        spec: istio::AuthorizationPolicy::shape,
        about: "Its rules are NOT enforced yet. A policy that is for this gateway makes the hosts \
                that it guards answer 503 (ALLOW: all of them; DENY and CUSTOM: those of \
                `to.operation.hosts`, or all where a rule names none), unless gatehouse is told \
                `--ignore-security-policies`.",
    },
    Subject {
        kind: "RequestAuthentication",
        api_version: "security.istio.io/v1",
        spec: istio::RequestAuthentication::shape,
        about: "Its rules are NOT enforced yet. One that is for this gateway makes every host \
                answer 503, unless gatehouse is told `--ignore-security-policies`.",
    },
    Subject {
        kind: "PeerAuthentication",
        api_version: "security.istio.io/v1",
        spec: istio::PeerAuthentication::shape,
        about: "It is for sidecars and says nothing to a gateway's clients.",
    },
    Subject {
        kind: "IPAddressPool",
        api_version: "metallb.io/v1beta1",
        spec: metallb::IPAddressPool::shape,
        about: "Addresses that Services of type LoadBalancer get.",
    },
    Subject {
        kind: "L2Advertisement",
        api_version: "metallb.io/v1beta1",
        spec: metallb::L2Advertisement::shape,
        about: "Which addresses are announced by ARP and NDP, by whom and where.",
    },
];

/// Every page, the index first.
pub fn pages() -> Vec<Page> {
    let mut pages = vec![index()];
    pages.extend(SUBJECTS.iter().map(page));
    pages.push(service::page());
    pages
}

const GENERATED: &str = "<!-- Generated from the code: \
    GATEHOUSE_WRITE_REFERENCE=1 cargo test -p gatehouse-config reference -->\n";

fn index() -> Page {
    let mut text = format!(
        "{GENERATED}# Reference\n\nEvery field of every object that gatehouse reads, and whether \
         it is honoured:\n\n- **supported**: it does what it does at an Istio gateway, or with \
         MetalLB;\n- **ignored**: it has no effect, and the reason says why none is missed;\n- \
         **not yet**: it will be honoured; until then the reason says what happens. `gatehouse \
         check` and the log name each such field that is written;\n- **refused**: an object with \
         it is not used.\n\n| kind | apiVersion | |\n|---|---|---|\n"
    );
    for subject in SUBJECTS {
        let about = subject.about.split(". ").next().unwrap_or_default();
        let about = about.trim_end_matches('.');
        let Subject {
            kind, api_version, ..
        } = subject;
        let _ = writeln!(text, "| [{kind}]({kind}.md) | `{api_version}` | {about} |");
    }
    let _ = writeln!(
        text,
        "| [Service](Service.md) | `v1` | {} |",
        service::ABOUT
    );
    Page {
        kind: "README",
        text,
    }
}

fn page(subject: &Subject) -> Page {
    let Subject {
        kind,
        api_version,
        spec,
        about,
    } = subject;
    let mut text = format!("{GENERATED}# {kind}\n\n`apiVersion: {api_version}`\n\n{about}\n");
    for (i, message) in messages(&spec()).iter().enumerate() {
        let title = if i == 0 { "spec" } else { message.name };
        let _ = writeln!(text, "\n## {title}\n\n{}\n", message.doc.trim());
        if message.fields.is_empty() {
            continue;
        }
        text.push_str("| field | type | | |\n|---|---|---|---|\n");
        for field in message.fields {
            let name = field.name();
            let support = support::of(message.name, &name);
            let support = support.map_or_else(String::new, shown);
            let _ = writeln!(
                text,
                "| `{name}` | {} | {} | {support} |",
                type_name(&(field.shape)()),
                cell(field.doc.trim()),
            );
        }
    }
    Page { kind, text }
}

/// The messages of a kind, each once, the outer ones first.
fn messages(spec: &Shape) -> Vec<&'static MessageShape> {
    let mut found: Vec<&'static MessageShape> = spec.message().into_iter().collect();
    let mut next = 0;
    while let Some(message) = found.get(next).copied() {
        next += 1;
        for field in message.fields {
            if let Some(inner) = (field.shape)().message()
                && !found.iter().any(|known| std::ptr::eq(*known, inner))
            {
                found.push(inner);
            }
        }
    }
    found
}

fn type_name(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(name) => (*name).to_owned(),
        Shape::Enumeration(values) => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            values.join(", ")
        }
        Shape::Message(message) => {
            format!("[{}](#{})", message.name, message.name.to_lowercase())
        }
        Shape::List(inner) => format!("list of {}", type_name(inner)),
        Shape::Map(inner) => format!("map to {}", type_name(inner)),
    }
}

fn shown(support: Support) -> String {
    match support {
        Support::Supported => "supported".to_owned(),
        Support::Note(note) => format!("supported: {}", cell(note)),
        Support::Ignored(reason) => format!("**ignored**: {}", cell(reason)),
        Support::NotYet(reason) => format!("**not yet**: {}", cell(reason)),
        Support::Refused(reason) => format!("**refused**: {}", cell(reason)),
    }
}

/// Text that stays within its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
