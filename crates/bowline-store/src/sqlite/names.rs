//! Names of workflows, builds and sources, each kept once and referred to by number.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension};

/// Names remembered per connection. A program has dozens; past this the memory starts anew.
const NAMES_MAX: usize = 10_000;

/// What one connection remembers of the table `name`, whose rows never change.
#[derive(Default)]
pub(super) struct Names {
    by_id: HashMap<i64, Arc<str>>,
    by_text: HashMap<Arc<str>, i64>,
}

impl Names {
    /// Forgets everything: a rollback may have undone names.
    pub(super) fn clear(&mut self) {
        self.by_id.clear();
        self.by_text.clear();
    }

    /// The name with that number.
    pub(super) fn text(&mut self, conn: &Connection, id: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(text) = self.by_id.get(&id) {
            return Ok(Arc::clone(text));
        }
        let text: Arc<str> =
            conn.prepare_cached("SELECT text FROM name WHERE id = ?1")?.query_row([id], |row| row.get(0))?;
        self.remember(id, Arc::clone(&text));
        Ok(text)
    }

    /// The number of that name, if it was ever used.
    pub(super) fn find(&mut self, conn: &Connection, text: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.by_text.get(text) {
            return Ok(Some(*id));
        }
        let id = conn
            .prepare_cached("SELECT id FROM name WHERE text = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        if let Some(id) = id {
            self.remember(id, text.into());
        }
        Ok(id)
    }

    /// The number of that name, given to it now if it has none.
    pub(super) fn intern(&mut self, conn: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.find(conn, text)? {
            return Ok(id);
        }
        conn.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.execute([text])?;
        let id = conn.last_insert_rowid();
        self.remember(id, text.into());
        Ok(id)
    }

    fn remember(&mut self, id: i64, text: Arc<str>) {
        if self.by_id.len() >= NAMES_MAX {
            self.clear();
        }
        self.by_id.insert(id, Arc::clone(&text));
        self.by_text.insert(text, id);
    }
}
