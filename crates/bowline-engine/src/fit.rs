//! Whether what the code asks fits what is recorded, and the message that shows both sides where it does not.

use bowline_model::{DeadReason, EntryKey, Family, Fingerprint, Position, Shape};

use crate::board::{BoardState, CHANGED, Stop};

impl BoardState {
    /// The key under which the journal knows the step: today's, or one of the names it had before.
    pub(crate) fn recorded_name(&self, today: EntryKey, old_names: Vec<String>) -> EntryKey {
        if old_names.is_empty() || self.journal.knows(&today) {
            return today;
        }
        let mut before = old_names.into_iter().map(|name| EntryKey { name, ..today.clone() });
        before.find(|key| self.journal.knows(key)).unwrap_or(today)
    }

    /// Compares what the code asks with what is recorded.
    pub(crate) fn check_fits(&self, key: &EntryKey, shape: &Shape) -> Result<(), Stop> {
        let (recorded, side) = match (self.journal.get(key), self.journal.tried(key)) {
            (Some(entry), _) if self.journal.is_optional(entry.seq) => {
                return match (&entry.meta.fingerprint, &shape.fingerprint) {
                    (Some(recorded), Some(asked)) if !recorded.same_target(asked) => {
                        Err(mismatch(both_sides(key, "recorded", recorded, asked)))
                    }
                    _ => Ok(()),
                };
            }
            (Some(entry), _) => (&entry.meta.fingerprint, "recorded"),
            (None, Some(tried)) => (&tried.fingerprint, "was attempted as"),
            (None, None) => return Ok(()),
        };
        match (recorded, &shape.fingerprint) {
            (recorded, asked) if recorded == asked => Ok(()),
            (Some(recorded), Some(asked)) => Err(mismatch(both_sides(key, side, recorded, asked))),
            (Some(recorded), None) => Err(mismatch(format!(
                "step {key} {side} {recorded}, the code now runs a closure there; keep the old path for runs under way, \
                 or give the new step its own name"
            ))),
            (None, Some(asked)) => Err(mismatch(format!(
                "step {key} {side} a closure's, the code now asks {asked}; keep the old path for runs under way, or give \
                 the new step its own name"
            ))),
            (None, None) => Ok(()),
        }
    }
}

/// The message that shows both sides of a call that changed, and says what to add.
fn both_sides(key: &EntryKey, side: &str, recorded: &Fingerprint, asked: &Fingerprint) -> String {
    let same_target = recorded.same_target(asked);
    let asks = if same_target {
        format!("{asked}")
    } else {
        format!("{} {} {}", asked.method, asked.api, asked.path)
    };
    let was = if same_target {
        format!("{recorded}")
    } else {
        format!("{} {} {}", recorded.method, recorded.api, recorded.path)
    };
    let hint = match &key.position {
        Position::Nth(_) if !same_target => {
            "the loop's order or the code changed; add .key(id) to steps in a loop, or keep the old path for runs under way with \
             cx.changed(\"what changed\")"
        }
        Position::Nth(_) | Position::Key(_) if same_target => {
            "what is sent must come from the event, recorded outcomes, cx.now() or cx.random(), not from the clock or a map's order; \
             if the code changed, keep the old path for runs under way with cx.changed(\"what changed\")"
        }
        Position::Nth(_) | Position::Key(_) => "give the new step its own name",
    };
    format!("step {key} {side} {was}, the code now asks {asks}: {hint}")
}

/// What a person calls that which has such a key.
pub(crate) fn what(key: &EntryKey) -> &'static str {
    match key.family {
        Family::Run => "the run",
        Family::Step => "step",
        Family::Value => "value",
        Family::Timer => "timer",
        Family::Message => "wait",
        Family::Child => "child",
        Family::Branch => "branch",
        Family::State if key.name == CHANGED => "question",
        Family::State => "state",
        Family::Transaction => "transaction",
        Family::Undo => "undo of",
    }
}

pub(crate) fn mismatch(message: String) -> Stop {
    Stop::new(DeadReason::Mismatch, message)
}
