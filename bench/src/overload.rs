//! More load than the machine takes: what is accepted is answered soon and not lost, the rest is told to come again.

use std::{
    collections::HashSet, fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path, rc::Rc,
    time::Duration,
};

use bowline_model::{Clock, SystemClock};

use crate::{
    Result,
    args::{Args, OverloadArgs},
    contender::{Contender, Running},
    crm::Crm,
    events::{self, Requests},
    flood::{self, Answers},
    load, machine,
    round::{per_second, percentile},
    run,
};

const WARM_UP_EVENTS: usize = 200;
/// Connections while it is measured what the machine takes.
const CONNECTIONS: usize = 64;
/// More than the server takes, so that some are turned away.
const CONNECTIONS_MAX: usize = 3000;
/// How long the CRM may wait for the last event that was accepted.
const ARRIVE_WITHIN: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(100);

struct Found {
    taken_per_s: f64,
    offered_per_s: f64,
    accepted_per_s: f64,
    answers: Answers,
    lost: usize,
}

/// Measures, and prints a table.
///
/// # Errors
/// If the server or the load fails; or if a connection was reset, an answer was missing or another one than 200 and
/// 503, or an accepted event was lost.
pub(crate) fn run(args: &Args, overload: &OverloadArgs) -> Result {
    let data_dir = run::data_dir(args)?;
    let machine = machine::describe(&data_dir)?;
    let crm = Crm::start(args.crm_latency())?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&data_dir)?;
    let found = measure(args, overload, &crm, dir.path())?;
    let report = report(overload, &machine, &found);
    std::io::stdout().write_all(report.as_bytes())?;
    if args.write {
        OpenOptions::new().create(true).append(true).open(run::RESULTS)?.write_all(report.as_bytes())?;
    }
    let answers = &found.answers;
    if answers.resets + answers.silent + answers.odd.len() + found.lost > 0 {
        return Err(format!("not every request was answered as promised: {:?}", answers.odd).into());
    }
    Ok(())
}

fn measure(args: &Args, overload: &OverloadArgs, crm: &Crm, dir: &Path) -> Result<Found> {
    let server = Contender::Bowline.start(args, dir, &crm.url())?;
    flood(args, overload, crm, &server).map_err(|error| server.said(error))
}

fn flood(args: &Args, overload: &OverloadArgs, crm: &Crm, server: &Running) -> Result<Found> {
    let before = WARM_UP_EVENTS + args.events();
    let requests = Requests::sign(WARM_UP_EVENTS, args.events())?;
    crm.reset(before);
    load::send(server.port, &Rc::new(requests.warm_up), CONNECTIONS)?;
    let began_at = SystemClock.monotonic();
    let taken = load::send(server.port, &Rc::new(requests.measured), CONNECTIONS)?;
    let taken_per_s = per_second(args.events(), taken.last_at - began_at);
    arrived(crm, (0..before).collect());

    let offered_per_s = taken_per_s * overload.times;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of requests")]
    let count = (offered_per_s * overload.seconds) as usize;
    crm.reset(before + count);
    let requests = Requests::sign_from(before, count)?;
    let plan = flood::Plan {
        port: server.port,
        requests_per_s: offered_per_s,
        connections_max: CONNECTIONS_MAX,
        seed: overload.seed,
    };
    let answers = flood::send(plan, requests)?;
    // What was accepted has a contact: nothing less shows that it was not lost.
    let accepted: HashSet<usize> = answers.accepted.iter().map(|(number, _)| before + number).collect();
    let lost = arrived(crm, accepted);
    Ok(Found {
        taken_per_s,
        offered_per_s: per_second(count - answers.held_back, answers.sent_within),
        accepted_per_s: per_second(answers.accepted.len(), answers.sent_within),
        answers,
        lost,
    })
}

/// Waits for contacts of all these events. How many are missing in the end.
fn arrived(crm: &Crm, mut awaited: HashSet<usize>) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("the machine has room for a timer");
    let began_at = SystemClock.monotonic();
    loop {
        awaited.retain(|number| !crm.has(*number));
        if awaited.is_empty() || SystemClock.monotonic() - began_at > ARRIVE_WITHIN {
            return awaited.len();
        }
        runtime.block_on(async { SystemClock.sleep(LOOK_EVERY).await });
    }
}

fn report(overload: &OverloadArgs, machine: &str, found: &Found) -> String {
    let mut out = String::new();
    write_report(&mut out, overload, machine, found).expect("a string takes all that is written");
    out
}

fn write_report(out: &mut String, overload: &OverloadArgs, machine: &str, found: &Found) -> std::fmt::Result {
    let today = SystemClock.now().strftime("%Y-%m-%d %H:%M UTC");
    let answers = &found.answers;
    let ms = |latencies: Vec<Duration>, percent| {
        let mut ascending = latencies;
        ascending.sort_unstable();
        percentile(&ascending, percent).as_secs_f64() * 1e3
    };
    let accepted = || answers.accepted.iter().map(|(_, took)| *took).collect::<Vec<_>>();
    writeln!(out, "\n## {today}: more load than the machine takes\n\n{machine}")?;
    writeln!(
        out,
        "Events of {} bytes; first over {CONNECTIONS} connections, each its next one after an answer; then {} times that rate \
         for {} s at random times (seed {}), over as many connections as it takes ({} at most at once). Load, CRM and server \
         share the machine; latencies count from when a request was due.\n",
        events::body_bytes(),
        overload.times,
        overload.seconds,
        overload.seed,
        answers.connections_peak,
    )?;
    writeln!(out, "| | |\n| --- | ---: |")?;
    writeln!(out, "| taken/s, asked politely | {:.0} |", found.taken_per_s)?;
    writeln!(out, "| offered/s | {:.0} |", found.offered_per_s)?;
    writeln!(out, "| accepted/s | {:.0} |", found.accepted_per_s)?;
    writeln!(out, "| ack p50 of accepted, ms | {:.0} |", ms(accepted(), 50))?;
    writeln!(out, "| ack p99 of accepted, ms | {:.0} |", ms(accepted(), 99))?;
    writeln!(out, "| accepted | {} |", answers.accepted.len())?;
    writeln!(out, "| 503 with Retry-After | {} |", answers.refused)?;
    writeln!(out, "| 503 p99, ms | {:.0} |", ms(answers.refused_after.clone(), 99))?;
    writeln!(out, "| not sent for want of connections | {} |", answers.held_back)?;
    writeln!(out, "| resets | {} |", answers.resets)?;
    writeln!(out, "| not answered | {} |", answers.silent)?;
    writeln!(out, "| other answers | {} |", answers.odd.len())?;
    writeln!(out, "| accepted and lost | {} |", found.lost)
}
