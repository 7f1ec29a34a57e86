//! One measurement of one contender: a new process with an empty store, a warm-up, the load, and what it took.

use std::{path::Path, rc::Rc, time::Duration};

use bowline_model::{Clock, SystemClock};

use crate::{
    Result,
    args::Args,
    contender::{Contender, Running},
    crm::Crm,
    events::Requests,
    load, usage,
};

/// Events before the measurement: connections are opened, caches filled, the first checkpoints done with.
const WARM_UP_EVENTS: usize = 500;
/// How long the CRM may wait for the last event after it was acknowledged.
const ARRIVE_WITHIN: Duration = Duration::from_secs(120);

/// What one measurement showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Events acknowledged per second.
    pub(crate) accepted_per_s: f64,
    /// Events per second until the CRM had the last one.
    pub(crate) completed_per_s: f64,
    pub(crate) ack_p50: Duration,
    pub(crate) ack_p99: Duration,
    /// CPU time of the server per event, user and system, marks of completion included.
    pub(crate) cpu_per_run: Duration,
    pub(crate) memory_peak_bytes: u64,
    /// CPU time of the bench itself per event: load and CRM.
    pub(crate) cpu_of_bench_per_run: Duration,
    /// Cores that other programs kept busy meanwhile.
    pub(crate) cores_of_others: f64,
    /// Calls that the CRM got beyond one per event.
    pub(crate) repeats: usize,
}

/// Measures.
///
/// # Errors
/// If an event is not acknowledged, does not arrive, or is not finished; with the end of the server's log.
pub(crate) fn measure(contender: Contender, args: &Args, crm: &Crm, data_dir: &Path) -> Result<Measured> {
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(data_dir)?;
    let requests = Requests::sign(WARM_UP_EVENTS, args.events())?;
    let server = contender.start(args, dir.path(), &crm.url())?;
    load_and_watch(&server, args, crm, requests).map_err(|error| server.said(error))
}

fn load_and_watch(server: &Running, args: &Args, crm: &Crm, requests: Requests) -> Result<Measured> {
    let pid = server.id()?;
    let (warm_up, events) = (requests.warm_up.len(), requests.measured.len());
    crm.reset(warm_up + events);

    let warm = crm.expect(warm_up);
    load::send(server.port, &Rc::new(requests.warm_up), args.connections)?;
    warm.wait(ARRIVE_WITHIN)?;
    let cpu_before = usage::cpu_when_quiet(pid)?;

    let all = crm.expect(warm_up + events);
    let requests = Rc::new(requests.measured);
    let before = Clocks::read(pid)?;
    let acknowledged = load::send(server.port, &requests, args.connections)?;
    let arrivals = all.wait(ARRIVE_WITHIN)?;
    let passed = Clocks::read(pid)?.since(before);

    let cpu = usage::cpu_when_quiet(pid)?.saturating_sub(cpu_before);
    server.check_finished(warm_up + events)?;
    Ok(Measured {
        accepted_per_s: per_second(events, acknowledged.last_at - before.at),
        completed_per_s: per_second(events, arrivals.last_at - before.at),
        ack_p50: percentile(&acknowledged.latencies, 50),
        ack_p99: percentile(&acknowledged.latencies, 99),
        cpu_per_run: cpu / u32::try_from(events)?,
        memory_peak_bytes: usage::memory_peak_bytes(pid)?,
        cpu_of_bench_per_run: passed.bench / u32::try_from(events)?,
        cores_of_others: passed.others().as_secs_f64() / passed.at.as_secs_f64(),
        repeats: arrivals.repeats,
    })
}

/// Who had used how much CPU, and when.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    at: Duration,
    server: Duration,
    bench: Duration,
    machine: Duration,
}

impl Clocks {
    fn read(server: u32) -> Result<Self> {
        Ok(Self {
            server: usage::cpu(server)?,
            bench: usage::cpu(std::process::id())?,
            machine: usage::cpu_of_machine()?,
            at: SystemClock.monotonic(),
        })
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            at: self.at.saturating_sub(earlier.at),
            server: self.server.saturating_sub(earlier.server),
            bench: self.bench.saturating_sub(earlier.bench),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }

    /// What neither the server nor the bench used.
    fn others(self) -> Duration {
        self.machine.saturating_sub(self.server + self.bench)
    }
}

#[allow(clippy::cast_precision_loss, reason = "numbers of events are far below 2^52")]
pub(crate) fn per_second(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

/// The value that `percent` of the ascending values do not exceed.
pub(crate) fn percentile(ascending: &[Duration], percent: usize) -> Duration {
    let rank = (ascending.len() * percent).div_ceil(100);
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_nearest_rank() {
        let ms = Duration::from_millis;
        let hundred: Vec<_> = (1..=100).map(ms).collect();
        assert_eq!(percentile(&hundred, 50), ms(50));
        assert_eq!(percentile(&hundred, 99), ms(99));
        assert_eq!(percentile(&hundred[..1], 99), ms(1));
        assert_eq!(percentile(&hundred[..3], 50), ms(2));
    }
}
