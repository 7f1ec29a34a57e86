//! What starts runs without a request: it begins with the app, and ends with it.

use std::sync::Arc;

use bowline_ingress::{Intake, TriggerBoard};
use bowline_model::BoxFuture;
use tokio::sync::watch;

/// A trigger, configured: given its way in, the board to write to and the word that the app stops, it runs until then.
pub(crate) type Trigger =
    Arc<dyn Fn(Intake, &TriggerBoard, watch::Receiver<bool>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is wrong with triggers, so that all of it is told at once: a name that comes twice among those of one kind.
pub(crate) fn twins<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    names
        .filter(|name| !seen.insert(*name))
        .map(|name| format!("{kind} {name:?} is there twice; give each its own name"))
        .collect()
}
