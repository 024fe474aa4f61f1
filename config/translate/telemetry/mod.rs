//! Telemetry: which access logs are written and how metrics are changed (reference: Istio §1.7).
//!
//! Of each level (root namespace, the gateway's namespace, the gateway itself) the oldest Telemetry
//! counts; a lower level goes on from the one above it.

mod access_log;
mod metrics;
mod template;
#[cfg(test)]
mod tests;

use crate::api::istio::Telemetry;
use crate::api::istio::telemetry::{CustomTag, ProviderRef, Tracing, WorkloadMode};
use crate::model::Proxy;
use crate::resources::{Object, Resources};
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::mesh::report_unused;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::security::{Judge, Target};

pub use template::istio_format;

/// Judges every Telemetry, and puts what applies to this gateway into the proxy's settings.
pub(crate) fn apply(
    resources: &Resources,
    settings: &Settings,
    proxy: &mut Proxy,
    report: &mut Report,
) {
    let valid: Vec<&Object<Telemetry>> = resources
        .telemetries
        .values()
        .map(|object| &**object)
        .filter(|object| judge(object, report))
        .collect();
    let levels = levels(&valid, settings);
    proxy.access_logs = access_log::logs(&levels, settings, report);
    proxy.metrics = metrics::rules(&levels, settings, report);
}

/// The Telemetry of each level that applies, the outermost first.
fn levels<'t>(valid: &[&'t Object<Telemetry>], settings: &Settings) -> Vec<&'t Object<Telemetry>> {
    let oldest = |fits: &dyn Fn(&Object<Telemetry>) -> bool| {
        let fitting = valid.iter().copied().filter(|object| fits(object));
        // One without an age is taken for older than any, as most files have none.
        fitting.min_by_key(|object| (object.meta.created, &object.meta.key.name))
    };
    let is_general = |object: &Object<Telemetry>| {
        let Telemetry {
            selector,
            target_ref,
            target_refs,
            ..
        } = &object.body;
        selector.as_ref().is_none_or(|s| s.match_labels.is_empty())
            && target_ref.is_none()
            && target_refs.is_empty()
    };
    let of = |namespace: &str| {
        oldest(&|object| object.meta.key.namespace == namespace && is_general(object))
    };
    let root = of(&settings.root_namespace);
    let own = (settings.namespace != settings.root_namespace).then(|| of(&settings.namespace));
    let workload = oldest(&|object| {
        object.meta.key.namespace == settings.namespace
            && !is_general(object)
            && target(&object.body).is_this_gateway(&object.meta.key.namespace, settings)
    });
    [root, own.flatten(), workload]
        .into_iter()
        .flatten()
        .collect()
}

fn target(telemetry: &Telemetry) -> Target<'_> {
    Target {
        selector: telemetry.selector.as_ref(),
        reference: telemetry.target_ref.as_ref(),
        references: &telemetry.target_refs,
    }
}

/// Whether an object breaks no rule; what is wrong is reported.
fn judge(object: &Object<Telemetry>, report: &mut Report) -> bool {
    let Telemetry {
        selector: _,
        target_ref: _,
        target_refs: _,
        tracing,
        metrics,
        access_logging,
    } = &object.body;
    let mut report = report.on("Telemetry", &object.meta.key);
    let spec = FieldPath::root("spec");
    let mut judged = Judge::new(&mut report, &object.meta.key);
    target(&object.body).judge(&spec, &mut judged);
    let valid = judged.is_valid();
    let path = spec.field("tracing");
    for (i, tracing) in tracing.iter().enumerate() {
        judge_tracing(tracing, &path.index(i), &mut report);
    }
    if !tracing.is_empty() {
        report_unused(&mut report, &spec, "Telemetry", "tracing");
    }
    let path = spec.field("metrics");
    for (i, entry) in metrics.iter().enumerate() {
        metrics::judge(entry, &path.index(i), &mut report);
    }
    let path = spec.field("accessLogging");
    for (i, logging) in access_logging.iter().enumerate() {
        access_log::judge(logging, &path.index(i), &mut report);
    }
    valid && report.is_valid()
}

fn judge_providers(providers: &[ProviderRef], path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let path = path.field("providers");
    for (i, ProviderRef { name }) in providers.iter().enumerate() {
        if name.is_empty() {
            report.invalid(
                &path.index(i).field("name"),
                "the provider has no name; the object is not used.",
                "Name one of the MeshConfig's extensionProviders, or `envoy`.",
            );
        }
    }
}

fn judge_tracing(tracing: &Tracing, path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    let Tracing {
        matches: _,
        providers,
        random_sampling_percentage,
        disable_span_reporting: _,
        custom_tags,
        use_request_id_for_trace_sampling: _,
        enable_istio_tags: _,
        disable_context_propagation: _,
    } = tracing;
    judge_providers(providers, path, report);
    if providers.len() > 1 {
        let message = "only the first provider of spans counts.";
        report.questionable(&path.field("providers"), message, "Keep one of them.");
    }
    if random_sampling_percentage.is_some_and(|share| !(0.0..=100.0).contains(&share)) {
        report.invalid(
            &path.field("randomSamplingPercentage"),
            "the percentage is not within 0 and 100; the object is not used.",
            "",
        );
    }
    let tags = path.field("customTags");
    for (name, tag) in custom_tags {
        let path = tags.field(name);
        let CustomTag {
            literal,
            environment,
            header,
            formatter,
        } = tag;
        let values = [literal, formatter].into_iter().flatten();
        let sources = [environment, header].into_iter().flatten();
        let empty = name.is_empty()
            || values.clone().any(|tag| tag.value.is_empty())
            || sources.clone().any(|tag| tag.name.is_empty());
        if empty || values.count() + sources.count() != 1 {
            let message = "a tag has a name and one source with a value; the object is not used.";
            report.invalid(&path, message, "");
        }
    }
}

/// Whether an entry for this side is for a gateway, which is the client of its endpoints.
fn is_for_client(mode: Option<WorkloadMode>) -> bool {
    matches!(
        mode,
        None | Some(WorkloadMode::ClientAndServer | WorkloadMode::Client)
    )
}
