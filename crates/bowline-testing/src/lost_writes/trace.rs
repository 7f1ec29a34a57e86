//! What happened in which order: syncs, requests, answers.

use std::{collections::HashMap, time::Duration};

use super::LostWritesError;

/// The events of a trace, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// When (by the machine's monotonic clock), and what.
    pub events: Vec<(Duration, TraceEvent)>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceEvent {
    /// A sync begins.
    SyncBegin {
        /// By which thread.
        thread: u32,
        /// `fsync` or `fdatasync`.
        call: String,
        /// The file, relative to the guarded folder.
        file: String,
    },
    /// A sync has returned.
    SyncEnd {
        /// By which thread.
        thread: u32,
        /// Whether it succeeded.
        done: bool,
    },
    /// The head of a POST was read.
    Request {
        /// The socket's descriptor.
        socket: i32,
        /// Its path and query.
        path: String,
    },
    /// The head of an answer is about to leave.
    Answer {
        /// The socket's descriptor.
        socket: i32,
        /// Its status.
        status: u16,
    },
}

impl Trace {
    pub(super) fn parse(text: &str) -> Result<Self, LostWritesError> {
        let parsed = text.lines().enumerate().map(|(at, line)| {
            event(line).ok_or_else(|| LostWritesError::Trace { line: at + 1, text: line.to_owned() })
        });
        Ok(Self { events: parsed.collect::<Result<_, _>>()? })
    }

    /// How many answers had that status.
    pub fn answers(&self, status: u16) -> usize {
        let wanted =
            |event: &TraceEvent| matches!(event, TraceEvent::Answer { status: s, .. } if *s == status);
        self.events.iter().filter(|(_, event)| wanted(event)).count()
    }

    /// Answers of that status to POSTs for which no sync both began after the request was read and succeeded before
    /// the answer left: the times of these answers. Empty means that every such answer was on disk first, as long as
    /// requests come one at a time (else another one's sync may stand in).
    pub fn answers_without_sync(&self, status: u16) -> Vec<Duration> {
        let mut requests: HashMap<i32, usize> = HashMap::new();
        let mut begun: HashMap<u32, usize> = HashMap::new();
        let mut latest_begin_of_a_done_sync = None;
        let mut without = Vec::new();
        for (at, (time, event)) in self.events.iter().enumerate() {
            match event {
                TraceEvent::Request { socket, .. } => {
                    requests.insert(*socket, at);
                }
                TraceEvent::SyncBegin { thread, .. } => {
                    begun.insert(*thread, at);
                }
                TraceEvent::SyncEnd { thread, done } => {
                    let begin = begun.remove(thread).filter(|_| *done);
                    latest_begin_of_a_done_sync = latest_begin_of_a_done_sync.max(begin);
                }
                TraceEvent::Answer { socket, status: answered } => {
                    let Some(request) = requests.remove(socket) else { continue };
                    if *answered == status && latest_begin_of_a_done_sync < Some(request) {
                        without.push(*time);
                    }
                }
            }
        }
        without
    }
}

fn event(line: &str) -> Option<(Duration, TraceEvent)> {
    let mut words = line.splitn(5, ' ');
    let time = Duration::from_micros(words.next()?.parse().ok()?);
    let event = match words.next()? {
        "sync-begin" => TraceEvent::SyncBegin {
            thread: words.next()?.parse().ok()?,
            call: words.next()?.to_owned(),
            file: words.next()?.replace("%2F", "/").replace("%25", "%"),
        },
        "sync-end" => TraceEvent::SyncEnd { thread: words.next()?.parse().ok()?, done: true },
        "sync-failed" => TraceEvent::SyncEnd { thread: words.next()?.parse().ok()?, done: false },
        "request" => TraceEvent::Request {
            socket: words.next()?.parse().ok()?,
            path: words.next().unwrap_or_default().to_owned(),
        },
        "answer" => {
            TraceEvent::Answer { socket: words.next()?.parse().ok()?, status: words.next()?.parse().ok()? }
        }
        _ => return None,
    };
    Some((time, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(text: &str) -> usize {
        Trace::parse(text).unwrap().answers_without_sync(200).len()
    }

    #[test]
    fn an_answer_is_safe_only_behind_a_sync_that_began_after_its_request() {
        assert_eq!(
            late(
                "1 request 5 /w\n2 sync-begin 9 fdatasync db-wal\n3 sync-end 9 fdatasync db-wal\n4 answer 5 200\n"
            ),
            0
        );
        assert_eq!(
            late(
                "1 request 5 /w\n2 sync-begin 9 fdatasync db-wal\n3 answer 5 200\n4 sync-end 9 fdatasync db-wal\n"
            ),
            1
        );
        assert_eq!(
            late("1 sync-begin 9 fsync db\n2 request 5 /w\n3 sync-end 9 fsync db\n4 answer 5 200\n"),
            1
        );
        assert_eq!(
            late("1 request 5 /w\n2 sync-begin 9 fsync db\n3 sync-failed 9 fsync db\n4 answer 5 200\n"),
            1
        );
        assert_eq!(late("1 request 5 /w\n4 answer 5 200\n"), 1);
        assert_eq!(late("1 request 5 /w\n4 answer 5 401\n"), 0, "only the status asked for");
        assert_eq!(late("4 answer 5 200\n"), 0, "an answer to a GET");
    }

    #[test]
    fn a_line_that_is_no_event_is_an_error() {
        assert!(Trace::parse("1 request 5 /w\nnonsense\n").unwrap_err().to_string().contains("line 2"));
    }
}
