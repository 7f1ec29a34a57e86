//! Runs that wait for whatever the client waits for: on disk, without a slot, over a restart, and with one effect.

use std::{collections::BTreeSet, time::Duration};

use bowline::{
    Workflow,
    client::{Breaker, RetryBudget},
    prelude::*,
};
use bowline_model::RunState;
use bowline_testing::{Answer, Match, MockSystem, TestApp, TestRun};
use serde_json::{Value, json};

/// A remote, and another one that nothing is wrong with.
struct Desk {
    crm: Api,
    mail: Api,
}

impl Desk {
    async fn create(self: Arc<Self>, cx: Context, number: u32) -> Result<()> {
        cx.step("create", self.crm.post("/contacts").json(&number)).attempt_timeout(minutes(2)).await?;
        Ok(())
    }

    async fn rates(self: Arc<Self>, cx: Context, _: u32) -> Result<Value> {
        cx.step("rates", self.crm.get("/rates").decode()).attempt_timeout(minutes(2)).await
    }

    async fn mail(self: Arc<Self>, cx: Context, number: u32) -> Result<()> {
        cx.step("mail", self.mail.post("/mails").json(&number)).await?;
        Ok(())
    }
}

/// An app whose remote is configured so, with that many slots.
struct Bench {
    app: TestApp<Desk>,
    create: Workflow<Desk, u32, ()>,
    rates: Workflow<Desk, u32, Value>,
    mail: Workflow<Desk, u32, ()>,
}

impl Bench {
    fn new(slots: usize, configure: impl Fn(Api) -> Api + Send + Sync + 'static) -> Self {
        Self::with(slots, &[], configure)
    }

    fn with(
        slots: usize,
        variables: &[(&str, String)],
        configure: impl Fn(Api) -> Api + Send + Sync + 'static,
    ) -> Self {
        let create = workflow("create", Desk::create);
        let rates = workflow("rates", Desk::rates);
        let mail = workflow("mail", Desk::mail);
        let systems = move |setup: &mut Setup| Desk {
            crm: configure(setup.api("crm").base_url_env("CRM_BASE_URL")),
            mail: setup.api("mail").base_url("https://mail.example.com"),
        };
        let app = App::new("sync", systems).concurrency(slots);
        let app = app.workflow(create.clone()).workflow(rates.clone()).workflow(mail.clone());
        let app = variables.iter().fold(TestApp::with(app), |app, (name, value)| app.env(*name, value));
        Self { app: app.build(), create, rates, mail }
    }

    fn crm(&self) -> &MockSystem {
        self.app.mock("crm")
    }

    fn create(&self, number: u32) -> TestRun<'_, Desk> {
        self.app.start(&self.create, &number)
    }

    fn rates(&self) -> TestRun<'_, Desk> {
        self.app.start(&self.rates, &0)
    }

    /// Lets everything happen until then that can without time passing: a provider's answers come in their own time.
    #[track_caller]
    fn settle_until(&self, is_so: impl Fn() -> bool) {
        const LOOKS_MAX: usize = 1000;
        assert!((0..LOOKS_MAX).any(|_| (self.app.settle(), is_so()).1), "it never came");
    }

    /// The run waits by a time on disk, and its slot is free: another run, started now, is done now.
    #[track_caller]
    fn waits_on_disk(&self, run: TestRun<'_, Desk>) {
        let row = run.row();
        assert_eq!(row.state, RunState::Waiting, "{}", run.timeline());
        assert!(row.due.is_some_and(|due| due > self.app.now()), "{row:?}");
        let begun = self.app.now();
        let other = self.app.start(&self.mail, &1);
        self.app.settle();
        assert_eq!((other.state(), self.app.now()), (RunState::Completed, begun), "no slot was free");
    }

    /// As [`waits_on_disk`](Self::waits_on_disk), and the same in the process that follows a crash.
    #[track_caller]
    fn waits_over_a_crash(&self, run: TestRun<'_, Desk>) {
        self.waits_on_disk(run);
        let (due, sent) = (run.row().due, self.sent_by(run));
        self.app.crash();
        self.app.settle();
        assert_eq!((run.row().due, self.sent_by(run)), (due, sent), "{}", run.timeline());
        self.waits_on_disk(run);
    }

    /// How often the remote was asked for what the run does.
    fn sent_by(&self, run: TestRun<'_, Desk>) -> usize {
        let input = run.event().body.to_vec();
        self.crm().requests().iter().filter(|request| *request.body == *input).count()
    }

    /// How many different effects good answers stand for, and how many good answers there were.
    fn effects(&self) -> (usize, usize) {
        let requests = self.crm().requests();
        let good = requests.iter().filter(|request| request.answered == Some(200));
        let keys: Vec<_> = good.filter_map(|request| request.idempotency_key()).collect();
        (keys.iter().collect::<BTreeSet<_>>().len(), keys.len())
    }
}

#[test]
fn a_run_behind_an_open_breaker_waits_on_disk() {
    let bench =
        Bench::new(1, |api| api.breaker(Breaker::default().failures_min(3).open_for(minutes(1)).probes(1)));
    bench.crm().answer(Answer::status(422));
    bench.crm().fail_next(3, 500);
    (0..3).for_each(|number| _ = bench.create(number));
    bench.app.settle();
    assert_eq!(bench.crm().count(), 3);
    bench.crm().answer(Answer::status(200));
    let run = bench.create(7);
    bench.app.settle();
    bench.waits_over_a_crash(run);
    assert_eq!(bench.sent_by(run), 0);
    assert_eq!(run.end().state(), RunState::Completed);
    assert_eq!(bench.sent_by(run), 1);
    bench.app.advance(minutes(5));
    assert_eq!(bench.effects(), (4, 4));
}

#[test]
fn a_run_that_finds_all_lanes_taken_waits_on_disk() {
    let bench = Bench::new(2, |api| api.concurrency(1));
    bench.crm().remember_keys();
    bench.crm().answer(Answer::status(200).after(secs(60)));
    let first = bench.create(1);
    let second = bench.create(2);
    bench.app.advance(secs(5));
    assert_eq!((first.state(), bench.crm().count()), (RunState::Running, 1));
    bench.waits_over_a_crash(second);
    assert_eq!(bench.sent_by(second), 0);
    assert_eq!((first.end().state(), second.end().state()), (RunState::Completed, RunState::Completed));
    assert_eq!(bench.sent_by(second), 1, "{}", second.timeline());
    assert_eq!(
        bench.effects(),
        (2, 3),
        "the first was under way at the crash, and is sent again under its key"
    );
}

#[test]
fn a_run_behind_a_taken_lane_holds_a_slot_for_a_fraction_of_its_wait() {
    let bench = Bench::new(2, |api| api.concurrency(1));
    bench.crm().answer(Answer::status(200).after(secs(60)));
    bench.create(1);
    let second = bench.create(2);
    bench.app.advance(secs(1));
    let is_held = |_| {
        bench.app.advance(Duration::from_millis(500));
        second.state() == RunState::Running
    };
    let held = (0..110).filter(|nth| is_held(*nth)).count();
    assert!(held <= 5, "it held a slot {held} of 110 times");
    assert_eq!(second.end().state(), RunState::Completed);
}

/// What an app needs for a token of that provider.
fn by_token(api: Api) -> Api {
    let oauth = OAuth::client_credentials("https://id.example.com/token").token_url_env("TOKEN_URL");
    api.oauth(oauth.client("client-1", Secret::new("secret-of-the-client")))
}

fn token() -> Answer {
    Answer::ok(json!({"access_token": "access-1", "token_type": "Bearer", "expires_in": 3600}))
}

#[test]
fn a_run_without_a_token_waits_on_disk_while_the_provider_is_slow() {
    let provider = MockSystem::start();
    provider.answer(Answer::hang());
    let bench = Bench::with(1, &[("TOKEN_URL", format!("{}/token", provider.url()))], by_token);
    let run = bench.create(7);
    bench.settle_until(|| provider.count() == 1);
    bench.app.advance(secs(4));
    bench.waits_over_a_crash(run);
    provider.answer(token());
    assert_eq!(run.end().state(), RunState::Completed, "{}", run.timeline());
    assert_eq!(bench.effects(), (1, 1));
    assert!(provider.count() >= 2, "at least one question of each process");
}

#[test]
fn a_run_without_a_token_waits_on_disk_while_the_provider_is_down() {
    let provider = MockSystem::start();
    provider.fail_next(3, 503);
    provider.answer(token());
    let bench = Bench::with(1, &[("TOKEN_URL", format!("{}/token", provider.url()))], by_token);
    let run = bench.create(7);
    bench.settle_until(|| provider.count() == 1 && run.state() == RunState::Waiting);
    bench.waits_over_a_crash(run);
    assert_eq!(run.end().state(), RunState::Completed, "{}", run.timeline());
    assert_eq!(bench.effects(), (1, 1));
    assert!(provider.count() >= 4, "it was asked until it answered: {}", provider.count());
}

#[test]
fn a_run_whose_repetition_nobody_pays_for_waits_on_disk() {
    let bench = Bench::new(1, |api| api.retry_budget(RetryBudget::new(1).per_second(0.01)));
    bench.crm().fail_next(2, 503);
    let run = bench.create(7);
    // Long past the backoff of two failures.
    bench.app.advance(secs(8));
    assert_eq!(bench.sent_by(run), 2);
    bench.waits_over_a_crash(run);
    assert_eq!(run.end().state(), RunState::Completed);
    assert_eq!((bench.sent_by(run), bench.effects()), (3, (1, 1)));
}

#[test]
fn a_run_that_waits_for_anothers_equal_question_waits_on_disk_and_is_answered_by_it() {
    let bench = Bench::new(2, |api| api.cache(hours(1)));
    bench.crm().when(Match::call("GET", "/rates")).answer(Answer::ok(json!({"usd": 1.1})).after(secs(60)));
    let first = bench.rates();
    let second = bench.rates();
    bench.app.advance(secs(5));
    assert_eq!((first.state(), bench.crm().count()), (RunState::Running, 1));
    bench.waits_on_disk(second);
    assert_eq!(first.end().output::<Value>(), second.end().output::<Value>());
    assert_eq!(bench.crm().count(), 1, "asked for once");
}

#[test]
fn a_run_that_waited_for_anothers_question_goes_on_after_a_crash_of_both() {
    let bench = Bench::new(2, |api| api.cache(hours(1)));
    bench.crm().when(Match::call("GET", "/rates")).answer(Answer::ok(json!({"usd": 1.1})).after(secs(60)));
    let (first, second) = (bench.rates(), bench.rates());
    bench.app.advance(secs(5));
    bench.waits_on_disk(second);
    bench.app.crash();
    bench.app.settle();
    bench.waits_on_disk(second);
    assert_eq!(first.end().output::<Value>(), second.end().output::<Value>());
    assert_eq!(bench.crm().count(), 2, "once by each process");
}

#[test]
fn runs_behind_a_breaker_are_sent_oldest_first_when_it_closes() {
    const RUNS: u32 = 50;
    // As many go in the first second after it closed: among these the order is open.
    const TOGETHER: u32 = 10;
    // In the longer one some go to ask whether the remote is back, and fail: they do not lose their place.
    for outage in [secs(30), minutes(6)] {
        let rules = |api: Api| api.breaker(Breaker::default().failures_min(5).open_for(minutes(1)));
        let bench = Bench::new(4, rules);
        bench.crm().answer(Answer::status(500));
        (0..RUNS).for_each(|number| _ = bench.create(number));
        bench.app.advance(outage);
        let during = bench.crm().count();
        assert!((5..=12).contains(&during), "{during} were sent before it opened, and to look");
        let waiting = bench.app.runs().iter().filter(|run| run.state() == RunState::Waiting).count();
        assert_eq!(waiting, RUNS as usize);
        bench.crm().answer(Answer::status(200));
        bench.app.advance(minutes(7));
        let sent: Vec<u32> =
            bench.crm().requests()[during..].iter().map(|request| request.decode()).collect();
        assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), sent.len(), "each once");
        let off = |(nth, number): (u32, &u32)| nth.abs_diff(*number);
        let most_off = (0..).zip(&sent).map(off).max();
        assert!(sent.len() == RUNS as usize && most_off <= Some(TOGETHER), "after {outage:?}: {sent:?}");
    }
}
