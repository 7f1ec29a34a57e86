CREATE TABLE event_{no} (
    id INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    dedupe_key TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    input_pointer TEXT NOT NULL,
    run_first INTEGER NOT NULL,
    run_count INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- id: the run's id times 2^24 plus the place in its journal, so that a journal is one stretch of the table and large
-- payloads need no second index.
CREATE TABLE entry_{no} (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    format INTEGER NOT NULL,
    family INTEGER NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    nth INTEGER,
    key TEXT,
    build INTEGER NOT NULL,
    at INTEGER NOT NULL,
    meta TEXT,
    payload BLOB
) STRICT;

-- Ended runs.
CREATE TABLE past_{no} (
    id INTEGER PRIMARY KEY,
    event INTEGER NOT NULL,
    workflow INTEGER NOT NULL,
    key TEXT,
    priority INTEGER NOT NULL,
    parent INTEGER,
    replay_of INTEGER,
    build INTEGER NOT NULL,
    key_seed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    state INTEGER NOT NULL,
    due INTEGER,
    owner INTEGER,
    epoch INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    crashes_alone INTEGER NOT NULL,
    journal_len INTEGER NOT NULL,
    claimed_at INTEGER,
    unsure_since INTEGER,
    changed_at INTEGER NOT NULL,
    dead_reason INTEGER,
    summary TEXT
) STRICT;
CREATE INDEX past_{no}_parent ON past_{no} (parent, id) WHERE parent IS NOT NULL;
