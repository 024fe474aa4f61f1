//! `exportTo`: which namespaces see an object.

use std::collections::BTreeSet;

use crate::translate::field_path::FieldPath;
use crate::translate::hosts;
use crate::translate::report::ObjectReport;

/// Who sees an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// Every namespace (`*`, and when nothing is said).
    Public,
    /// These namespaces; empty for `~`.
    Namespaces(BTreeSet<String>),
}

impl Visibility {
    /// Reads `exportTo` of an object in `namespace`; what is wrong is reported.
    pub(crate) fn parse(
        export_to: &[String],
        namespace: &str,
        allow_none: bool,
        path: &FieldPath<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Self {
        let mut seen = BTreeSet::new();
        let (mut public, mut none) = (false, false);
        for (i, entry) in export_to.iter().enumerate() {
            let entry = match entry.as_str() {
                "." => namespace,
                other => other,
            };
            match entry {
                "*" => public = true,
                "~" if allow_none => none = true,
                name if hosts::is_label(name) => {}
                name => report.invalid(
                    &path.index(i),
                    format!(
                        "`{name}` is neither a namespace nor `.` nor `*`; the object is not used."
                    ),
                    "",
                ),
            }
            if !seen.insert(entry.to_owned()) {
                report.invalid(
                    &path.index(i),
                    format!("the namespace `{entry}` is named twice in exportTo; the object is not used."),
                    "Name each namespace once; `.` is the object's own.",
                );
            }
        }
        if (public || none) && seen.len() > 1 {
            report.invalid(
                path,
                "exportTo says both everyone (`*`) or no one (`~`) and something else; the object is not used.",
                "Keep `*` alone, or the names alone.",
            );
        }
        Self::of(export_to, namespace)
    }

    /// Reads `exportTo` of an object that was validated before.
    pub(crate) fn of(export_to: &[String], namespace: &str) -> Self {
        if export_to.is_empty() || export_to.iter().any(|entry| entry == "*") {
            return Self::Public;
        }
        let names = export_to.iter().filter(|entry| *entry != "~");
        Self::Namespaces(
            names
                .map(|entry| if entry == "." { namespace } else { entry })
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Whether objects and proxies of `namespace` see it.
    pub(crate) fn sees(&self, namespace: &str) -> bool {
        match self {
            Self::Public => true,
            Self::Namespaces(names) => names.contains(namespace),
        }
    }

    /// Whether it is seen at most in `namespace`.
    pub(crate) fn is_private_to(&self, namespace: &str) -> bool {
        match self {
            Self::Public => false,
            Self::Namespaces(names) => names.iter().all(|name| name == namespace),
        }
    }
}
