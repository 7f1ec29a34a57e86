-- Values between runs. A change replaces the row: its version is the row's id, which is never given twice, so that who
-- compares versions is not taken in by a value that went and came again.
CREATE TABLE bowline_state (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    space TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    expires_at INTEGER,
    UNIQUE (space, key)
) STRICT;
CREATE INDEX bowline_state_expiry ON bowline_state (expires_at) WHERE expires_at IS NOT NULL;
