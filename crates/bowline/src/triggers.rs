//! What starts runs without a request: it begins with the app, and ends with it.

use std::sync::Arc;

use bowline_ingress::{Intake, TriggerBoard};
use bowline_model::BoxFuture;
use tokio::sync::watch;

/// A trigger, configured: given its way in, the board to write to and the word that the app stops, it runs until then.
pub(crate) type Trigger =
    Arc<dyn Fn(Intake, &TriggerBoard, watch::Receiver<bool>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is wrong with what [`twins`] yields.
pub(crate) const TWICE: &str = "is there twice: give each its own name";

/// The names that come twice among triggers of one kind, as they are told.
pub(crate) fn twins<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).map(|name| format!("the {kind} {name:?}")).collect()
}
