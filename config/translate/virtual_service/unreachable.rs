//! Rules and matches that no request can reach (Istio's IST0130 and IST0131).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::api::istio::http_route::{HttpMatch, HttpRoute, StringMatch};
use crate::codes;
use crate::finding::Level;
use crate::translate::field_path::FieldPath;
use crate::translate::report::ObjectReport;

/// Looks for rules that are shadowed by rules before them.
pub(crate) fn check(routes: &[HttpRoute], path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    // Nothing can shadow a single match, and most objects have few.
    if routes
        .iter()
        .map(|route| route.matches.len().max(1))
        .sum::<usize>()
        < 2
    {
        return;
    }
    let mut seen: HashMap<u64, Vec<(&HttpMatch, usize)>> = HashMap::new();
    let mut catch_all: Option<usize> = None;
    for (i, route) in routes.iter().enumerate() {
        let path = path.index(i);
        if let Some(before) = catch_all {
            report.add(
                codes::UNREACHABLE_RULE,
                Level::Warning,
                &path,
                format!(
                    "{} is never used: {} before it has no match and takes every request.",
                    rule_name(route, i),
                    rule_name(&routes[before], before)
                ),
                "Move the rule without a match to the end.",
            );
        }
        if route.matches.is_empty() {
            catch_all = Some(i);
            continue;
        }
        if catch_all.is_some() {
            continue;
        }
        let matches_path = path.field("match");
        let mut duplicates = 0;
        for (j, matched) in route.matches.iter().enumerate() {
            let alike = seen.entry(rough_hash(matched)).or_default();
            let same = alike.iter().find(|(other, _)| *other == matched);
            let Some((_, before)) = same else {
                alike.push((matched, i));
                continue;
            };
            duplicates += 1;
            let before = *before;
            report.add(
                codes::INEFFECTIVE_MATCH,
                Level::Info,
                &matches_path.index(j),
                format!(
                    "this match of {} is never used: {} has the same one and comes first.",
                    rule_name(route, i),
                    rule_name(&routes[before], before)
                ),
                "",
            );
        }
        if duplicates == route.matches.len() {
            report.add(
                codes::UNREACHABLE_RULE,
                Level::Warning,
                &path,
                format!(
                    "{} is never used: rules before it have all its matches.",
                    rule_name(route, i)
                ),
                "Remove it, or make its matches narrower and move it up.",
            );
        }
    }
    check_prefixes(routes, path, report);
}

/// Prefix matches that a shorter prefix before them takes.
fn check_prefixes(routes: &[HttpRoute], path: &FieldPath<'_>, report: &mut ObjectReport<'_>) {
    // Only matches by nothing but a prefix take all requests of a longer one.
    let mut by_prefix: HashMap<&str, usize> = HashMap::new();
    for (i, route) in routes.iter().enumerate() {
        let rule_path = path.index(i);
        let matches_path = rule_path.field("match");
        for (j, matched) in route.matches.iter().enumerate() {
            let Some(prefix) = matched.uri.as_ref().and_then(|uri| uri.prefix.as_deref()) else {
                continue;
            };
            let ends = (1..prefix.len()).filter(|end| prefix.is_char_boundary(*end));
            let shadow = ends
                .filter_map(|end| by_prefix.get_key_value(&prefix[..end]))
                .next();
            if let Some((shorter, before)) = shadow
                && *before <= i
            {
                report.add(
                    codes::INEFFECTIVE_MATCH,
                    Level::Info,
                    &matches_path.index(j),
                    format!(
                        "the prefix `{prefix}` of {} is never used: the prefix `{shorter}` of {} comes first and takes its requests.",
                        rule_name(route, i),
                        rule_name(&routes[*before], *before)
                    ),
                    "Put the longer prefix first.",
                );
            }
            if is_only_prefix(matched) {
                by_prefix.entry(prefix).or_insert(i);
            }
        }
    }
}

fn is_only_prefix(matched: &HttpMatch) -> bool {
    let only = HttpMatch {
        uri: matched.uri.clone(),
        name: matched.name.clone(),
        ..HttpMatch::default()
    };
    *matched == only
}

/// Equal for equal matches; most often different for others.
fn rough_hash(matched: &HttpMatch) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(StringMatch {
        exact,
        prefix,
        regex,
    }) = &matched.uri
    {
        (exact, prefix, regex).hash(&mut hasher);
    }
    for (name, condition) in &matched.headers {
        (name, &condition.exact).hash(&mut hasher);
    }
    hasher.finish()
}

fn rule_name(route: &HttpRoute, index: usize) -> String {
    if route.name.is_empty() {
        format!("rule {index}")
    } else {
        format!("rule {index} `{}`", route.name)
    }
}
