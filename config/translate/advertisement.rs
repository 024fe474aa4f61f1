//! L2Advertisements, and the nodes they choose from.

use std::collections::BTreeSet;

use crate::api::metallb::{L2Advertisement as Api, PreferredNodeSelector};
use crate::codes;
use crate::finding::Level;
use crate::model::{L2Advertisement, Node, Pool, Preference, RefusedPool};
use crate::resources::{Object, Resources};
use crate::translate::field_path::FieldPath;
use crate::translate::labels;
use crate::translate::pool::selectors;
use crate::translate::report::{ObjectReport, Report};
use crate::translate::suggest::did_you_mean;

/// All valid advertisements, by name. They cover refused pools as well: what was dealt from one
/// before stays announced.
pub(crate) fn advertisements(
    resources: &Resources,
    pools: &[Pool],
    refused: &[RefusedPool],
    report: &mut Report,
) -> Vec<L2Advertisement> {
    let mut objects: Vec<_> = resources.l2_advertisements.values().collect();
    objects.sort_by_key(|object| (&object.meta.key.name, &object.meta.key.namespace));
    objects
        .into_iter()
        .filter_map(|object| {
            let mut report = report.on("L2Advertisement", &object.meta.key);
            parse(object, pools, refused, &mut report)
        })
        .collect()
}

fn parse(
    object: &Object<Api>,
    pools: &[Pool],
    refused: &[RefusedPool],
    report: &mut ObjectReport<'_>,
) -> Option<L2Advertisement> {
    let Api {
        ip_address_pools,
        ip_address_pool_selectors,
        node_selectors,
        interfaces,
        service_selectors,
        preferred_node_selectors,
    } = &object.body;
    let spec = FieldPath::root("spec");
    let mut covered = BTreeSet::new();
    let valid = pools.iter().map(|pool| (&pool.name, &pool.labels));
    let known = valid.chain(refused.iter().map(|pool| (&pool.name, &pool.labels)));
    if ip_address_pools.is_empty() && ip_address_pool_selectors.is_empty() {
        covered.extend(known.clone().map(|(name, _)| name.clone()));
    }
    let mut named = BTreeSet::new();
    let path = spec.field("ipAddressPools");
    for (i, name) in ip_address_pools.iter().enumerate() {
        if !named.insert(name) {
            report.invalid(
                &path.index(i),
                format!("the pool `{name}` is written twice; the object is not used."),
                "",
            );
        } else if pools.iter().any(|pool| pool.name == *name) {
            covered.insert(name.clone());
        } else {
            if refused.iter().any(|pool| pool.name == *name) {
                covered.insert(name.clone());
            }
            missing_pool(name, pools, refused, &path.index(i), report);
        }
    }
    let by_label = selectors(
        ip_address_pool_selectors,
        &spec.field("ipAddressPoolSelectors"),
        report,
    );
    let selected = known.filter(|(_, labels)| {
        let mut selectors = by_label.iter();
        selectors.any(|selector| selector.matches(labels))
    });
    covered.extend(selected.map(|(name, _)| name.clone()));
    let node_selectors = selectors(node_selectors, &spec.field("nodeSelectors"), report);
    let service_selectors = selectors(service_selectors, &spec.field("serviceSelectors"), report);
    let preferences = preferences(
        preferred_node_selectors,
        &spec.field("preferredNodeSelectors"),
        report,
    );
    report.is_valid().then(|| L2Advertisement {
        name: object.meta.key.name.clone(),
        pools: covered,
        service_selectors,
        node_selectors,
        interfaces: interfaces.iter().cloned().collect(),
        preferences,
    })
}

fn missing_pool(
    name: &str,
    pools: &[Pool],
    refused: &[RefusedPool],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    let (message, hint) = if refused.iter().any(|pool| pool.name == name) {
        (
            format!(
                "the pool `{name}` is wrong and not in force: no more of its addresses is dealt, and \
                 those that were dealt stay announced."
            ),
            "Mend the pool.".to_owned(),
        )
    } else {
        (
            format!("there is no pool `{name}`, so this entry announces nothing."),
            did_you_mean(name, pools.iter().map(|pool| pool.name.as_str())),
        )
    };
    report.add(codes::REFERENCE, Level::Warning, path, message, hint);
}

fn preferences(
    list: &[PreferredNodeSelector],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) -> Vec<Preference> {
    let mut parsed = Vec::with_capacity(list.len());
    for (i, PreferredNodeSelector { weight, preference }) in list.iter().enumerate() {
        let path = path.index(i);
        let selector = match labels::selector(preference) {
            Ok(selector) => Some(selector),
            Err(wrong) => {
                report.invalid(
                    &path.field("preference"),
                    format!("the selector is wrong: {wrong}; the object is not used."),
                    "",
                );
                None
            }
        };
        let share = u32::try_from(*weight)
            .ok()
            .filter(|weight| (1..=100).contains(weight));
        if share.is_none() {
            report.invalid(
                &path.field("weight"),
                format!("the weight {weight} is not from 1 to 100; the object is not used."),
                "",
            );
        }
        if let (Some(weight), Some(selector)) = (share, selector) {
            parsed.push(Preference { weight, selector });
        }
    }
    parsed
}

/// The nodes that were described, by name.
pub(crate) fn nodes(resources: &Resources) -> Vec<Node> {
    let nodes = resources.nodes.values();
    nodes
        .map(|object| {
            let status = object.body.status.as_ref();
            let conditions = status.and_then(|status| status.conditions.as_ref());
            let says = |type_: &str, status: &[&str]| {
                let mut conditions = conditions.into_iter().flatten();
                conditions.any(|condition| {
                    condition.type_ == type_ && status.contains(&condition.status.as_str())
                })
            };
            Node {
                name: object.meta.key.name.clone(),
                labels: object.meta.labels.clone(),
                network_unavailable: says("NetworkUnavailable", &["True"]),
                not_ready: says("Ready", &["False", "Unknown"]),
            }
        })
        .collect()
}
