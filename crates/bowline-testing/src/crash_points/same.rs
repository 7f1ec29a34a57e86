//! Whether two values of two executions are the same, given what may differ.
//!
//! A run records times, random values and what its steps returned; two executions may record different ones, and what
//! they send may differ by them. Such a difference is none: where the other execution recorded `b` in the place of `a`, `b`
//! in its requests stands for `a`.

use std::collections::BTreeSet;

use bowline_model::{Entry, EntryKind};
use serde_json::Value;
use uuid::Uuid;

/// Shorter texts are replaced only where they are the whole value: within others they may be there by chance.
const PART_BYTES_MIN: usize = 6;

/// What one execution recorded in the place of what another did.
#[derive(Debug, Default)]
pub(super) struct Stands {
    pairs: BTreeSet<(String, String)>,
}

impl Stands {
    /// `theirs` stands for `ours`.
    pub(super) fn add(&mut self, theirs: impl Into<String>, ours: impl Into<String>) {
        let pair = (theirs.into(), ours.into());
        if pair.0 != pair.1 {
            self.pairs.insert(pair);
        }
    }

    /// Learns from two journals of the same run.
    pub(super) fn learn(&mut self, ours: &[Entry], theirs: &[Entry]) {
        for entry in theirs.iter().filter(|entry| is_value(entry.kind)) {
            let same = |other: &&Entry| other.key == entry.key && other.kind == entry.kind;
            let Some(other) = ours.iter().find(same) else { continue };
            let value =
                |entry: &Entry| entry.payload.as_ref().and_then(|payload| payload.decode::<Value>().ok());
            if let (Some(theirs), Some(ours)) = (value(entry), value(other)) {
                self.learn_values(&ours, &theirs);
            }
        }
    }

    fn learn_values(&mut self, ours: &Value, theirs: &Value) {
        match (ours, theirs) {
            (Value::Array(ours), Value::Array(theirs)) => {
                ours.iter().zip(theirs).for_each(|(ours, theirs)| self.learn_values(ours, theirs));
            }
            (Value::Object(ours), Value::Object(theirs)) => {
                for (name, theirs) in theirs {
                    if let Some(ours) = ours.get(name) {
                        self.learn_values(ours, theirs);
                    }
                }
            }
            _ => {
                if let (Some(ours), Some(theirs)) = (leaf(ours), leaf(theirs)) {
                    self.add(theirs, ours);
                }
            }
        }
    }

    /// Whether both texts mean the same.
    pub(super) fn same_text(&self, ours: &str, theirs: &str) -> bool {
        ours == theirs
            || self.pairs.contains(&(theirs.to_owned(), ours.to_owned()))
            || self.ours(theirs) == ours
    }

    /// Whether both values mean the same.
    pub(super) fn same_value(&self, ours: &Value, theirs: &Value) -> bool {
        match (ours, theirs) {
            (Value::Array(ours), Value::Array(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().zip(theirs).all(|(ours, theirs)| self.same_value(ours, theirs))
            }
            (Value::Object(ours), Value::Object(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().all(|(name, ours)| {
                        theirs.get(name).is_some_and(|theirs| {
                            are_keys(name, ours, theirs) || self.same_value(ours, theirs)
                        })
                    })
            }
            _ => match (leaf(ours), leaf(theirs)) {
                (Some(a), Some(b)) => ours.is_string() == theirs.is_string() && self.same_text(&a, &b),
                _ => ours == theirs,
            },
        }
    }

    /// The text with our values in the place of theirs.
    pub(super) fn ours(&self, theirs: &str) -> String {
        let long = self.pairs.iter().filter(|(theirs, _)| theirs.len() >= PART_BYTES_MIN);
        let mut long: Vec<_> = long.collect();
        long.sort_by_key(|(theirs, _)| std::cmp::Reverse(theirs.len()));
        long.iter().fold(theirs.to_owned(), |text, (theirs, ours)| text.replace(theirs.as_str(), ours))
    }
}

/// A remote that knows keys by a field of the body: two executions have different ones.
fn are_keys(name: &str, ours: &Value, theirs: &Value) -> bool {
    let is_key = |value: &Value| value.as_str().is_some_and(|text| Uuid::try_parse(text).is_ok());
    name.to_lowercase().contains("idempotency") && is_key(ours) && is_key(theirs)
}

fn is_value(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::Value | EntryKind::StepDone)
}

fn leaf(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stands() -> Stands {
        let mut stands = Stands::default();
        stands.learn_values(&json!({"id": 7, "at": "2026-01-01"}), &json!({"id": 8, "at": "2026-01-02"}));
        stands
    }

    #[test]
    fn what_was_recorded_differently_may_be_sent_differently() {
        let stands = stands();
        assert!(stands.same_value(&json!([{"contact": 7}]), &json!([{"contact": 8}])));
        assert!(stands.same_value(&json!("on 2026-01-01"), &json!("on 2026-01-02")));
        assert!(stands.same_value(&json!({"at": "2026-01-01"}), &json!({"at": "2026-01-01"})));
    }

    #[test]
    fn nothing_else_may_differ() {
        let stands = stands();
        for (ours, theirs) in [
            (json!(7), json!(9)),
            (json!(7), json!("8")),
            (json!("call 7"), json!("call 8")),
            (json!([7]), json!([8, 8])),
            (json!({"a": 7}), json!({"b": 8})),
            (json!({"a": true}), json!({"a": false})),
            (json!({"a": null}), json!({})),
            (json!("2026-01-02"), json!("2026-01-01")),
        ] {
            assert!(!stands.same_value(&ours, &theirs), "{ours} {theirs}");
        }
    }

    #[test]
    fn keys_in_a_body_may_differ_and_other_uuids_may_not() {
        let (a, b) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
        let stands = Stands::default();
        assert!(stands.same_value(&json!({"idempotency_key": a}), &json!({"idempotency_key": b})));
        assert!(!stands.same_value(&json!({"order": a}), &json!({"order": b})));
    }
}
