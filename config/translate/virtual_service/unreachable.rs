//! Rules and matches that no request can reach (Istio's IST0130 and IST0131).

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

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
    let mut prefixes = Vec::new();
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
            let same = alike.iter().find(|(other, _)| is_same(other, matched));
            let Some((_, before)) = same else {
                alike.push((matched, i));
                let uri = matched.uri.as_ref();
                let prefix = uri.and_then(|uri| uri.prefix.as_deref());
                if let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) {
                    prefixes.push(Prefix {
                        rule: i,
                        place: j,
                        prefix,
                        matched,
                    });
                }
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
    check_prefixes(routes, &prefixes, path, report);
}

/// TCP and TLS routes: their matches have no names, and no prefix takes another.
pub(crate) fn check_l4<M: Serialize>(
    routes: &[&[M]],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    if routes.len() < 2 && routes.iter().all(|matches| matches.len() < 2) {
        return;
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut catch_all: Option<usize> = None;
    for (i, matches) in routes.iter().enumerate() {
        let path = path.index(i);
        if let Some(before) = catch_all {
            report.add(
                codes::UNREACHABLE_RULE,
                Level::Warning,
                &path,
                format!("rule {i} is never used: rule {before} before it has no match and takes every connection."),
                "Move the rule without a match to the end.",
            );
        }
        if matches.is_empty() {
            catch_all = Some(i);
            continue;
        }
        if catch_all.is_some() {
            continue;
        }
        let matches_path = path.field("match");
        let mut duplicates = 0;
        for (j, matched) in matches.iter().enumerate() {
            let Ok(text) = serde_json::to_string(matched) else {
                continue;
            };
            let before = *seen.entry(text).or_insert(usize::MAX);
            if before == usize::MAX {
                if let Ok(text) = serde_json::to_string(matched) {
                    seen.insert(text, i);
                }
                continue;
            }
            duplicates += 1;
            report.add(
                codes::INEFFECTIVE_MATCH,
                Level::Info,
                &matches_path.index(j),
                format!("this match of rule {i} is never used: rule {before} has the same one and comes first."),
                "",
            );
        }
        if duplicates == matches.len() {
            report.add(
                codes::UNREACHABLE_RULE,
                Level::Warning,
                &path,
                format!("rule {i} is never used: rules before it have all its matches."),
                "Remove it, or make its matches narrower and move it up.",
            );
        }
    }
}

/// A match by prefix that comes after a shorter prefix.
struct Prefix<'m> {
    rule: usize,
    place: usize,
    prefix: &'m str,
    matched: &'m HttpMatch,
}

/// Prefix matches that a shorter prefix before them takes, as Istio's analysis judges it: regular
/// expressions are not compared, and a match without a method counts as one of GET.
fn check_prefixes(
    routes: &[HttpRoute],
    prefixes: &[Prefix<'_>],
    path: &FieldPath<'_>,
    report: &mut ObjectReport<'_>,
) {
    // Each with the one that takes its requests; that one is named in its place.
    type Taken<'p, 'm> = (&'p Prefix<'m>, Option<&'p Prefix<'m>>);
    let mut by_prefix: HashMap<&str, Vec<Taken<'_, '_>>> = HashMap::new();
    for late in prefixes {
        let mut taken = None;
        let ends = (1..late.prefix.len()).filter(|end| late.prefix.is_char_boundary(*end));
        let before = ends
            .filter_map(|end| by_prefix.get(&late.prefix[..end]))
            .flatten()
            .find(|(early, _)| covers(early.matched, late.matched));
        if let Some((early, taken_by)) = before {
            let rule_path = path.index(late.rule);
            let verdict = if takes_all(early.matched, late.matched) {
                taken = taken_by.or(Some(early));
                "is never used"
            } else {
                "is hardly used"
            };
            let early = taken_by.unwrap_or(early);
            report.add(
                codes::INEFFECTIVE_MATCH,
                Level::Info,
                &rule_path.field("match").index(late.place),
                format!(
                    "the prefix `{}` of {} {verdict}: the prefix `{}` of {} comes first and takes its requests.",
                    late.prefix,
                    rule_name(&routes[late.rule], late.rule),
                    early.prefix,
                    rule_name(&routes[early.rule], early.rule)
                ),
                "Put the longer prefix first.",
            );
        }
        let of_prefix = by_prefix.entry(late.prefix).or_default();
        of_prefix.push((late, taken));
    }
}

/// Whether all that `late` asks for besides its prefix is what `early` asks for (Istio:
/// `coveredValidation`).
fn covers(early: &HttpMatch, late: &HttpMatch) -> bool {
    let method = |matched: &HttpMatch| match text(matched.method.as_deref()) {
        (_, "") => ("exact", "GET".to_owned()),
        (form, method) => (form, method.to_owned()),
    };
    let (early_method, late_method) = (method(early), method(late));
    early.port == late.port
        && begins(
            (early_method.0, &early_method.1),
            (late_method.0, &late_method.1),
        )
        && begins(
            text(early.authority.as_deref()),
            text(late.authority.as_deref()),
        )
        && same_conditions(&early.headers, &late.headers)
        && same_conditions(&early.query_params, &late.query_params)
        && same_conditions(&early.without_headers, &late.without_headers)
}

/// Whether no request of `late` gets past `early`, whose prefix is shorter.
fn takes_all(early: &HttpMatch, late: &HttpMatch) -> bool {
    let only_prefix = HttpMatch {
        uri: early.uri.clone(),
        name: early.name.clone(),
        ignore_uri_case: early.ignore_uri_case,
        ..HttpMatch::default()
    };
    let as_late = HttpMatch {
        uri: late.uri.clone(),
        ..early.clone()
    };
    *early == only_prefix || is_same(&as_late, late)
}

type Conditions = BTreeMap<String, Box<StringMatch>>;

fn same_conditions(early: &Conditions, late: &Conditions) -> bool {
    early.len() == late.len()
        && early.iter().all(|(name, condition)| {
            let other = late.get(name);
            other.is_some_and(|other| begins(text(Some(condition)), text(Some(other))))
        })
}

/// How a condition compares, and with what; nothing for a regular expression.
fn text(condition: Option<&StringMatch>) -> (&'static str, &str) {
    let Some(StringMatch { exact, prefix, .. }) = condition else {
        return ("", "");
    };
    match (exact.as_deref(), prefix.as_deref()) {
        (Some(exact), _) if !exact.is_empty() => ("exact", exact),
        (_, Some(prefix)) if !prefix.is_empty() => ("prefix", prefix),
        _ => ("", ""),
    }
}

fn begins(early: (&str, &str), late: (&str, &str)) -> bool {
    late.1.is_empty() || (early.0 == late.0 && early.1.starts_with(late.1))
}

/// Whether two matches are one but for their names.
fn is_same(a: &HttpMatch, b: &HttpMatch) -> bool {
    a == b
        || (a.name != b.name
            && HttpMatch {
                name: b.name.clone(),
                ..a.clone()
            } == *b)
}

/// Equal for equal matches; most often different for others.
fn rough_hash(matched: &HttpMatch) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(StringMatch {
        exact,
        prefix,
        regex,
    }) = matched.uri.as_deref()
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
