//! The log: a line for each request, there before its answer.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};

/// One line of the log: one request for contacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CrmRecord {
    /// Its place in the order of arrival, from 1.
    pub nth: u64,
    /// When it came, in microseconds since 1970.
    pub at_us: i64,
    /// Its method: `POST` creates a contact, `GET` reads a page, `PATCH` changes a contact.
    #[serde(default = "post")]
    pub method: String,
    /// The contact that it changes, by its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<u64>,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The contact's e-mail address.
    pub email: Option<String>,
    /// The contact's name.
    pub name: Option<String>,
    /// The contact's `total_spent_pence`.
    pub total: Option<i64>,
    /// The status it was answered with; 0 if the connection was closed instead.
    pub status: u16,
    /// Whether a contact was created.
    pub created: bool,
    /// SHA-256 of the body, in hex.
    pub body_sha256: String,
}

fn post() -> String {
    "POST".to_owned()
}

/// Where the lines go.
pub(super) struct Log(Option<File>);

impl Log {
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        path.map(open).transpose().map(Self)
    }

    /// One write on a file opened for appending: whole lines, whoever else writes, and there before the answer.
    pub(super) fn write(&self, record: &CrmRecord) {
        let Some(mut log) = self.0.as_ref() else { return };
        let mut line = serde_json::to_vec(record).expect("a record is JSON");
        line.push(b'\n');
        log.write_all(&line).expect("the CRM's log can be written; without it no test may go on");
    }
}

/// The records of a log, in the order of writing. A last line that was cut off is left out.
pub(super) fn read(path: &Path) -> io::Result<Vec<CrmRecord>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
}
