//! Which names in the file are Bowline's: a user's SQL can neither touch them nor take them.

/// Tables and indexes of ours whose names do not begin with [`PREFIX`]. What is added from now on begins with it, so
/// that no later version asks for a name that a user has taken.
const OURS: &[&str] = &[
    "batch",
    "batch_event",
    "child",
    "child_told",
    "credential",
    "credential_lease",
    "cursor",
    "dedupe",
    "dedupe_until",
    "late",
    "ledger",
    "mailbox",
    "mailbox_kind",
    "mailbox_name",
    "mailbox_token",
    "message",
    "message_post",
    "message_read",
    "message_unread",
    "name",
    "pause",
    "period",
    "rate",
    "rate_due",
    "rate_idle",
    "rate_next",
    "run",
    "run_dead",
    "run_due",
    "run_front",
    "run_gather",
    "run_held",
    "run_key",
    "run_parent",
    "run_rated",
    "run_ready",
    "run_state",
    "run_suspect",
    "run_unique",
];

/// What names of ours begin with.
const PREFIX: &str = "bowline_";

/// What the tables of periods begin with; a number follows, and after a `_` what tells an index of one.
const OF_PERIODS: [&str; 3] = ["event_", "entry_", "past_"];

/// What SQLite's own tables begin with.
const SQLITES: &str = "sqlite_";

/// Where SQLite keeps the schema. It refuses writes to it itself.
const SCHEMA: [&str; 2] = ["sqlite_master", "sqlite_schema"];

/// Tables that are none: they tell of the whole file.
const ABOUT_THE_FILE: [&str; 2] = ["dbstat", "pragma_"];

/// Whether a table, index, trigger or view of that name is Bowline's. Names differ in more than case.
pub(in crate::sqlite) fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_of_period = |prefix: &&str| {
        name.strip_prefix(*prefix)
            .map(|rest| rest.split_once('_').map_or(rest, |(no, _)| no))
            .is_some_and(|no| !no.is_empty() && no.bytes().all(|byte| byte.is_ascii_digit()))
    };
    OURS.contains(&&*name) || name.starts_with(PREFIX) || OF_PERIODS.iter().any(is_of_period)
}

/// Whether a name is SQLite's, the schema's table excepted, which may be read.
pub(super) fn is_sqlites(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    (name.starts_with(SQLITES) && !SCHEMA.contains(&&*name))
        || ABOUT_THE_FILE.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_ours_in_any_case_and_lets_others_be() {
        for ours in [
            "run",
            "RUN",
            "event_0",
            "Past_17",
            "past_3_parent",
            "bowline_state",
            "BOWLINE_anything",
            "credential",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for free in [
            "orders",
            "runs",
            "event",
            "event_",
            "event_log",
            "event_1a",
            "past_orders",
            "event_a_1",
            "bowlines",
            "",
        ] {
            assert!(!is_ours(free), "{free}");
        }
        assert!(is_sqlites("sqlite_sequence") && is_sqlites("pragma_table_info") && is_sqlites("DBSTAT"));
        assert!(!is_sqlites("sqlite_master") && !is_sqlites("orders"));
    }
}
