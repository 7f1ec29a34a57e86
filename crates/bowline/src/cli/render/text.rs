//! Foreign answers, as people read them.

use bowline_dashboard::wording::{clean, cut};

/// How much of a foreign answer is shown, in characters.
const EXCERPT_CHARS_MAX: usize = 500;

/// The beginning of a foreign answer, in one line.
pub fn excerpt(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(4 * EXCERPT_CHARS_MAX)];
    cut(&clean(&String::from_utf8_lossy(start)), EXCERPT_CHARS_MAX)
}
