//! How far a loop is: what its notes in the journal hold.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use std::collections::BTreeSet;

use bowline_model::Seq;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A note of a loop's progress. It replaces the note before it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Items that are done.
    pub(crate) done: u64,
    /// Items that are dead letters.
    pub(crate) dead: u64,
    /// Items that came again while they were there, and were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) again: u64,
    /// How many items there are, where that is known.
    pub(crate) total: Option<u64>,
    /// How many went side by side.
    pub(crate) limit: usize,
    /// Which keys a list has, hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<String>,
    /// Places of a keyed list whose items run, and of those that may begin before the next note, in the order in which
    /// they do: tomorrow's list may have another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) begins: Vec<usize>,
    /// Pages that have items which have not ended. A list is one page.
    pub(crate) pages: Vec<OpenPage>,
    /// What a person said of steps whose item has ended: it stays, for what it takes back, and nobody asks for it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) settled: BTreeSet<Seq>,
    /// The page that comes next; `None`: all were read.
    pub(crate) next: Option<NextPage>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// A page of which not all items have ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OpenPage {
    pub(crate) page: u64,
    /// Where it is; `None`: at the beginning, or it is a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Box<RawValue>>,
    pub(crate) ended: Ended,
}

/// A page that was not read yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NextPage {
    pub(crate) page: u64,
    /// Where it is; `None`: at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Box<RawValue>>,
}

/// Places that have ended: all below a mark, and single ones above it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// All below have ended. A multiple of 8.
    upto: usize,
    /// From there on, a bit for each place.
    #[serde(with = "bits", default, skip_serializing_if = "Vec::is_empty")]
    above: Vec<u8>,
}

impl Ended {
    pub(crate) fn has(&self, place: usize) -> bool {
        let Some(above) = place.checked_sub(self.upto) else { return true };
        self.above.get(above / 8).is_some_and(|byte| byte >> (above % 8) & 1 == 1)
    }

    pub(crate) fn add(&mut self, place: usize) {
        let Some(above) = place.checked_sub(self.upto) else { return };
        if self.above.len() <= above / 8 {
            self.above.resize(above / 8 + 1, 0);
        }
        self.above[above / 8] |= 1 << (above % 8);
        let whole = self.above.iter().take_while(|byte| **byte == 0xff).count();
        self.above.drain(..whole);
        self.upto += whole * 8;
    }
}

mod bits {
    use super::{Engine, STANDARD_NO_PAD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bits: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(bits))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD_NO_PAD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// What the note of a dead item holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeadItem {
    /// Its key.
    pub(crate) item: String,
    /// The item itself, where the loop cannot read it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Box<RawValue>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_exactly_what_has_ended_in_any_order() {
        let mut ended = Ended::default();
        let places = [3, 0, 17, 1, 2, 8, 4, 5, 6, 7, 40, 9];
        for (nth, place) in places.iter().enumerate() {
            ended.add(*place);
            let text = serde_json::to_string(&ended).unwrap();
            assert_eq!(serde_json::from_str::<Ended>(&text).unwrap(), ended, "{text}");
            for asked in 0..64 {
                assert_eq!(ended.has(asked), places[..=nth].contains(&asked), "{asked} of {text}");
            }
        }
    }

    #[test]
    fn stays_small_while_places_end_in_about_their_order() {
        let mut ended = Ended::default();
        for place in 0..100_000 {
            ended.add(place ^ 5);
        }
        let text = serde_json::to_string(&ended).unwrap();
        assert!(text.len() < 40, "{text}");
    }
}
