//! What the CRM's log shows: whom it was asked to change, and under which keys.

use std::collections::{BTreeMap, BTreeSet};

use bowline_testing::crm::CrmRecord;

/// See the [module](self).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) pages: usize,
    pub(super) patches: usize,
    /// `PATCH`es after the first of their contact.
    pub(super) again: usize,
    /// Contacts that were there all the time, and never changed.
    pub(super) missing: usize,
    /// Contacts that were sent under several keys.
    pub(super) several_keys: usize,
    /// Keys under which several contacts were sent, and `PATCH`es without a key.
    pub(super) unfit_keys: usize,
    /// Answers that no CRM should have had to give.
    pub(super) refused: usize,
}

impl Found {
    /// Of a log, where those contacts were there all the time.
    pub(super) fn of(log: &[CrmRecord], stayed: &[u64]) -> Self {
        let mut found = Self::default();
        let mut keys: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        let mut contacts: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        let mut changed = BTreeSet::new();
        for record in log {
            // A contact that was deleted since its page was read is not there.
            found.refused += usize::from(!matches!(record.status, 200 | 404));
            let Some(contact) = record.contact else {
                found.pages += 1;
                continue;
            };
            found.patches += 1;
            if record.status == 200 {
                changed.insert(contact);
            }
            match record.key.as_deref() {
                Some(key) => {
                    keys.entry(contact).or_default().insert(key);
                    contacts.entry(key).or_default().insert(contact);
                }
                None => found.unfit_keys += 1,
            }
        }
        found.again = found.patches - keys.len();
        found.missing = stayed.iter().filter(|contact| !changed.contains(contact)).count();
        found.several_keys = keys.values().filter(|keys| keys.len() > 1).count();
        found.unfit_keys += contacts.values().filter(|contacts| contacts.len() > 1).count();
        found
    }

    /// Whether each contact came, and under one key that is only its own.
    pub(super) fn is_right(&self) -> bool {
        self.missing + self.several_keys + self.unfit_keys + self.refused == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(contact: u64, key: Option<&str>, status: u16) -> CrmRecord {
        let line = serde_json::json!({
            "nth": 1, "at_us": 0, "method": "PATCH", "contact": contact, "key": key, "email": null, "name": null, "total": null,
            "status": status, "created": false, "body_sha256": "",
        });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn tells_what_was_missed_and_what_came_under_a_wrong_key() {
        let well = [patch(1, Some("a"), 200), patch(2, Some("b"), 200), patch(2, Some("b"), 200)];
        let found = Found::of(&well, &[1, 2]);
        assert_eq!((found.patches, found.again, found.is_right()), (3, 1, true));
        assert_eq!(Found::of(&well, &[1, 2, 3]).missing, 1);
        assert_eq!(Found::of(&[patch(1, Some("a"), 404)], &[1]).missing, 1, "it was there");
        assert_eq!(Found::of(&[patch(1, Some("a"), 200), patch(1, Some("b"), 200)], &[1]).several_keys, 1);
        assert_eq!(Found::of(&[patch(1, Some("a"), 200), patch(2, Some("a"), 200)], &[1]).unfit_keys, 1);
        assert_eq!(Found::of(&[patch(1, None, 200)], &[]).unfit_keys, 1);
        assert_eq!(Found::of(&[patch(1, Some("a"), 503)], &[]).refused, 1);
    }
}
