//! What the code draws without waiting: recorded values, addresses of callbacks, the winner of a race.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bowline_model::{EntryKey, EntryKind, EntryMeta, Family, KeySeed, Payload, ScopePath};
use bowline_store::{MailboxKind, NewMailbox};
use sha2::{Digest, Sha256};

use super::{Board, BoardState, Place, Stop, other_item};
use crate::{fit::mismatch, key::idempotency_key, waiting::token_hash};

/// With what the value is named that says that a callback's address was made.
pub(crate) const CALLBACK: &str = "callback ";

/// A callback's address.
pub(crate) struct Address {
    /// The secret part of its URL.
    pub(crate) token: String,
    pub(crate) mailbox: String,
    pub(super) key: EntryKey,
    /// Whether it was made now.
    is_new: bool,
}

impl Board {
    /// A value that the code draws (`now`, `random`, `uuid`): the recorded one, or `draw`'s, recorded.
    ///
    /// Inside a step's closure it is drawn and not recorded: the step's outcome is.
    pub(crate) fn value<T>(&self, name: &str, item: &ScopePath, draw: impl FnOnce() -> T) -> T
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        let mut state = self.lock();
        if state.in_attempt.is_some() {
            return draw();
        }
        if let Some(stop) = state.misdrawn(name, item) {
            state.stop.get_or_insert(stop);
            return draw();
        }
        let key = state.next_key(Family::Value, name, None);
        match state.take_value(&key) {
            Ok(Some(recorded)) => return recorded,
            Ok(None) => {}
            Err(stop) => {
                state.stop.get_or_insert(stop);
                return draw();
            }
        }
        let value = draw();
        let payload = Payload::encode(&value).expect("a time, a number and a UUID have JSON forms");
        self.append(&mut state, EntryKind::Value, key, EntryMeta::default(), Some(payload));
        value
    }

    /// Opens a mailbox with an address of its own. What is recorded is that it was made: the address itself derives from
    /// the run's seed, so that no journal holds it.
    pub(crate) fn open_callback(&self, name: &str, item: &ScopePath) -> Address {
        let mut state = self.lock();
        let drawn = format!("{CALLBACK}{name}");
        let misdrawn = match state.in_attempt.clone() {
            Some(step) => Some(mismatch(format!(
                "`cx.callback(\"{name}\")` was called inside the closure of step {step}; make it before, and move its url in"
            ))),
            None => state.misdrawn(&drawn, item),
        };
        let is_misdrawn = misdrawn.is_some();
        if let Some(stop) = misdrawn {
            state.stop.get_or_insert(stop);
        }
        let key = state.next_key(Family::Value, &drawn, None);
        let mut address = Address::of(self.run.key_seed, key.clone());
        if is_misdrawn {
            return address;
        }
        match state.take_value::<()>(&key) {
            Ok(Some(())) => {}
            Ok(None) => {
                let payload = Some(Payload::from_stored("null"));
                self.append(&mut state, EntryKind::Value, key, EntryMeta::default(), payload);
                address.is_new = true;
                let mut mailbox = NewMailbox::new(address.mailbox.clone(), MailboxKind::Callback);
                mailbox.token = Some(token_hash(&address.token));
                state.unwritten.also.opens.push(mailbox);
            }
            Err(stop) => {
                state.stop.get_or_insert(stop);
            }
        }
        address
    }

    /// The address that was made under an older name, if one was: the one of today's name is taken back.
    pub(crate) fn renamed_callback(&self, today: Address, old_name: &str, item: &ScopePath) -> Address {
        let mut state = self.lock();
        let drawn = format!("{CALLBACK}{old_name}");
        if state.in_attempt.is_some() || state.misdrawn(&drawn, item).is_some() {
            return today;
        }
        let key = state.next_key(Family::Value, &drawn, None);
        let is_last = state.unwritten.entries.last().is_some_and(|entry| entry.key == today.key);
        if !(today.is_new && is_last) || state.journal.get(&key).is_none() {
            return today;
        }
        state.unwritten.entries.pop();
        state.journal.take_back(1);
        state.unwritten.also.opens.retain(|opens| opens.name != today.mailbox);
        if let Err(stop) = state.take_value::<()>(&key) {
            state.stop.get_or_insert(stop);
        }
        Address::of(self.run.key_seed, key)
    }

    /// Where who knows an address sends to.
    pub(crate) fn callback_url(&self, address: &Address) -> String {
        format!("{}/callbacks/{}", self.public_url, address.token)
    }

    /// Something that is recorded as it is asked for, and yields nothing: made by `make` unless it is recorded.
    pub(crate) fn draw_with(
        &self,
        family: Family,
        name: &str,
        item: &ScopePath,
        make: impl FnOnce(&Self, &mut BoardState, EntryKey),
    ) {
        let mut state = self.lock();
        let stop = match state.in_attempt.clone() {
            Some(step) => Some(mismatch(format!(
                "`cx.start(\"{name}\")` was called inside the closure of step {step}; call it before or after"
            ))),
            None => state.misdrawn(name, item),
        };
        if let Some(stop) = stop {
            state.stop.get_or_insert(stop);
            return;
        }
        let key = state.next_key(family, name, None);
        match state.take_value::<()>(&key) {
            Ok(Some(())) => {}
            Ok(None) => make(self, &mut state, key),
            Err(stop) => {
                state.stop.get_or_insert(stop);
            }
        }
    }

    /// A branch, or a race, begins here: its key, and where it is.
    pub(crate) fn begin_branch(&self, name: &str) -> (EntryKey, Arc<Place>) {
        let mut state = self.lock();
        let key = state.next_branch(name);
        (key, state.place().clone())
    }

    /// Which branch of a race won: recorded, and held against what is recorded. Where an operator's retry took back what
    /// came before, another one may win.
    pub(crate) fn race_won(&self, key: EntryKey, winner: usize) {
        let mut state = self.lock();
        let recorded = state.journal.get(&key).map(|entry| entry.seq);
        let is_fixed = recorded.is_some_and(|seq| !state.journal.is_optional(seq));
        match state.take_value::<usize>(&key) {
            Ok(Some(recorded)) if recorded == winner => {}
            Ok(Some(recorded)) if is_fixed => {
                let message = format!(
                    "branch {recorded} of race {key} won when it was recorded, and branch {winner} wins now: the code \
                     changed, or is not deterministic"
                );
                state.stop.get_or_insert(mismatch(message));
            }
            Ok(Some(_) | None) => {
                let payload = Payload::encode(&winner).expect("a number has a JSON form");
                self.append(&mut state, EntryKind::Race, key, EntryMeta::default(), Some(payload));
            }
            Err(stop) => {
                state.stop.get_or_insert(stop);
            }
        }
    }
}

impl Address {
    fn of(seed: KeySeed, key: EntryKey) -> Self {
        let mailbox = format!("callback:{}", idempotency_key(seed, &key, &key.name, 0));
        Self { token: callback_token(seed, &key), mailbox, key, is_new: false }
    }
}

impl BoardState {
    /// Why that may not be drawn here, if so.
    pub(super) fn misdrawn(&self, name: &str, item: &ScopePath) -> Option<Stop> {
        if !self.is_polled_here() {
            return Some(mismatch(format!(
                "`cx.{name}()` was called outside the run, in a spawned task; call it in the workflow"
            )));
        }
        (*item != self.place.item).then(|| mismatch(other_item("value", name, item, &self.place)))
    }

    pub(super) fn take_value<T: serde::de::DeserializeOwned>(
        &mut self,
        key: &EntryKey,
    ) -> Result<Option<T>, Stop> {
        let Some(entry) = self.journal.get(key) else { return Ok(None) };
        let value = entry.payload.as_ref().map(Payload::decode);
        self.last_seen_at = Some(entry.at);
        self.journal.take(key);
        match value {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => Err(mismatch(format!("recorded value {key} cannot be read: {error}"))),
            None => Err(mismatch(format!("recorded value {key} has no value"))),
        }
    }
}

/// 256 bits that only who has the run's seed can know, as 43 characters of a URL.
fn callback_token(seed: KeySeed, key: &EntryKey) -> String {
    let mut hash = Sha256::new();
    hash.update(b"bowline callback token 1");
    hash.update(seed.0.to_be_bytes());
    hash.update(idempotency_key(seed, key, &key.name, 0).as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use bowline_model::Position;

    use super::*;

    fn address(seed: u128, name: &str, nth: u32) -> Address {
        let (family, scope, position) = (Family::Value, ScopePath::root(), Position::Nth(nth));
        Address::of(KeySeed(seed), EntryKey { family, scope, name: format!("{CALLBACK}{name}"), position })
    }

    #[test]
    fn an_address_has_256_bits_and_is_another_for_every_run_name_and_place() {
        let tokens =
            [address(1, "paid", 1), address(2, "paid", 1), address(1, "sent", 1), address(1, "paid", 2)]
                .map(|address| address.token);
        for (nth, token) in tokens.iter().enumerate() {
            assert_eq!(URL_SAFE_NO_PAD.decode(token).unwrap().len(), 32, "{token}");
            assert!(!tokens[..nth].contains(token), "{tokens:?}");
        }
    }

    /// Somebody holds it: a build that makes another one of the same run and name answers them 404.
    #[test]
    fn an_address_that_was_given_out_is_the_same_in_every_build() {
        assert_eq!(address(1, "paid", 1).token, "T2OkYMln4Umj1uh7mV5D1_mAb-qMyDHztnboFpn5xd4");
    }

    #[test]
    fn where_the_answer_comes_tells_nothing_of_the_address() {
        let Address { token, mailbox, .. } = address(1, "paid", 1);
        assert!(!mailbox.contains(&token) && !token.contains(&mailbox), "{mailbox}");
        let hash = token_hash(&token);
        assert_ne!(hash[..], URL_SAFE_NO_PAD.decode(&token).unwrap()[..], "and what is kept is a hash of it");
    }
}
