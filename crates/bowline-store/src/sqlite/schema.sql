-- What the writer counts, in one row that every transaction rewrites.
-- batch: the last transaction that committed; tells after a failed COMMIT whether it did.
-- The *_last ids are never reused, not even after the rows are gone.
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    batch INTEGER NOT NULL,
    event_last INTEGER NOT NULL,
    run_last INTEGER NOT NULL,
    node_last INTEGER NOT NULL,
    queued INTEGER NOT NULL,
    running INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    period_bytes INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    probed_at INTEGER NOT NULL
) STRICT;
INSERT INTO ledger VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

-- Names of workflows, builds and sources: few, repeated in every row.
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;

-- Periods of history. Each has its tables event_N, entry_N and past_N. An event or run belongs to the last period
-- that begins at or below its id, or, if it outlived that, to period 0, which is kept row by row.
CREATE TABLE period (
    no INTEGER PRIMARY KEY,
    event_first INTEGER NOT NULL,
    run_first INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL
) STRICT;

-- Runs that have not ended, dead letters among them. The one hot table: small rows, no payloads.
-- ready: 1 claimable, 0 not before due, NULL neither. home: the period that holds its journal.
CREATE TABLE run (
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
    summary TEXT,
    ready INTEGER,
    home INTEGER NOT NULL
) STRICT;
CREATE INDEX run_ready ON run (workflow, priority DESC, id) WHERE ready = 1;
CREATE INDEX run_due ON run (due) WHERE ready = 0;
CREATE INDEX run_suspect ON run (crashes) WHERE ready = 1 AND crashes > 0;
CREATE INDEX run_state ON run (state) WHERE state = 1 OR state = 2 OR state = 5;

-- Runs that were created after their event: replays.
CREATE TABLE late (event INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (event, run)) STRICT, WITHOUT ROWID;

-- Known events. Outlives the event itself: the runs are named here for the answer to a redelivery.
CREATE TABLE dedupe (
    source INTEGER NOT NULL,
    key TEXT NOT NULL,
    event INTEGER NOT NULL,
    run_first INTEGER NOT NULL,
    run_count INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (source, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX dedupe_until ON dedupe (until);

CREATE TABLE cursor (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
