//! What a JSON object gives, and how much of it is written: how choices and groups that repeat are decided.

use std::collections::HashMap;

use serde_json::Value;

use super::ANY;
use crate::soap::schema::shape::{Elements, Part, What};

/// What a JSON object has for each field, and how much of it is written.
pub(super) struct Given<'a> {
    pub(super) all: &'a Elements,
    pub(super) slots: HashMap<usize, Slot<'a>>,
    pub(super) any: Option<&'a Value>,
}

pub(super) struct Slot<'a> {
    pub(super) values: Vec<&'a Value>,
    pub(super) next: usize,
}

impl<'a> Slot<'a> {
    pub(super) fn take(&mut self) -> Option<(usize, &'a Value)> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        Some((self.next - 1, value))
    }
}

impl Given<'_> {
    pub(super) fn has(&self, field: usize) -> bool {
        self.slots.get(&field).is_some_and(|slot| slot.next < slot.values.len())
    }

    /// Whether anything that could be in the part is left.
    pub(super) fn has_any(&self, part: &Part) -> bool {
        match &part.what {
            What::Field(field) => self.has(*field),
            What::Sequence(parts) | What::Choice(parts) => parts.iter().any(|part| self.has_any(part)),
            What::Any => self.any.is_some(),
        }
    }

    /// How many fields of the part must be there and are not.
    pub(super) fn lacks(&self, part: &Part) -> usize {
        if part.min == 0 && !self.has_any(part) {
            return 0;
        }
        match &part.what {
            What::Field(field) => {
                usize::from(part.min > 0 && !self.has(*field) && self.all.fields[*field].decl.fixed.is_none())
            }
            What::Sequence(parts) => parts.iter().map(|part| self.lacks(part)).sum(),
            What::Choice(parts) => parts.iter().map(|part| self.lacks(part)).min().unwrap_or(0),
            What::Any => 0,
        }
    }

    /// How many fields of the part are given.
    pub(super) fn uses(&self, part: &Part) -> usize {
        match &part.what {
            What::Field(field) => usize::from(self.has(*field)),
            What::Sequence(parts) => parts.iter().map(|part| self.uses(part)).sum(),
            What::Choice(parts) => parts.iter().map(|part| self.uses(part)).max().unwrap_or(0),
            What::Any => usize::from(self.any.is_some()),
        }
    }

    pub(super) fn taken(&self) -> (usize, bool) {
        (self.slots.values().map(|slot| slot.next).sum(), self.any.is_some())
    }

    /// A field with values left: how many were written, and how many were not.
    pub(super) fn left(&self) -> Option<(usize, usize, usize)> {
        (0..self.all.fields.len()).find_map(|field| {
            let slot = self.slots.get(&field)?;
            let left = slot.values.len() - slot.next;
            (left > 0).then_some((field, slot.next, left))
        })
    }
}

/// The keys that a part can begin with.
pub(super) fn first_keys<'a>(part: &Part, all: &'a Elements, into: &mut Vec<&'a str>) {
    match &part.what {
        What::Field(field) => into.push(&all.fields[*field].key),
        What::Sequence(parts) => parts.first().into_iter().for_each(|part| first_keys(part, all, into)),
        What::Choice(parts) => parts.iter().for_each(|part| first_keys(part, all, into)),
        What::Any => into.push(ANY),
    }
}
