//! What a process used, as Linux tells it in `/proc`.

use std::{fs, thread, time::Duration};

use bowline_model::{Clock, SystemClock};

use crate::Result;

/// How long a process must use no CPU to count as quiet: several times the kernel's tick.
const QUIET_FOR: Duration = Duration::from_millis(150);
/// How long to wait for that.
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// CPU time of all its threads so far, user and system. In ticks of 10 ms, so only good for long stretches.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses, which may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut ticks = fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let (Some(Ok(user)), Some(Ok(system))) = (ticks.next(), ticks.next()) else {
        return Err(format!("/proc/{pid}/stat is not as expected: {stat}").into());
    };
    ticks_to_time(user + system)
}

/// CPU time of all programs on the machine so far, the kernel's own work and what a hypervisor took included.
pub(crate) fn cpu_of_machine() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or("");
    let ticks: Vec<u64> = line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return Err(format!("/proc/stat is not as expected: {line}").into());
    };
    ticks_to_time(user + nice + system + irq + softirq + steal)
}

fn ticks_to_time(ticks: u64) -> Result<Duration> {
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(Duration::from_secs(1) * u32::try_from(ticks)? / per_second)
}

/// The most memory it ever had resident, in bytes.
pub(crate) fn memory_peak_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .ok_or("/proc has no VmHWM of the server")?;
    Ok(kib * 1024)
}

/// Waits until it uses no CPU; returns what it had used by then.
///
/// # Errors
/// If it does not become quiet.
#[allow(
    clippy::disallowed_methods,
    reason = "a thread of its own with nothing else to do; /proc cannot be waited for"
)]
pub(crate) fn cpu_when_quiet(pid: u32) -> Result<Duration> {
    let deadline = SystemClock.monotonic() + QUIET_WITHIN;
    let mut used = cpu(pid)?;
    while SystemClock.monotonic() < deadline {
        thread::sleep(QUIET_FOR);
        let now = cpu(pid)?;
        if now == used {
            return Ok(used);
        }
        used = now;
    }
    Err(format!("the server still worked {QUIET_WITHIN:?} after all its calls were made").into())
}
