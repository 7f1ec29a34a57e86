//! What schedules start, whatever becomes of the process and its clock.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use bowline_ingress::schedule::{CATCH_UP_MAX, CatchUp, Overlap, Schedule};
use bowline_model::{NodeId, RunState};
use bowline_store::{Batch, Claim, CursorMove, Failure, Store};
use jiff::Timestamp;

use super::bench::{Machine, at};

const NOON: &str = "2026-06-01T12:00:00Z";

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn hourly() -> Schedule {
    Schedule::cron("0 * * * *")
}

/// The last ticks, as times of day.
fn times(ticks: &[String]) -> Vec<&str> {
    ticks.iter().map(|tick| &tick[11..16]).collect()
}

#[tokio::test]
async fn a_new_schedule_begins_now_and_ticks_at_its_times() {
    let machine = Machine::new("2026-06-01T12:00:30Z", [("report", hourly())]);
    let process = machine.start().await;
    assert!(machine.runs().await.is_empty());
    assert_eq!(process.shown().next, Some(at("2026-06-01T13:00:00Z")));
    machine.pass(150).await;
    assert_eq!(times(&machine.ticks().await), ["13:00", "14:00"]);
    assert_eq!(machine.cursor("report").await.as_deref(), Some("2026-06-01T14:00:00Z 0 * * * * in UTC"));
    let run = machine.runs().await.remove(0);
    let event = machine.store.event(run.event).await.unwrap().unwrap();
    assert_eq!((&*event.source, &*event.kind), ("schedule/report", "report"));
    assert_eq!(event.body, r#"{"schedule":"report","at":"2026-06-01T13:00:00Z"}"#);
    assert_eq!((process.shown().started, process.shown().skipped), (2, 0));
    process.stop().await;
}

#[tokio::test]
async fn a_clock_set_forward_by_an_hour_and_back_starts_nothing_twice() {
    for catch_up in [CatchUp::Skip, CatchUp::Once, CatchUp::All] {
        let machine = Machine::new(
            "2026-06-01T12:05:00Z",
            [("report", Schedule::every(minutes(10)).catch_up(catch_up))],
        );
        let process = machine.start().await;
        machine.pass(10).await;
        machine.jump(60).await;
        machine.pass(10).await;
        let ahead = machine.ticks().await;
        machine.jump(-60).await;
        machine.pass(30).await;
        assert_eq!(machine.ticks().await, ahead, "what came by the wrong clock does not come again");
        machine.pass(60).await;
        let ticks = machine.ticks().await;
        assert_eq!(ticks.iter().collect::<BTreeSet<_>>().len(), ticks.len());
        let expected: &[&str] = match catch_up {
            CatchUp::Skip => &["12:10", "13:20", "13:30", "13:40", "13:50"],
            CatchUp::Once => &["12:10", "13:10", "13:20", "13:30", "13:40", "13:50"],
            CatchUp::All => &[
                "12:10", "12:20", "12:30", "12:40", "12:50", "13:00", "13:10", "13:20", "13:30", "13:40",
                "13:50",
            ],
        };
        assert_eq!(times(&ticks), expected, "{catch_up:?}");
        process.stop().await;
    }
}

#[tokio::test]
async fn a_clock_set_back_by_an_hour_and_forward_starts_nothing_twice() {
    let machine = Machine::new("2026-06-01T12:05:00Z", [("report", Schedule::every(minutes(10)))]);
    let process = machine.start().await;
    machine.pass(20).await;
    machine.jump(-60).await;
    machine.pass(30).await;
    machine.jump(60).await;
    machine.pass(10).await;
    let ticks = machine.ticks().await;
    assert_eq!(ticks.iter().collect::<BTreeSet<_>>().len(), ticks.len());
    assert_eq!(times(&ticks), ["12:10", "12:20", "12:50", "13:00"], "of those missed meanwhile the latest");
    process.stop().await;
}

/// Back and forth over ticks, over restarts and deaths, for two weeks of steps drawn at random.
#[tokio::test]
async fn whatever_the_clock_does_no_tick_is_started_twice() {
    for (seed, catch_up) in [(1, CatchUp::Skip), (2, CatchUp::Once), (3, CatchUp::All)] {
        let machine = Machine::new(NOON, [("report", Schedule::every(minutes(7)).catch_up(catch_up))]);
        let mut process = machine.start().await;
        let mut chance: u64 = seed;
        for _ in 0..200 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = i64::try_from(chance >> 33).unwrap();
            match drawn % 5 {
                0 => machine.jump(60).await,
                1 => machine.jump(-60).await,
                2 => machine.jump(drawn % 200 - 60).await,
                3 => machine.pass(drawn % 20).await,
                _ => {
                    process.kill().await;
                    process = machine.start().await;
                }
            }
            assert_eq!(process.shown().failures_in_a_row, 0, "{:?}", process.shown());
        }
        let ticks = machine.ticks().await;
        assert!(ticks.len() > 25, "{}", ticks.len());
        assert_eq!(ticks.iter().collect::<BTreeSet<_>>().len(), ticks.len());
        assert!(ticks.is_sorted(), "in their order");
        process.stop().await;
    }
}

#[tokio::test]
async fn a_restart_catches_up_as_the_schedule_says() {
    for (catch_up, expected, skipped) in [
        (CatchUp::Skip, &["13:00", "17:00"][..], 3),
        (CatchUp::Once, &["13:00", "16:00", "17:00"], 2),
        (CatchUp::All, &["13:00", "14:00", "15:00", "16:00", "17:00"], 0),
    ] {
        let machine = Machine::new("2026-06-01T12:30:00Z", [("report", hourly().catch_up(catch_up))]);
        let process = machine.start().await;
        machine.pass(40).await;
        process.kill().await;
        machine.clock_only(at("2026-06-01T16:30:00Z"));
        let process = machine.start().await;
        assert_eq!(process.shown().skipped, skipped, "{catch_up:?}");
        // Another restart finds nothing more.
        process.kill().await;
        let process = machine.start().await;
        assert_eq!(process.shown().skipped, 0);
        machine.pass(40).await;
        assert_eq!(times(&machine.ticks().await), expected, "{catch_up:?}");
        process.stop().await;
    }
}

#[tokio::test]
async fn what_new_times_name_before_they_were_said_is_one_run_and_not_a_thousand() {
    let every_second = || Schedule::every(Duration::from_secs(1)).catch_up(CatchUp::All);
    let mut machine = Machine::new("2026-06-01T12:30:00Z", [("report", hourly().catch_up(CatchUp::All))]);
    machine.start().await.kill().await;
    machine.clock_only(at("2026-06-01T14:30:00Z"));
    machine.deploy([("report", every_second())]);
    machine.start().await.kill().await;
    assert_eq!(machine.ticks().await, ["2026-06-01T14:30:00Z"], "the latest of the new times");
    machine.clock_only(at("2026-06-01T14:30:03Z"));
    machine.start().await.kill().await;
    assert_eq!(machine.ticks().await.len(), 4, "what is missed of the new times is caught up with again");

    machine.deploy([("report", Schedule::cron("0 15 * * *").catch_up(CatchUp::All))]);
    machine.start().await.kill().await;
    assert_eq!(machine.ticks().await.len(), 4, "nothing of these was due");
    machine.clock_only(at("2026-06-03T16:00:00Z"));
    machine.start().await.stop().await;
    assert_eq!(machine.ticks().await.len(), 7, "and now three days of them were missed");
    let zone = Schedule::cron("0 15 * * *").zone("Europe/Berlin").catch_up(CatchUp::All);
    machine.deploy([("report", zone)]);
    machine.clock_only(at("2026-06-05T16:00:00Z"));
    machine.start().await.stop().await;
    assert_eq!(machine.ticks().await.len(), 8, "another zone is other times");
}

#[tokio::test]
async fn a_cursor_of_an_earlier_version_is_read_and_catches_up_with_all() {
    let machine = Machine::new("2026-06-01T14:30:00Z", [("report", hourly().catch_up(CatchUp::All))]);
    let old = "2026-06-01T12:00:00Z".to_owned();
    let cursor = CursorMove { name: "schedule/report".to_owned(), from: None, to: old };
    machine.store.accept(Batch { cursor: Some(cursor), ..Batch::default() }).await.unwrap();
    let process = machine.start().await;
    assert_eq!(times(&machine.ticks().await), ["13:00", "14:00"]);
    assert_eq!(machine.cursor("report").await.as_deref(), Some("2026-06-01T14:00:00Z 0 * * * * in UTC"));
    process.stop().await;
}

#[tokio::test]
async fn a_restart_right_behind_a_tick_does_not_miss_it() {
    let machine = Machine::new("2026-06-01T12:59:30Z", [("report", hourly().catch_up(CatchUp::Skip))]);
    machine.start().await.kill().await;
    machine.clock_only(at("2026-06-01T13:00:59Z"));
    let process = machine.start().await;
    assert_eq!(times(&machine.ticks().await), ["13:00"]);
    process.stop().await;
}

#[tokio::test]
async fn catching_up_is_bounded_and_the_latest_count() {
    let every_second = Schedule::every(Duration::from_secs(1)).catch_up(CatchUp::All);
    let machine = Machine::new(NOON, [("report", every_second)]);
    machine.start().await.kill().await;
    machine.clock_only(at("2026-06-01T13:00:00Z"));
    let process = machine.start().await;
    let ticks = machine.ticks().await;
    assert_eq!(ticks.len(), CATCH_UP_MAX);
    assert_eq!((&*ticks[0], &*ticks[CATCH_UP_MAX - 1]), ("2026-06-01T12:43:21Z", "2026-06-01T13:00:00Z"));
    assert_eq!(process.shown().skipped, 3600 - CATCH_UP_MAX as u64);
    process.stop().await;
}

#[tokio::test]
async fn a_machine_that_slept_catches_up_and_one_that_was_busy_missed_nothing() {
    let machine = Machine::new("2026-06-01T12:30:00Z", [("report", hourly().catch_up(CatchUp::Skip))]);
    let process = machine.start().await;
    machine.set(at("2026-06-01T13:00:20Z")).await;
    assert_eq!(times(&machine.ticks().await), ["13:00"], "a little late is on time");
    machine.set(at("2026-06-01T18:30:00Z")).await;
    assert_eq!(times(&machine.ticks().await), ["13:00"], "asleep for hours");
    machine.pass(40).await;
    assert_eq!(times(&machine.ticks().await), ["13:00", "19:00"]);
    process.stop().await;
}

#[tokio::test]
async fn two_processes_on_one_store_never_both_start_a_tick() {
    let machine = Machine::new("2026-06-01T12:00:30Z", [("report", Schedule::every(minutes(1)))]);
    let (one, other) = (machine.start().await, machine.start().await);
    machine.pass(100).await;
    let ticks = machine.ticks().await;
    assert_eq!(ticks.len(), 100);
    assert_eq!(ticks.iter().collect::<BTreeSet<_>>().len(), 100);
    let (one, other) = (one.shown(), other.shown());
    assert_eq!(one.started + other.started, 100);
    // The cursor decides, before anybody looks whether the event is known.
    assert_eq!((one.skipped, other.skipped), (0, 0));
    assert_eq!((one.failures_in_a_row, other.failures_in_a_row), (0, 0));
}

#[tokio::test]
async fn a_tick_that_cannot_be_written_is_tried_again_and_the_board_shows_it() {
    let schedule = Schedule::cron("0 * * * *").catch_up(CatchUp::Skip);
    let machine = Machine::on_disk("2026-06-01T12:59:00Z", [("report", schedule)]);
    let process = machine.start().await;
    machine.store.fail_next(Failure::CommitLost).await.unwrap();
    machine.set(at("2026-06-01T13:00:00Z")).await;
    let shown = process.shown();
    assert_eq!((shown.failures_in_a_row, shown.started), (1, 0));
    assert!(shown.last_error.is_some());
    // After 1 s, 2 s, 4 s and so on.
    for second in [1, 3, 7, 15, 31, 63] {
        machine.store.fail_next(Failure::CommitLost).await.unwrap();
        machine.set(at("2026-06-01T13:00:00Z") + Duration::from_secs(second)).await;
    }
    assert_eq!((process.shown().failures_in_a_row, process.shown().started), (7, 0));
    machine.set(at("2026-06-01T13:02:03Z")).await;
    assert_eq!(times(&machine.ticks().await), ["13:00"], "later than a minute, and not missed");
    assert_eq!((process.shown().failures_in_a_row, process.shown().last_error), (0, None));
    process.stop().await;
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_on_disk() {
    let machine = Machine::on_disk("2026-06-01T12:59:00Z", [("report", hourly())]);
    let process = machine.start().await;
    machine.store.fail_next(Failure::CommitUnanswered).await.unwrap();
    machine.pass(3).await;
    assert_eq!(times(&machine.ticks().await), ["13:00"]);
    process.stop().await;
}

#[tokio::test]
async fn a_schedule_whose_times_change_goes_on_after_its_last_tick() {
    let mut machine = Machine::new("2026-06-01T12:30:00Z", [("report", hourly())]);
    let process = machine.start().await;
    machine.pass(40).await;
    process.stop().await;
    machine.deploy([("report", Schedule::cron("20 * * * *"))]);
    let process = machine.start().await;
    assert_eq!(process.shown().next, Some(at("2026-06-01T13:20:00Z")));
    machine.pass(20).await;
    assert_eq!(times(&machine.ticks().await), ["13:00", "13:20"]);
    process.stop().await;
}

#[tokio::test]
async fn a_last_tick_that_lies_days_ahead_is_not_believed() {
    let machine = Machine::new("2026-06-01T12:30:00Z", [("report", hourly())]);
    let process = machine.start().await;
    machine.pass(31).await;
    machine.jump(60 * 24 * 365).await;
    machine.jump(-60 * 24 * 365).await;
    process.kill().await;
    let process = machine.start().await;
    assert_eq!(process.shown().next, Some(at("2026-06-01T14:00:00Z")));
    machine.pass(60).await;
    assert_eq!(times(&machine.ticks().await).len(), 3);
    process.stop().await;
}

#[tokio::test]
async fn a_panic_is_shown_and_stops_no_schedule() {
    let both = [("report", hourly().overlap(Overlap::CancelOld)), ("other", Schedule::cron("30 * * * *"))];
    let machine = Machine::new(NOON, both);
    let process = machine.start().await;
    machine.pass(61).await;
    process.panics.store(true, Ordering::SeqCst);
    machine.pass(60).await;
    let shown = process.shown();
    assert!(shown.failures_in_a_row > 0 && shown.last_error.unwrap().contains("panicked"));
    process.panics.store(false, Ordering::SeqCst);
    machine.pass(60).await;
    assert_eq!(times(&machine.ticks().await), ["12:30", "13:00", "13:30", "14:00", "14:30", "15:00"]);
    assert_eq!(process.shown().failures_in_a_row, 0);
    process.stop().await;
}

#[tokio::test]
async fn a_clock_that_was_a_year_ahead_for_a_moment_stops_no_schedule() {
    let machine = Machine::new("2026-06-01T12:30:00Z", [("report", hourly())]);
    let process = machine.start().await;
    machine.pass(31).await;
    machine.jump(60 * 24 * 365).await;
    machine.jump(-60 * 24 * 365).await;
    assert_eq!(machine.ticks().await.len(), 2, "13:00, and the last one of the year that was missed");
    // The machine's own time: by it the next tick should have come.
    tokio::time::pause();
    tokio::time::advance(minutes(62)).await;
    tokio::time::resume();
    while process.shown().next != Some(at("2026-06-01T14:00:00Z")) {
        tokio::task::yield_now().await;
    }
    machine.pass(121).await;
    assert_eq!(times(&machine.ticks().await[2..]), ["14:00", "15:00"]);
    process.stop().await;
}

#[tokio::test]
async fn jitter_delays_each_run_by_less_than_the_gap_to_the_next_tick() {
    let machine = Machine::new(
        "2026-06-01T12:59:00Z",
        [
            ("report", hourly().jitter(minutes(10))),
            ("often", Schedule::every(minutes(1)).jitter(minutes(10))),
        ],
    );
    let process = machine.start().await;
    machine.pass(1).await;
    let runs = machine.runs().await;
    let mut due: Vec<Option<Timestamp>> = runs.iter().map(|run| run.due).collect();
    due.sort();
    // The bench's clock draws half of what there is.
    let half = |text: &str| Some(at(text) - Duration::from_nanos(1));
    assert_eq!(due, [half("2026-06-01T13:00:30Z"), half("2026-06-01T13:05:00Z")]);
    process.stop().await;
}

#[tokio::test]
async fn overlap_skip_leaves_out_ticks_while_a_run_is_open() {
    let machine = Machine::new(NOON, [("report", hourly().overlap(Overlap::Skip))]);
    let process = machine.start().await;
    machine.pass(121).await;
    assert_eq!(times(&machine.ticks().await), ["13:00"]);
    assert_eq!((process.shown().started, process.shown().skipped), (1, 1));
    process.kill().await;
    let process = machine.start().await;
    machine.pass(60).await;
    assert_eq!(times(&machine.ticks().await), ["13:00"], "a restart changes nothing");
    machine.end_oldest().await;
    machine.pass(60).await;
    assert_eq!(times(&machine.ticks().await), ["13:00", "16:00"]);
    process.stop().await;
}

#[tokio::test]
async fn overlap_queue_keeps_every_run_and_lets_one_go_at_a_time() {
    let machine = Machine::new(NOON, [("report", hourly()), ("other", Schedule::cron("30 12 * * *"))]);
    let process = machine.start().await;
    machine.pass(181).await;
    assert_eq!(times(&machine.ticks().await), ["12:30", "13:00", "14:00", "15:00"]);
    let claimed = machine.claim().await;
    assert_eq!(claimed.len(), 2, "one of each schedule");
    process.kill().await;
    let process = machine.start().await;
    assert!(machine.claim().await.is_empty());
    process.stop().await;
}

#[tokio::test]
async fn overlap_cancel_old_ends_what_is_open_and_a_restart_finishes_it() {
    let machine = Machine::new(NOON, [("report", hourly().overlap(Overlap::CancelOld))]);
    let process = machine.start().await;
    machine.pass(121).await;
    let runs = machine.runs().await;
    let states: Vec<RunState> = runs.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Cancelled, RunState::Queued]);
    let (cancelled, why) = process.cancelled.lock().unwrap().remove(0);
    assert_eq!(cancelled, runs[0].id);
    assert_eq!(
        why,
        format!("cancelled by the schedule \"report\": run {} of its next tick replaces it", runs[1].id)
    );
    process.kill().await;
    // A process that queued them, and then this one: as after a death between the tick and the cancel.
    let mut machine = machine;
    machine.deploy([("report", hourly())]);
    let process = machine.start().await;
    machine.pass(120).await;
    process.kill().await;
    machine.deploy([("report", hourly().overlap(Overlap::CancelOld))]);
    let process = machine.start().await;
    let states: Vec<RunState> = machine.runs().await.iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Cancelled, RunState::Cancelled, RunState::Cancelled, RunState::Queued]);
    process.stop().await;
}

#[tokio::test]
async fn a_thousand_idle_schedules_cost_one_sleep() {
    let names: Vec<&'static str> = (0..1000).map(|no| &*format!("report {no}").leak()).collect();
    let machine = Machine::new(NOON, names.iter().map(|name| (*name, Schedule::cron("0 0 * * *"))));
    let process = machine.start().await;
    // All cursors are set when the last one sleeps: then there is one sleep, until midnight.
    machine.settled(&process).await;
    let sleeps = machine.clock.sleeps.load(Ordering::SeqCst);
    for _ in 0..11 {
        machine.jump(60).await;
    }
    assert_eq!(machine.clock.sleeps.load(Ordering::SeqCst), sleeps, "nobody woke");
    assert_eq!(machine.clock.sleepers(), 1);
    machine.jump(61).await;
    machine.settled(&process).await;
    assert_eq!(machine.runs().await.len(), 1000);
    process.stop().await;
}

impl Machine {
    /// Time passes while no process lives.
    fn clock_only(&self, to: Timestamp) {
        self.clock.set_alone(to);
    }

    /// Waits until every schedule has a next tick after now.
    async fn settled(&self, process: &super::bench::Process) {
        let now = self.now();
        while !process.board.all().iter().all(|line| line.next.is_some_and(|next| next > now)) {
            tokio::task::yield_now().await;
        }
    }

    async fn claim(&self) -> Vec<bowline_model::Run> {
        let claim = Claim {
            node: NodeId(1),
            now: self.now(),
            total_max: 100,
            workflows: vec![("report".into(), 100)],
            others_max: 0,
            crashes_min: 0,
        };
        self.store.claim(claim).await.unwrap()
    }

    async fn end_oldest(&self) {
        let run = self.claim().await.remove(0);
        let write = bowline_store::RunWrite::new(
            run.id,
            run.epoch,
            self.now(),
            vec![],
            Some(bowline_store::Transition::Complete),
        );
        self.store.write(write).await.unwrap();
    }
}
