//! What can be done to a request or a response: one file per feature, named as the API names it.

pub mod cors_policy;
pub mod fault;
pub mod guard;
pub mod headers;
mod operators;
pub mod path_normalization;
pub mod redirect;
pub mod rewrite;
pub mod sanitize;
