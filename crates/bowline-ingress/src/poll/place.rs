//! The cursor's row in the store: the author's cursor, and how often it moved.

use bowline_store::CursorMove;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Where a poll is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// How often the cursor moved. It rises even where cursors come again (a date, a page's number): with it, an item's
    /// position names it for ever.
    pub(super) step: u64,
    /// The author's cursor.
    pub(super) cursor: Box<RawValue>,
}

/// A poll's row as it was read.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The text as it is in the store: what a move expects there.
    text: Option<String>,
    place: Option<Place>,
}

impl Row {
    /// Reads a row.
    ///
    /// # Errors
    /// If it is none of a poll's.
    pub(super) fn read(text: Option<String>) -> Result<Self, String> {
        let place = text.as_deref().map(serde_json::from_str).transpose();
        let place =
            place.map_err(|_| "is not a row of a poll: it was written by something else".to_owned())?;
        Ok(Self { text, place })
    }

    /// The author's cursor.
    pub(super) fn cursor(&self) -> Option<&RawValue> {
        self.place.as_ref().map(|place| &*place.cursor)
    }

    /// How often it moved.
    pub(super) fn step(&self) -> u64 {
        self.place.as_ref().map_or(0, |place| place.step)
    }

    /// Whether that cursor is another one.
    pub(super) fn is_moved_by(&self, next: Option<&RawValue>) -> bool {
        next.is_some_and(|next| self.cursor().map(RawValue::get) != Some(next.get()))
    }

    /// The move to that cursor.
    pub(super) fn moved(self, name: String, next: Box<RawValue>) -> CursorMove {
        let place = Place { step: self.step() + 1, cursor: next };
        let to = serde_json::to_string(&place).expect("a number and JSON are JSON");
        CursorMove { name, from: self.text, to }
    }
}
