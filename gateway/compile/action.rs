//! What a route does, made ready.

use gatehouse_config::model;

use crate::compile::{cluster_id, edits};
use crate::snapshot::{
    Action, Destination, Forward, Mirror, Redirect, TcpRoute, UriRewrite, WeightedDestination,
};

/// `route` is the name of the route whose action it is.
pub(super) fn compile(action: &model::Action, route: &str) -> Action {
    match action {
        model::Action::Forward(forward) => Action::Forward(compile_forward(forward, route)),
        model::Action::Redirect(redirect) => {
            let model::Redirect {
                code,
                scheme,
                authority,
                port,
                uri,
                prefix_rewrite,
            } = &**redirect;
            let bytes = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().into());
            Action::Redirect(Redirect {
                code: *code,
                scheme: scheme.as_deref().map(Into::into),
                authority: bytes(authority),
                port: *port,
                uri: bytes(uri),
                prefix_rewrite: bytes(prefix_rewrite),
            })
        }
        model::Action::DirectResponse(direct) => Action::DirectResponse {
            status: direct.status,
            body: direct.body.as_slice().into(),
        },
    }
}

fn compile_forward(forward: &model::Forward, route: &str) -> Forward {
    let model::Forward {
        destinations,
        rewrite,
        timeout,
        retry,
        mirrors,
    } = forward;
    let destinations: Box<[_]> = destinations
        .iter()
        .map(|to| compile_destination(to, route))
        .collect();
    let model::Rewrite { uri, authority } = rewrite;
    Forward {
        total_weight: destinations
            .iter()
            .fold(0, |sum, d| d.weight.saturating_add(sum))
            .max(1),
        destinations,
        rewrite: uri.as_deref().map(compile_rewrite).map(Box::new),
        authority: authority.as_ref().map(|text| text.as_bytes().into()),
        timeout: *timeout,
        retry: retry.clone(),
        mirrors: mirrors.iter().filter_map(compile_mirror).collect(),
    }
}

fn compile_rewrite(rewrite: &model::UriRewrite) -> UriRewrite {
    match rewrite {
        model::UriRewrite::Prefix(text) => UriRewrite::Prefix(text.as_bytes().into()),
        model::UriRewrite::Regex { regex, replacement } => UriRewrite::Regex {
            regex: regex.clone(),
            replacement: replacement.as_bytes().into(),
        },
    }
}

/// To a destination that nothing defines no copy goes, as with Envoy.
fn compile_mirror(mirror: &model::Mirror) -> Option<Mirror> {
    match mirror.destination {
        model::Destination::Cluster(index) => Some(Mirror {
            cluster: cluster_id(index),
            percentage: mirror.percentage,
        }),
        model::Destination::Unknown { .. } => None,
    }
}

fn compile_destination(weighted: &model::WeightedDestination, route: &str) -> WeightedDestination {
    let model::WeightedDestination {
        destination,
        weight,
        authority,
        headers,
    } = weighted;
    WeightedDestination {
        destination: self::destination(destination),
        weight: *weight,
        authority: authority.as_ref().map(|text| text.as_bytes().into()),
        request_edits: edits::compile(&headers.request, route),
        response_edits: edits::compile(&headers.response, route),
    }
}

fn destination(destination: &model::Destination) -> Destination {
    match destination {
        model::Destination::Cluster(index) => Destination::Cluster(cluster_id(*index)),
        model::Destination::Unknown { name } => Destination::Unknown { name: name.clone() },
    }
}

pub(super) fn compile_tcp(route: &model::TcpRoute) -> TcpRoute {
    let model::TcpRoute {
        origin,
        destinations,
    } = route;
    let destinations: Box<[_]> = destinations
        .iter()
        .map(|share| (destination(&share.destination), share.weight))
        .collect();
    TcpRoute {
        source: origin.clone(),
        total_weight: destinations
            .iter()
            .fold(0_u32, |sum, (_, weight)| weight.saturating_add(sum))
            .max(1),
        destinations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_split_keeps_the_host_that_it_sets() {
        let share = |authority: Option<&str>| model::WeightedDestination {
            destination: model::Destination::Cluster(model::ClusterIndex(0)),
            weight: 1,
            authority: authority.map(str::to_owned),
            headers: model::HeaderEdits::default(),
        };
        let compiled = compile_forward(
            &model::Forward {
                destinations: vec![share(Some("d.lan")), share(None)],
                rewrite: model::Rewrite::default(),
                timeout: None,
                retry: None,
                mirrors: Vec::new(),
            },
            "",
        );
        let hosts: Vec<_> = compiled
            .destinations
            .iter()
            .map(|to| to.authority.as_deref())
            .collect();
        assert_eq!(hosts, [Some(&b"d.lan"[..]), None]);
    }
}
