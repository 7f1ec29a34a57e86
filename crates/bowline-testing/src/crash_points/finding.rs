//! What the crash points brought to light, as a person reads it.

use std::fmt::Write;

/// Crash points that a finding names.
const PLACES_MAX: usize = 4;
/// Findings that are told; the rest is counted.
const FINDINGS_MAX: usize = 5;
/// Lines of a finding's detail.
const DETAIL_LINES_MAX: usize = 30;

/// What is likely to be wrong with the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// An effect that no step recorded.
    OutsideSteps,
    /// A step that is another one when the code runs again.
    UnstableStep,
    /// A step that stays the same, under a key that somebody else made.
    OwnKey,
    /// One key for two effects.
    OneKey,
    /// What a call says is made of something that is not recorded.
    Body,
    /// A request that was sent again is taken for a new one.
    Undeduped,
    /// The journal does not fit the code that wrote it.
    Mismatch,
    /// The code went another way.
    OtherPath,
    /// A step where none can be.
    Misplaced,
    /// What the test itself saw.
    Scenario,
}

impl Cause {
    fn advice(self) -> &'static str {
        match self {
            Self::Undeduped => {
                "a sender that gets no answer sends again, and nothing told the route that it is the same: give the route \
                 .dedupe_by(..), or let the sender send an Idempotency-Key"
            }
            Self::OutsideSteps => {
                "no step recorded this call: put it into one, cx.step(\"name\", self.api.post(..)). A step's closure that \
                 sends by itself sends anew after a crash: let the call be the step, or send the attempt's key along \
                 (async |attempt: Attempt| .. attempt.key())"
            }
            Self::UnstableStep => {
                "after the crash the code asked for this call under another step name or .key: names are literals, and \
                 .key(..) is what the step is about (a record's id), not a number that is drawn or counted anew"
            }
            Self::OwnKey => {
                "the step is the same, and its Idempotency-Key header differs: leave the header to the client, or derive \
                 it from the event"
            }
            Self::Misplaced => {
                "a step runs in the workflow itself: not in a spawned task (put steps side by side by tokio::join!), and \
                 not in the closure of another step"
            }
            Self::OneKey => {
                "a remote that knows the key takes the second call for the first one, and does nothing: give each call a \
                 step of its own"
            }
            Self::Body => {
                "what the call says was made of something that is not recorded (the machine's clock, chance, the order of \
                 a map, a file): take it from cx.now(), cx.random(), cx.uuid() or the result of a step; also check: \
                 values kept in the app's struct, in statics, in files or the environment do not survive"
            }
            Self::Mismatch => {
                "run again on what it recorded, the code asked for other steps: let it branch only on the event, on \
                 results of steps and on cx.now(), cx.random(), cx.uuid(); not on the machine's clock, chance or the \
                 order of a map. Steps in a loop that awaits one after the other are asked for in the same order, with \
                 or without .key(..): sort, or begin them together (join_all), each with a stable .key(..)"
            }
            Self::OtherPath => {
                "the code went another way after the crash: let it branch only on the event, on results of steps and on \
                 cx.now(), cx.random(), cx.uuid(); also check: values kept in the app's struct, in statics, in files or \
                 the environment do not survive. Which of two steps ends first is open until it is recorded: give the \
                 mock systems delays (Answer::after), so that the order is settled"
            }
            Self::Scenario => {
                "the effects and the runs are the same: is it the test that counts what a crash may repeat (requests \
                 instead of effects)?"
            }
        }
    }
}

/// One thing that differs.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    cause: Cause,
    title: String,
    detail: String,
    is_left_undone: bool,
}

impl Finding {
    pub(super) fn new(cause: Cause, title: String) -> Self {
        Self { cause, title, detail: String::new(), is_left_undone: false }
    }

    /// It says only that something has not happened (yet).
    pub(super) fn left_undone(mut self) -> Self {
        self.is_left_undone = true;
        self
    }

    /// It says that a run stopped half way.
    pub(super) fn cuts_off(&self) -> bool {
        self.cause == Cause::Mismatch
    }

    pub(super) fn is_left_undone(&self) -> bool {
        self.is_left_undone
    }

    pub(super) fn detail(mut self, detail: String) -> Self {
        self.detail = detail;
        self
    }
}

/// All findings; those that say the same are one.
#[derive(Debug, Default)]
pub(super) struct Findings {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    finding: Finding,
    places: Vec<String>,
}

impl Findings {
    pub(super) fn add(&mut self, place: &str, finding: Finding) {
        let same = |group: &&mut Group| {
            (group.finding.cause, &group.finding.title) == (finding.cause, &finding.title)
        };
        match self.groups.iter_mut().find(same) {
            Some(group) if group.places.iter().any(|known| known == place) => {}
            Some(group) => group.places.push(place.to_owned()),
            None => self.groups.push(Group { finding, places: vec![place.to_owned()] }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The findings, the likeliest cause first.
    pub(super) fn text(&mut self, headline: &str) -> String {
        self.groups.sort_by_key(|group| group.finding.cause);
        let count = self.groups.len();
        let mut text = format!("{count} finding{} {headline}\n", if count == 1 { "" } else { "s" });
        for (nth, Group { finding, places }) in self.groups.iter().take(FINDINGS_MAX).enumerate() {
            let _ = writeln!(text, "\n{}. {}", nth + 1, finding.title);
            let shown: Vec<&str> = places.iter().take(PLACES_MAX).map(String::as_str).collect();
            let more = places.len() - shown.len();
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            let _ = writeln!(text, "   {}{more}", shown.join("; "));
            for line in finding.detail.lines().take(DETAIL_LINES_MAX) {
                let _ = writeln!(text, "   | {line}");
            }
            let _ = writeln!(text, "   what to do: {}", finding.cause.advice());
        }
        if count > FINDINGS_MAX {
            let _ = writeln!(text, "\nand {} more; they may follow from these", count - FINDINGS_MAX);
        }
        text
    }
}
