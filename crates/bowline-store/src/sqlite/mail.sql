-- Messages to open runs and dead letters. Those that came with an id at their sender stay for a while after they were
-- read, without their body, so that a repetition is known.
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL,
    mailbox TEXT NOT NULL,
    post_id TEXT,
    at INTEGER NOT NULL,
    is_read INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX message_unread ON message (run, id) WHERE is_read = 0;
CREATE INDEX message_read ON message (run, id) WHERE is_read = 1;
CREATE INDEX message_post ON message (run, mailbox, post_id) WHERE post_id IS NOT NULL;

-- What open runs and dead letters wait for, and what they no longer wait for. no: rises within a run. token: a hash.
CREATE TABLE mailbox (
    run INTEGER NOT NULL,
    no INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind INTEGER NOT NULL,
    state INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    until INTEGER,
    token BLOB,
    about BLOB,
    PRIMARY KEY (run, no)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mailbox_name ON mailbox (run, name);
CREATE INDEX mailbox_token ON mailbox (token) WHERE token IS NOT NULL;
CREATE INDEX mailbox_kind ON mailbox (kind, state, opened_at);

-- Runs that open runs and dead letters started. mailbox: the parent's that still has to learn the run's end.
CREATE TABLE child (
    parent INTEGER NOT NULL,
    source INTEGER NOT NULL,
    key TEXT NOT NULL,
    run INTEGER NOT NULL,
    mailbox TEXT,
    PRIMARY KEY (parent, source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX child_told ON child (run) WHERE mailbox IS NOT NULL;
CREATE INDEX run_parent ON run (parent, id) WHERE parent IS NOT NULL;
