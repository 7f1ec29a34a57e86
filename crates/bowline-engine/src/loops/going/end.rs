//! How a loop ends: what it says of dead items, and its recorded end.

use bowline_model::{Error, Failure, Payload, Result};

use super::Going;
use crate::{
    Context,
    asking::Asking,
    board::{EndedLoop, LoopEnd},
    leaf::LeafId,
    loops::{FAILED_NAMED_MAX, FailedItem, Summary, progress::Progress},
};

pub(super) async fn recorded_end(
    cx: &Context,
    name: &str,
    most_dead: u64,
    ended: EndedLoop,
) -> Result<Summary> {
    let EndedLoop { leaf, key, summary, caused_by } = ended;
    let board = cx.board();
    let leaf = Asking { board, id: leaf, key };
    let end = leaf.outcome().await;
    let summary = match &summary {
        Some(summary) => leaf.decode::<Summary>(summary).await?,
        None => Summary::default(),
    };
    if let Some(left) = left(name, most_dead, &summary) {
        board.leave_dead(cx.item(), left);
    }
    match end {
        crate::leaf::Outcome::Failed(failure) => Err(with_entry(failure.into(), caused_by)),
        crate::leaf::Outcome::Done(_) | crate::leaf::Outcome::TimedOut => Ok(summary),
    }
}

pub(super) fn with_entry(error: Error, entry: Option<bowline_model::EntryKey>) -> Error {
    match entry {
        Some(entry) => error.from_entry(entry),
        None => error,
    }
}

/// What a loop leaves for a person, in words.
pub(super) fn left(name: &str, most_dead: u64, summary: &Summary) -> Option<String> {
    if most_dead == 0 || summary.dead == 0 {
        return None;
    }
    let of = thousands(summary.done + summary.dead);
    let first = summary.failed.first().map(|first| format!(": item {}: {}", first.item, first.why));
    let dead = thousands(summary.dead);
    Some(format!("{dead} of {of} items of loop \"{name}\" failed{}", first.unwrap_or_default()))
}

/// `5,000`
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl<'a, T: Send + 'a> Going<'a, T> {
    /// Dead items, as their notes say it; those that an operator took back, with what is needed to run them again.
    pub(super) fn take_dead(&mut self) -> Vec<(String, Option<Payload>)> {
        let mut again = Vec::new();
        self.progress.dead = 0;
        let mut last = None;
        for (item, note) in std::mem::take(&mut self.begun.dead) {
            self.set_apart.insert(item.item.clone());
            if note.forgotten {
                let value = item.value.map(|value| Payload::from_stored(value.get().to_owned()));
                again.push((item.item, value));
                continue;
            }
            self.progress.dead += 1;
            self.name_failed(&item.item, &note.failure);
            last = Some((item.item, with_entry(note.failure.into(), note.caused_by)));
        }
        if let Some((item, error)) = last.filter(|_| self.progress.dead > self.spec.most_dead) {
            self.failed = Some(self.stopping(&item, &error));
        }
        again
    }

    pub(super) fn name_failed(&mut self, item: &str, failure: &Failure) {
        if self.failed_items.len() < FAILED_NAMED_MAX {
            self.failed_items.push(FailedItem { item: item.to_owned(), why: failure.to_string() });
        }
    }

    /// The error of an item, as the loop fails with it.
    pub(super) fn stopping(&self, item: &str, error: &Error) -> Error {
        let mut failure = error.failure().clone();
        if error.entry().is_none() {
            failure.message = format!("item {item} of loop \"{}\": {}", self.spec.name, failure.message);
        }
        if self.spec.most_dead > 0 {
            let most = thousands(self.spec.most_dead);
            failure
                .message
                .push_str(&format!(" (past the limit of {most} dead items of loop \"{}\")", self.spec.name));
        }
        with_entry(failure.into(), error.entry().cloned())
    }

    pub(super) fn end(&mut self) -> (LeafId, Result<Summary>) {
        let Progress { done, dead, again, .. } = self.progress;
        let summary = Summary { done, dead, again, failed: std::mem::take(&mut self.failed_items) };
        let failed = self.failed.take();
        if failed.is_some() || dead > 0 {
            self.note(false);
        }
        let end = LoopEnd {
            payload: Payload::encode(&summary).ok(),
            failure: failed.as_ref().map(|error| (error.failure().clone(), error.entry().cloned())),
            left: left(self.spec.name, self.spec.most_dead, &summary),
            is_clean: failed.is_none() && dead == 0,
        };
        let leaf = self.board().end_loop(&self.begun, end);
        (leaf, failed.map_or(Ok(summary), Err))
    }
}
