//! A list that a loop goes over: which of its items are left, whatever their order is today.

use std::{collections::HashMap, fmt::Write};

use sha2::{Digest, Sha256};

use super::{
    Spec,
    going::Queued,
    progress::{Ended, Progress},
};
use crate::{board::Stop, fit::mismatch};

/// The number of the only page of a list.
const PAGE: u64 = 0;

/// A list, its items told apart.
pub(super) struct Listed<T> {
    /// In the order of the list, those that ended included.
    pub(super) items: Vec<Queued<T>>,
    pub(super) total: usize,
    /// Items whose key came before in the list; they are left out.
    pub(super) again: u64,
    /// A hash of the keys, if there are any.
    pub(super) keys: Option<String>,
    /// Places that have ended: those of the keys in their order, which does not depend on that of the list.
    pub(super) ended: Ended,
}

impl<T> Listed<T> {
    pub(super) fn new(
        spec: &Spec<'_, T>,
        list: Vec<T>,
        before: &Progress,
        is_new: bool,
    ) -> Result<Self, Stop> {
        let ended = before.pages.first().map(|page| page.ended.clone()).unwrap_or_default();
        let listed = match &spec.key {
            None => Self::by_place(list, ended),
            Some(key_of) => Self::by_key(list, key_of, ended),
        };
        let recorded = before.total.unwrap_or(0);
        if is_new || (before.keys == listed.keys && recorded == listed.total as u64) {
            return Ok(listed);
        }
        let message = format!(
            "loop \"{}\" had {recorded} items when it was recorded, and the code now gives it {} or others: make the list of \
             the event and recorded outcomes; where it changes by itself, read it in a step before the loop, or loop over pages",
            spec.name, listed.total
        );
        Err(mismatch(message))
    }

    fn by_place(list: Vec<T>, ended: Ended) -> Self {
        let total = list.len();
        let items = list.into_iter().enumerate();
        let items = items.map(|(place, value)| Queued { key: place.to_string(), at: (PAGE, place), value });
        Self { items: items.collect(), total, again: 0, keys: None, ended }
    }

    fn by_key(list: Vec<T>, key_of: &super::KeyOf<'_, T>, ended: Ended) -> Self {
        let mut keys: Vec<String> = list.iter().map(|item| key_of(item)).collect();
        keys.sort_unstable();
        keys.dedup();
        let hash = hash(&keys);
        let total = keys.len();
        let again = (list.len() - total) as u64;
        let mut places: HashMap<String, usize> =
            keys.into_iter().enumerate().map(|(at, key)| (key, at)).collect();
        let first = list.into_iter().filter_map(|value| {
            let (key, place) = places.remove_entry(&key_of(&value))?;
            Some(Queued { key, at: (PAGE, place), value })
        });
        Self { items: first.collect(), total, again, keys: Some(hash), ended }
    }
}

fn hash(keys: &[String]) -> String {
    let mut hash = Sha256::new();
    for key in keys {
        hash.update((key.len() as u64).to_be_bytes());
        hash.update(key.as_bytes());
    }
    hash.finalize()[..8].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
