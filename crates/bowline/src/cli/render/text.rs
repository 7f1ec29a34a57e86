//! Times, sizes and foreign text, as people read them.

use std::time::Duration;

use jiff::Timestamp;

/// How much of a foreign answer is shown, in characters.
const EXCERPT_CHARS_MAX: usize = 500;

/// One line without control characters: foreign text cannot move the cursor, colour the screen, or add lines.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' | '\r' | '\t' => clean.push(' '),
            char if char.is_control() || is_invisible(char) => clean.push('\u{fffd}'),
            char => clean.push(char),
        }
    }
    clean
}

/// Characters that reorder or hide the text around them.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The first `chars_max` characters, with `…` if there are more.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The beginning of a foreign answer, in one line.
pub fn excerpt(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(4 * EXCERPT_CHARS_MAX)];
    cut(&clean(&String::from_utf8_lossy(start)), EXCERPT_CHARS_MAX)
}

/// `80 ms`, `1.24 s`, `2 min 05 s`, `3 h 12 min`, `4 d 03 h`
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..60 => {
            // Whole hundredths, rounded down: never "60.00 s".
            format!("{seconds}.{:02} s", span.subsec_millis() / 10)
        }
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The time from one moment to another; nothing if it runs backwards.
pub(super) fn span_between(from: Timestamp, to: Timestamp) -> String {
    span(Duration::try_from(to.duration_since(from)).unwrap_or_default())
}

/// The time from one millisecond of a run to another.
pub(super) fn span_millis(from: i64, to: i64) -> String {
    span(Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0)))
}

/// A place in a run's time: `+0.020 s`, `+2 min 05 s`.
pub(super) fn offset(millis: i64) -> String {
    let sign = if millis < 0 { '-' } else { '+' };
    let millis = millis.unsigned_abs();
    if millis < 60_000 {
        format!("{sign}{}.{:03} s", millis / 1000, millis % 1000)
    } else {
        format!("{sign}{}", span(Duration::from_millis(millis)))
    }
}

/// `2026-11-22 10:00:00.123 UTC`
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.3f UTC").to_string()
}

/// `82 B`, `2.1 kB`, `3.4 MB`
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{}.{} kB", bytes / 1000, bytes % 1000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}
