-- every: how long after the last run that began the next one may, as the last run's rule had it. What began later than now
-- shows that the clock was set back.
ALTER TABLE rate ADD COLUMN every INTEGER NOT NULL DEFAULT 0;
UPDATE rate SET every = coalesce((SELECT max(rate_every) FROM run WHERE ready = 2 AND run.rate = rate.bucket), 0);
CREATE INDEX bowline_rate_begun ON rate (next_at - every) WHERE waits = 1;
