//! Another allocator's Lease in another namespace: two that deal out of the same pools, and neither
//! knows of the other.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::watch as channel;
use tokio::time::timeout;

use super::leader::LEASE;

/// Between two looks: a Lease in force is renewed many times meanwhile.
const LOOK: Duration = Duration::from_secs(60);

/// Between the first two, so that a second allocator is known soon after a start.
const FIRST: Duration = Duration::from_secs(10);

/// How long a list may take.
const REQUEST: Duration = Duration::from_secs(10);

/// Somebody else who deals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Where its Lease is.
    pub namespace: String,
    /// The node that holds it.
    pub holder: String,
}

/// Looks for as long as the process lives. Where Leases of other namespaces may not be listed nothing is
/// known of them.
pub(super) async fn run(client: Client, own: String, told: channel::Sender<Option<Rival>>) {
    let api: Api<Lease> = Api::all(client);
    let named = ListParams::default().fields(&format!("metadata.name={LEASE}"));
    let mut looks = Looks::default();
    loop {
        let is_first = looks.versions.is_empty();
        match timeout(REQUEST, api.list(&named)).await {
            Ok(Ok(list)) => {
                let rival = looks.look(&own, list.items.into_iter().filter_map(held));
                told.send_if_modified(|now| {
                    let news = *now != rival;
                    *now = rival;
                    news
                });
            }
            Ok(Err(error)) => tracing::debug!(%error, "other allocators' Leases cannot be listed"),
            Err(_) => tracing::debug!("other allocators' Leases are not listed in time"),
        }
        tokio::select! {
            () = tokio::time::sleep(if is_first { FIRST } else { LOOK }) => {}
            () = told.closed() => return,
        }
    }
}

/// A Lease that somebody holds: namespace, holder, version.
fn held(lease: Lease) -> Option<(String, String, String)> {
    let holder = lease
        .spec?
        .holder_identity
        .filter(|holder| !holder.is_empty())?;
    let meta = lease.metadata;
    Some((meta.namespace?, holder, meta.resource_version?))
}

/// What earlier looks saw. A Lease that is renewed changes from look to look, whatever the clocks say.
#[derive(Debug, Default)]
struct Looks {
    versions: BTreeMap<String, String>,
}

impl Looks {
    fn look(
        &mut self,
        own: &str,
        leases: impl Iterator<Item = (String, String, String)>,
    ) -> Option<Rival> {
        let mut rival = None;
        let mut versions = BTreeMap::new();
        for (namespace, holder, version) in leases {
            let before = self.versions.get(&namespace);
            let is_renewed = before.is_some_and(|before| *before != version);
            versions.insert(namespace.clone(), version);
            if is_renewed && namespace != own && rival.is_none() {
                rival = Some(Rival { namespace, holder });
            }
        }
        self.versions = versions;
        rival
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(looks: &mut Looks, leases: &[(&str, &str, &str)]) -> Option<String> {
        let leases = leases.iter().map(|(namespace, holder, version)| {
            (
                namespace.to_string(),
                holder.to_string(),
                version.to_string(),
            )
        });
        let rival = looks.look("gatehouse-system", leases);
        rival.map(|rival| format!("{}/{}", rival.namespace, rival.holder))
    }

    #[test]
    fn who_renews_elsewhere_is_a_rival_and_what_was_left_behind_is_none() {
        let mut looks = Looks::default();
        let ours = |version| ("gatehouse-system", "node1", version);
        let left = ("kube-system", "node9", "3");
        assert_eq!(look(&mut looks, &[ours("1"), left]), None);
        assert_eq!(look(&mut looks, &[ours("2"), left]), None, "never renewed");
        let alive = ("kube-system", "host", "4");
        let found = Some("kube-system/host".to_owned());
        assert_eq!(look(&mut looks, &[ours("3"), alive]), found);
        assert_eq!(look(&mut looks, &[ours("4"), alive]), None, "it ended");
        assert_eq!(look(&mut looks, &[ours("5")]), None);
    }
}
