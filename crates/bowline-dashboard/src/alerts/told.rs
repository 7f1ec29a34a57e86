//! Which dead letters people were told of, as small as it can be kept.

use bowline_model::{Epoch, Run, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most spans that are kept one by one: some 400 KiB on disk, rewritten with every message. Runs that die together
/// have ids in a row, and share a span.
pub(super) const SPANS_MAX: usize = 20_000;

/// The dead letters that were there at a message: each by its run and the epoch under which it died.
///
/// A run that is retried is claimed under a new epoch, so it counts as new when it dies again. No clock is asked: a
/// death that was written late, or while the machine's time was wrong, is new all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// The higher ids first.
    spans: Vec<Span>,
    /// What did not fit into the spans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    older: Option<Older>,
}

/// Runs with ids in a row that died under the same epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Span(RunId, RunId, Epoch);

/// All dead letters with at most that id that died by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Older {
    upto: RunId,
    until: Timestamp,
}

impl Told {
    /// Adds a dead letter. Its id is lower than those of all before.
    pub(super) fn add(&mut self, run: &Run) {
        if let Some(Span(first, _, epoch)) = self.spans.last_mut()
            && *epoch == run.epoch
            && first.0 == run.id.0 + 1
        {
            *first = run.id;
        } else if self.spans.len() < SPANS_MAX {
            self.spans.push(Span(run.id, run.id, run.epoch));
        } else {
            let older = self.older.get_or_insert(Older { upto: run.id, until: run.changed_at });
            older.until = older.until.max(run.changed_at);
        }
    }

    /// Whether people were told of that death of that run.
    pub(super) fn holds(&self, run: &Run) -> bool {
        let at = self.spans.partition_point(|Span(first, ..)| *first > run.id);
        let in_span =
            self.spans.get(at).is_some_and(|Span(_, last, epoch)| *last >= run.id && *epoch == run.epoch);
        in_span || self.older.is_some_and(|older| run.id <= older.upto && run.changed_at <= older.until)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::news::tests::dead, *};

    fn told(runs: &[Run]) -> Told {
        let mut told = Told::default();
        runs.iter().for_each(|run| told.add(run));
        told
    }

    #[test]
    fn holds_what_was_added_and_nothing_beside() {
        let there = told(&[dead(9), dead(8), dead(7), dead(4), dead(2)]);
        let held: Vec<i64> = (0..12).filter(|id| there.holds(&dead(*id))).collect();
        assert_eq!(held, [2, 4, 7, 8, 9]);
        assert_eq!(there.spans.len(), 3);
        assert!(!Told::default().holds(&dead(1)));
    }

    #[test]
    fn a_run_that_died_again_is_new() {
        let there = told(&[dead(9), dead(8), dead(7)]);
        let again = Run { epoch: Epoch(2), ..dead(8) };
        assert!(!there.holds(&again));
        let there = told(&[dead(9), again.clone(), dead(7)]);
        assert!(there.holds(&again) && !there.holds(&dead(8)));
        assert!(there.holds(&dead(9)) && there.holds(&dead(7)));
    }

    #[test]
    fn ids_in_a_row_take_one_span_on_disk() {
        let many: Vec<Run> = (1..=5000).rev().map(dead).collect();
        let there = told(&many);
        let text = serde_json::to_string(&there).unwrap();
        assert_eq!(text, r#"{"spans":[[1,5000,1]]}"#);
        assert_eq!(serde_json::from_str::<Told>(&text).unwrap(), there);
    }

    #[test]
    fn past_the_limit_the_oldest_runs_are_known_by_the_time_of_their_death() {
        let scattered: Vec<Run> =
            (1..=i64::try_from(SPANS_MAX).unwrap() + 10).rev().map(|n| dead(2 * n)).collect();
        let there = told(&scattered);
        assert_eq!(there.spans.len(), SPANS_MAX);
        assert!(scattered.iter().all(|run| there.holds(run)));
        let later = dead(2).changed_at + std::time::Duration::from_secs(1);
        assert!(!there.holds(&Run { epoch: Epoch(2), changed_at: later, ..dead(2) }), "it died again");
        assert!(!there.holds(&Run { changed_at: later, ..dead(3) }), "it died since");
        assert!(!there.holds(&dead(41)), "between spans nothing is held");
        let read: Told = serde_json::from_str(&serde_json::to_string(&there).unwrap()).unwrap();
        assert_eq!(read, there);
    }
}
