//! `accessLogging` of Telemetries, and the mesh's own `accessLogFile`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::api::istio::Telemetry;
use crate::api::istio::mesh_config::{ExtensionProvider, FileAccessLog, LogFormat as ApiFormat};
use crate::api::istio::telemetry::{AccessLogging, LogFilter, ProviderRef};
use crate::codes;
use crate::finding::Level;
use crate::model::{AccessLog, Expression, LogFormat, LogTarget};
use crate::resources::Object;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::mesh::MeshLog;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::suggest::did_you_mean;
use crate::translate::telemetry::template::{self, Notes, istio_format};
use crate::translate::telemetry::{is_for_client, judge_providers};

/// The provider that Istio brings along: /dev/stdout, in the mesh's format.
const ENVOY: &str = "envoy";

/// Judges one entry.
pub(super) fn judge(logging: &AccessLogging, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let AccessLogging {
        matches: _,
        providers,
        disabled: _,
        filter,
    } = logging;
    judge_providers(providers, path, report);
    if let Some(LogFilter { expression }) = filter
        && let Err(error) = Expression::parse(expression)
    {
        let filter = path.field("filter");
        report.invalid(
            &filter.field("expression"),
            format!("`{expression}` cannot be used as a CEL expression: {error}; the object is not used."),
            "For errors alone, write `response.code >= 400`.",
        );
    }
}

/// What is written where: by provider, as the levels say (Istio: `mergeLogs`).
pub(super) fn logs(
    levels: &[&Object<Telemetry>],
    settings: &Settings,
    report: &mut Report,
) -> Vec<AccessLog> {
    let mesh = &settings.mesh;
    let levels: Vec<_> = levels
        .iter()
        .filter(|level| !level.body.access_logging.is_empty())
        .collect();
    if levels.is_empty() && mesh.log_providers.is_empty() {
        return mesh
            .access_log
            .as_ref()
            .map(|log| mesh_log(log, report))
            .into_iter()
            .collect();
    }
    // Where nobody names a provider, the one that Istio brings along is meant.
    let default = match mesh.log_providers.as_slice() {
        [] => vec![ENVOY.to_owned()],
        named => named.to_vec(),
    };
    let names = |logging: &AccessLogging| -> Vec<String> {
        let named = logging.providers.iter();
        named.map(|ProviderRef { name }| name.clone()).collect()
    };
    let applies = |logging: &AccessLogging| is_for_client(logging.matches.as_ref().map(|m| m.mode));
    // The lowest level that names providers says which there are.
    let mut in_scope: BTreeSet<String> = default.iter().cloned().collect();
    for level in &levels {
        let entries = level
            .body
            .access_logging
            .iter()
            .filter(|entry| applies(entry));
        let named: BTreeSet<String> = entries.flat_map(&names).collect();
        if !named.is_empty() {
            in_scope = named;
        }
    }
    let mut chosen: BTreeMap<String, Option<Expression>> = BTreeMap::new();
    if levels.is_empty() {
        chosen.extend(default.iter().map(|name| (name.clone(), None)));
    }
    let mut above = default;
    for level in &levels {
        for entry in &level.body.access_logging {
            let mut providers = names(entry);
            if providers.is_empty() {
                providers = above;
            }
            above = providers.clone();
            for provider in providers {
                if !in_scope.contains(&provider) || !applies(entry) {
                    continue;
                }
                if entry.disabled == Some(true) {
                    chosen.remove(&provider);
                    continue;
                }
                let filter = entry.filter.as_ref();
                let filter = filter.and_then(|f| Expression::parse(&f.expression).ok());
                chosen.insert(provider, filter);
            }
        }
    }
    let named_by = levels.last().map(|level| &level.meta.key);
    let mut logs = Vec::new();
    for (name, filter) in chosen {
        let log = match named_by {
            Some(key) => {
                let mut report = report.on("Telemetry", key);
                let path = FieldPath::root("spec");
                provider_log(&name, settings, &path.field("accessLogging"), &mut report)
            }
            None => {
                let key = mesh_key();
                let mut report = report.on("MeshConfig", &key);
                let path = FieldPath::root("spec");
                provider_log(
                    &name,
                    settings,
                    &path.field("defaultProviders"),
                    &mut report,
                )
            }
        };
        logs.extend(log.map(|log| AccessLog { filter, ..log }));
    }
    logs
}

fn mesh_key() -> crate::resources::ObjectKey {
    crate::resources::ObjectKey::new("", "mesh")
}

/// The log of the mesh itself; a format that cannot be used gives Istio's.
fn mesh_log(log: &MeshLog, report: &mut Report) -> AccessLog {
    let MeshLog { file, format, json } = log;
    let key = mesh_key();
    let mut report = report.on("MeshConfig", &key);
    let spec = FieldPath::root("spec");
    let path = spec.field("accessLogFormat");
    let format = match (format.as_str(), json) {
        ("", json) => istio_format(*json),
        (format, false) => read(|notes| template::text(format, notes), &path, &mut report)
            .unwrap_or_else(|| istio_format(false)),
        (format, true) => read(
            |notes| {
                let labels = serde_json::from_str::<Value>(format);
                let labels = labels.map_err(|error| format!("it is no JSON ({error})"))?;
                template::json(&labels, notes)
            },
            &path,
            &mut report,
        )
        .unwrap_or_else(|| istio_format(true)),
    };
    AccessLog {
        target: LogTarget::of_path(file),
        format,
        omit_empty: false,
        filter: None,
    }
}

/// The log of a provider.
fn provider_log(
    name: &str,
    settings: &Settings,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<AccessLog> {
    let mesh = &settings.mesh;
    let Some(provider) = mesh.providers.iter().find(|provider| provider.name == name) else {
        if name == ENVOY {
            let format = match &mesh.access_log {
                Some(log) => {
                    let mut quiet = Report::default();
                    mesh_log(log, &mut quiet).format
                }
                None => istio_format(false),
            };
            return Some(AccessLog {
                target: LogTarget::Stdout,
                format,
                omit_empty: false,
                filter: None,
            });
        }
        let known = mesh.providers.iter().map(|provider| provider.name.as_str());
        report.add(
            codes::REFERENCE,
            Level::Error,
            path,
            format!("no provider `{name}` is defined, so it gets no access log."),
            did_you_mean(name, known.chain([ENVOY])),
        );
        return None;
    };
    let ExtensionProvider {
        envoy_file_access_log,
        ..
    } = provider;
    let Some(FileAccessLog {
        path: file,
        log_format,
        omit_empty_values,
    }) = envoy_file_access_log
    else {
        let kind = provider.kinds().first().copied().unwrap_or("no kind");
        report.unsupported(
            path,
            &format!("the provider `{name}` ({kind})"),
            "access logs go to files only, so it gets none",
        );
        return None;
    };
    let format = match log_format {
        None => Some(istio_format(false)),
        Some(ApiFormat { text, labels }) => match (text, labels) {
            (Some(text), Value::Null) if !text.is_empty() => {
                read(|notes| template::text(text, notes), path, report)
            }
            (None, labels @ Value::Object(entries)) if !entries.is_empty() => {
                read(|notes| template::json(labels, notes), path, report)
            }
            (None, Value::Object(_)) => Some(istio_format(true)),
            _ => Some(istio_format(false)),
        },
    };
    Some(AccessLog {
        target: LogTarget::of_path(file),
        format: format.unwrap_or_else(|| istio_format(false)),
        omit_empty: *omit_empty_values,
        filter: None,
    })
}

/// Reads a format, and reports what in it is wrong or prints nothing here.
fn read(
    parse: impl FnOnce(&mut Notes) -> Result<LogFormat, String>,
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Option<LogFormat> {
    let mut notes = Notes::default();
    let format = parse(&mut notes);
    for operator in notes.unknown {
        let what = format!("the access log operator `{operator}`");
        report.unsupported(path, &what, "it prints `-`");
    }
    match format {
        Ok(format) => Some(format),
        Err(error) => {
            let message =
                format!("the access log format cannot be used: {error}; Istio's own is used.");
            report.add(codes::SCHEMA, Level::Error, path, message, "");
            None
        }
    }
}
