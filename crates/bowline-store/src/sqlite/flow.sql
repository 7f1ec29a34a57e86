-- Flow control. A run keeps the rules under which it was accepted.
-- together_max, dead_blocks: how it goes among the runs of its key. unique_key: while it is open.
-- rate, rate_every: the bucket it takes a start from, one in so many nanoseconds, until it has begun. gather, gather_until, gather_left, gather_bytes: how later
-- events find it, until it has begun: what they share, a debounced run's last time, what a batch has room for.
ALTER TABLE run ADD COLUMN together_max INTEGER NOT NULL DEFAULT 1;
ALTER TABLE run ADD COLUMN dead_blocks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN unique_key TEXT;
ALTER TABLE run ADD COLUMN rate TEXT;
ALTER TABLE run ADD COLUMN rate_every INTEGER;
ALTER TABLE run ADD COLUMN gather TEXT;
ALTER TABLE run ADD COLUMN gather_until INTEGER;
ALTER TABLE run ADD COLUMN gather_left INTEGER;
ALTER TABLE run ADD COLUMN gather_bytes INTEGER;

-- Of a key: who is let go, who is held back in order, and its dead letters. Each is found without looking at the others.
DROP INDEX run_key;
CREATE INDEX run_front ON run (key)
    WHERE key IS NOT NULL AND (state = 1 OR state = 2 OR (state = 0 AND ready IS NOT NULL));
CREATE INDEX run_held ON run (key, id) WHERE key IS NOT NULL AND state = 0 AND ready IS NULL;
CREATE INDEX run_dead ON run (key, id) WHERE key IS NOT NULL AND state = 5;

CREATE INDEX run_unique ON run (unique_key) WHERE unique_key IS NOT NULL AND state <= 2;
CREATE INDEX run_gather ON run (gather) WHERE gather IS NOT NULL;

-- Runs that may begin as soon as their bucket lets one. Claimable: ready is 2.
CREATE INDEX run_rated ON run (rate, priority DESC, id) WHERE ready = 2;

-- Buckets. next_at: when the next run may begin. waits: whether one waits for that.
CREATE TABLE rate (
    bucket TEXT PRIMARY KEY,
    workflow INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    waits INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX rate_next ON rate (workflow, next_at) WHERE waits = 1;
CREATE INDEX rate_due ON rate (next_at) WHERE waits = 1;
CREATE INDEX rate_idle ON rate (next_at) WHERE waits = 0;

-- Which events a run has taken together.
CREATE TABLE batch (run INTEGER NOT NULL, event INTEGER NOT NULL, PRIMARY KEY (run, event)) STRICT, WITHOUT ROWID;
CREATE INDEX batch_event ON batch (event, run);

-- Workflows of which no run is claimed.
CREATE TABLE pause (workflow INTEGER PRIMARY KEY, since INTEGER NOT NULL, why TEXT) STRICT;
