//! What a poll found, as its author says it.

use sha2::{Digest, Sha256};

/// What a poll found: items of type `T`, and where to go on: a cursor of type `C`.
///
/// Each item starts one run. How it is told from others, so that it starts one and no more:
///
/// | Said | Then |
/// |---|---|
/// | [`keyed`](Self::keyed) | the same key starts nothing again within the poll's `dedupe_for`, wherever and however often it is found |
/// | [`next`](Self::next) | the cursor moves in the transaction that starts the runs: what is before it is not asked for again |
/// | both | both |
/// | neither | items that are found are an error: nobody could tell them from the last ones |
///
/// # A page of orders
/// ```
/// use bowline_ingress::poll::Found;
///
/// struct Order { id: u64 }
/// let orders = vec![Order { id: 17 }, Order { id: 18 }];
/// let found: Found<Order, String> =
///     Found::items(orders).keyed(|order| order.id).next("page-2".to_owned()).more(true);
/// assert_eq!(found.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a poll returns what it found"]
pub struct Found<T, C = ()> {
    pub(super) items: Vec<Keyed<T>>,
    pub(super) next: Option<C>,
    pub(super) more: bool,
}

/// An item, and what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keyed<T> {
    pub(super) key: Option<String>,
    pub(super) item: T,
}

impl<T, C> Found<T, C> {
    /// These items. In the order in which their runs should begin.
    pub fn items(items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(|item| Keyed { key: None, item }).collect();
        Self { items, next: None, more: false }
    }

    /// No items.
    pub fn nothing() -> Self {
        Self::items([])
    }

    /// Names each item, by what the remote calls it: an id, or an id and a version. An item whose name was there within
    /// the poll's `dedupe_for` starts nothing again. At most 500 bytes, and not empty.
    pub fn keyed<K: ToString>(mut self, key: impl Fn(&T) -> K) -> Self {
        for found in &mut self.items {
            found.key = Some(key(&found.item).to_string());
        }
        self
    }

    /// Where the next poll goes on. `None`: where this one did.
    pub fn next(mut self, cursor: impl Into<Option<C>>) -> Self {
        self.next = cursor.into();
        self
    }

    /// Whether there is more already: the next poll begins at once, if the cursor moved.
    pub fn more(mut self, more: bool) -> Self {
        self.more = more;
        self
    }

    /// One run for each `size` items, the last for what is left, instead of one for each item: a workflow receives a
    /// `Vec`. Batches of [`keyed`](Self::keyed) items are told apart by all keys in them: the same batch again starts
    /// nothing, and an item that comes again among others starts with them. Where that matters, let the cursor tell them
    /// apart, or start one run for each item.
    ///
    /// # Panics
    /// If `size` is 0.
    pub fn in_batches(self, size: usize) -> Found<Vec<T>, C> {
        assert!(size > 0, "a batch has at least one item: .in_batches(1)");
        let mut batches: Vec<Keyed<Vec<T>>> = vec![];
        let mut items = self.items.into_iter().peekable();
        while items.peek().is_some() {
            batches.push(batch(items.by_ref().take(size)));
        }
        Found { items: batches, next: self.next, more: self.more }
    }

    /// How many items, or batches of them.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

fn batch<T>(items: impl Iterator<Item = Keyed<T>>) -> Keyed<Vec<T>> {
    let (keys, item): (Vec<Option<String>>, Vec<T>) = items.map(|found| (found.key, found.item)).unzip();
    let keys: Option<Vec<String>> = keys.into_iter().collect();
    let key = keys.map(|keys| {
        let mut hash = Sha256::new();
        for key in keys {
            hash.update(key.len().to_be_bytes());
            hash.update(key);
        }
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    });
    Keyed { key, item }
}

/// What a poll's function returns, within a `Result`: [`Found`].
#[diagnostic::on_unimplemented(
    message = "a poll returns what it found, as `Result<Found<Item, Cursor>>`, and this returns `{Self}`",
    label = "expected a `Result<Found<Item, Cursor>>`",
    note = "wrap the items: `Ok(Found::items(orders).keyed(|order| order.id).next(cursor))`; nothing new is `Ok(Found::nothing())`"
)]
pub trait News {
    /// What each run is started with.
    type Item;
    /// Where the next poll goes on.
    type Cursor;

    /// What was found.
    fn into_found(self) -> Found<Self::Item, Self::Cursor>;
}

impl<T, C> News for Found<T, C> {
    type Item = T;
    type Cursor = C;

    fn into_found(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(found: &Found<Vec<u32>>) -> Vec<Option<&str>> {
        found.items.iter().map(|found| found.key.as_deref()).collect()
    }

    #[test]
    fn batches_keep_the_order_and_the_last_takes_what_is_left() {
        let found: Found<Vec<u32>> = Found::items(1..=5).in_batches(2).more(true);
        let batches: Vec<&[u32]> = found.items.iter().map(|found| &found.item[..]).collect();
        assert_eq!(batches, [&[1, 2][..], &[3, 4], &[5]]);
        assert_eq!((keys(&found), found.more), (vec![None; 3], true));
    }

    #[test]
    fn a_batch_is_told_apart_by_all_keys_in_it() {
        let of =
            |items: [u32; 2]| -> Found<Vec<u32>> { Found::items(items).keyed(|item| *item).in_batches(2) };
        assert_eq!(keys(&of([1, 23])), keys(&of([1, 23])));
        assert_ne!(keys(&of([1, 23])), keys(&of([12, 3])));
    }
}
