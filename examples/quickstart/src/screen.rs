//! Writing to the terminal: whole lines, colours only where they show.

use std::io::Write;

use anstyle::{AnsiColor, Style};

/// Who speaks in a line: `Stripe`, `CRM`, `run 12`.
const LABEL_CHARS: usize = 6;

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Strong,
    Dim,
    Good,
    Bad,
    Wait,
}

/// The text in that tone; whether it shows is decided where it is written.
pub(crate) fn paint(tone: Tone, text: impl AsRef<str>) -> String {
    let style = match tone {
        Tone::Strong => Style::new().bold(),
        Tone::Dim => Style::new().dimmed(),
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Bad => AnsiColor::Red.on_default(),
        Tone::Wait => AnsiColor::Yellow.on_default(),
    };
    format!("{style}{}{style:#}", text.as_ref())
}

/// One line, or several. Written at once, so that two who speak do not mix.
pub(crate) fn say(text: impl AsRef<str>) {
    let mut out = anstream::stdout().lock();
    // Whoever read it may have left; the app goes on.
    let _ = out.write_all(format!("{}\n", text.as_ref()).as_bytes()).and_then(|()| out.flush());
}

/// A line that somebody says: `Stripe  → 200 accepted`.
pub(crate) fn say_as(who: &str, text: impl AsRef<str>) {
    say(format!("   {}  {}", paint(Tone::Dim, format!("{who:<LABEL_CHARS$}")), text.as_ref()));
}

/// A line of the story itself.
pub(crate) fn heading(text: impl AsRef<str>) {
    say(format!("\n{}\n", paint(Tone::Strong, text)));
}

/// `+0.412 s`, `+75 s`: a place in a run's time.
pub(crate) fn offset(millis: i64) -> String {
    if millis.abs() < 60_000 {
        format!("{:+.3} s", millis as f64 / 1000.0)
    } else {
        format!("{:+} s", millis / 1000)
    }
}

/// `41 ms`, `1.2 s`, `60 s`
pub(crate) fn span(millis: i64) -> String {
    match millis {
        ..1000 => format!("{} ms", millis.max(0)),
        1000..10_000 => format!("{:.1} s", millis as f64 / 1000.0),
        _ => format!("{:.0} s", millis as f64 / 1000.0),
    }
}
