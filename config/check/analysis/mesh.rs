//! What the MeshConfigs say to analyzers of other objects.

use std::collections::BTreeSet;

use super::Analysis;
use crate::codes;
use crate::finding::Level;
use crate::resources::Metadata;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;

/// Whether Istio gives ServiceEntries addresses by itself (`defaultConfig.proxyMetadata`).
pub(super) fn addresses_are_given(analysis: &Analysis<'_>) -> bool {
    let meshes = analysis.resources.mesh_configs.values();
    let mut metadata = meshes.map(|mesh| &mesh.body.default_config.proxy_metadata);
    metadata.any(|metadata| {
        let is_on = |name: &str| metadata.get(name).is_some_and(|value| value == "true");
        is_on("ISTIO_META_DNS_CAPTURE")
            && (is_on("ISTIO_META_DNS_AUTO_ALLOCATE") || is_on("PILOT_ENABLE_IP_AUTOALLOCATE"))
    })
}

/// The variant of the sidecar's image that a Pod asks for.
pub(super) fn image_type(analysis: &Analysis<'_>, pod: &Metadata) -> String {
    let meshes = analysis.resources.mesh_configs.values();
    let mut images = meshes.map(|mesh| &mesh.body.default_config.image);
    let of_mesh = images.find_map(|image| {
        let image = image.get("imageType")?.as_str()?;
        Some(image.to_owned())
    });
    let own = pod.annotations.get("proxy.istio.io/config");
    let own = own.and_then(|text| {
        let (_, rest) = text.split_once("imageType:")?;
        let word = rest.split_whitespace().next()?;
        Some(word.trim_matches(['"', '\'', ',', '}']).to_owned())
    });
    own.or(of_mesh).unwrap_or_default()
}

/// Spans for a service that is given up (IST0002).
pub(super) fn old_providers(analysis: &Analysis<'_>, report: &mut Report) {
    let meshes = analysis.resources.mesh_configs.values();
    let providers = meshes.flat_map(|mesh| &mesh.body.extension_providers);
    let old: BTreeSet<&str> = providers
        .filter(|provider| !provider.lightstep.is_null())
        .map(|provider| provider.name.as_str())
        .collect();
    if old.is_empty() {
        return;
    }
    let spec = FieldPath::root("spec");
    let tracing = spec.field("tracing");
    for (key, object) in &analysis.resources.telemetries {
        for (i, part) in object.body.tracing.iter().enumerate() {
            let mut providers = part.providers.iter();
            if let Some(provider) = providers.find(|provider| old.contains(&*provider.name)) {
                let path = tracing.index(i);
                report.on("Telemetry", key).add(
                    codes::DEPRECATED,
                    Level::Warning,
                    &path.field("providers"),
                    format!(
                        "the provider `{}` is one of Lightstep, which Istio gives up.",
                        provider.name
                    ),
                    "Use an OpenTelemetry provider.",
                );
            }
        }
    }
}
