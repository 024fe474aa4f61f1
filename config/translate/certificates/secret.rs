//! Secrets: which one a name means, and what it holds under which key.

use crate::api::core::Secret;
use crate::resources::{ObjectKey, Resources};
use crate::translate::Settings;
use crate::translate::suggest::did_you_mean;

/// The keys of certificate and key, in the order in which they are tried: those of a generic
/// Secret, then those of `type: kubernetes.io/tls` (Istio: `ExtractCertInfo`).
const PAIRS: [(&str, &str); 2] = [("cert", "key"), ("tls.crt", "tls.key")];

/// A name that leads to no Secret that the gateway may use.
pub(super) struct NoReference {
    pub(super) message: String,
    pub(super) hint: String,
}

/// A certificate and its key.
pub(super) struct SecretPair<'s> {
    /// The keys that they were found under.
    pub(super) names: (&'static str, &'static str),
    pub(super) certificate: &'s [u8],
    pub(super) key: &'s [u8],
    /// `tls.ocsp-staple`, beside `tls.crt`.
    pub(super) ocsp_staple: Option<&'s [u8]>,
}

/// The Secret that a `credentialName` means: one of the gateway's namespace, whatever the
/// namespace of the object that names it (Istio: `ParseResourceName`).
pub(super) fn reference(name: &str, settings: &Settings) -> Result<ObjectKey, NoReference> {
    let own = &settings.namespace;
    let name = match name.split_once("://") {
        None | Some(("kubernetes", _)) => name.strip_prefix("kubernetes://").unwrap_or(name),
        Some((form, _)) => {
            return Err(NoReference {
                message: format!("`{form}://` leads to no Secret"),
                hint: format!("Write the name of a Secret in the namespace `{own}`."),
            });
        }
    };
    match name.split_once('/') {
        None => Ok(ObjectKey::new(own, name)),
        Some((namespace, name)) if namespace == own => Ok(ObjectKey::new(namespace, name)),
        Some((namespace, name)) => Err(NoReference {
            message: format!(
                "the Secret {namespace}/{name} is not the gateway's to use: it takes only those \
                 of its own namespace, `{own}`"
            ),
            hint: format!("Put the Secret into the namespace `{own}`, and name it `{name}`."),
        }),
    }
}

/// What to do about a Secret that is not there.
pub(super) fn nearest(key: &ObjectKey, resources: &Resources) -> String {
    let mut others = resources.secrets.keys();
    if let Some(other) = others.find(|other| other.name == key.name) {
        return format!(
            "There is {other}: move it to the namespace `{}`, where the gateway is, or start \
             gatehouse with `--namespace {}`.",
            key.namespace, other.namespace
        );
    }
    let near = resources.secrets.keys();
    let near = near.filter(|other| other.namespace == key.namespace);
    did_you_mean(&key.name, near.map(|other| other.name.as_str()))
}

/// The certificate and key of a Secret.
///
/// # Errors
///
/// It has none; why, as part of a sentence.
pub(super) fn pair(secret: &Secret) -> Result<SecretPair<'_>, String> {
    for names in PAIRS {
        let pair = (value(secret, names.0), value(secret, names.1));
        if let (Some(certificate @ [_, ..]), Some(key @ [_, ..])) = pair {
            return Ok(SecretPair {
                names,
                certificate,
                key,
                ocsp_staple: value(secret, "tls.ocsp-staple")
                    .filter(|staple| names.0 == "tls.crt" && !staple.is_empty()),
            });
        }
    }
    let there = |(certificate, key): &(&str, &str)| {
        value(secret, certificate).is_some() && value(secret, key).is_some()
    };
    Err(match PAIRS.iter().find(|names| there(names)) {
        Some((certificate, key)) => format!("`{certificate}` or `{key}` is empty"),
        None => "it has neither `tls.crt` and `tls.key` nor `cert` and `key`".to_owned(),
    })
}

/// What a Secret holds under a key. Text that was written plainly wins over data in base64, as an
/// API server merges the two.
pub(crate) fn value<'s>(secret: &'s Secret, key: &str) -> Option<&'s [u8]> {
    let text = secret.string_data.as_ref().and_then(|text| text.get(key));
    if let Some(text) = text {
        return Some(text.as_bytes());
    }
    Some(&secret.data.as_ref()?.get(key)?.0)
}
