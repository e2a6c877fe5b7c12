//! What of the library's `authentication` the kinds of failures need.

#[path = "../../../src/authentication/denied.rs"]
mod denied;

pub(crate) use denied::Denied;
