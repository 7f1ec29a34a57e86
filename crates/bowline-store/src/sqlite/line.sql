-- Open runs that share a key, and dead letters of it, in their order: who is next is found without looking at others.
CREATE INDEX run_key ON run (key, id) WHERE key IS NOT NULL;
