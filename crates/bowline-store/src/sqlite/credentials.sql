-- Sealed credentials. A save replaces the row: its version is the row's id, which is never given twice.
CREATE TABLE credential (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    value TEXT NOT NULL,
    expires_at INTEGER
) STRICT;

-- Who refreshes which credential, until when.
CREATE TABLE credential_lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
