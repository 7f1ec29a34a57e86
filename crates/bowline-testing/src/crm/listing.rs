//! The contacts that are listed: read page by page, changed by whoever asks, and changing by themselves meanwhile.
//!
//! They are listed by their places. A contact's place is its id until it moves; then it is a new one, behind all others. So a
//! cursor, which is the place of the last contact on a page, misses nobody who stays, and whoever moves comes (again).

use std::collections::{BTreeMap, HashMap};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Contact;

/// Most contacts that are listed.
pub const CONTACTS_MAX: u64 = 100_000;
/// Most contacts of a page, and those of one whose size nobody says.
pub const PAGE_CONTACTS_MAX: usize = 100;
/// Most changes that a listing makes by itself.
pub const CHANGES_MAX: u64 = 100_000;

/// How a listing changes by itself while somebody changes its contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrmChanging {
    /// One change with so many `PATCH`es; none if 0.
    pub every: u64,
    /// So many changes in all, at most [`CHANGES_MAX`].
    pub most: u64,
    /// Of what changes, and how.
    pub seed: u64,
}

/// How often a listing has changed by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CrmChanges {
    /// Contacts that are new.
    pub appeared: u64,
    /// Contacts that were deleted.
    pub vanished: u64,
    /// Contacts whose values are others.
    pub altered: u64,
    /// Contacts that went to the end of the listing.
    pub moved: u64,
}

impl CrmChanges {
    /// All of them.
    pub fn total(self) -> u64 {
        self.appeared + self.vanished + self.altered + self.moved
    }
}

/// See the [module](self).
pub(super) struct Listing {
    by_place: BTreeMap<u64, Listed>,
    /// Where each contact is, by its id.
    places: HashMap<u64, u64>,
    /// The last number that was given to an id or a place.
    last: u64,
    patches: u64,
    changing: Option<CrmChanging>,
    chance: Xoshiro256PlusPlus,
    changes: CrmChanges,
}

#[derive(Serialize)]
struct Listed {
    id: u64,
    email: String,
    name: String,
    total_spent_pence: i64,
}

impl Listed {
    fn new(id: u64) -> Self {
        let email = format!("contact-{id}@example.com");
        Self { id, email, name: format!("Contact {id}"), total_spent_pence: 0 }
    }
}

impl Listing {
    /// So many contacts, at most [`CONTACTS_MAX`], with the ids from 1.
    pub(super) fn of(contacts: u64, changing: Option<CrmChanging>) -> Self {
        let last = contacts.min(CONTACTS_MAX);
        Self {
            by_place: (1..=last).map(|id| (id, Listed::new(id))).collect(),
            places: (1..=last).map(|id| (id, id)).collect(),
            last,
            patches: 0,
            chance: Xoshiro256PlusPlus::seed_from_u64(changing.map_or(0, |changing| changing.seed)),
            changing: changing.filter(|changing| changing.every > 0),
            changes: CrmChanges::default(),
        }
    }

    /// The ids of all contacts that are there.
    pub(super) fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.places.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn patches(&self) -> u64 {
        self.patches
    }

    pub(super) fn changes(&self) -> CrmChanges {
        self.changes
    }

    /// The page that a query asks for: `limit` and `after` of it.
    pub(super) fn page(&self, query: &str) -> Result<Value, &'static str> {
        let (mut limit, mut after) = (PAGE_CONTACTS_MAX, 0);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("limit", value)) => limit = value.parse().map_err(|_| "limit is no number")?,
                Some(("after", value)) => after = value.parse().map_err(|_| "after is no cursor")?,
                Some(_) | None => return Err("only limit and after are known here"),
            }
        }
        if !(1..=PAGE_CONTACTS_MAX).contains(&limit) {
            return Err("limit is from 1 to 100");
        }
        let mut behind = self.by_place.range(after + 1..);
        let page: Vec<_> = behind.by_ref().take(limit).collect();
        let last = page.last().map(|(place, _)| place.to_string());
        let next = last.filter(|_| behind.next().is_some());
        let contacts: Vec<_> = page.iter().map(|(_, contact)| contact).collect();
        Ok(json!({ "contacts": contacts, "next": next }))
    }

    /// Changes a contact; `None` if it is not there. Then the listing may change by itself.
    pub(super) fn patch(&mut self, id: u64, to: &Contact) -> Option<Value> {
        self.patches += 1;
        let contact = self.places.get(&id).and_then(|place| self.by_place.get_mut(place));
        let answer = contact.map(|contact| {
            contact.email = to.email.clone().unwrap_or_else(|| contact.email.clone());
            contact.name = to.name.clone().unwrap_or_else(|| contact.name.clone());
            contact.total_spent_pence = to.total_spent_pence.unwrap_or(contact.total_spent_pence);
            json!(contact)
        });
        self.change();
        answer
    }

    fn change(&mut self) {
        let Some(CrmChanging { every, most, .. }) = self.changing else { return };
        if !self.patches.is_multiple_of(every) || self.changes.total() >= most.min(CHANGES_MAX) {
            return;
        }
        let kind = self.chance.random_range(0..4);
        if kind == 0 && self.by_place.len() < usize::try_from(CONTACTS_MAX).unwrap_or(usize::MAX) {
            self.last += 1;
            self.changes.appeared += 1;
            return self.put(self.last, Listed::new(self.last));
        }
        let Some(place) = self.draw() else { return };
        let Some(mut contact) = self.by_place.remove(&place) else { return };
        match kind {
            1 => {
                self.changes.vanished += 1;
                self.places.remove(&contact.id);
            }
            2 => {
                self.changes.altered += 1;
                contact.total_spent_pence += 100;
                self.put(place, contact);
            }
            _ => {
                self.changes.moved += 1;
                self.last += 1;
                self.put(self.last, contact);
            }
        }
    }

    fn put(&mut self, place: u64, contact: Listed) {
        self.places.insert(contact.id, place);
        self.by_place.insert(place, contact);
    }

    /// The place of any contact.
    fn draw(&mut self) -> Option<u64> {
        let nth = self.chance.random_range(0..self.by_place.len().max(1));
        self.by_place.keys().nth(nth).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(page: &Value) -> Vec<u64> {
        let contacts = page["contacts"].as_array().unwrap();
        contacts.iter().map(|contact| contact["id"].as_u64().unwrap()).collect()
    }

    #[test]
    fn lists_each_contact_once_in_pages_with_a_cursor() {
        let listing = Listing::of(250, None);
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = listing.page(&format!("limit=100{after}")).unwrap();
            seen.extend(ids(&page));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, (1..=250).collect::<Vec<_>>());
        for wrong in ["limit=0", "limit=101", "limit=x", "after=x", "page=2"] {
            listing.page(wrong).unwrap_err();
        }
    }

    /// Whoever reads page after page meets everybody who is there all the time, whatever changes meanwhile.
    #[test]
    fn a_cursor_misses_nobody_who_stays() {
        for seed in 0..50 {
            let changing = CrmChanging { every: 1, most: 200, seed };
            let mut listing = Listing::of(300, Some(changing));
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let page = listing.page(&format!("limit=7{after}")).unwrap();
                for id in ids(&page) {
                    listing.patch(id, &Contact::default());
                    seen.push(id);
                }
                let Some(next) = page["next"].as_str() else { break };
                after = format!("&after={next}");
            }
            let stayed = listing.ids().into_iter().filter(|id| *id <= 300);
            for id in stayed {
                assert!(seen.contains(&id), "contact {id} was missed, seed {seed}");
            }
            let CrmChanges { appeared, vanished, altered, moved } = listing.changes();
            assert!([appeared, vanished, altered, moved].iter().all(|kind| *kind > 20));
            assert_eq!(listing.changes().total(), 200);
        }
    }
}
