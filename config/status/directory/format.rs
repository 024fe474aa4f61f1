//! The text of the state file: JSON with a version, a Service per line for people to read.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Allocations, Recorded};
use crate::resources::ObjectKey;

/// The format that is written; raised when an older gatehouse would misread it.
pub(super) const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct State {
    version: u64,
    services: BTreeMap<String, Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    addresses: Vec<IpAddr>,
    #[serde(default)]
    pool: String,
    #[serde(default)]
    given: u64,
}

/// Why a text is no state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Newer(u64),
    Damaged {
        line: u32,
        column: u32,
        message: String,
    },
}

pub(super) fn read(text: &[u8]) -> Result<Allocations, Unread> {
    #[derive(Deserialize)]
    struct Header {
        version: u64,
    }
    let damaged = |error: serde_json::Error| Unread::Damaged {
        line: u32::try_from(error.line()).unwrap_or(0),
        column: u32::try_from(error.column()).unwrap_or(0),
        message: error.to_string(),
    };
    let Header { version } = serde_json::from_slice(text).map_err(damaged)?;
    if version > VERSION {
        return Err(Unread::Newer(version));
    }
    let state: State = serde_json::from_slice(text).map_err(damaged)?;
    let mut allocations = Allocations::new();
    for (name, entry) in state.services {
        let key = name.split_once('/').filter(|(namespace, name)| {
            !namespace.is_empty() && !name.is_empty() && !name.contains('/')
        });
        let Some((namespace, name)) = key else {
            return Err(Unread::Damaged {
                line: 0,
                column: 0,
                message: format!("`{name}` is not namespace/name"),
            });
        };
        let recorded = Recorded {
            addresses: entry.addresses,
            pool: entry.pool,
            given: entry.given,
        };
        allocations.insert(ObjectKey::new(namespace, name), recorded);
    }
    Ok(allocations)
}

pub(super) fn write(allocations: &Allocations) -> String {
    let mut text = format!("{{\n  \"version\": {VERSION},\n  \"services\": {{");
    for (index, (key, recorded)) in allocations.iter().enumerate() {
        let entry = serde_json::json!({
            "addresses": recorded.addresses,
            "pool": recorded.pool,
            "given": recorded.given,
        });
        let name = serde_json::Value::from(key.to_string());
        let comma = if index == 0 { "" } else { "," };
        text.push_str(&format!("{comma}\n    {name}: {entry}"));
    }
    text.push_str(if allocations.is_empty() {
        "}\n}\n"
    } else {
        "\n  }\n}\n"
    });
    text
}
