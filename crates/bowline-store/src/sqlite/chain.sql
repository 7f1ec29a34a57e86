-- A run that went on as another one, which may have gone on too: where its work is now.

-- The first run of the chain that a run belongs to; that of the first itself is not told. Goes with the run.
CREATE TABLE bowline_went_on (run INTEGER PRIMARY KEY, first INTEGER NOT NULL) STRICT;

-- The latest run of a chain, by the first. Outlives the first; goes with the latest.
CREATE TABLE bowline_chain (first INTEGER PRIMARY KEY, latest INTEGER NOT NULL) STRICT;
CREATE INDEX bowline_chain_latest ON bowline_chain (latest);
