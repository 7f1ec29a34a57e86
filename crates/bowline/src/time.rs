//! Durations as one says them.

use std::time::Duration;

/// That many seconds.
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// That many minutes.
pub const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// That many hours.
pub const fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

/// That many days of 24 hours.
pub const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}
