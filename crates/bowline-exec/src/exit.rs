//! Exit codes as verdicts.

/// What a program's exit code says.
///
/// Unless [`Exec::exit_code`](crate::Exec::exit_code) says otherwise (the names are those of `sysexits.h`, FreeBSD):
///
/// | Code | Means |
/// |---|---|
/// | 0 | [`Done`](ExitMeans::Done) |
/// | 75 (`EX_TEMPFAIL`) | [`Retry`](ExitMeans::Retry) |
/// | 64 (`EX_USAGE`), 65 (`EX_DATAERR`), 66 (`EX_NOINPUT`), 67 (`EX_NOUSER`), 68 (`EX_NOHOST`), 72 (`EX_OSFILE`), 73 (`EX_CANTCREAT`), 77 (`EX_NOPERM`), 78 (`EX_CONFIG`) | [`Refused`](ExitMeans::Refused): what it was given, or how it is set up, is wrong |
/// | all others, as 1 of an exception in Python; a signal; its time was up | [`Unknown`](ExitMeans::Unknown) |
///
/// # grep found nothing, and that is an answer
/// ```
/// use bowline_exec::{Exec, ExitMeans};
///
/// let grep = Exec::new("grep").args(["-c", "refund"]).stdin("no such word").exit_code(1, ExitMeans::Done);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitMeans {
    /// It did what it was asked to, and what it printed counts.
    Done,
    /// It did nothing, and may later: tried again.
    Retry,
    /// It did nothing, and will not: a permanent failure.
    Refused,
    /// It may have done something: tried again, under the same key.
    Unknown,
}

impl ExitMeans {
    pub(crate) fn of(code: i32) -> Self {
        match code {
            0 => Self::Done,
            75 => Self::Retry,
            64..=68 | 72 | 73 | 77 | 78 => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

/// What `sysexits.h` calls the code, in words.
pub(crate) fn name(code: i32) -> Option<&'static str> {
    let name = match code {
        64 => "wrong usage",
        65 => "wrong data",
        66 => "no input",
        67 => "no such user",
        68 => "no such host",
        69 => "a service is unavailable",
        70 => "internal error",
        71 => "error of the operating system",
        72 => "a file of the system is missing",
        73 => "cannot create its output",
        74 => "input or output failed",
        75 => "try again later",
        76 => "error of a protocol",
        77 => "permission denied",
        78 => "wrong configuration",
        126 => "cannot be executed",
        127 => "not found",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_blame_the_input_or_the_set_up_are_a_no() {
        let refused: Vec<i32> = (0..256).filter(|code| ExitMeans::of(*code) == ExitMeans::Refused).collect();
        assert_eq!(refused, [64, 65, 66, 67, 68, 72, 73, 77, 78]);
        assert_eq!(
            [0, 75, 1, 2, 70, 127].map(ExitMeans::of),
            [
                ExitMeans::Done,
                ExitMeans::Retry,
                ExitMeans::Unknown,
                ExitMeans::Unknown,
                ExitMeans::Unknown,
                ExitMeans::Unknown,
            ]
        );
    }
}
