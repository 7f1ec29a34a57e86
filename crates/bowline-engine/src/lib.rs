//! Drives runs: journal, recovery, retries, timers.
