//! Tests that cannot run here, by name.
//!
//! A test whose peer is missing (an interpreter, a mount, a tool) says so and returns. The name goes to the file that
//! `BOWLINE_SKIPS` names, one `name: reason` a line, where `scripts/test` finds it; and to the test's output. With
//! `CI=true` a skip is a panic: there, everything must run.

use std::{fs::OpenOptions, io::Write};

/// Skips the rest of the test: `skip!("name", "reason")` records it and returns `()`.
///
/// ```no_run
/// fn full_disk_answers_503() {
///     if !std::path::Path::new("/mnt/small").exists() {
///         bowline_testing::skip!("full_disk_answers_503", "needs a small tmpfs at /mnt/small");
///     }
///     // ...
/// }
/// ```
#[macro_export]
macro_rules! skip {
    ($name:expr, $reason:expr $(,)?) => {{
        $crate::skip::record($name, &$reason.to_string());
        return;
    }};
}

/// Records that a test does not run here; the caller returns. [`skip!`](crate::skip!) does both.
///
/// # Panics
/// With `CI=true`, or if the file that `BOWLINE_SKIPS` names cannot be written.
#[allow(clippy::print_stdout, reason = "the output of a test is where people look")]
pub fn record(name: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is skipped, but {name}: {reason}");
    println!("SKIPPED {name}: {reason}");
    if let Some(file) = std::env::var_os("BOWLINE_SKIPS") {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .unwrap_or_else(|error| panic!("BOWLINE_SKIPS={}: {error}", file.display()));
        // One write, so that lines of parallel tests do not mix.
        file.write_all(format!("{name}: {reason}\n").as_bytes()).expect("the list of skips can be written");
    }
}
