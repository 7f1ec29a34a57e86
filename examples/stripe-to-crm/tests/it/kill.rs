//! The process is killed, again and again, under load.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bowline_model::RunState;
use bowline_testing::{Answer, Match, Recorded};
use serde_json::json;

use crate::{
    crm::{crm, emails, missing, one_key_each},
    disk,
    server::{Server, Settings, TWO_STEPS, folder},
    stripe::{Acknowledged, Load, Patience, Payment},
};

const EVENTS: usize = 2000;
const KILLS: usize = 10;
const CONNECTIONS: usize = 32;
const CRM_LATENCY: Duration = Duration::from_millis(20);

/// Rounds of [`EVENTS`] and [`KILLS`]: one, unless this variable asks for more, as in
/// `BOWLINE_KILL_ROUNDS=50 cargo test -p stripe-to-crm --test it -- --nocapture kill::every`.
const ROUNDS_VARIABLE: &str = "BOWLINE_KILL_ROUNDS";

/// The engine drives no more runs than this at once, and each has one call.
const SLOTS: usize = 256;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_reaches_the_crm_under_one_key_through_ten_kills() {
    let rounds = std::env::var(ROUNDS_VARIABLE).map_or(1, |rounds| rounds.parse().unwrap());
    for round in 1..=rounds {
        println!("round {round}");
        kill_ten_times().await;
    }
}

async fn kill_ten_times() {
    let folder = folder();
    let mut crm_now = crm(CRM_LATENCY);
    let mut server = Server::start(Settings::new(folder.path(), &crm_now.url()));
    let payments = Payment::many("kill", EVENTS);
    let load = Load::start(payments.clone(), CONNECTIONS, Patience::UntilAcknowledged, &server);

    let mut requests: Vec<Recorded> = vec![];
    let mut in_flight: Vec<BTreeSet<String>> = vec![];
    let mut running = 0;
    for kill in 1..=KILLS {
        load.until_acknowledged(kill * EVENTS / (KILLS + 1)).await;
        // What the last kill left is sent first. Once more than that was sent, no run is alone under suspicion of having
        // caused the kills: two of those alone are a dead letter by design, and another story.
        server
            .until("this life has work of its own", async || {
                (crm_now.count() > running + CONNECTIONS).then_some(())
            })
            .await;
        server.kill();
        // Closed, and another one for the next life: so its log ends exactly here, and what the dead server left in a
        // socket is never read.
        crm_now.go_down();
        let sent = crm_now.requests();
        let running_now = disk::customers(folder.path(), RunState::Running).await;
        running = running_now.len();
        in_flight.push(&emails(&sent) & &running_now);
        requests.extend(sent);
        crm_now = crm(CRM_LATENCY);
        server.restart(|settings| settings.env("CRM_BASE_URL", crm_now.url()));
    }
    let acknowledged = load.finish().await;
    let counts = server.until_no_run_is_open().await;
    requests.extend(crm_now.requests());

    assert_eq!(acknowledged.len(), EVENTS, "each sender sends until it is acknowledged");
    let runs: BTreeSet<_> = acknowledged.values().collect();
    assert_eq!(runs.len(), EVENTS, "no two events share a run");
    assert_eq!((counts.of("completed"), counts.of("dead")), (EVENTS as u64, 0), "{counts:?}");
    assert_eq!(missing(acknowledged.keys(), &requests), Vec::<&Payment>::new());
    let late = late_answers(&server, &acknowledged, &requests).await;
    assert_repeats_only_what_was_in_flight(&requests, &in_flight, &late);
}

/// How many attempts got no answer in their time, by customer: on a machine that is slow enough some do. Each is on record.
async fn late_answers(
    server: &Server,
    acknowledged: &Acknowledged,
    requests: &[Recorded],
) -> BTreeMap<String, usize> {
    let by_email = one_key_each(requests);
    let mut late = BTreeMap::new();
    for (payment, run) in acknowledged.iter().filter(|(payment, _)| by_email[&payment.email()].len() > 1) {
        let view = server.run(*run).await.expect("it was accepted");
        let steps = view["timeline"].as_array().unwrap().iter();
        let failed = steps.filter_map(|step| step["failed"].as_array()).flatten();
        let is_late =
            |attempt: &str| ["no answer within", "no outcome within"].iter().any(|why| attempt.contains(why));
        let count = failed.filter(|attempt| is_late(&attempt.to_string())).count();
        late.insert(payment.email(), count);
    }
    late
}

/// A call is in flight at a kill when the CRM has its request and the disk does not have its outcome: not answered
/// yet, answered and not read, or read and not committed. The server cannot know in which of the three it died, and
/// must send all of them again. What it has on disk it must not. So both sides are asked, the CRM's log and the disk,
/// and neither the server nor this test can count a call as in flight that was not.
///
/// This bounds each event by itself: one request, and one more for each kill at which it was in flight, and for each late
/// answer. The bound on the sum follows.
fn assert_repeats_only_what_was_in_flight(
    requests: &[Recorded],
    in_flight: &[BTreeSet<String>],
    late: &BTreeMap<String, usize>,
) {
    let by_email = one_key_each(requests);
    for (email, requests) in &by_email {
        let kills = in_flight.iter().filter(|at_kill| at_kill.contains(email)).count();
        let late = late.get(email).copied().unwrap_or_default();
        assert!(
            requests.len() <= 1 + kills + late,
            "{email} was sent {} times, was in flight at {kills} kills, and had {late} late answers",
            requests.len()
        );
    }
    let repeats = requests.len() - by_email.len();
    let per_kill: Vec<_> = in_flight.iter().map(BTreeSet::len).collect();
    let late: usize = late.values().sum();
    println!(
        "{} requests, {repeats} repeats, {late} late answers; in flight at the kills: {per_kill:?}",
        requests.len()
    );
    assert!(repeats <= per_kill.iter().sum::<usize>() + late);
    // The kills must have hit something, and "in flight" must not be an excuse for everything.
    assert!(per_kill.iter().filter(|calls| **calls > 0).count() > KILLS / 2, "{per_kill:?}");
    assert!(per_kill.iter().all(|calls| *calls <= SLOTS), "{per_kill:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_step_is_not_sent_again_after_a_kill() {
    const RUNS: usize = 32;
    let (folder, crm) = (folder(), crm(CRM_LATENCY));
    crm.when(Match::call("POST", "/api/numbers")).answer(Answer::ok(json!({ "number": 17 })));
    // The second step of each run is under way at the kill, and its first one is on disk: else it had not begun.
    crm.when(Match::call("POST", "/api/contacts")).times(RUNS).answer(Answer::hang());
    let mut server = Server::start(Settings::new(folder.path(), &crm.url()).binary(TWO_STEPS));
    let load = Load::start(Payment::many("steps", RUNS), CONNECTIONS, Patience::UntilAcknowledged, &server);
    crm.wait_for(2 * RUNS).await;
    load.finish().await;
    server.kill();
    server.restart(|settings| settings);
    let counts = server.until_no_run_is_open().await;
    assert_eq!((counts.of("completed"), counts.of("dead")), (RUNS as u64, 0), "{counts:?}");
    let (numbers, contacts): (Vec<_>, Vec<_>) =
        crm.requests().into_iter().partition(|request| request.path == "/api/numbers");
    assert_eq!((one_key_each(&numbers).len(), numbers.len()), (RUNS, RUNS));
    assert_eq!((one_key_each(&contacts).len(), contacts.len()), (RUNS, 2 * RUNS));
}
