//! What a user's SQL changed of the schema, looked at before it is committed.
//!
//! An authorizer is not told everything: not the new name of a table that is renamed, not which table a foreign key is
//! about. Both could stop Bowline's own writes for good.

use bowline_model::Failure;
use rusqlite::Connection;

use super::names::is_ours;

/// What there is of Bowline's: type, name, table and definition.
#[derive(PartialEq, Eq)]
pub(super) struct Schema(Vec<(String, String, String, Option<String>)>);

impl Schema {
    /// The schema as it is.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut query =
            conn.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY name")?;
        let rows = query.query_map([], |row| row.try_into())?;
        let mut ours = vec![];
        for row in rows {
            let (kind, name, table, sql): (String, String, String, Option<String>) = row?;
            if is_ours(&name) || is_ours(&table) {
                ours.push((kind, name, table, sql));
            }
        }
        Ok(Self(ours))
    }

    /// Why the schema must not stay as it is now, if so.
    pub(super) fn changed(&self, conn: &Connection) -> rusqlite::Result<Option<Failure>> {
        let now = Self::read(conn)?;
        if *self != now {
            let added = now.0.iter().find(|row| !self.0.contains(row)).map_or("", |row| &row.1);
            let message =
                format!("the name {added} is Bowline's; call tables and indexes of your own something else");
            return Ok(Some(Failure::refused(message).permanent()));
        }
        let mut query = conn.prepare(
            "SELECT parent.\"table\" FROM main.sqlite_schema AS child, pragma_foreign_key_list(child.name) AS parent \
             WHERE child.type = 'table'",
        )?;
        let parents = query.query_map([], |row| row.get::<_, String>(0))?;
        for parent in parents {
            let parent = parent?;
            if is_ours(&parent) {
                let message = format!(
                    "a foreign key may not be about {parent}: it is Bowline's, and its rows come and go; keep the id \
                     without REFERENCES"
                );
                return Ok(Some(Failure::refused(message).permanent()));
            }
        }
        Ok(None)
    }
}
