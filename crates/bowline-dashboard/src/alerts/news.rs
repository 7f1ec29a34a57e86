//! What a look at the dead letters found: those that nobody was told of, grouped.

use std::collections::HashMap;

use bowline_model::{DeadReason, Run, RunId, WorkflowName};
use jiff::Timestamp;

use super::told::Told;

/// Most runs of a group that a message names.
pub(super) const RUNS_NAMED_MAX: usize = 5;

/// A look at all dead letters.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    pub(super) news: News,
    /// All that are dead now: what people have been told of once they are told the news.
    pub(super) told: Told,
}

/// Dead letters that nobody was told of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct News {
    /// How many there are.
    pub(super) new: u64,
    /// How many dead letters there are with those that people know.
    pub(super) dead: u64,
    /// When the first of the new ones died.
    pub(super) oldest: Option<Timestamp>,
    /// As many as there are workflows and reasons, which the code bounds.
    groups: HashMap<(WorkflowName, Option<DeadReason>), Group>,
}

/// Those of one workflow that died for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) workflow: WorkflowName,
    pub(super) reason: Option<DeadReason>,
    pub(super) count: u64,
    /// The newest, at most [`RUNS_NAMED_MAX`].
    pub(super) runs: Vec<RunId>,
    /// The summary of the one that died last.
    pub(super) summary: String,
    latest: Timestamp,
}

impl Look {
    /// Takes a dead letter into account. Its id is lower than those of all before.
    pub(super) fn add(&mut self, run: &Run, known: &Told) {
        self.told.add(run);
        self.news.dead += 1;
        if !known.holds(run) {
            self.news.add(run);
        }
    }
}

impl News {
    fn add(&mut self, run: &Run) {
        self.new += 1;
        self.oldest = Some(self.oldest.map_or(run.changed_at, |oldest| oldest.min(run.changed_at)));
        let group = self.groups.entry((run.workflow.clone(), run.dead_reason)).or_insert_with(|| Group {
            workflow: run.workflow.clone(),
            reason: run.dead_reason,
            count: 0,
            runs: vec![],
            summary: String::new(),
            latest: Timestamp::MIN,
        });
        group.count += 1;
        if group.runs.len() < RUNS_NAMED_MAX {
            group.runs.push(run.id);
        }
        if run.changed_at > group.latest {
            group.latest = run.changed_at;
            group.summary = run.summary.clone().unwrap_or_default();
        }
    }

    /// The largest first.
    pub(super) fn groups(&self) -> Vec<&Group> {
        let mut groups: Vec<&Group> = self.groups.values().collect();
        groups.sort_by(|a, b| {
            let name = |group: &Group| (group.workflow.clone(), group.reason.map(DeadReason::code));
            b.count.cmp(&a.count).then_with(|| name(a).cmp(&name(b)))
        });
        groups
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use bowline_model::{BuildId, Epoch, EventId, KeySeed, RunState};

    use super::*;

    /// When all of the tests' runs die: 2026-11-22 10:00:00 UTC.
    pub(crate) const DIED: Timestamp = Timestamp::constant(1_795_341_600, 0);

    /// A dead run of the workflow `sync`.
    pub(crate) fn dead(id: i64) -> Run {
        Run {
            id: RunId(id),
            event: EventId(id),
            workflow: "sync".into(),
            key: None,
            priority: 0,
            parent: None,
            replay_of: None,
            build: BuildId::from("1.0.0"),
            state: RunState::DeadLettered,
            due: None,
            owner: None,
            epoch: Epoch(1),
            key_seed: KeySeed(0),
            crashes: 0,
            crashes_alone: 0,
            journal_len: 1,
            created_at: DIED,
            claimed_at: Some(DIED),
            unsure_since: None,
            changed_at: DIED,
            dead_reason: Some(DeadReason::Failed),
            summary: Some("crm answered 422".to_owned()),
        }
    }

    pub(crate) fn look(runs: &[Run], known: &Told) -> Look {
        let mut look = Look::default();
        runs.iter().for_each(|run| look.add(run, known));
        look
    }

    #[test]
    fn counts_per_workflow_and_reason_the_largest_first() {
        let refund = |id| Run { workflow: "refund".into(), ..dead(id) };
        let poison = Run { dead_reason: Some(DeadReason::Poison), ..dead(1) };
        let mut runs = vec![refund(20), refund(19)];
        runs.extend((2..=9).rev().map(dead));
        runs.push(poison);
        let news = look(&runs, &Told::default()).news;
        let groups: Vec<_> =
            news.groups().iter().map(|group| (group.workflow.as_str(), group.reason, group.count)).collect();
        assert_eq!(
            groups,
            [
                ("sync", Some(DeadReason::Failed), 8),
                ("refund", Some(DeadReason::Failed), 2),
                ("sync", Some(DeadReason::Poison), 1)
            ]
        );
        assert_eq!((news.new, news.dead), (11, 11));
        assert_eq!(news.groups()[0].runs, [9, 8, 7, 6, 5].map(RunId));
    }

    #[test]
    fn what_people_know_is_counted_as_dead_and_not_as_new() {
        let first = look(&[dead(3), dead(2)], &Told::default());
        let second = look(&[dead(4), dead(3), dead(2)], &first.told);
        assert_eq!((second.news.new, second.news.dead), (1, 3));
        assert_eq!(second.news.groups()[0].runs, [RunId(4)]);
        let third = look(&[dead(4), dead(3), dead(2)], &second.told);
        assert_eq!((third.news.new, third.news.oldest, third.news.groups().len()), (0, None, 0));
    }

    #[test]
    fn the_example_is_the_one_that_died_last_whatever_its_number() {
        let late = Run {
            changed_at: DIED + Duration::from_secs(60),
            summary: Some("the last one".to_owned()),
            ..dead(2)
        };
        let news = look(&[dead(3), late, dead(1)], &Told::default()).news;
        assert_eq!(news.groups()[0].summary, "the last one");
        assert_eq!(news.oldest, Some(DIED));
    }
}
