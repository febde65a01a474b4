//! What the integration tests share.

pub(crate) mod inspection;
pub(crate) mod trace_script;
