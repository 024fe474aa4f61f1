//! Collects findings while objects are translated.

use std::collections::BTreeSet;

use crate::codes;
use crate::finding::{Finding, Level};
use crate::resources::{ObjectKey, ObjectRef};
use crate::translate::field_path::FieldPath;

/// All findings of one translation.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    pub(crate) refused: BTreeSet<ObjectRef>,
    pub(crate) refused_files: BTreeSet<String>,
    pub(crate) outdated: BTreeSet<Input>,
}

/// Something that a translation is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// An object.
    Object(ObjectRef),
    /// A file that an object names, by its path.
    File(String),
}

impl Report {
    /// A report on one object.
    pub(crate) fn on<'a>(&'a mut self, kind: &'static str, key: &'a ObjectKey) -> ObjectReport<'a> {
        ObjectReport {
            report: self,
            kind,
            key,
            valid: true,
        }
    }

    /// A finding that concerns no single object.
    pub(crate) fn general(
        &mut self,
        code: &'static str,
        level: Level,
        message: String,
        hint: &str,
    ) {
        self.findings.push(Finding {
            code,
            level,
            object: None,
            field: String::new(),
            position: None,
            message,
            hint: hint.to_owned(),
        });
    }
}

/// Findings on one object.
pub(crate) struct ObjectReport<'a> {
    report: &'a mut Report,
    kind: &'static str,
    key: &'a ObjectKey,
    valid: bool,
}

impl ObjectReport<'_> {
    /// The object breaks a rule of its API and is refused as a whole (Istio's IST0106; MetalLB has
    /// no codes).
    pub(crate) fn invalid(
        &mut self,
        field: &FieldPath<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let code = match self.kind {
            "IPAddressPool" | "L2Advertisement" => codes::ADDRESS_OBJECT,
            _ => codes::SCHEMA,
        };
        self.refuse(code, field, message, hint);
    }

    /// The object is refused as a whole, for a reason with a code of its own.
    pub(crate) fn refuse(
        &mut self,
        code: &'static str,
        field: &FieldPath<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.valid = false;
        self.report.refused.insert(ObjectRef {
            kind: self.kind.to_owned(),
            key: self.key.clone(),
        });
        self.add(code, Level::Error, field, message, hint);
    }

    /// The object is allowed, but probably not meant so (Istio's IST0133).
    pub(crate) fn questionable(
        &mut self,
        field: &FieldPath<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(codes::SCHEMA_WARNING, Level::Warning, field, message, hint);
    }

    /// Something that does nothing, of which Istio does not warn (GH0120).
    pub(crate) fn no_effect(
        &mut self,
        field: &FieldPath<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(codes::NO_EFFECT, Level::Warning, field, message, hint);
    }

    /// A field that is not honoured yet; `effect` is what that means for traffic.
    pub(crate) fn unsupported(&mut self, field: &FieldPath<'_>, what: &str, effect: &str) {
        let message = format!("{what} is not supported yet: {effect}.");
        self.add(codes::NOT_SUPPORTED, Level::Warning, field, message, "");
    }

    /// A field that is not honoured yet and takes its part of the object out of service.
    pub(crate) fn not_served(&mut self, field: &FieldPath<'_>, what: &str, effect: &str) {
        let message = format!("{what} is not supported yet: {effect}.");
        self.add(codes::NOT_SUPPORTED, Level::Error, field, message, "");
    }

    /// Any finding.
    pub(crate) fn add(
        &mut self,
        code: &'static str,
        level: Level,
        field: &FieldPath<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add_at(code, level, field.to_string(), message, hint);
    }

    /// Any finding, at a path that was written out before.
    pub(crate) fn add_at(
        &mut self,
        code: &'static str,
        level: Level,
        field: String,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.report.findings.push(Finding {
            code,
            level,
            object: Some(ObjectRef {
                kind: self.kind.to_owned(),
                key: self.key.clone(),
            }),
            field,
            position: None,
            message: message.into(),
            hint: hint.into(),
        });
    }

    /// What this object names is of no use: the last good version of these is wanted.
    pub(crate) fn refuse_inputs(&mut self, inputs: Vec<Input>) {
        for input in inputs {
            match input {
                Input::Object(object) => {
                    self.report.refused.insert(object);
                }
                Input::File(path) => {
                    self.report.refused_files.insert(path);
                }
            }
        }
    }

    /// What this object names is of little use: the last good version of these is better, where
    /// there is one.
    pub(crate) fn outdated(&mut self, inputs: Vec<Input>) {
        self.report.outdated.extend(inputs);
    }

    /// Which object it is.
    pub(crate) fn key(&self) -> &ObjectKey {
        self.key
    }

    /// Whether nothing refused the object so far.
    pub(crate) fn is_valid(&self) -> bool {
        self.valid
    }
}
