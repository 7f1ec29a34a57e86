//! Values between runs, as operators see them, and how large they may be.

use bowline_model::Payload;
use jiff::Timestamp;

/// Longest name of a space of values.
pub const STATE_SPACE_BYTES_MAX: usize = 1024;
/// Longest key of a value.
pub const STATE_KEY_BYTES_MAX: usize = 512;
/// Largest value.
pub const STATE_VALUE_BYTES_MAX: usize = 1 << 20;
/// A page of values, if the filter does not say.
pub const STATE_PAGE_DEFAULT: usize = 50;
/// The largest page of values.
pub const STATE_PAGE_MAX: usize = 1000;

/// The space of a workflow's own values.
pub fn workflow_space(workflow: &str) -> String {
    format!("workflow:{workflow}")
}

/// The space of the values of all workflows.
pub fn shared_space() -> String {
    "shared".to_owned()
}

/// A value between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEntry {
    /// Its key, one of its space.
    pub key: String,
    /// The value.
    pub value: Payload,
    /// Its version: higher after every change, and never the same again.
    pub version: u64,
    /// When it goes.
    pub expires_at: Option<Timestamp>,
}

/// Which values to list.
#[derive(Debug, Clone, Default)]
pub struct StateFilter {
    /// Whose: a [`workflow_space`], or the [`shared_space`].
    pub space: String,
    /// What their keys begin with.
    pub prefix: String,
    /// Behind this key: the last of the page before.
    pub after: Option<String>,
    /// At most this many; 0 means [`STATE_PAGE_DEFAULT`], and never more than [`STATE_PAGE_MAX`].
    pub limit: usize,
}
