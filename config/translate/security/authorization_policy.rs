//! AuthorizationPolicy: its rules (reference: Istio §1.6), and the hosts that it guards.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::api::istio::AuthorizationPolicy;
use crate::api::istio::authorization_policy::{
    Action, Condition, Operation, Rule, RuleFrom, RuleTo, Source,
};
use crate::model::{Guard, GuardedHosts};
use crate::resources::Object;
use crate::translate::Settings;
use crate::translate::field_path::FieldPath;
use crate::translate::report::Report;
use crate::translate::security::{Judge, Target};

/// Judges a policy; gives what must not be served because of it.
pub(super) fn judge(
    object: &Object<AuthorizationPolicy>,
    settings: &Settings,
    report: &mut Report,
) -> Option<Guard> {
    let AuthorizationPolicy {
        selector,
        target_ref,
        target_refs,
        rules,
        action,
        provider,
    } = &object.body;
    let key = &object.meta.key;
    let mut report = report.on("AuthorizationPolicy", key);
    let mut judge = Judge::new(&mut report, key);
    let spec = FieldPath::root("spec");
    let target = Target {
        selector: selector.as_ref(),
        reference: target_ref.as_ref(),
        references: target_refs,
    };
    target.judge(&spec, &mut judge);
    match (action, provider) {
        (Action::Custom, provider) => {
            let named = provider.as_ref().is_some_and(|p| !p.name.is_empty());
            if !named {
                let path = spec.field("provider");
                judge.wrong(
                    &path.field("name"),
                    "CUSTOM needs the name of a provider to ask",
                    "Name one of the MeshConfig's extensionProviders.",
                );
            }
            if rules.is_empty() {
                judge.wrong(
                    &spec.field("rules"),
                    "CUSTOM without rules is never triggered",
                    "Write `rules: [{}]` for every request.",
                );
            }
        }
        (action, Some(_)) => {
            let message = format!("a provider is for CUSTOM, and the action is {action}");
            judge.wrong(&spec.field("provider"), &message, "Remove it.");
        }
        (Action::Deny, None) if rules.is_empty() => judge.questionable(
            &spec.field("rules"),
            "DENY without rules is never triggered.",
            "Write `rules: [{}]` to deny every request.",
        ),
        // ALLOW without rules is how one denies every request: meant so, and not enforced anyway.
        (Action::Allow | Action::Deny | Action::Audit, None) => {}
    }
    let path = spec.field("rules");
    for (i, rule) in rules.iter().enumerate() {
        judge_rule(rule, *action, &path.index(i), &mut judge);
    }
    let applies = target.is_this_gateway(&key.namespace, settings);
    let dry_run = object.meta.annotations.get("istio.io/dry-run");
    let hosts = match action {
        _ if !judge.is_valid() => Some(GuardedHosts::Every),
        // What it would do is only written to the log.
        Action::Allow | Action::Deny if dry_run.is_some_and(|value| value == "true") => None,
        Action::Audit => None,
        Action::Allow => Some(GuardedHosts::Every),
        Action::Deny | Action::Custom => guarded(rules),
    };
    let shown = hosts.as_ref().map(ToString::to_string);
    judge.not_enforced(applies, shown.as_deref(), settings);
    Some(Guard {
        policy: format!("AuthorizationPolicy {key}"),
        hosts: hosts.filter(|_| applies)?,
    })
}

/// The hosts that rules look at; none where there is no rule.
fn guarded(rules: &[Rule]) -> Option<GuardedHosts> {
    let mut patterns = BTreeSet::new();
    for rule in rules {
        if rule.to.is_empty() {
            return Some(GuardedHosts::Every);
        }
        for to in &rule.to {
            let hosts = to.operation.as_ref().map(|o| o.hosts.as_slice());
            match hosts {
                Some(hosts) if !hosts.is_empty() && !hosts.iter().any(|host| host == "*") => {
                    patterns.extend(hosts.iter().map(|host| host.to_ascii_lowercase()));
                }
                _ => return Some(GuardedHosts::Every),
            }
        }
    }
    (!patterns.is_empty()).then(|| GuardedHosts::Only(patterns.into_iter().collect()))
}

fn judge_rule(rule: &Rule, action: Action, path: &FieldPath<'_>, judge: &mut Judge<'_, '_>) {
    let Rule { from, to, when } = rule;
    let custom = action == Action::Custom;
    let from_path = path.field("from");
    for (i, RuleFrom { source }) in from.iter().enumerate() {
        let item = from_path.index(i);
        let path = item.field("source");
        match source {
            Some(source) if *source != Source::default() => {
                judge_source(source, custom, &path, judge);
            }
            _ => judge.wrong(
                &path,
                "the source says nothing",
                "Remove the entry of `from`.",
            ),
        }
    }
    let to_path = path.field("to");
    for (i, RuleTo { operation }) in to.iter().enumerate() {
        let item = to_path.index(i);
        let path = item.field("operation");
        match operation {
            Some(operation) if *operation != Operation::default() => {
                judge_operation(operation, &path, judge);
            }
            _ => judge.wrong(
                &path,
                "the operation says nothing",
                "Remove the entry of `to`.",
            ),
        }
    }
    let when_path = path.field("when");
    for (i, condition) in when.iter().enumerate() {
        judge_condition(condition, custom, &when_path.index(i), judge);
    }
}

fn judge_source(source: &Source, custom: bool, path: &FieldPath<'_>, judge: &mut Judge<'_, '_>) {
    let Source {
        principals,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
        trust_domains,
        not_trust_domains,
    } = source;
    let identities = [
        ("principals", principals),
        ("notPrincipals", not_principals),
        ("requestPrincipals", request_principals),
        ("notRequestPrincipals", not_request_principals),
        ("namespaces", namespaces),
        ("notNamespaces", not_namespaces),
        ("serviceAccounts", service_accounts),
        ("notServiceAccounts", not_service_accounts),
        ("trustDomains", trust_domains),
        ("notTrustDomains", not_trust_domains),
    ];
    for (name, values) in identities {
        let path = path.field(name);
        judge.no_empty_values(values, &path);
        if custom && !values.is_empty() {
            let message = format!("{name} cannot be asked of with CUSTOM");
            judge.wrong(&path, &message, "");
        }
    }
    let accounts = !service_accounts.is_empty() || !not_service_accounts.is_empty();
    let others = [principals, not_principals, namespaces, not_namespaces];
    if accounts && others.into_iter().any(|values| !values.is_empty()) {
        judge.wrong(
            path,
            "serviceAccounts cannot stand beside namespaces or principals",
            "A service account says both already.",
        );
    }
    for (name, blocks) in [
        ("ipBlocks", ip_blocks),
        ("notIpBlocks", not_ip_blocks),
        ("remoteIpBlocks", remote_ip_blocks),
        ("notRemoteIpBlocks", not_remote_ip_blocks),
    ] {
        judge_blocks(blocks, &path.field(name), judge);
    }
}

fn judge_operation(operation: &Operation, path: &FieldPath<'_>, judge: &mut Judge<'_, '_>) {
    let Operation {
        hosts,
        not_hosts,
        ports,
        not_ports,
        methods,
        not_methods,
        paths,
        not_paths,
    } = operation;
    for (name, values) in [
        ("hosts", hosts),
        ("notHosts", not_hosts),
        ("methods", methods),
        ("notMethods", not_methods),
        ("paths", paths),
        ("notPaths", not_paths),
    ] {
        judge.no_empty_values(values, &path.field(name));
    }
    for (name, ports) in [("ports", ports), ("notPorts", not_ports)] {
        judge_ports(ports, &path.field(name), judge);
    }
    for (name, paths) in [("paths", paths), ("notPaths", not_paths)] {
        let path = path.field(name);
        for (i, template) in paths.iter().enumerate() {
            if !is_path_template(template) {
                let message = format!("`{template}` is no path template");
                let hint = "`{*}` stands for one segment, `{**}` for the rest; neither mixes with \
                            other text in a segment or with `*`.";
                judge.wrong(&path.index(i), &message, hint);
            }
        }
    }
}

/// Whether a path without braces, or one whose braces are `{*}` or `{**}` alone in a segment, with
/// at most one `{**}`, after which no `{*}` or `{**}` comes.
fn is_path_template(path: &str) -> bool {
    if !path.contains(['{', '}']) {
        return true;
    }
    let mut rest_seen = false;
    for segment in path.split('/') {
        match segment {
            "{*}" | "{**}" if rest_seen => return false,
            "{*}" => {}
            "{**}" => rest_seen = true,
            other if other.contains(['{', '}', '*']) => return false,
            _ => {}
        }
    }
    true
}

fn judge_condition(
    condition: &Condition,
    custom: bool,
    path: &FieldPath<'_>,
    judge: &mut Judge<'_, '_>,
) {
    let Condition {
        key,
        values,
        not_values,
    } = condition;
    let key_path = path.field("key");
    if key.is_empty() {
        judge.wrong(&key_path, "the condition names nothing to look at", "");
        return;
    }
    if values.is_empty() && not_values.is_empty() {
        let message = format!("the condition on `{key}` needs values or notValues");
        judge.wrong(path, &message, "");
    }
    let (values_path, not_path) = (path.field("values"), path.field("notValues"));
    let both = [(values, &values_path), (not_values, &not_path)];
    for (values, path) in both {
        judge.no_empty_values(values, path);
    }
    match key.as_str() {
        "source.ip" | "remote.ip" | "destination.ip" => {
            for (values, path) in both {
                judge_blocks(values, path, judge);
            }
        }
        "destination.port" => {
            for (values, path) in both {
                judge_ports(values, path, judge);
            }
        }
        "source.namespace"
        | "source.principal"
        | "source.serviceAccount"
        | "source.trustDomain"
        | "request.auth.principal"
        | "request.auth.audiences"
        | "request.auth.presenter" => {
            if custom {
                let message = format!("`{key}` cannot be asked of with CUSTOM");
                judge.wrong(&key_path, &message, "");
            }
        }
        "connection.sni" | "destination.user" => {}
        key if is_keyed(key, "request.headers") => {}
        key if is_keyed(key, "request.auth.claims") => {
            if custom {
                let message = format!("`{key}` cannot be asked of with CUSTOM");
                judge.wrong(&key_path, &message, "");
            }
        }
        key if key.starts_with("experimental.envoy.filters.") => {}
        key => {
            let message = format!("`{key}` is nothing that a condition can look at");
            let hint = crate::translate::suggest::did_you_mean(key, KEYS.iter().copied());
            judge.wrong(&key_path, &message, &hint);
        }
    }
}

const KEYS: &[&str] = &[
    "request.headers[name]",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.principal",
    "source.serviceAccount",
    "source.trustDomain",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.claims[name]",
    "destination.ip",
    "destination.port",
    "connection.sni",
];

/// `prefix[a]`, or `prefix[a][b]`, with something in each pair of brackets.
fn is_keyed(key: &str, prefix: &str) -> bool {
    let Some(inner) = key
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('['))
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return false;
    };
    inner.split("][").all(|part| !part.is_empty())
}

fn judge_blocks(blocks: &[String], path: &FieldPath<'_>, judge: &mut Judge<'_, '_>) {
    for (i, block) in blocks.iter().enumerate() {
        if !is_block(block) {
            let message = format!("`{block}` is neither an IP address nor a CIDR range");
            let hint = "Write 192.168.8.7, 192.168.8.0/24 or 2001:db8::/32.";
            judge.wrong(&path.index(i), &message, hint);
        }
    }
}

fn is_block(block: &str) -> bool {
    let Some((address, length)) = block.split_once('/') else {
        return block.parse::<IpAddr>().is_ok();
    };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn judge_ports(ports: &[String], path: &FieldPath<'_>, judge: &mut Judge<'_, '_>) {
    for (i, port) in ports.iter().enumerate() {
        if !port.parse::<u16>().is_ok_and(|port| port > 0) {
            let message = format!("`{port}` is no port");
            judge.wrong(&path.index(i), &message, "Write 1 to 65535, in quotes.");
        }
    }
}
