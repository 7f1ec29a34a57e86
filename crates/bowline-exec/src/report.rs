//! What is told of a program that failed: fact, value, hint, and never a secret.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use bowline_model::{CallFailure, Failure, error::BODY_EXCERPT_BYTES_MAX};

use crate::{
    exit,
    secrets::{IN_ERRORS_BYTES_MIN, Secrets},
};

/// How much of the last line of its errors is in the message; all of the excerpt is with the failure.
const LAST_LINE_BYTES_MAX: usize = 300;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, or by a signal of somebody else.
    Own(ExitStatus),
    /// Its time was up.
    TimeUp(Duration),
    /// It wrote more than may be recorded.
    TooMuch { bytes_max: usize },
}

/// What was run.
pub(crate) struct Ran<'a> {
    pub(crate) program: &'a str,
    /// Its arguments as they are shown.
    pub(crate) args: &'a str,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) attempt: u32,
    pub(crate) secrets: &'a Secrets,
}

impl Ran<'_> {
    /// The failure as data: the code as `exit 65` or `signal 9`, and the end of what it wrote to its errors.
    pub(crate) fn failure(&self, failure: Failure, end: End, errors: Vec<u8>) -> Failure {
        let errors = self.secrets.taken_out(errors, IN_ERRORS_BYTES_MIN);
        let errors = String::from_utf8_lossy(&errors);
        let errors = errors.trim_end();
        let from = errors.ceil_char_boundary(errors.len().saturating_sub(BODY_EXCERPT_BYTES_MAX));
        failure.call(CallFailure {
            api: self.program.to_owned(),
            method: "EXEC".into(),
            path: self.args.to_owned(),
            code: code(end),
            body: (!errors.is_empty()).then(|| errors[from..].to_owned()),
            attempt: self.attempt,
            ..CallFailure::default()
        })
    }

    /// `python score.py exited with 65 (wrong data): ValueError: no column "age"`.
    pub(crate) fn message(&self, end: End, errors: &[u8]) -> String {
        let Self { program, args, .. } = self;
        let space = if args.is_empty() { "" } else { " " };
        let last = self.last_line(errors);
        let colon = if last.is_empty() { "" } else { ": " };
        format!("{program}{space}{args} {}{colon}{last}{}", how(end), self.hint(end))
    }

    fn last_line(&self, errors: &[u8]) -> String {
        let errors = String::from_utf8_lossy(errors);
        let errors = self.secrets.text(&errors);
        let last = errors.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        match last.floor_char_boundary(LAST_LINE_BYTES_MAX) {
            end if end < last.len() => format!("{}…", &last[..end]),
            _ => last.to_owned(),
        }
    }

    fn hint(&self, end: End) -> String {
        match (end, self.memory_mib) {
            (End::Own(_), Some(mib)) => format!(" (its memory was limited to {mib} MiB)"),
            (End::Own(status), None) if status.signal() == Some(9) => {
                "; perhaps this machine ran out of memory".into()
            }
            (End::TimeUp(_), _) => "; what it did is unknown (.timeout sets the limit)".into(),
            (End::TooMuch { .. }, _) => {
                "; let it print what the run needs, and write the rest to a file".into()
            }
            (End::Own(_), None) => String::new(),
        }
    }
}

fn how(end: End) -> String {
    match end {
        End::Own(status) => match (status.code(), status.signal()) {
            (Some(code), _) => match exit::name(code) {
                Some(name) => format!("exited with {code} ({name})"),
                None => format!("exited with {code}"),
            },
            (None, Some(signal)) => format!("was ended by signal {signal}{}", signal_name(signal)),
            (None, None) => "ended in a way that the system does not tell".into(),
        },
        End::TimeUp(limit) => format!("was killed: its {} ms were up", limit.as_millis()),
        End::TooMuch { bytes_max } => format!("was killed: it printed more than {bytes_max} bytes"),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        6 => " (SIGABRT)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

fn code(end: End) -> Option<String> {
    match end {
        End::Own(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Some(format!("exit {code}")),
            (None, Some(signal)) => Some(format!("signal {signal}")),
            (None, None) => None,
        },
        End::TimeUp(_) => Some("time up".into()),
        End::TooMuch { .. } => Some("too much output".into()),
    }
}
